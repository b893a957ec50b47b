---Waiting in the coroutines of foreign loops: cqueues', and those that an adapter is added for.
---
---All clusters of a Lua state share one descriptor, which is readable when there is something to do.
---One waiter of each foreign loop polls it, for all of that loop's, and is called the leader: the
---core gives it a turn then, and what has been answered is woken, in whichever loop it waits. A
---leader that has been answered, or has gone, wakes another, which leads on.
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
core.own()

local M = {}

---How to wait in the coroutines of one kind of loops.
---@class moongate.Loop
---@field name string
---It has no timers: the descriptor that its waiters get becomes readable in time, too.
---@field timeless boolean?
---The loop that runs the calling coroutine, anything that is not false: another value for each of
---several. Nil where none of this kind does, and where the coroutine can't yield to it.
---@field here fun(): any
---@field new fun(): any  what one waiter waits by
---Lets others go on until wake(waiter), or until the descriptor is readable (nil: none), or until so
---many seconds are over (nil: however long). It may return earlier.
---@field wait fun(waiter: any, fd: integer?, seconds: number?)
---Also called from other coroutines than the loop's; if the waiter does not wait, its next wait()
---returns at once or it is asked again anyway.
---@field wake fun(waiter: any)

---@type moongate.Loop[]
local kinds = {}

-- One for each loop: { kind, waiters by their tokens, the leader's token, until when that polls }.
local groups = setmetatable({}, { __mode = "k" })

-- By token: { group, waiter }. Nothing here refers to a loop, which may be collected while it is waited in.
local entries = {}

---@param kind moongate.Loop
function M.add(kind)
  kinds[#kinds + 1] = kind
end

local function here()
  for _, kind in ipairs(kinds) do
    local loop = kind.here()
    if loop then
      local group = groups[loop]
      if not group then
        group = { name = kind.name, kind = kind, entries = {} }
        groups[loop] = group
      end
      return group
    end
  end
end

local function wake(token)
  local entry = entries[token]
  if entry then entry.group.kind.wake(entry.waiter) end
end

---Has another poll, where this one did and others wait.
local function resign(group, token)
  if group.leader ~= token then return end
  local other = next(group.entries)
  group.leader, group.deadline = other, -math.huge -- it resigns in its turn, if it has been answered, too
  if other then wake(other) end
end

local function ended(token)
  local entry = entries[token]
  if not entry then return end
  entries[token] = nil
  entry.group.entries[token] = nil
  resign(entry.group, token)
end

---Lets others go on for a while.
---@param seconds number?  until when there will be nothing, but for the descriptor
local function wait(group, token, seconds)
  local kind = group.kind
  local entry = entries[token]
  if not entry then
    entry = { group = group, waiter = kind.new() }
    entries[token], group.entries[token] = entry, entry
  end
  local deadline = seconds and core.now() + seconds or math.huge
  if group.leader and group.leader ~= token then
    if deadline < group.deadline then wake(group.leader) end
    return kind.wait(entry.waiter)
  end
  group.leader, group.deadline = token, deadline
  local ok, why = pcall(kind.wait, entry.waiter, kind.timeless and core.timed_pollfd() or core.pollfd(), seconds)
  if not ok then
    ended(token)
    error(why, 0)
  end
end

core.set_loops(here, wait, wake, ended)

-- cqueues needs no set-up: it is asked once it is there.
local cqueues, condition

M.add {
  name = "cqueues",
  here = function()
    cqueues = cqueues or package.loaded.cqueues
    if not cqueues then return nil end
    local controller, mine = cqueues.running()
    -- To a coroutine that one of its own has made, cqueues' yields mean nothing.
    return mine and controller or nil
  end,
  new = function()
    condition = condition or require "cqueues.condition"
    return condition.new()
  end,
  wait = function(waiter, fd, seconds)
    if not fd then return waiter:wait() end
    cqueues.poll({ pollfd = fd, events = "r", timeout = seconds }, waiter)
  end,
  wake = function(waiter) waiter:signal() end,
}

return M
