--- A client that speaks protocol 3 byte by byte, with blocking calls and deadlines.
--
-- Chapters 55.2 and 55.7 of PostgreSQL's documentation name the messages. Functions of this module
-- build messages; methods of a connection send and read them.
-- SPDX-License-Identifier: MIT

local socket = require "socket"

local M = {}

M.VERSION = 3 << 16     -- 3.0
M.NEWEST = M.VERSION + 2 -- 3.2: longer cancel keys
local CANCEL_CODE, SSL_CODE, GSSENC_CODE = 80877102, 80877103, 80877104
local SECONDS = 60

-- Raises, and blames the line outside of this file that led here.
local function fail(message, ...)
  local level = 2
  while debug.getinfo(level, "S").source == debug.getinfo(1, "S").source do level = level + 1 end
  error(message:format(...), level)
end

---@param kind string  one letter
---@param body string?
---@return string
function M.message(kind, body)
  body = body or ""
  return string.pack(">c1I4", kind, #body + 4) .. body
end

local function untyped(body)
  return string.pack(">I4", #body + 4) .. body
end

---@param params table<string, string>
---@param version integer?
---@return string
function M.startup(params, version)
  local parts = { string.pack(">I4", version or M.VERSION) }
  for name, value in pairs(params) do parts[#parts + 1] = string.pack("zz", name, value) end
  parts[#parts + 1] = "\0"
  return untyped(table.concat(parts))
end

function M.cancel(pid, key)
  return untyped(string.pack(">I4I4", CANCEL_CODE, pid) .. key)
end

function M.ssl_request() return untyped(string.pack(">I4", SSL_CODE)) end
function M.gssenc_request() return untyped(string.pack(">I4", GSSENC_CODE)) end

function M.query(sql) return M.message("Q", string.pack("z", sql)) end

---@param oids integer[]?  types of the parameters
function M.parse(name, sql, oids)
  oids = oids or {}
  return M.message("P", string.pack(">zzI2", name, sql, #oids)
    .. string.pack(">" .. ("I4"):rep(#oids), table.unpack(oids)))
end

local function put_values(parts, values)
  parts[#parts + 1] = string.pack(">I2", #values)
  for _, value in ipairs(values) do
    parts[#parts + 1] = value and string.pack(">s4", value) or string.pack(">i4", -1)
  end
end

---@param values string[]  in text format; false for NULL
---@param formats integer[]?  of the results; default: all as text
function M.bind(portal, statement, values, formats)
  local parts = { string.pack(">zzI2", portal, statement, 0) }
  put_values(parts, values)
  formats = formats or {}
  parts[#parts + 1] = string.pack(">I2" .. ("I2"):rep(#formats), #formats, table.unpack(formats))
  return M.message("B", table.concat(parts))
end

---Calls a function by its OID (the "fast path").
---@param values string[]  in text format; false for NULL
function M.function_call(oid, values)
  local parts = { string.pack(">I4I2", oid, 0) }
  put_values(parts, values)
  parts[#parts + 1] = string.pack(">I2", 0)
  return M.message("F", table.concat(parts))
end

---@param what string  "S" for a statement, "P" for a portal
function M.describe(what, name) return M.message("D", string.pack("c1z", what, name)) end
function M.close(what, name) return M.message("C", string.pack("c1z", what, name)) end

---@param rows integer?  0, the default: all
function M.execute(portal, rows) return M.message("E", string.pack(">zI4", portal, rows or 0)) end
function M.sync() return M.message("S") end
function M.flush() return M.message("H") end
function M.terminate() return M.message("X") end
function M.copy_data(bytes) return M.message("d", bytes) end
function M.copy_done() return M.message("c") end
function M.copy_fail(reason) return M.message("f", string.pack("z", reason)) end

---One statement in one piece: Parse, Bind, Describe, Execute of the unnamed ones.
---@param values string[]?
function M.extended(sql, values)
  return M.parse("", sql) .. M.bind("", "", values or {}) .. M.describe("P", "") .. M.execute("")
end

---@class tests.Message
---@field type string
---@field body string

---@class tests.Result
---@field types string     the letters of all messages, in order
---@field names string[]   of the columns
---@field rows string[][]  values in text format; false for NULL
---@field tags string[]    of CommandComplete
---@field error table<string, string>?  the first error's fields, by letter
---@field errors table<string, string>[]
---@field notices table<string, string>[]
---@field status string    transaction status: "I", "T", "E"

---@class tests.Wire
---@field parameters table<string, string>  as ParameterStatus has said last
---@field pid integer  of BackendKeyData
---@field key string   its secret
---@field notifications { channel: string, payload: string }[]
---@field torn boolean?  it has ended in the middle of a message
local methods = {}
local mt = { __name = "tests.wire", __index = methods }

---Connects, and says nothing yet.
---@param port integer
---@return tests.Wire
function M.connect(port)
  local tcp = assert(socket.tcp())
  tcp:settimeout(SECONDS)
  assert(tcp:connect("127.0.0.1", port))
  tcp:setoption("tcp-nodelay", true)
  return setmetatable({ socket = tcp, parameters = {}, notifications = {} }, mt)
end

---Connects and logs in; a refusal raises.
---@param port integer
---@param params table<string, string>?  default: user and database postgres
---@return tests.Wire
function M.open(port, params)
  local self = M.connect(port)
  local result = self:start(params)
  if result.error then fail("refused: %s", result.error.M) end
  if result.closed then fail("the connection has ended") end
  return self
end

---@param bytes string
function methods:send(bytes)
  local sent, err, part = self.socket:send(bytes)
  if not sent then fail("sent only %d of %d bytes: %s", part, #bytes, err) end
end

---@return string? bytes  exactly `size`; nil where the connection has ended
function methods:receive(size)
  local bytes, err, part = self.socket:receive(size)
  if not bytes and err == "timeout" then
    fail("no %d bytes within %d s", size, SECONDS)
  end
  self.torn = self.torn or part ~= nil and part ~= ""
  return bytes
end

---One message, or nil where the connection has ended.
---@return tests.Message?
function methods:read()
  local head = self:receive(5)
  if not head then return nil end
  local kind, length = string.unpack(">c1I4", head)
  local body = ""
  if length > 4 then body = self:receive(length - 4) end
  self.torn = self.torn or not body
  return body and { type = kind, body = body }
end

---@return table<string, string>
function M.fields(body)
  local fields, at = {}, 1
  while body:byte(at) ~= 0 do
    local letter, value
    letter, value, at = string.unpack("c1z", body, at)
    fields[letter] = value
  end
  return fields
end

---The values of a DataRow.
---@return (string|false)[]
function M.row(body)
  local count, at = string.unpack(">I2", body)
  local values = {}
  for i = 1, count do
    local length = string.unpack(">i4", body, at)
    if length < 0 then
      values[i], at = false, at + 4
    else
      values[i], at = string.unpack(">s4", body, at)
    end
  end
  return values
end

local function column_names(body)
  local count, at = string.unpack(">I2", body)
  local names = {}
  for i = 1, count do
    names[i], at = string.unpack("z", body, at)
    at = at + 18
  end
  return names
end

local readers = {
  T = function(_, result, body) result.names = column_names(body) end,
  D = function(_, result, body) result.rows[#result.rows + 1] = M.row(body) end,
  C = function(_, result, body) result.tags[#result.tags + 1] = string.unpack("z", body) end,
  E = function(_, result, body)
    local fields = M.fields(body)
    result.error = result.error or fields
    result.errors[#result.errors + 1] = fields
  end,
  N = function(_, result, body) result.notices[#result.notices + 1] = M.fields(body) end,
  S = function(self, _, body)
    local name, value = string.unpack("zz", body)
    self.parameters[name] = value
  end,
  K = function(self, _, body) self.pid, self.key = string.unpack(">I4", body), body:sub(5) end,
  A = function(self, _, body)
    local _, channel, payload = string.unpack(">I4zz", body)
    self.notifications[#self.notifications + 1] = { channel = channel, payload = payload }
  end,
  v = function(_, result, body)
    local version, count, at = string.unpack(">I4I4", body)
    result.negotiated = { version = version, options = {} }
    for i = 1, count do result.negotiated.options[i], at = string.unpack("z", body, at) end
  end,
  Z = function(_, result, body) result.status = body end,
}

---Reads up to a message of one of these types (or the end of the connection).
---@param last string?  letters; default "Z": ReadyForQuery
---@return tests.Result
function methods:result(last)
  local result = { types = "", names = {}, rows = {}, tags = {}, errors = {}, notices = {} }
  repeat
    local message = self:read()
    if not message then
      result.closed = true
      break
    end
    result.types = result.types .. message.type
    if readers[message.type] then readers[message.type](self, result, message.body) end
  until (last or "Z"):find(message.type, 1, true)
  return result
end

---Sends a StartupMessage and reads up to ReadyForQuery, or the error.
---@param params table<string, string>?
---@param version integer?
---@return tests.Result
function methods:start(params, version)
  self:send(M.startup(params or { user = "postgres", database = "postgres" }, version))
  return self:result("ZE")
end

---A simple query, to its end.
---@return tests.Result
function methods:query(sql)
  self:send(M.query(sql))
  return self:result()
end

---The first value of the first row; an error raises.
---@return string
function methods:value(sql)
  local result = self:query(sql)
  if result.error then fail("%s: %s", result.error.C, result.error.M) end
  if result.closed then fail("the connection has ended") end
  return result.rows[1] and result.rows[1][1]
end

---The port of the server that answered: what a policy decided, told by PostgreSQL itself.
---@return integer
function methods:served_by()
  return tonumber(self:value("select current_setting('port')"))
end

---Whether the other side ends the connection (nothing more comes).
---@return boolean
function methods:ends()
  local bytes = self:receive(1)
  return bytes == nil
end

---Ends our direction only.
function methods:finish_sending()
  self.socket:shutdown("send")
end

---Closes; `abruptly` by a reset.
function methods:close(abruptly)
  if abruptly then self.socket:setoption("linger", { on = true, timeout = 0 }) end
  self.socket:close()
end

---Says goodbye as drivers do.
function methods:quit()
  self.socket:send(M.terminate())
  self.socket:close()
end

return M
