---What clusters, connections and transactions have in common: queries that raise, and COPY FROM.
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
core.own()

local M = {}

local error_mt = core.error_metatable -- the core raises such objects, too

function error_mt:__tostring() return ("%s (%s)"):format(self.message, self.code) end

---@param raised any
---@return boolean
function M.is_error(raised) return getmetatable(raised) == error_mt end

---What query() gave; where that is a failure, it is raised as one object.
function M.check(rows, message, code, fields)
  if rows then return rows end
  error(setmetatable({ message = message, code = code, fields = fields, where = core.where() }, error_mt), 0)
end

---What these methods are of can be told apart from what they are given when they are called with a dot.
---@param self any
---@param name string
function M.check_self(self, name)
  local kind = type(self)
  if kind ~= "userdata" and not (kind == "table" and self.query) then
    core.misuse(("%s: it is a method of clusters, connections and transactions, called as cluster:%s(...); got %s")
      :format(name, name, kind))
  end
end

---As query(), but a failure is raised: a moongate.Error.
---@param self moongate.Queries|moongate.Statement
---@return table[] rows
function M.assert_query(self, ...)
  M.check_self(self, "assert_query")
  return (M.check(self:query(...)))
end

---A failure that is not PostgreSQL's, in the form of those that are.
---@return nil, string message, string code, moongate.ErrorFields fields
function M.failure(message, code)
  return nil, message, code, { message = message, sqlstate = code }
end

---Whether it is what rows() and copy_out() return.
local function is_stream(source)
  return type(source) == "userdata" and tostring(source):find("^moongate%.stream") ~= nil
end

---What gives one piece of data after the other, and nil at the end.
local function pieces(source)
  local kind = type(source)
  if kind == "function" or is_stream(source) then return source end
  if kind ~= "string" and kind ~= "table" then
    core.misuse("copy_in: its source is a string, a list of strings and rows, or a function that gives them, as "
      .. "copy_out() returns one; got " .. (kind == "userdata" and tostring(source):match "^[^:(]+" or kind))
  end
  local list, i = kind == "table" and source or { source }, 0
  return function()
    i = i + 1
    return list[i]
  end
end

---Makes the method copy_in() of the core's, which begins it.
---@param begin fun(self: moongate.Queries, sql: string, opts: table?): any, string?, string?, moongate.ErrorFields?
function M.copy_in(begin)
  return function(self, sql, source, opts)
    M.check_self(self, "copy_in")
    local piece = pieces(source)
    if opts ~= nil and type(opts) ~= "table" then
      core.misuse("copy_in: its options are a table, not a " .. type(opts))
    end
    local _ <close> = is_stream(source) and source or nil
    local copy <close>, message, code, fields = begin(self, sql, table.unpack { opts })
    if not copy then return nil, message, code, fields end
    local more
    repeat
      local chunk = piece()
      more = chunk ~= nil and copy:write(chunk)
    until not more
    return copy:finish()
  end
end

return M
