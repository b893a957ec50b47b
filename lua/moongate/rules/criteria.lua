---What `when { ... }` may ask: each criterion made a function(query) that answers, and a short text.
-- SPDX-License-Identifier: MIT
local clock = require "moongate.clock"
local core = require "moongate.core"
local options = require "moongate.options"
core.own()

local checks, names_any = options.checks, core.names_any

-- A criterion takes (value, where); it returns its test and its text, or nil and what is wrong.
local criteria = {}

local strings = checks.list_of(checks.text "a string", "a string or a list of strings")

---One or several, always as a list that is not empty.
local function list(value, where)
  if type(value) == "string" then value = { value } end
  local checked, why = strings(value, where)
  if not checked then return nil, why end
  if #checked == 0 then return nil, where .. " is an empty list" end
  return checked
end

local function set_of(values)
  local set = {}
  for _, value in ipairs(values) do set[value] = true end
  return set
end

---A field of the query's, compared.
local function field_is(field, values)
  local only = values[1]
  if #values == 1 then return function(query) return query[field] == only end end
  local set = set_of(values)
  return function(query) return set[query[field]] or false end
end

local function field(name, allowed)
  local check = allowed and checks.choice(allowed)
  return function(value, where)
    local values, why = list(value, where)
    if not values then return nil, why end
    for _, each in ipairs(check and values or {}) do
      local _, wrong = check(each, where)
      if wrong then return nil, wrong end
    end
    return field_is(name, values), table.concat(values, "|")
  end
end

criteria.intent = field("intent", { "read", "write" })
criteria.kind = field("kind", core.kinds)
criteria.fingerprint = field "fingerprint"

---A field of the query's that is true or false.
local function flag(name)
  return function(value, where)
    local checked, why = checks.flag(value, where)
    if checked == nil then return nil, why end
    return function(query) return query[name] == value end, tostring(value)
  end
end

criteria.in_transaction = flag "in_transaction"
criteria.writes = flag "writes"

---A field of the session's, as it is.
local function exactly(name)
  return function(value, where)
    local values, why = list(value, where)
    if not values then return nil, why end
    local set = set_of(values)
    return function(query) return set[query.session[name]] or false end, table.concat(values, "|")
  end
end

criteria.user = exactly "user"
criteria.database = exactly "database"

---A field of the session's, by Lua patterns.
local function matching(name)
  return function(value, where)
    local patterns, why = list(value, where)
    if not patterns then return nil, why end
    for _, pattern in ipairs(patterns) do
      local fine, wrong = pcall(string.find, "", pattern)
      if not fine then return nil, ("%s %q is no Lua pattern: %s"):format(where, pattern, wrong) end
    end
    return function(query)
      local text = query.session[name]
      if not text then return false end
      for i = 1, #patterns do
        if text:find(patterns[i]) then return true end
      end
      return false
    end, table.concat(patterns, "|")
  end
end

criteria.application = matching "application_name"
criteria.address = matching "address"

---As PostgreSQL folds it: what is in double quotes stays as it is.
local function folded(name)
  local text = ""
  for plain, quoted in (name .. '""'):gmatch '([^"]*)"([^"]*)"' do text = text .. plain:lower() .. quoted end
  return text
end

local function without_schema(name)
  return name:match "[^.]*$"
end

---How many names each of these remembers its answer for.
local NAMES = 1000

---A function(name): whether that is one of these. Without a schema a name stands for that of any
---schema, on either side: "t" is "app.t", but "app.t" is not "old.t".
local function meaning(names)
  local full, bare, last = {}, {}, {}
  for _, name in ipairs(names) do
    name = folded(name)
    full[name], last[without_schema(name)] = true, true
    if not name:find(".", 1, true) then bare[name] = true end
  end
  return function(name)
    if full[name] then return true end
    if not name:find(".", 1, true) then return last[name] or false end
    return bare[without_schema(name)] or false
  end
end

---Whether the statement names one of these.
local function naming(lists)
  return function(value, where)
    local names, why = list(value, where)
    if not names then return nil, why end
    local is_meant, known, count = meaning(names), {}, 0
    local function decide(name)
      if count >= NAMES then known, count = {}, 0 end
      local meant = is_meant(name)
      known[name], count = meant, count + 1
      return meant
    end
    return function(query) return names_any(query, lists, known, decide) end, table.concat(names, "|")
  end
end

criteria.tables = naming "tables"
criteria.functions = naming "functions"

