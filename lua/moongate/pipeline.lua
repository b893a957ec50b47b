---pipeline(fn) of clusters, connections and transactions: several statements in one round trip.
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
local queries = require "moongate.queries"
core.own()

---What `fn` is given: each of them queues a statement, and returns the number of its result, which
---has the form that the cluster's method of that name returns. `sql` may be a prepared statement.
---@class moongate.Pipeline
---@field query fun(self: moongate.Pipeline, sql: string|moongate.Statement, ...): integer
---@field exec fun(self: moongate.Pipeline, sql: string|moongate.Statement, ...): integer
---@field one fun(self: moongate.Pipeline, sql: string|moongate.Statement, ...): integer
---@field value fun(self: moongate.Pipeline, sql: string|moongate.Statement, ...): integer

---Sends what `fn(p)` queues, once fn has returned, to one server. Outside of a transaction all of it is
---done, or nothing.
---@param self moongate.Cluster|moongate.Connection
---@param fn fun(p: moongate.Pipeline)
---@param opts moongate.CallOptions?
---@return table? results      in order, `n` of them
---@return string? message     of the first failure; nothing is done then
---@return string? code
---@return moongate.ErrorFields? fields  with `statement`, its number
return function(self, fn, opts)
  queries.check_self(self, "pipeline")
  if type(fn) ~= "function" then core.misuse("pipeline: it takes a function(p), not a " .. type(fn)) end
  local queue = core.queue(self, opts)
  fn(queue)
  return core.run_queue(self, queue)
end
