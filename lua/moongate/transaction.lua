---cluster:transaction(fn, options): a block that commits, or leaves no trace; in one of them,
---tx:transaction(fn), a savepoint that is kept, or leaves none.
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
local listen = require "moongate.listen"
local options = require "moongate.options"
local pipeline = require "moongate.pipeline"
local queries = require "moongate.queries"
core.own()

-- Between two attempts, in seconds: about this, twice as long after each, up to the longest.
local FIRST_PAUSE, LONGEST_PAUSE = 0.005, 1

-- SQLSTATEs of what may go well when it is done again: serialization_failure, deadlock_detected.
local TRANSIENT = { ["40001"] = true, ["40P01"] = true }

---What `fn` is given; of use only while it runs.
---@class moongate.Transaction: moongate.Queries
local methods = {}
local mt = { __name = "moongate.transaction", __index = methods, __metatable = false }

-- Of transactions: the connection (false: it is over), and the first failure in each. Kept apart from the
-- objects, so that an application cannot reach the connection once the transaction is over.
local connections = setmetatable({}, { __mode = "k" })
local failures = setmetatable({}, { __mode = "k" })

-- And what rows() or copy_out() returned last: those before it are at their end.
local streams = setmetatable({}, { __mode = "kv" })

---Keeps the first failure in mind. It adds no value: table.insert(list, tx:value(sql)) takes two.
local function noted(tx, ...)
  local _, message = ...
  if message ~= nil and not failures[tx] then failures[tx] = { select(2, ...) } end
  return ...
end

---Keeps the rows in mind, of all that a loop is given.
local function keep_open(tx, stream, ...)
  streams[tx] = stream
  return stream, ...
end

---The connection of a transaction that is under way.
local function connection_of(tx, name)
  local connection = connections[tx or false]
  if connection == nil then core.misuse(("call it as tx:%s(...)"):format(name)) end
  if not connection then core.misuse "the transaction is over" end
  return connection
end

-- Run a statement in the transaction, as the cluster's methods do outside of one.
for _, name in ipairs { "query", "exec", "one", "value", "copy_in" } do
  methods[name] = function(self, sql, ...)
    local connection = connection_of(self, name)
    return noted(self, connection[name](connection, sql, ...))
  end
end
for _, name in ipairs { "rows", "copy_out" } do
  methods[name] = function(self, sql, ...)
    local connection = connection_of(self, name)
    return keep_open(self, connection[name](connection, sql, ...))
  end
end
methods.assert_query = queries.assert_query
methods.notify = listen.notify

---Sends what `fn(p)` queues in one round trip. The transaction fails with the first statement that does.
---@param fn fun(p: moongate.Pipeline)
---@param opts moongate.CallOptions?
---@return table? results, string? message, string? code, moongate.ErrorFields? fields
function methods:pipeline(fn, opts)
  local connection = connection_of(self, "pipeline")
  return noted(self, pipeline(connection, fn, opts))
end

-- Of the prepared statements of transactions: the transaction, and the connection's own.
local prepared = setmetatable({}, { __mode = "k" })

local statement_methods = { assert_query = queries.assert_query }
local statement_mt = { __name = "moongate.statement", __index = statement_methods, __metatable = false }

for _, name in ipairs { "query", "exec", "one", "value" } do
  statement_methods[name] = function(self, ...)
    local of = prepared[self or false]
    if not of then core.misuse(("call it as statement:%s(...)"):format(name)) end
    connection_of(of.tx, name)
    return noted(of.tx, of.statement[name](of.statement, ...))
  end
end

function statement_methods:rows(...)
  local of = prepared[self or false]
  if not of then core.misuse "call it as statement:rows(...)" end
  connection_of(of.tx, "rows")
  return keep_open(of.tx, of.statement:rows(...))
end

---A statement that is parsed once, on the transaction's server.
---@param sql string
---@return moongate.Statement
function methods:prepare(sql)
  local connection = connection_of(self, "prepare")
  local statement = setmetatable({}, statement_mt)
  prepared[statement] = { tx = self, statement = connection:prepare(sql) }
  core.stands_for(statement, prepared[statement].statement)
  return statement
end

-- How a transaction ends, and a part of one. Savepoints of one name hide one another.
local BLOCK = { commit = "commit", undo = "rollback" }
local SAVEPOINT = {
  commit = "release savepoint moongate",
  undo = "rollback to savepoint moongate; release savepoint moongate",
}

---Ends it without having committed; what it did is undone, also when the server is lost.
local function give_up(connection, frame, message, code, fields)
  if connection:status() ~= "lost" then connection:query(frame.undo) end
  return nil, message, code, fields or { message = tostring(message), sqlstate = code }
end

