---Tenants that have replicas of their own, and for all tenants reads that see the tenant's own
---writes, whichever session made them:
---
---    policy = require "moongate.policies.tenant" {
---      by = "tag:tenant",
---      to = { acme = "replica-1", globex = { "replica-1", "replica-2" } },
---    }
---
---Options: by ("tag:tenant" unless it is another key of moongate.rules: "user", "database",
---"tag:NAME", a function(query)), to (from tenants to the endpoints that serve their reads; the others
---have all replicas), required (true: a query without a tenant is refused), consistency,
---max_staleness, max_lag, wait_fresh.
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
local keys = require "moongate.rules.keys"
local options = require "moongate.options"
local policy = require "moongate.policy"
core.own()

local checks = options.checks
local target = policy.route_option "to"

local function tenants(value, where)
  if type(value) ~= "table" then return checks.must_be("a table from tenants to endpoints")(value, where) end
  for _, name in ipairs(checks.sorted_keys(value)) do
    local fine, why = target(value[name], ("%s[%q]"):format(where, tostring(name)))
    if not fine then return nil, why end
  end
  return value
end

local function key(value, where)
  local read, why = keys.reader(value, where)
  if not read then return nil, why end
  return read
end

local by_tag = keys.reader("tag:tenant", "by")

return policy.define("tenant", { by = key, to = tenants, required = checks.flag }, function(cluster, opts)
  local tenant_of, pinned = opts.by or by_tag, {}
  local function reads_of(name, to)
    local route = { name = name, to = to }
    route.scope = "key"
    return policy.reads(cluster, opts, route)
  end
  local shared, writes = reads_of "replicas", policy.writes(cluster)
  for tenant, to in pairs(opts.to or {}) do pinned[tenant] = reads_of("tenant " .. tenant, to) end
  local refused = opts.required and core.reject("which tenant is it for? The statement does not tell")

  return function(query)
    local tenant = tenant_of(query)
    query.key = tenant
    if refused and tenant == nil then return refused end
    if query.intent ~= "read" then return writes end
    return pinned[tenant] or shared
  end
end)
