---moongate.run, spawn, gather, with_timeout: functions that wait at the same time.
---
---A task is a coroutine whose queries yield instead of blocking. The core has the coroutines and the
---loop; here is what comes of them, and who waits for it.
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
local queries = require "moongate.queries"
core.own()

local M = {}

---@type moongate.Task
local methods = {}
-- Beside `status`: `handle`, the core's; `results` of its function, or its error, packed; `watchers`, the
-- handles of tasks that wait for it; `group`, the moongate.gather() that it is of; `heard`: its
-- failure was raised somewhere.

---The moongate.run() under way: its first task, those not over yet, those that have failed.
---Or, `hosted`: in a program whose own loop resumes tasks, those that were spawned outside of any.
---@type { main: moongate.Task, live: table<moongate.Task, true>, failed: moongate.Task[], over: true?, hosted: true? }?
local run

local function check_function(fn, what)
  if type(fn) ~= "function" then core.misuse(("%s: it takes a function, not a %s"):format(what, type(fn))) end
end

local function check_task(self, what)
  if type(self) ~= "table" or not self.handle then
    core.misuse(("%s: call it as task:%s()"):format(what, what:match "%a+$"))
  end
end

local function finish(task, status, ...)
  local told = task.group or run
  task.status, task.results = status, table.pack(...)
  run.live[task] = nil
  told.left = told.left - 1
  if status == "failed" and told.hosted then -- there is no moongate.run() to raise it
    if #task.watchers == 0 then core.log_failure(task.results[1]) end
  elseif status == "failed" then
    told.failed[#told.failed + 1] = task
  end
  for _, watcher in ipairs(task.watchers) do core.wake(watcher) end
end

---Ends it where it waits; what it waits for is given up, and what it has to close is closed.
---@return boolean cancelled  false: it was over
function methods:cancel()
  check_task(self, "task:cancel")
  if self.status ~= "running" then return false end
  core.check_cancel(self.handle)
  self.status = "cancelled" -- to what runs as it is closed
  run.live[self] = nil
  local well, why = core.cancel(self.handle)
  finish(self, well and "cancelled" or "failed", why)
  return true
end

---Nothing new starts, and all others end.
local function end_run()
  run.over = true
  for task in function() return next(run.live) end do task:cancel() end
end

local function conclude(task, ok, ...)
  finish(task, ok and "done" or "failed", ...)
  if not ok and task == run.main then end_run() end
end

local function body(task, fn, ...)
  conclude(task, xpcall(fn, core.traceback, ...))
end

local task_mt = { __name = "moongate.task", __index = methods, __close = methods.cancel, __metatable = false }

local function start(what, group, fn, ...)
  local task = setmetatable({ status = "running", watchers = {}, group = group }, task_mt)
  task.handle = core.start(what, body, task, fn, ...)
  run.live[task] = true
  return task
end

---Until the task is over, or it is `deadline` by core.now(); nil: however long.
---@return boolean over
local function await(task, me, deadline)
  local in_time = true
  while task.status == "running" and in_time do
    task.watchers[#task.watchers + 1] = me
    in_time = core.park(deadline)
  end
  return task.status ~= "running"
end

local function outcome(task)
  local results = task.results
  if task.status == "failed" then
    task.heard = true
    error(results[1], 0)
  elseif task.status == "cancelled" then
    return queries.failure("the task was cancelled", "57014")
  end
  return table.unpack(results, 1, results.n)
end

---Waits until it is over. An error in it is raised here, with the traceback of there.
---@return any ...  what its function returned; nil, message, "57014", fields where it was cancelled
function methods:wait()
  check_task(self, "task:wait")
  if self.status == "running" then await(self, core.current "task:wait") end
  return outcome(self)
end

---Runs `fn(...)` at the same time as the task that calls. It begins when that one waits; or, where
---a C program runs the loop (moongate_open_lua()), when the loop turns. It ends
---where `task:cancel()` is called or, with `local task <close> =`, its maker goes on without it.
---@param fn fun(...): ...
---@return moongate.Task
function M.spawn(fn, ...)
  check_function(fn, "moongate.spawn")
  if not run and core.hosted() then run = { live = {}, failed = {}, left = 0, hosted = true } end
  if not run or run.over then
    core.misuse "moongate.spawn: there is nothing to run it: moongate.run(fn) is not under way"
  end
  return start("moongate.spawn", nil, fn, ...)
end

---Runs `fn(...)` as a task, and the loop until it and all that it has spawned are over.
---@param fn fun(...): ...
---@return any ...  what it returned; its error, or that of one that nobody has waited for, is raised
function M.run(fn, ...)
  check_function(fn, "moongate.run")
  local before = run
  if before and not before.hosted then
    core.misuse "moongate.run: this is inside of one: call the function, or moongate.spawn() it"
  elseif before and next(before.live) then
    core.misuse "moongate.run: the program's loop has tasks under way: moongate.spawn() the function"
  end
  local this <close> = setmetatable({ live = {}, failed = {}, left = 0 }, {
    __close = function()
      end_run()
      run = before
    end,
  })
  run = this
  local main = start("moongate.run", nil, fn, ...)
  this.main = main
  core.run_tasks()
  if main.status == "done" then
    for _, task in ipairs(this.failed) do
      if not task.heard then return outcome(task) end
    end
  end
  return outcome(main)
end

local group_mt = {
  __close = function(group)
    for _, task in ipairs(group) do task:cancel() end
  end,
}

local function gather(functions, me)
  local group <close> = setmetatable({ failed = {}, left = #functions }, group_mt)
  for i, fn in ipairs(functions) do
    group[i] = start("moongate.gather", group, fn)
    group[i].watchers[1] = me
  end
  while group.left > 0 and #group.failed == 0 do core.park() end
  if group.failed[1] then return outcome(group.failed[1]) end
  local all = {}
  for i, task in ipairs(group) do all[i] = { outcome(task) } end
  return all
end

---Runs the functions at the same time, and waits for all of them. The first error among them is
---raised, once the others were cancelled.
---@param ... fun(): ...
---@return table[]  { what the first returned }, { the second's }, ...
function M.gather(...)
  local functions = table.pack(...)
  for i = 1, functions.n do check_function(functions[i], "moongate.gather") end
  local me = core.current "moongate.gather"
  if not me then return M.run(M.gather, ...) end
  return gather(functions, me)
end

---Runs `fn(...)`, but no longer than so many seconds: it is cancelled then, and the servers are
---closed that it was using.
---@param seconds number
---@param fn fun(...): ...
---@return any ...  what it returned; or nil, "timeout", "57014", fields
function M.with_timeout(seconds, fn, ...)
  if type(seconds) ~= "number" or seconds ~= seconds or seconds < 0 then
    core.misuse("moongate.with_timeout: a number of seconds expected, 0 or more, not "
      .. (type(seconds) == "number" and tostring(seconds) or "a " .. type(seconds)))
  end
  check_function(fn, "moongate.with_timeout")
  local me = core.current "moongate.with_timeout"
  if not me then return M.run(M.with_timeout, seconds, fn, ...) end
  local group = { failed = {}, left = 1 }
  local task <close> = start("moongate.with_timeout", group, fn, ...)
  if not await(task, me, core.now() + seconds) then
    task:cancel()
    if task.status == "cancelled" then return queries.failure("timeout", "57014") end -- else closing it has failed
  end
  return outcome(task)
end

---Stops the task that calls for so many seconds; outside of tasks, all that runs.
---@type fun(seconds: number)
M.sleep = core.sleep

return M