---One tag: true says that there is one, false that there is none.
local function tag_is(name, value, where)
  if type(value) == "boolean" then
    return function(query) return (query.tags[name] ~= nil) == value end, name .. (value and "" or "=false")
  end
  local values, why = list(value, where)
  if not values then return nil, why end
  local set = set_of(values)
  return function(query) return set[query.tags[name]] or false end, name .. "=" .. table.concat(values, "|")
end

---All of these tests; nil where there are none.
local function every(tests)
  local a, b = tests[1], tests[2]
  if #tests <= 1 then return a end
  if #tests == 2 then return function(query) return a(query) and b(query) end end
  return function(query)
    for i = 1, #tests do
      if not tests[i](query) then return false end
    end
    return true
  end
end

function criteria.tag(value, where)
  if type(value) ~= "table" or next(value) == nil then
    return checks.must_be("a table such as { route = \"slow\" }")(value, where)
  end
  local tests, texts = {}, {}
  for i, name in ipairs(checks.sorted_keys(value)) do
    if type(name) ~= "string" then
      return nil, ("%s must be a table such as { route = \"slow\" }, not a list"):format(where)
    end
    tests[i], texts[i] = tag_is(name, value[name], where .. "." .. name)
    if not tests[i] then return nil, texts[i] end
  end
  return every(tests), table.concat(texts, ",")
end

local hours_refuse = checks.must_be("two hours such as { 22, 6 }, a range such as \"22-6\", or a list of ranges")

---Sets the hours of "22-6", the last of which is 5:59, in `set`.
local function add_range(set, text, value, where)
  local from, to = tostring(text):match "^(%d%d?)%-(%d%d?)$"
  from, to = tonumber(from), tonumber(to)
  if not from or from > 23 or to > 24 or from == to % 24 then return hours_refuse(value, where) end
  local hour = from
  repeat
    set[hour] = true
    hour = (hour + 1) % 24
  until hour == to % 24
  return true
end

---The hour of the day where the router runs, looked up once a minute.
local hour, hour_of = nil, nil

local function current_hour()
  local minute = clock.time() // 60
  if minute ~= hour_of then
    hour, hour_of = tonumber(os.date("%H", minute * 60)), minute
  end
  return hour
end

function criteria.hour(value, where)
  local ranges = value
  if type(value) == "string" then
    ranges = { value }
  elseif type(value) == "table" and math.type(value[1]) == "integer" then
    if math.type(value[2]) ~= "integer" or #value ~= 2 then return hours_refuse(value, where) end
    ranges = { ("%d-%d"):format(value[1], value[2]) }
  end
  if type(ranges) ~= "table" or #ranges == 0 then return hours_refuse(value, where) end
  local set = {}
  for _, range in ipairs(ranges) do
    local fine, why = add_range(set, range, value, where)
    if not fine then return nil, why end
  end
  return function() return set[current_hour()] or false end, table.concat(ranges, "|")
end

function criteria.test(value, where)
  if type(value) ~= "function" then return checks.must_be("a function(query)")(value, where) end
  return value, "function"
end

---In the order in which they are asked: what costs little first.
local order = { "intent", "kind", "in_transaction", "writes", "user", "database", "application", "address",
  "fingerprint", "tag", "tables", "functions", "hour", "test" }

local known = { "name", table.unpack(order) }
table.sort(known)

local M = { every = every }

---@return string? why
local function unknown(spec)
  for _, key in ipairs(checks.sorted_keys(spec)) do
    if key ~= "name" and not criteria[key] then
      return ("unknown criterion %q%s; there are %s"):format(
        tostring(key), options.suggest(key, known), table.concat(known, ", "))
    end
  end
end

---@class moongate.Criteria
---@field tests (fun(query: moongate.Query): any)[]  all of them, but for:
---@field intent "read"|"write"|nil                   the only one that will do
---@field text string

---All criteria of a table.
---@param spec table
---@return moongate.Criteria? compiled, string? why
function M.compile(spec)
  local why = unknown(spec)
  if why then return nil, why end
  local tests, texts, intent = {}, {}, nil
  for _, key in ipairs(order) do
    if spec[key] ~= nil then
      local test, text = criteria[key](spec[key], key)
      if not test then return nil, text end
      if key == "intent" and not text:find("|", 1, true) then intent, test = text, nil end
      tests[#tests + 1] = test
      texts[#texts + 1] = key == "test" and text or key .. "=" .. text
    end
  end
  return { tests = tests, intent = intent, text = table.concat(texts, " ") }
end

return M
