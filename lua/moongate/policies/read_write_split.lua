---Reads go to the replicas, by their weights, to those that hold the session's own writes; without
---such a replica, and for all that may write, the primary serves. Writes wait out a failover.
-- SPDX-License-Identifier: MIT
---@param cluster moongate.Cluster
return function(cluster)
  local reads = cluster:route {
    name = "replicas",
    to = "replicas",
    balance = "weighted",
    consistency = "read_your_writes",
    fallback = "primary",
  }
  local writes = cluster:route { name = "primary", to = "primary", hold = 30 }

  return function(query)
    if query.intent == "read" then return reads end
    return writes
  end
end
