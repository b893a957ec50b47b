---Reads go where the fewest queries are under way, for what each endpoint weighs.
---
---Options: to (default "replicas"; "any" lets the primary take its share), consistency,
---max_staleness, max_lag, wait_fresh.
-- SPDX-License-Identifier: MIT
local policy = require "moongate.policy"
require "moongate.core".own()

return policy.define("least_loaded", { to = policy.route_option "to" }, function(cluster, opts)
  local reads = policy.reads(cluster, opts, { name = "least loaded", to = opts.to, balance = "least_in_flight" })
  return policy.split(cluster, function() return reads end)
end)
