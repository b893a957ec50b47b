---What clusters, connections and transactions have in common: queries that raise.
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
core.own()

local M = {}

local error_mt = {
  __name = "moongate.error",
  __tostring = function(self) return ("%s (%s)"):format(self.message, self.code) end,
}

---@param raised any
---@return boolean
function M.is_error(raised) return getmetatable(raised) == error_mt end

---What query() gave; where that is a failure, it is raised as one object.
function M.check(rows, message, code, fields)
  if rows then return rows end
  error(setmetatable({ message = message, code = code, fields = fields, where = core.where() }, error_mt), 0)
end

---As query(), but a failure is raised: a moongate.Error.
---@param self moongate.Queries|moongate.Statement
---@return table[] rows
function M.assert_query(self, ...)
  return (M.check(self:query(...)))
end

---A failure that is not PostgreSQL's, in the form of those that are.
---@return nil, string message, string code, moongate.ErrorFields fields
function M.failure(message, code)
  return nil, message, code, { message = message, sqlstate = code }
end

return M
