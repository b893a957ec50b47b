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
  local known, routes, max_lag = {}, {}, opts.max_lag
  for _, endpoint in ipairs(cluster.endpoints) do
    known[endpoint.name] = endpoint
    routes[endpoint.name] = policy.reads(cluster, opts, { name = "sticky " .. endpoint.name, to = endpoint.name })
  end
  local together = cluster:route {
    name = "replicas", to = "replicas", consistency = "session", max_lag = opts.max_lag, fallback = "primary",
  }

  local function will_do(replica)
    return replica.up and replica.role == "replica" and not replica.draining and replica.breaker ~= "open"
      and (not max_lag or replica.lag <= max_lag)
  end

  ---The replica of that name, which may have left and joined again.
  local function replica_called(name)
    if known[name] and known[name].up then return known[name] end
    for _, replica in ipairs(cluster.replicas) do
      if replica.name == name then
        known[name] = replica
        return replica
      end
    end
  end

  return policy.split(cluster, function(query)
    local vars = query.session.vars
    local name = vars[NOTE]
    local replica = name and replica_called(name)
    if not (replica and will_do(replica)) then
      replica = by_weight(cluster.replicas, will_do)
      if not replica then return together end
      name = replica.name
      vars[NOTE] = name
    end
    return routes[name] or together
  end)
end)
