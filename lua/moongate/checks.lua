---What options tables are checked with. A check takes (value, where) and returns the value in its
---final form, or nil and a message: which option, what it was, what would be right. Values that may
---hold a password are never repeated.
-- SPDX-License-Identifier: MIT
local M = {}

local HUGE = math.huge

---The edit distance of two names, counting a swap of neighbours as one edit.
local function distance(a, b)
  local above, row = nil, {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local before
    before, above, row = above, row, { [0] = i }
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      row[j] = math.min(above[j] + 1, row[j - 1] + 1, above[j - 1] + cost)
      if before and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        row[j] = math.min(row[j], before[j - 2] + 1)
      end
    end
  end
  return row[#b]
end

---' (did you mean "replicas"?)', or nothing where no name is near.
---@param name any
---@param known string[]
---@return string
function M.suggest(name, known)
  if type(name) ~= "string" or #name > 40 then return "" end
  local best, nearest = nil, HUGE
  for _, candidate in ipairs(known) do
    local d = distance(name:lower(), candidate)
    if d < nearest then best, nearest = candidate, d end
  end
  if not best or nearest > math.max(1, #best // 3) then return "" end
  return (" (did you mean %q?)"):format(best)
end

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

---A value as a message may show it: numbers and short words, never what could be a URL.
local function shown(value)
  if type(value) == "number" or type(value) == "boolean" or value == nil then return tostring(value) end
  if type(value) == "string" and #value <= 40 and value:find("^[%w_ %-]*$") then return ("%q"):format(value) end
  return "a " .. type(value)
end

local function must_be(what)
  return function(value, where) return nil, ("%s must be %s, not %s"):format(where, what, shown(value)) end
end

local function number(low, high, what)
  local refuse = must_be(what)
  return function(value, where)
    if type(value) ~= "number" or not (value >= low and value <= high) or value == HUGE then
      return refuse(value, where)
    end
    return value
  end
end

local function integer(low, high)
  local refuse = must_be(("an integer from %d to %d"):format(low, high))
  return function(value, where)
    local whole = math.type(value) and math.tointeger(value)
    if not whole or whole < low or whole > high then return refuse(value, where) end
    return whole
  end
end

local function text(what)
  local refuse = must_be(what)
  return function(value, where)
    if type(value) ~= "string" or value == "" or value:find("\0", 1, true) then return refuse(value, where) end
    return value
  end
end

---@param names string[]
---@param hint? table<string, string>  what to say of values that will come, or have another name
local function choice(names, hint)
  local quoted = {}
  for i, name in ipairs(names) do quoted[i] = ("%q"):format(name) end
  local refuse = must_be((#names > 1 and "one of " or "") .. table.concat(quoted, ", "))
  return function(value, where)
    for _, name in ipairs(names) do
      if value == name then return value end
    end
    local _, why = refuse(value, where)
    return nil, why .. (hint and hint[value] or M.suggest(value, names))
  end
end

local seconds = number(0, HUGE, "a number of seconds of at least 0")
local some_seconds = number(0.001, HUGE, "a number of seconds of at least 0.001")
local weight = number(0, HUGE, "a number of at least 0")
local name = text("a name")
local region = text("the name of a region")
local url = text("a URL, such as \"postgres://user@host:5432/database\"")

---What to say of a name that is none of these.
local function hint(key, known)
  local suggestion = M.suggest(key, known)
  if suggestion ~= "" then return suggestion end
  return "; there are " .. (#known > 0 and table.concat(known, ", ") or "none")
end

---A check of a table that may hold the options of `schema` (name -> check) and no others.
---@param schema table<string, function>
---@param required? string[]
local function options_of(schema, required)
  local known = sorted_keys(schema)
  return function(value, where)
    local prefix = where and where .. "." or ""
    if type(value) ~= "table" then
      return nil, ("%s must be a table of options, not %s"):format(where or "its argument", shown(value))
    end
    local checked = {}
    for _, key in ipairs(sorted_keys(value)) do
      local check = schema[key]
      if not check then
        return nil, ("unknown option \"%s%s\"%s"):format(prefix, tostring(key), hint(key, known))
      end
      local why
      checked[key], why = check(value[key], prefix .. key)
      if checked[key] == nil then return nil, why end
    end
    for _, key in ipairs(required or {}) do
      if checked[key] == nil then return nil, ("%s%s is missing"):format(prefix, key) end
    end
    return checked
  end
end

local function flag(value, where)
  if type(value) ~= "boolean" then return must_be("true or false")(value, where) end
  return value
end

---A sequence without holes, or nil and what is wrong with it.
local function list_of(check, what)
  local refuse = must_be(what)
  return function(value, where)
    if type(value) ~= "table" then return refuse(value, where) end
    local checked = {}
    for _, key in ipairs(sorted_keys(value)) do
      if math.type(key) ~= "integer" or key < 1 or key > #value then
        return nil, ("%s must be %s, with nothing at %s"):format(where, what, shown(key))
      end
    end
    for i = 1, #value do
      local why
      checked[i], why = check(value[i], ("%s[%d]"):format(where, i))
      if checked[i] == nil then return nil, why end
    end
    return checked
  end
end

M.options_of = options_of
M.must_be = must_be
M.list_of = list_of
M.number = number
M.integer = integer
M.choice = choice
M.text = text
M.flag = flag
M.sorted_keys = sorted_keys
M.shown = shown
M.seconds = seconds
M.some_seconds = some_seconds
M.weight = weight
M.name = name
M.region = region
M.url = url

return M
