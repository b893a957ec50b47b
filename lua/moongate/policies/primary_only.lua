---All goes to the primary, and waits out a failover: for a cluster whose replicas are only for that.
---It has no options.
-- SPDX-License-Identifier: MIT
local policy = require "moongate.policy"
require "moongate.core".own()

return policy.define("primary_only", nil, function(cluster)
  local primary = policy.writes(cluster)
  return function() return primary end
end)
