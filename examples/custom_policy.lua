-- Shows a policy of one's own, for the router and for applications alike: balances are always read
-- from the primary, reports may be ten seconds old, and nobody truncates a table.
--
--   moongate.cluster { primary = ..., policy = require "custom_policy" }
local moongate = require "moongate"

return function(cluster)
  local primary = cluster:route { to = "primary", hold = 10 }
  local reads = cluster:route { to = "replicas", fallback = "primary" }
  local reports = cluster:route {
    name = "reports",
    to = "replicas",
    balance = "least_in_flight",
    consistency = "bounded",
    max_staleness = 10,
    fallback = "primary",
  }
  local refused = moongate.reject("TRUNCATE is not allowed here")

  return function(query)
    if query.kind == "truncate" then return refused end
    if query.intent == "write" then return primary end
    for _, name in ipairs(query.tables) do
      if name == "accounts" then return primary end
    end
    -- A comment in the statement: /* moongate: report=yes */
    if query.tags.report then return reports end
    return reads
  end
end
