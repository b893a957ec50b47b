---Waiting in coroutines of copas, and of other loops around LuaSocket's select that resume a coroutine
---when its socket is readable.
---
---    local wrap = require "moongate.copas".wrap
---    copas.addserver(server, wrap(function(socket) ... cluster:query(...) ... end))
-- SPDX-License-Identifier: MIT
local copas = require "copas"
local core = require "moongate.core"
local loops = require "moongate.loops"
core.own()

local M = {}

-- Of copas' coroutines, those that are said to be its own; it keeps no account of them that one could ask.
local threads = setmetatable({}, { __mode = "k" })

---What copas is to run as a coroutine, where calls wait then by copas: they let its others go on.
---@param fn fun(...): ...  for copas.addthread, copas.addserver
---@return fun(...): ...
function M.wrap(fn)
  if type(fn) ~= "function" then core.misuse("moongate.copas.wrap: a function expected, got " .. type(fn)) end
  return function(...)
    threads[coroutine.running()] = true
    return fn(...)
  end
end

-- What copas takes for a socket. select() passes over one without a descriptor, and takes one that is
-- dirty for readable at once.
local waiter_methods = {}
local waiter_mt = { __name = "moongate.copas.waiter", __index = waiter_methods }

function waiter_methods:getfd() return self.woken and core.pollfd() or self.fd or -1 end

function waiter_methods:dirty() return self.woken end

-- Readable once, that is after copas has been yielded to.
function waiter_methods:receive()
  if self.asked or self.woken then return "" end
  self.asked = true
  return nil, "timeout"
end

-- By copas, when the coroutine ends.
function waiter_methods.close() end

function waiter_methods.settimeout() end

loops.add {
  name = "copas",
  timeless = true,
  here = function() return threads[coroutine.running()] and copas end,
  new = function() return setmetatable({ woken = false }, waiter_mt) end,
  wait = function(waiter, fd)
    waiter.fd, waiter.asked = fd, false
    copas.receive(waiter, 1)
    waiter.fd, waiter.woken = nil, false
  end,
  wake = function(waiter) waiter.woken = true end,
}

return M
