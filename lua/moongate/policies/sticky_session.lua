---A session's reads stay with one replica, chosen by weight, as long as that is up, takes new work
---and is not further behind than max_lag: what it has cached stays useful, and time does not run
---backwards. Right after a write of the session's the primary serves until the replica has it.
---
---Options: consistency, max_staleness, max_lag, wait_fresh.
---Replicas that Patroni adds later share one route, on which sessions stay by consistency = "session".
-- SPDX-License-Identifier: MIT
local policy = require "moongate.policy"
require "moongate.core".own()

---Where a session notes its replica's name.
local NOTE = "moongate.replica"

local function by_weight(replicas, will_do)
  local total, chosen = 0, nil
  for _, replica in ipairs(replicas) do
    local weight = will_do(replica) and replica.weight or 0
    total = total + weight
    if weight > 0 and math.random() * total < weight then chosen = replica end
  end
  return chosen
end

return policy.define("sticky_session", {}, function(cluster, opts)
  local routes, max_lag = {}, opts.max_lag or math.huge
  for _, endpoint in ipairs(cluster.endpoints) do
    routes[endpoint.name] = policy.reads(cluster, opts, { name = "sticky " .. endpoint.name, to = endpoint.name })
  end
  local together = cluster:route {
    name = "replicas", to = "replicas", consistency = "session", max_lag = opts.max_lag, fallback = "primary",
  }

  local function will_do(replica)
    return replica.up and not replica.draining and replica.breaker ~= "open" and replica.lag <= max_lag
  end

  return policy.split(cluster, function(query)
    local vars, replicas = query.session.vars, cluster.replicas
    for _, replica in ipairs(replicas) do
      if replica.name == vars[NOTE] and will_do(replica) then return routes[replica.name] or together end
    end
    local chosen = by_weight(replicas, will_do)
    if not chosen then return together end
    vars[NOTE] = chosen.name
    return routes[chosen.name] or together
  end)
end)
