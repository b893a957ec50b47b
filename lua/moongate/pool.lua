---cluster:pool("read" | "write"): servers to borrow, for what one statement at a time can't do.
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
core.own()

---@class moongate.Connection: moongate.Queries
---@field status fun(self): "idle"|"in_block"|"failed"|"lost"
---@field release fun(self)
---From another task: what runs on it fails with 57014. False: nothing does.
---@field cancel fun(self): boolean

---@class moongate.Pool
local methods = {}
local mt = { __name = "moongate.pool", __index = methods, __metatable = false }

-- Methods that are called with a dot have something else for a self.
local function check(self, what)
  if type(self) ~= "table" or not self.cluster then error(("%s: call it as %s()"):format(what, what), 3) end
end

---Borrows a connection: to a replica where the intent is "read" and one will do, else to the
---primary. It goes back with release(), with `local c <close> = ...`, or when it is collected.
---@return moongate.Connection? connection, string? message, string? code
function methods:acquire()
  check(self, "pool:acquire")
  return core.borrow(self.cluster, self.intent, "pool:acquire")
end

---Gives a connection back. One that is in a transaction, or keeps state of its session, is closed.
---@param connection moongate.Connection
function methods:release(connection)
  check(self, "pool:release")
  core.release(connection)
end

---@return table<string, integer>  size, idle, lent, opening, waiting; opened, closed, acquired, timeouts, failures
function methods:stats()
  check(self, "pool:stats")
  return core.pool_stats(self.cluster, self.intent)
end

---@param cluster moongate.Cluster
---@param intent "read"|"write"
---@return moongate.Pool
return function(cluster, intent)
  if intent ~= "read" and intent ~= "write" then
    error("cluster:pool: it takes \"read\" or \"write\"", 2)
  end
  return setmetatable({ cluster = cluster, intent = intent }, mt)
end
