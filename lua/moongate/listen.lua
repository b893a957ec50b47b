---cluster:listen(channel, ...), cluster:notify(channel, payload): PostgreSQL's notifications.
---
---The core keeps the connection, follows the primary and queues what comes; here are the channels.
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
local queries = require "moongate.queries"
local values = require "moongate.values"
core.own()

local M = {}

local LONGEST_NAME <const> = 63 -- bytes; PostgreSQL would cut it short, or refuse it

---@class moongate.Notification
---@field channel string?
---@field payload string?  "" where there is none
---@field pid integer?     of the backend that sent it
---The connection was lost, or the primary is another: notifications may have been missed, and this
---stands where they would have been. It has no other field.
---@field reconnected boolean?

---@class moongate.Listener
local methods = {}
-- Beside them: `handle`, the core's; `channels`, a set of names.

local function check_channel(name, what)
  if type(name) ~= "string" or name == "" or #name > LONGEST_NAME or name:find("\0", 1, true) then
    core.misuse(("%s: a channel is a name of 1 to %d bytes, not %s"):format(what, LONGEST_NAME,
      type(name) == "string" and ("one of %d"):format(#name) or "a " .. type(name)))
  end
end

local function check_listener(self, what)
  if type(self) ~= "table" or not self.handle then
    core.misuse(("%s: call it as %s()"):format(what, what))
  end
end

---What makes a connection hear these channels and no others. In one transaction, nothing is missed.
local function statement(channels)
  local parts, names = { "unlisten *" }, {}
  for name in pairs(channels) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do parts[#parts + 1] = "listen " .. values.escape_identifier(name) end
  return table.concat(parts, "; ")
end

---Where PostgreSQL does not do it, the channels are what they were.
local function change(self, what, names, present)
  local changed = {}
  for name in pairs(self.channels) do changed[name] = true end
  for i = 1, names.n do
    check_channel(names[i], what)
    changed[names[i]] = present or nil
  end
  local before = self.channels
  self.channels = changed
  local done, message, code, fields = core.listener_ask(self.handle, statement(changed), what)
  if not done and self.channels == changed then
    self.channels = before
    if core.listener_is_open(self.handle) then core.listener_ask(self.handle, statement(before), what, true) end
  end
  if done then return true end
  return nil, message, code, fields
end

---Hears these channels, too.
---@param ... string  names, case and all as given
---@return true? done, string? message, string? code, moongate.ErrorFields? fields
function methods:listen(...)
  check_listener(self, "listener:listen")
  return change(self, "listener:listen", table.pack(...), true)
end

---Hears these channels no more; what has arrived of them stays.
---@param ... string
---@return true? done, string? message, string? code, moongate.ErrorFields? fields
function methods:unlisten(...)
  check_listener(self, "listener:unlisten")
  return change(self, "listener:unlisten", table.pack(...), false)
end

---The next notification, in the order of arrival; what came meanwhile is there. Waits for one.
---@param timeout number?  seconds; nil: however long
---@return moongate.Notification? notification, string? message, string? code, moongate.ErrorFields? fields
function methods:wait(timeout)
  check_listener(self, "listener:wait")
  return core.listener_wait(self.handle, timeout)
end

-- The end of the loop where the listener was closed meanwhile; other failures are raised.
local function next_or_raise(self, notification, ...)
  if not notification and not core.listener_is_open(self.handle) then return nil end
  return queries.check(notification, ...)
end

---For `for notification in listener:each() do ... end`, until the listener is closed. Where wait()
---returns a failure, it is raised.
---@return fun(): moongate.Notification?
function methods:each()
  check_listener(self, "listener:each")
  return function()
    if not core.listener_is_open(self.handle) then return nil end
    return next_or_raise(self, core.listener_wait(self.handle))
  end
end

---Its connection is closed. A wait for it under way ends.
function methods:close()
  check_listener(self, "listener:close")
  core.listener_close(self.handle)
end

local mt = {
  __name = "moongate.listener",
  __index = methods,
  __close = methods.close,
  __metatable = false,
}

---A listener on these channels, on a connection of its own to the primary.
---@param cluster moongate.Cluster
---@param ... string  names, case and all as given
---@return moongate.Listener? listener, string? message, string? code, moongate.ErrorFields? fields
function M.listen(cluster, ...)
  local names = table.pack(...)
  for i = 1, names.n do check_channel(names[i], "cluster:listen") end
  local listener = setmetatable({ handle = core.listen(cluster), channels = {} }, mt)
  local done, message, code, fields = change(listener, "cluster:listen", names, true)
  if done then return listener end
  listener:close()
  return nil, message, code, fields
end

---Notifies those that listen; in a transaction, when it commits.
---@param self moongate.Queries
---@param channel string
---@param payload string?
---@return true? done, string? message, string? code, moongate.ErrorFields? fields
function M.notify(self, channel, payload)
  queries.check_self(self, "notify")
  check_channel(channel, "notify")
  if payload ~= nil and type(payload) ~= "string" then
    core.misuse(("notify: the payload is a string, not a %s"):format(type(payload)))
  end
  local done, message, code, fields = self:exec("select pg_notify($1, $2)", channel, payload or "")
  if not done then return nil, message, code, fields end
  return true
end

return M
