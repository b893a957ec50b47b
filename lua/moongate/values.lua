---What Lua values are in SQL: parameters that need a word about their kind, and quoting.
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
local json = require "moongate.json"
core.own()

local M = {}

local MAX_DEPTH = 6 -- PostgreSQL's MAXDIM

-- What such a parameter is as an element of an array.
local elements = setmetatable({}, { __mode = "k" })

---@param text any
---@param what string
local function check_text(text, what)
  if type(text) ~= "string" then core.misuse(("%s: string expected, got %s"):format(what, type(text))) end
  if text:find("\0", 1, true) then
    core.misuse(what .. ": PostgreSQL's texts hold no zero bytes (moongate.bytea(string) makes a bytea)")
  end
end

---An array's element in double quotes, which may hold anything.
local function quoted(text) return '"' .. text:gsub('[\\"]', "\\%0") .. '"' end

---The length of a list, which may have holes: they are NULL.
local function length(list)
  local count = 0
  for key in pairs(list) do
    if math.type(key) == "integer" and key >= 1 then
      count = math.max(count, key)
    elseif key ~= "n" then
      core.misuse(("moongate.array: a list expected; it has the key %q"):format(tostring(key)))
    end
  end
  if list.n == nil then return count end
  local n = math.tointeger(list.n)
  if not n or n < count then
    core.misuse(("moongate.array: n must be the list's length, an integer of at least %d, not %s")
      :format(count, tostring(list.n)))
  end
  return n
end

local function scalar(value)
  local kind = type(value)
  if value == nil or value == core.NULL then return "NULL" end
  if kind == "boolean" then return value and "t" or "f" end
  if math.type(value) == "integer" then return tostring(value) end
  if kind == "number" then return core.number_text(value) end
  if kind == "string" then
    check_text(value, "moongate.array")
    return quoted(value)
  end
  if elements[value] then return elements[value] end
  core.misuse(("moongate.array: an element is nil, boolean, number, string, table, moongate.json() or "
    .. "moongate.bytea(), not a %s"):format(kind))
end

-- An empty array has no dimensions, whatever its tables would be: not all versions of PostgreSQL read {{},{}}.
local EMPTY <const> = "{}"

local function literal(list, depth)
  if depth > MAX_DEPTH then core.misuse(("moongate.array: at most %d dimensions"):format(MAX_DEPTH)) end
  local parts, first, size, full = {}, type(list[1]) == "table", nil, false
  for i = 1, length(list) do
    local value = list[i]
    if (type(value) == "table") ~= first then
      core.misuse("moongate.array: either all elements are tables or none is")
    end
    parts[i] = first and literal(value, depth + 1) or scalar(value)
    if first and length(value) ~= (size or length(value)) then
      core.misuse("moongate.array: tables side by side must be of one length")
    end
    size = first and length(value)
    full = full or not first or parts[i] ~= EMPTY
  end
  return not full and EMPTY or "{" .. table.concat(parts, ",") .. "}"
end

---A parameter that is an array: nested tables are its dimensions; nil and moongate.NULL are NULL.
---@param list table  a list; `n` is its length where it ends with nil
---@return moongate.Parameter
function M.array(list)
  if type(list) ~= "table" then core.misuse("moongate.array: a table expected, got " .. type(list)) end
  return core.parameter(literal(list, 1), 0, false)
end

local function encoded(value, encode)
  local done, text = pcall(encode, value)
  if not done then core.misuse("moongate.json: " .. tostring(text)) end
  check_text(text, "moongate.json: the encoder's text")
  return text
end

---A parameter that is json or jsonb.
---@param value any
---@param encode? fun(value: any): string  default: all numbers are exact, an empty table is {}
---@return moongate.Parameter
function M.json(value, encode)
  local text = encoded(value, encode or json.encode)
  local parameter = core.parameter(text, 0, false)
  elements[parameter] = quoted(text)
  return parameter
end

local BYTEA = 17 -- pg_type.dat

---A parameter that is a bytea, sent as it is.
---@param bytes string
---@return moongate.Parameter
function M.bytea(bytes)
  if type(bytes) ~= "string" then core.misuse("moongate.bytea: string expected, got " .. type(bytes)) end
  local parameter = core.parameter(bytes, BYTEA, true)
  elements[parameter] = quoted("\\x" .. bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
  return parameter
end

---The text as a literal in SQL, whatever standard_conforming_strings is. For encodings of the
---client in which bytes below 128 are ASCII always, as in UTF-8.
---@param text string
---@return string literal
function M.escape_literal(text)
  check_text(text, "escape_literal")
  local doubled = text:gsub("'", "''")
  if not doubled:find("\\", 1, true) then return "'" .. doubled .. "'" end
  return " E'" .. doubled:gsub("\\", "\\\\") .. "'" -- a space: it may follow a word
end

---@param name string
---@return string identifier
function M.escape_identifier(name)
  check_text(name, "escape_identifier")
  if name == "" then core.misuse("escape_identifier: a name is not empty") end
  return '"' .. name:gsub('"', '""') .. '"'
end

return M
