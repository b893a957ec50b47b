---cluster:transaction(fn): a block on the primary that commits, or leaves no trace.
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
local queries = require "moongate.queries"
core.own()

---What `fn` is given; of use only while it runs.
---@class moongate.Transaction: moongate.Queries
local methods = {}
local mt = { __name = "moongate.transaction", __index = methods, __metatable = false }

-- The connections of transactions under way, and the first failure in each. Kept apart from the
-- objects, so that an application cannot reach the connection once the transaction is over.
local connections = setmetatable({}, { __mode = "k" })
local failures = setmetatable({}, { __mode = "k" })

---Keeps the first failure in mind.
local function noted(tx, result, message, ...)
  if message ~= nil and not failures[tx] then failures[tx] = { message, ... } end
  return result, message, ...
end

-- Run a statement in the transaction, as the cluster's methods do outside of one.
for _, name in ipairs { "query", "exec", "one", "value" } do
  methods[name] = function(self, sql, ...)
    local connection = connections[self or false]
    if not connection then
      error(type(self) == "table" and "the transaction is over" or ("call it as tx:%s(sql, ...)"):format(name), 2)
    end
    return noted(self, connection[name](connection, sql, ...))
  end
end
methods.assert_query = queries.assert_query

---Ends the block without having committed; what it did is undone, also when the server is lost.
local function give_up(connection, message, code, fields)
  if connection:status() ~= "lost" then connection:query("rollback") end
  return nil, message, code, fields
end

---What pcall(fn, tx) gave, after the call: the transaction's results.
local function conclude(tx, connection, ok, ...)
  connections[tx] = nil
  local first, message, code, fields = ...
  local failure, status = failures[tx], connection:status()
  if not ok then
    if queries.is_error(first) then return give_up(connection, first.message, first.code, first.fields) end
    if first == nil then first = "the function raised nil" end
    -- With the transaction in ruins, that is what the error is about: assert(tx:query(...)).
    local ruined = failure and (status == "failed" or status == "lost")
    return give_up(connection, first, ruined and failure[2] or nil, ruined and failure[3] or nil)
  elseif not first and message ~= nil then
    return give_up(connection, message, code, fields)
  elseif status ~= "in_block" then
    -- PostgreSQL answers COMMIT of a failed transaction with ROLLBACK, which is no error.
    failure = failure or status == "lost" and { "the connection was lost", "08006" }
      or { "the transaction was ended inside of it", "25000" }
    return give_up(connection, table.unpack(failure, 1, 3))
  end
  local done, why, sqlstate, said = connection:query("commit")
  if not done then return nil, why, sqlstate, said end
  if select("#", ...) == 0 then return true end
  return ...
end

---Runs `fn(tx)` in a transaction on the primary. It commits when fn returns, and its results are
---fn's (true where there are none). It rolls back, and returns nil, message, code, fields, when fn raises,
---returns nil or false and a message, or leaves the transaction failed.
---@param cluster moongate.Cluster
---@param fn fun(tx: moongate.Transaction): ...
---@return any ok, string? message, string? code, moongate.ErrorFields? fields
return function(cluster, fn)
  if type(fn) ~= "function" then
    error("cluster:transaction: it takes a function(tx), not a " .. type(fn), 2)
  end
  local connection <close>, message, code, fields = core.borrow(cluster, "write", "cluster:transaction")
  if not connection then return nil, message, code, fields end
  local begun
  begun, message, code, fields = connection:query("begin")
  if not begun then return nil, message, code, fields end
  local tx = setmetatable({}, mt)
  connections[tx] = connection
  return conclude(tx, connection, pcall(fn, tx))
end
