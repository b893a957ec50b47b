--- A client's messages as plain tables, `{ kind, arguments ... }`, so that a plan can be written to a
--- file and read back.
--
--   { "Q", sql }                            { "S" }  { "H" }  { "X" }
--   { "P", name, sql, oids? }               { "d", bytes }  { "c" }  { "f", reason }
--   { "B", portal, name, values?, binary? } { "F", oid, values }
--   { "D", "S" or "P", name }               { "C", "S" or "P", name }
--   { "E", portal, rows? }
--
-- "X" ends the connection; the client then connects anew.
-- SPDX-License-Identifier: MIT

local wire = require "tests.support.wire"

local M = {}

local encoders = {
  Q = wire.query,
  P = wire.parse,
  B = function(portal, name, values, binary)
    return wire.bind(portal, name, values or {}, binary and { 1 } or nil)
  end,
  D = wire.describe,
  C = wire.close,
  E = wire.execute,
  S = wire.sync,
  H = wire.flush,
  d = wire.copy_data,
  c = wire.copy_done,
  f = wire.copy_fail,
  F = wire.function_call,
}

---@param message table
---@return string
function M.encode(message)
  return encoders[message[1]](table.unpack(message, 2))
end

local function literal(value)
  if type(value) ~= "table" then
    return type(value) == "string" and ("%q"):format(value):gsub("\\\n", "\\n") or tostring(value)
  end
  local parts = {}
  for i, item in ipairs(value) do parts[i] = literal(item) end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

---As Lua source.
---@param message table
---@return string
function M.show(message)
  return (literal(message))
end

return M