---What was raised, with where it was.
local function caught(raised)
  if queries.is_error(raised) then return raised end
  if raised == nil then raised = "the function raised nil" end
  local _, text = pcall(tostring, raised)
  return { message = raised, fields = { message = text, traceback = core.traceback(text) } }
end

---Ends rows that the function has left open, as an error in a loop over them does.
local function give_up_stream(tx)
  local stream = streams[tx]
  if not stream then return end
  pcall(function()
    local _ <close> = stream
    error()
  end)
end

---What xpcall(fn, caught, tx) gave, after the call: the transaction's results.
local function conclude(tx, connection, frame, ok, ...)
  connections[tx] = false
  -- Else that the connection is busy would hide what went wrong.
  if not ok or not (...) and select(2, ...) ~= nil then
    give_up_stream(tx)
    core.stop(connection)
  end
  local first, message, code, fields = ...
  local failure, status = failures[tx], connection:status()
  if not ok then
    if type(first) == "string" then first = caught(first) end -- no memory, for caught() neither
    -- With the transaction in ruins, that is what the error is about: assert(tx:query(...)).
    if not first.code and failure and (status == "failed" or status == "lost") then
      first.code, first.fields.sqlstate = failure[2], failure[2]
    end
    return give_up(connection, frame, first.message, first.code, first.fields)
  elseif not first and message ~= nil then
    return give_up(connection, frame, message, code, fields)
  elseif status ~= "in_block" then
    -- PostgreSQL answers COMMIT of a failed transaction with ROLLBACK, which is no error.
    failure = failure or status == "lost" and { "the connection was lost", "08006" }
      or status == "failed" and { "a statement of the transaction had failed", "25P02" }
      or { "the transaction was ended inside of it", "25000" }
    return give_up(connection, frame, table.unpack(failure, 1, 3))
  end
  local done, why, sqlstate, said = connection:query(frame.commit)
  if not done then return nil, why, sqlstate, said end
  if select("#", ...) == 0 then return true end
  return ...
end

local function run(connection, frame, begin, fn)
  local begun, message, code, fields = connection:query(begin)
  if not begun then return nil, message, code, fields end
  local tx = setmetatable({}, mt)
  connections[tx] = connection
  return conclude(tx, connection, frame, xpcall(fn, caught, tx))
end

---Keeps the failure of a part in mind, if that was the end of the whole.
local function survived(tx, connection, ...)
  if connection:status() ~= "in_block" then return noted(tx, ...) end
  return ...
end

---Runs `fn(tx)` as a part of the transaction, which is undone alone: what fn did is kept when it
---returns, and undone when it raises, returns nil or false and a message, or leaves its part failed.
---@param fn fun(tx: moongate.Transaction): ...
---@return any ok, string? message, string? code, moongate.ErrorFields? fields
function methods:transaction(fn)
  local connection = connection_of(self, "transaction")
  if type(fn) ~= "function" then core.misuse("tx:transaction: it takes a function(tx), not a " .. type(fn)) end
  return survived(self, connection, run(connection, SAVEPOINT, "savepoint moongate", fn))
end

local function attempt(cluster, fn, config)
  local connection <close>, message, code, fields = core.borrow(cluster, config.intent, "cluster:transaction")
  if not connection then return nil, message, code, fields end
  return run(connection, BLOCK, config.begin, fn)
end

---A pause between half and all of `seconds`, so that two that were in each other's way part.
local function pause(seconds)
  core.sleep(seconds * (1 + math.random()) / 2)
  return math.min(2 * seconds, LONGEST_PAUSE)
end

local function attempts(cluster, fn, config, left, seconds, ...)
  local ok, _, code = ...
  if ok or left == 0 or not TRANSIENT[code] then return ... end
  local longer = pause(seconds)
  return attempts(cluster, fn, config, left - 1, longer, attempt(cluster, fn, config))
end

---Runs `fn(tx)` in a transaction on the primary; one that only reads, on a replica where one will do.
---It commits when fn returns, and its results are fn's (true where there are none). It rolls back, and
---returns nil, message, code, fields, when fn raises, returns nil or false and a message, or leaves the
---transaction failed.
---@param cluster moongate.Cluster
---@param fn fun(tx: moongate.Transaction): ...
---@param opts moongate.TransactionOptions?
---@return any ok, string? message, string? code, moongate.ErrorFields? fields
return function(cluster, fn, opts)
  if type(cluster) ~= "userdata" then core.misuse "cluster:transaction: call it as cluster:transaction(function)" end
  if type(fn) ~= "function" then
    core.misuse("cluster:transaction: it takes a function(tx), not a " .. type(fn))
  end
  local config, why = options.transaction(opts)
  if not config then core.misuse("cluster:transaction: " .. why) end
  return attempts(cluster, fn, config, config.retries, FIRST_PAUSE, attempt(cluster, fn, config))
end
