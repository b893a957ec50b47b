---A read/write split by weights of its own, whatever the endpoints' URLs say:
---
---    policy = require "moongate.policies.weighted_replicas" {
---      weights = { ["replica-1"] = 3, ["replica-2"] = 1 },
---    }
---
---Options: weights (endpoints that are not named keep theirs; 0: no reads), balance (default
---"weighted"), consistency, max_staleness, max_lag, wait_fresh.
-- SPDX-License-Identifier: MIT
local policy = require "moongate.policy"
require "moongate.core".own()

local schema = { weights = policy.route_option "weights", balance = policy.route_option "balance" }

return policy.define("weighted_replicas", schema, function(cluster, opts)
  local reads = policy.reads(cluster, opts, {
    name = "replicas", weights = opts.weights, balance = opts.balance,
  })
  return policy.split(cluster, function() return reads end)
end)
