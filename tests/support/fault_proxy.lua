--- The fault proxy (fault_proxy.c) in front of one node: the network between router and endpoint,
-- made to fail at will while both run.
-- SPDX-License-Identifier: MIT

local process = require "moongate.process"

local M = {}

local ANSWER_SECONDS = 10

---@class tests.FaultProxy
---@field port integer  where the router connects to
local methods = {}
local mt = { __name = "tests.fault_proxy", __index = methods }

function M.binary()
  return (os.getenv "BUILD" or "build") .. "/tests/fault_proxy"
end

---@param target integer  a port of 127.0.0.1
---@return tests.FaultProxy
function M.start(target)
  local self = setmetatable({ port = process.free_port() }, mt)
  self.url = ("postgres://127.0.0.1:%d"):format(self.port)
  self.process = process.spawn({ M.binary(), tostring(self.port), tostring(target) }, { input = true })
  self.process:take("ready\n", ANSWER_SECONDS)
  return self
end

---One command as fault_proxy.c lists them; what it refuses raises.
---@param ... string|number
---@return string answer
function methods:command(...)
  self.process:write(table.concat({ ... }, " ") .. "\n")
  local answer = self.process:take("\n", ANSWER_SECONDS)
  if answer:match("^error") then error(answer, 2) end
  return answer
end

---@param action "drop"|"reset"|"hole"|"stall"
---@param direction "up"|"down"  up: to the node
---@param byte integer  after so many have passed
---@param count integer?  how many of the next connections; default 1, 0: all
function methods:fault(action, direction, byte, count)
  self:command("fault", action, direction, byte, count or 1)
end

---The same for all connections that there are now.
function methods:now(action) self:command("now", action) end
function methods:delay(seconds) self:command("delay", seconds * 1000) end
function methods:refuse() self:command "refuse" end
function methods:silence() self:command "silence" end
function methods:heal() self:command "heal" end

---@return { accepted: integer, open: integer, struck: integer, up: integer, down: integer }
function methods:stat()
  local stat = {}
  for name, value in self:command("stat"):gmatch("(%a+) (%d+)") do stat[name] = tonumber(value) end
  return stat
end

function methods:stop()
  self.process:close_input()
  self.process:wait(ANSWER_SECONDS)
end

return M
