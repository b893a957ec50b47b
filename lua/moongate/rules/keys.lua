---What percentages, limits and tenants go by: the name of a key made a function that reads it.
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
local options = require "moongate.options"
core.own()

local M = {}

---Where a session keeps the number that it was given when it was first asked for one.
local SESSION = "moongate.session"

local known = { "session", "user", "database", "application", "address", "fingerprint" }

local function session_of(query)
  local vars = query.session.vars
  local id = vars[SESSION]
  if not id then
    id = math.random(0)
    vars[SESSION] = id
  end
  return id
end

local function of_session(field)
  return function(query) return query.session[field] end
end

local readers = {
  session = session_of,
  user = of_session "user",
  database = of_session "database",
  application = of_session "application_name",
  address = of_session "address",
  fingerprint = function(query) return query.fingerprint end,
}

---@alias moongate.Key string|fun(query: moongate.Query): string|number|nil

---A function(query) that returns the key's value, a string or a number, or nil where the query has
---none; nil and what is wrong where there is no such key.
---@param key moongate.Key  "session", "user", "database", "application", "address", "fingerprint", "tag:NAME"
---@param where string      what to call it in messages
---@return (fun(query: moongate.Query): string|number|nil)? read, string? text
function M.reader(key, where)
  if type(key) == "function" then return key, "a function" end
  if readers[key] then return readers[key], key end
  local tag = type(key) == "string" and key:match "^tag:(.+)$"
  if tag then return function(query) return query.tags[tag] end, key end
  if type(key) ~= "string" then
    return nil, ("%s must be the name of a key or a function(query), not a %s"):format(where, type(key))
  end
  return nil, ("%s must be one of %s, tag:NAME, or a function(query), not %q%s"):format(
    where, table.concat(known, ", "), key, options.suggest(key, known))
end

---A function(query) that returns where it falls in [0, 1): always the same for the same key, nil for
---none.
---@param key moongate.Key
---@param where string
---@return (fun(query: moongate.Query): number?)? share, string? text
function M.share(key, where)
  local read, text = M.reader(key, where)
  if not read then return nil, text end
  if read == session_of then
    return function(query) return (session_of(query) >> 11) * 0x1p-53 end, text
  end
  return function(query)
    local value = read(query)
    return value ~= nil and core.share(value) or nil
  end, text
end

return M
