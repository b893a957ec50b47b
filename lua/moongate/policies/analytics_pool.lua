---Heavy reads, by the time that they took so far, go to replicas of their own, so that the light ones
---do not queue behind them:
---
---    policy = require "moongate.policies.analytics_pool" { to = "replica-3", mean = 0.5 }
---
---Options: to (the endpoints for heavy reads; default: the last replica), mean (seconds that a
---statement must take on average to be heavy; default 1), calls (how often it must have run to be
---judged; default 5), consistency, max_staleness, max_lag, wait_fresh.
---Light reads have the other replicas, or all where there are no others.
-- SPDX-License-Identifier: MIT
local options = require "moongate.options"
local policy = require "moongate.policy"
require "moongate.core".own()

local checks = options.checks

local schema = {
  to = checks.list_of(checks.name, "the name of an endpoint or a list of them"),
  mean = checks.some_seconds,
  calls = checks.integer(1, 1000000000),
}

local names = schema.to

function schema.to(value, where)
  return names(type(value) == "string" and { value } or value, where)
end

---Replicas that are not in the pool, by weights: so also those that join later are.
local function weights_without(pool, replicas)
  local weights, others = {}, #replicas == 0
  for _, name in ipairs(pool) do weights[name] = 0 end
  for _, replica in ipairs(replicas) do others = others or not weights[replica.name] end
  return others and weights or nil
end

return policy.define("analytics_pool", schema, function(cluster, opts)
  local replicas = cluster.replicas
  local pool = opts.to or { replicas[#replicas] and replicas[#replicas].name }
  if #pool == 0 then return nil, "there is no replica yet: `to` must say which ones are for heavy reads" end
  local heavy = policy.reads(cluster, opts, { name = "analytics", to = pool, balance = "least_in_flight" })
  local light = policy.reads(cluster, opts, { name = "replicas", weights = weights_without(pool, replicas) })
  local mean, calls = opts.mean or 1, opts.calls or 5

  return policy.split(cluster, function(query)
    local stats = query.stats
    if stats.mean >= mean and stats.calls >= calls then return heavy end
    return light
  end)
end)
