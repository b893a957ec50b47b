---cluster:reconnect(endpoint): tries an endpoint until it is there again, or the cluster's backoff is spent.
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
local queries = require "moongate.queries"
core.own()

---Tries it at once, and then after the delays of the cluster's backoff, until probes say that it is up.
---@param cluster moongate.Cluster
---@param endpoint moongate.Endpoint|string  or its name
---@return true? up, string? message, string? code, moongate.ErrorFields? fields
return function(cluster, endpoint)
  local backoff, attempts = core.cluster_backoff(cluster), 0
  while true do
    local outcome, message, code, fields = core.try(cluster, endpoint)
    if outcome == "up" then return true end
    if code == "57P01" then return nil, message, code, fields end -- it has gone for good
    if not outcome then
      attempts = attempts + 1
      local delay = backoff:fail()
      if backoff.spent then
        return queries.failure(("gave up after %d attempt%s: %s"):format(attempts, attempts == 1 and "" or "s",
          message), code)
      end
      core.sleep(delay)
      if not core.is_cluster(cluster) then return queries.failure("the cluster was closed", "57P01") end
    end
  end
end
