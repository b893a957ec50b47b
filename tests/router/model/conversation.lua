--- One client's connection: sends a step's messages, knows when all answers to them have come, and
--- writes each answer down as a line, without what differs between two runs by nature (object and
--- process ids, the lines of PostgreSQL's source).
--
-- What is still awaited follows from chapter 55.2: each message has one completion, but for
--   an error in an extended message   all up to the next Sync is passed over
--   COPY FROM STDIN                   Sync and Flush are passed over until CopyDone or CopyFail
-- SPDX-License-Identifier: MIT

local message = require "tests.router.model.message"
local socket = require "socket"
local wire = require "tests.support.wire"

local M = {}

local FIRST_USER_OID = 16384
local SEND_SECONDS = 20

---@class tests.model.Conversation
---@field socket any         luasocket's, for select()
---@field lines string[]     the answers to the step under way
---@field ended boolean      the other side has ended the connection
local methods = {}
local mt = { __name = "tests.model.conversation", __index = methods }

---@param port integer
---@param params table<string, string>  for the startup packet
---@return tests.model.Conversation
function M.open(port, params)
  local self = setmetatable({ port = port, params = params }, mt)
  self:connect()
  return self
end

function methods:connect()
  self.wire = wire.open(self.port, self.params)
  self.socket = self.wire.socket
  self.buffer, self.awaited = "", {}
  self.copying, self.skipping, self.ended = false, false, false
  self.lines = {}
  self.told = {} -- the settings as the lines so far have them
end

-- Messages without an answer of their own.
local silent = { d = true, c = true, f = true, H = true }

-- Drops from the front of what is awaited all that will not be answered.
local function settle(self)
  local awaited = self.awaited
  while awaited[1] do
    local kind = awaited[1]
    if self.copying then
      -- The first one is the command that copies: the next are for it, as long as it lasts.
      kind = table.remove(awaited, 2)
      if not kind then return end
      if kind ~= "d" and kind ~= "H" and kind ~= "S" then self.copying = false end
    elseif silent[kind] or (self.skipping and kind ~= "S") then
      table.remove(awaited, 1)
    else
      self.skipping = false
      return
    end
  end
end

-- For each type of answer: the kinds of messages that it completes.
local completes = {
  ["1"] = "P", ["2"] = "B", ["3"] = "C", T = "D", n = "D", C = "E", I = "E", s = "E", Z = "QSF",
}

local function advance(self, kind)
  local first = self.awaited[1]
  if not first then return end
  if kind == "G" then
    self.copying = true
  elseif kind == "E" then
    self.copying = false
    if not ("QSF"):find(first, 1, true) then
      table.remove(self.awaited, 1)
      self.skipping = true
    end
  elseif completes[kind] and completes[kind]:find(first, 1, true) then
    table.remove(self.awaited, 1)
  end
  settle(self)
end

local function escaped(text)
  return (text:gsub("[%c\\]", function(c) return ("\\x%02x"):format(c:byte()) end))
end

local function type_name(oid)
  return oid < FIRST_USER_OID and tostring(oid) or "user"
end

local function columns(body)
  local count, at = string.unpack(">I2", body)
  local list = {}
  for i = 1, count do
    local name, relation, column, oid, size, modifier, format
    name, relation, column, oid, size, modifier, format, at = string.unpack(">zI4I2I4i2i4I2", body, at)
    list[i] = ("%s(%s.%d %s %d %d %d)"):format(name, relation > 0 and "relation" or "none", column,
      type_name(oid), size, modifier, format)
  end
  return table.concat(list, " ")
end

local function values(body)
  local list = wire.row(body)
  for i, value in ipairs(list) do list[i] = value and escaped(value) or "NULL" end
  return table.concat(list, "|")
end

local function oids(body)
  local count, at = string.unpack(">I2", body)
  local list = {}
  for i = 1, count do
    list[i], at = string.unpack(">I4", body, at)
    list[i] = type_name(list[i])
  end
  return table.concat(list, " ")
end

local function copy_formats(body)
  local format, count, at = string.unpack(">BI2", body)
  local list = { format }
  for _ = 1, count do list[#list + 1], at = string.unpack(">I2", body, at) end
  return table.concat(list, " ")
end

-- Of an error or a notice: severity, SQLSTATE, then what it says and where.
local ERROR_FIELDS = { "S", "V", "C", "M", "D", "H", "P", "p", "q", "W", "s", "t", "c", "d", "n" }

local function fields(body)
  local all, list = wire.fields(body), {}
  for _, letter in ipairs(ERROR_FIELDS) do
    if all[letter] then list[#list + 1] = letter .. "=" .. escaped(all[letter]) end
  end
  return table.concat(list, " ")
end

local show = {
  T = columns,
  D = values,
  t = oids,
  G = copy_formats,
  H = copy_formats,
  C = function(body) return (string.unpack("z", body)) end,
  E = fields,
  N = fields,
  A = function(body) return ("%s %s"):format(string.unpack("zz", body, 5)) end,
}

local function receive_message(self, kind, body)
  if kind == "S" then
    local name, value = string.unpack("zz", body)
    self.wire.parameters[name] = value
    return
  end
  local line = kind .. " " .. (show[kind] or escaped)(body)
  self.lines[#self.lines + 1] = (line:gsub("%s+$", ""))
  advance(self, kind)
end

---Sends all messages of a step, in so many pieces.
---@param step tests.model.Step
function methods:send(step)
  self.lines = {}
  if step.messages[1][1] == "X" then
    self.wire:quit()
    self:connect()
    return
  end
  local parts = {}
  for i, one in ipairs(step.messages) do
    parts[i] = message.encode(one)
    self.awaited[#self.awaited + 1] = one[1]
  end
  settle(self)
  local bytes = table.concat(parts)
  local size = #bytes // (step.pieces or 1) + 1
  self.socket:settimeout(SEND_SECONDS)
  for at = 1, #bytes, size do
    if not self.socket:send(bytes:sub(at, at + size - 1)) then break end -- read() says that it ended
  end
end

---Takes what has arrived; waits for nothing.
function methods:read()
  self.socket:settimeout(0)
  local bytes, err, part = self.socket:receive(1 << 16)
  self.buffer = self.buffer .. (bytes or part)
  local at = 1
  while #self.buffer >= at + 4 do
    local kind, size = string.unpack(">c1I4", self.buffer, at)
    if #self.buffer < at + size then break end
    receive_message(self, kind, self.buffer:sub(at + 5, at + size))
    at = at + size + 1
  end
  self.buffer = self.buffer:sub(at)
  if err == "closed" and not self.ended then
    self.ended = true
    self.lines[#self.lines + 1] = "the connection has ended"
  end
end

---Whether the answer to the step is complete.
---@return boolean
function methods:is_done()
  return self.ended or #self.awaited == 0 or (self.copying and #self.awaited == 1)
end

---The answer: its lines, and the settings that PostgreSQL reports to have changed.
---@return string[]
function methods:take()
  local list = {}
  for name, value in pairs(self.wire.parameters) do
    if self.told[name] ~= value then list[#list + 1] = name .. "=" .. value end
    self.told[name] = value
  end
  table.sort(list)
  local lines = self.lines
  if list[1] then lines[#lines + 1] = "S " .. table.concat(list, " ") end
  self.lines = {}
  return lines
end

function methods:close()
  self.wire:quit()
end

---Waits until one of these has something to read.
---@param list tests.model.Conversation[]
---@param seconds number
---@return tests.model.Conversation[]
function M.wait(list, seconds)
  local sockets, of = {}, {}
  for i, conversation in ipairs(list) do
    sockets[i] = conversation.socket
    of[conversation.socket] = conversation
  end
  local ready = socket.select(sockets, nil, seconds)
  local found = {}
  for i, one in ipairs(ready) do found[i] = of[one] end
  return found
end

return M
