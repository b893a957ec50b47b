---moongate.pool { url = ... }, cluster:pool("read" | "write"): servers to borrow, for what one
---statement at a time can't do.
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
local options = require "moongate.block_options"
local queries = require "moongate.queries"
core.own()

local M = {}

---@class moongate.Connection: moongate.Queries
---@field status fun(self): "idle"|"in_block"|"failed"|"lost"
---@field release fun(self)
---From another task: what runs on it fails with 57014. False: nothing does.
---@field cancel fun(self): boolean

---@class moongate.Pool
local methods = {}
-- Beside them: `cluster`; `route`, where its connections come from, an intent or a route; `who`, which
-- of the cluster's endpoints it is of: the same intent, or "all". `own`: the cluster is the pool's;
-- `state`: nil, "drained" or "closed".

-- Methods that are called with a dot have something else for a self.
local function check(self, what)
  if type(self) ~= "table" or not self.cluster then core.misuse(("%s: call it as %s()"):format(what, what)) end
  if self.state == "closed" then core.misuse(what .. ": the pool is closed") end
end

local function acquire(self, timeout, what)
  if self.state == "drained" then return queries.failure("the pool is drained: it lends no more", "57P01") end
  return core.borrow(self.cluster, self.route, what, timeout)
end

---Borrows a connection: of a cluster's pool, to a replica where the intent is "read" and one will do,
---else to the primary. Those who wait are served in order. It goes back with pool:release(), with
---`local c <close> = ...`, or when it is collected.
---@param timeout number?  seconds to wait at most; default: acquire_timeout
---@return moongate.Connection? connection, string? message, string? code, moongate.ErrorFields? fields
function methods:acquire(timeout)
  check(self, "pool:acquire")
  return acquire(self, timeout, "pool:acquire")
end

---Gives a connection of this pool back. One that is in a transaction, or keeps state of its session, is closed.
---@param connection moongate.Connection
function methods:release(connection)
  if type(self) ~= "table" or not self.cluster then check(self, "pool:release") end
  core.release(self.cluster, connection) -- also when the pool is closed
end

---Runs `fn(connection)` with a borrowed connection, which goes back when it is over, also by an error.
---@param fn fun(connection: moongate.Connection): ...
---@return any ...  what it returned; nil, message, code, fields where no connection was to be had
function methods:with(fn)
  check(self, "pool:with")
  if type(fn) ~= "function" then
    core.misuse(("pool:with: it takes a function(connection), not a %s"):format(type(fn)))
  end
  local connection <close>, message, code, fields = acquire(self, nil, "pool:with")
  if not connection then return nil, message, code, fields end
  return fn(connection)
end

---@return table<string, integer>  size, idle, lent, opening, waiting; opened, closed, acquired, timeouts, failures
function methods:stats()
  check(self, "pool:stats")
  return core.pool_stats(self.cluster, self.who)
end

---From now on there are so many connections at most, of a cluster's pool at each of its endpoints: those
---who wait get what is more; of what is less, idle ones are closed now, and lent ones when they come back.
---@param size integer
function methods:resize(size)
  check(self, "pool:resize")
  local checked, why = options.size(size)
  if not checked then core.misuse("pool:resize: " .. why) end
  core.pool_resize(self.cluster, self.who, checked)
end

---Lends no more, and waits until all have come back. Whoever waits for one fails with 57P01. The endpoints
---of a cluster's pool are drained (endpoint:undrain() ends that): new work goes where the route's fallback is.
---@param timeout number?  seconds; nil: however long
---@return true? done, string? message, string? code, moongate.ErrorFields? fields
function methods:drain(timeout)
  check(self, "pool:drain")
  if self.own then self.state = "drained" end
  return core.pool_drain(self.cluster, self.who, timeout)
end

---Closes all of its connections, those that are lent, too. A cluster's pool ends with the cluster.
function methods:close()
  if type(self) ~= "table" or not self.cluster then check(self, "pool:close") end
  if not self.own then core.misuse "pool:close: the pool is its cluster's, and ends with it: cluster:close()" end
  if self.state == "closed" then return end
  core.pool_close(self.cluster)
  self.state = "closed"
end

local mt = { __name = "moongate.pool", __index = methods, __metatable = false }
local own_mt = { __name = "moongate.pool", __index = methods, __close = methods.close, __metatable = false }

---@param cluster moongate.Cluster
---@param intent "read"|"write"
---@return moongate.Pool
function M.of_cluster(cluster, intent)
  if type(cluster) ~= "userdata" then core.misuse "cluster:pool: call it as cluster:pool(\"read\")" end
  if intent ~= "read" and intent ~= "write" then
    core.misuse "cluster:pool: it takes \"read\" or \"write\""
  end
  return setmetatable({ cluster = cluster, route = intent, who = intent }, mt)
end

---A pool of its own around a cluster of one endpoint, whatever its role.
---@param cluster moongate.Cluster
---@param route moongate.Route  to that endpoint
---@return moongate.Pool
function M.own(cluster, route)
  core.pool_stats(cluster, "all") -- makes it, so that it keeps its min_idle from now on
  return setmetatable({ cluster = cluster, route = route, who = "all", own = true }, own_mt)
end

return M
