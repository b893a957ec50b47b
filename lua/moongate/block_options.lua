---What users may write in moongate.pool { ... } and moongate.health { ... }; see options.lua. Each is made
---the options of a cluster for moongate.core.
-- SPDX-License-Identifier: MIT
local checks = require("moongate.options").checks
local core = require "moongate.core"
core.own()

local M = {}

---The same options without some, and with others.
local function changed(schema, without, with)
  local all = {}
  for key, check in pairs(schema) do all[key] = check end
  for _, key in ipairs(without) do all[key] = nil end
  for key, check in pairs(with) do all[key] = check end
  return checks.options_of(all)
end

-- What is left out makes no difference where there is one database, and no client of a router's.
local pool = checks.with_aliases(changed(checks.pool,
  { "mode", "max_per_database", "max_per_user", "max_per_endpoint", "notice_after", "prepared_statements" }, {
    url = checks.url,
    health = checks.options_of(checks.health),
    backoff = checks.backoff,
    null = checks.null,
    numeric = checks.numeric,
    json = checks.json,
    on_notice = checks.on_notice,
  }), checks.pool_aliases)

---@param options any  as in moongate.pool
---@return table? config, string? why
function M.pool(options)
  local checked, why = pool(options)
  if not checked then return nil, why end
  if not checked.url then return nil, "url is missing" end
  local config = {
    endpoints = { { url = checked.url } },
    loose = true, -- it serves what it can, whatever its role
    health = checked.health,
    backoff = checked.backoff,
    null = checked.null,
    numeric = checked.numeric,
    json = checked.json,
    on_notice = checked.on_notice,
    pool = {},
  }
  for key in pairs(checks.pool) do config.pool[key] = checked[key] end
  return config
end

local some_servers = checks.pool.size

---@return integer? size, string? why
function M.size(size) return some_servers(size, "the size") end

local callback_refuse = checks.must_be("a function(endpoint)")

local health = changed(checks.health, { "slow_start" }, {
  primary = checks.endpoint,
  replicas = checks.endpoints,
  endpoints = checks.endpoints,
  backoff = checks.backoff,
  on_change = function(value, where)
    if type(value) ~= "function" then return callback_refuse(value, where) end
    return value
  end,
})

---All of them, with the roles that they begin with; or nil and what is wrong.
local function endpoints_of(options)
  local primary, replicas, list = options.primary, options.replicas or {}, options.endpoints
  if (list == nil) == (primary == nil) or list and options.replicas then
    return nil, "it takes either primary and replicas, or endpoints, whose roles are found out"
  end
  list = list or { primary, table.unpack(replicas) }
  if #list == 0 then return nil, "endpoints names none" end
  if primary then primary.role = "primary" end
  for _, replica in ipairs(replicas) do replica.role = "replica" end
  return list
end

---@param options any  as in moongate.health
---@return table? config, string? why  and with it on_change
function M.health(options)
  local checked, why = health(options)
  if not checked then return nil, why end
  local list
  list, why = endpoints_of(checked)
  if not list then return nil, why end
  local backoff = checked.backoff or {}
  backoff.attempts = backoff.attempts or 0 -- there is no traffic that would ask for another
  return {
    endpoints = list,
    loose = true, -- it looks at their roles, and for nobody in particular
    health = { interval = checked.interval, timeout = checked.timeout, fall = checked.fall, rise = checked.rise },
    backoff = backoff,
    on_change = checked.on_change,
  }
end

return M
