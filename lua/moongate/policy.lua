---What the ready-made policies have in common: each is a function that takes a cluster, as any policy
---does, or a table of options, and then returns such a policy.
---
---    policy = require "moongate.policies.least_loaded"
---    policy = require "moongate.policies.least_loaded" { max_lag = 5 }
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
local options = require "moongate.options"
core.own()

local M = {}

---Options of a route's that most policies hand on to where their reads go.
local handed_on = { "consistency", "max_staleness", "max_lag", "wait_fresh" }

---A check that leaves the value as it was: cluster:route takes it so.
local function as_given(check)
  return function(value, where)
    local checked, why = check(value, where)
    if checked == nil then return nil, why end
    return value
  end
end

---An option of cluster:route, for a policy's own options.
---@param name string
---@return function check
function M.route_option(name)
  return as_given(options.checks.route[name])
end

---@param name string      of its file, in moongate.policies
---@param schema table<string, function>?  what it has beside the options that it hands on; nil: it has none
---@param build fun(cluster: moongate.Cluster, opts: table): function|table
---@return fun(given: moongate.Cluster|table): any
function M.define(name, schema, build)
  local all = {}
  for _, key in ipairs(schema and handed_on or {}) do all[key] = M.route_option(key) end
  for key, check in pairs(schema or {}) do all[key] = check end
  local check, title = options.checks.options_of(all), "moongate.policies." .. name
  return core.checked(title, function(given)
    if core.is_cluster(given) then return build(given, {}) end
    local opts, why = check(given)
    if not opts then return nil, why end
    return core.checked(title, function(cluster) return build(cluster, opts) end)
  end)
end

---A route for reads, with what the policy's options say of them; the primary serves them where no
---replica will do.
---@param cluster moongate.Cluster
---@param opts table   the policy's
---@param route table  as for cluster:route
---@return moongate.Route
function M.reads(cluster, opts, route)
  for _, key in ipairs(handed_on) do route[key] = opts[key] end
  route.to = route.to or "replicas"
  route.fallback = "primary"
  return cluster:route(route)
end

---The route for all that may write, which waits out a failover.
---@param cluster moongate.Cluster
---@return moongate.Route
function M.writes(cluster)
  return cluster:route { name = "primary", to = "primary", hold = 30 }
end

---Where reads go by one function, and writes to the primary.
---@param cluster moongate.Cluster
---@param choose fun(query: moongate.Query): any
---@return fun(query: moongate.Query): any
function M.split(cluster, choose)
  local writes = M.writes(cluster)
  return function(query)
    if query.intent == "read" then return choose(query) end
    return writes
  end
end

return M
