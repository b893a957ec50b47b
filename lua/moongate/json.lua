---JSON of Lua values, for parameters: numbers are exact, and tables as lua-cjson takes them.
---
---lua-cjson itself writes 14 digits of a number: of an int8 it would make another one.
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
core.own()

local M = {}

local MAX_DEPTH = 1000

-- A list may have holes, which are null; one that has many more of those than values is a mistake.
local FEW, SPARSE = 10, 2

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r",
  ["\t"] = "\\t" }

local function escape(char) return ESCAPES[char] or ("\\u%04x"):format(char:byte()) end

local function quoted(text) return '"' .. text:gsub('[%c"\\]', escape) .. '"' end

local function number(value)
  if math.type(value) == "integer" then return tostring(value) end
  if value ~= value or value == math.huge or value == -math.huge then error("JSON has no " .. value, 0) end
  return core.number_text(value)
end

---How many elements it has as a list; nil: it is an object, as an empty one is.
local function length(t)
  local count, max = 0, 0
  for key in next, t do
    if math.type(key) ~= "integer" or key < 1 then return nil end
    count, max = count + 1, math.max(max, key)
  end
  if max > FEW and max > count * SPARSE then
    error(("a list of %d values has the index %d: keys of an object are strings"):format(count, max), 0)
  end
  return count > 0 and max or nil
end

local add

local function add_list(out, list, size, depth)
  for i = 1, size do
    out[#out + 1] = i == 1 and "[" or ","
    add(out, rawget(list, i), depth)
  end
  out[#out + 1] = "]"
end

local function add_object(out, object, depth)
  local before = "{"
  for key, value in next, object do
    if type(key) ~= "string" and type(key) ~= "number" then error("a key is a string, not a " .. type(key), 0) end
    out[#out + 1] = before .. quoted(tostring(key)) .. ":"
    add(out, value, depth)
    before = ","
  end
  out[#out + 1] = before == "{" and "{}" or "}"
end

---Adds the text of `value`, in pieces, to `out`.
function add(out, value, depth)
  local kind = type(value)
  if kind == "table" then
    if depth == MAX_DEPTH then error(("its tables are nested more than %d deep"):format(MAX_DEPTH), 0) end
    local size = length(value)
    if size then return add_list(out, value, size, depth + 1) end
    return add_object(out, value, depth + 1)
  end
  local text
  if kind == "string" then
    text = quoted(value)
  elseif kind == "number" then
    text = number(value)
  elseif kind == "boolean" then
    text = tostring(value)
  elseif value == nil or value == core.NULL then
    text = "null"
  else
    error(("a value is nil, boolean, number, string or table, not a %s"):format(kind), 0)
  end
  out[#out + 1] = text
end

---Raises a string where it can't.
---@param value any
---@return string
function M.encode(value)
  local out = {}
  add(out, value, 0)
  return table.concat(out)
end

return M
