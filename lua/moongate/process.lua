--- Child processes and waiting, as blocking calls with deadlines, on libuv's loop.
--
-- Every wait runs the loop, so that output is read and children are reaped meanwhile; none may be
-- called from inside of a libuv callback. Failures raise.
-- SPDX-License-Identifier: MIT

local uv = require "luv"

local M = {}

local POLL_MS = 5

-- The signal that trap() has seen and no wait has raised yet: handlers belong to the process.
local interruption

---Makes the next (or current) wait raise `{ signal = NAME }` once, so that to-be-closed variables
---clean up; a second signal interrupts the cleaning up too.
---@param signals string[]  e.g. { "sigint", "sigterm" }
function M.trap(signals)
  for _, name in ipairs(signals) do
    local handle = uv.new_signal()
    handle:start(name, function() interruption = name end)
    handle:unref()
  end
end

-- luv 1.44 crashes in lua_close() when a handle is still closing: let the loop finish it.
local function close(handle)
  if not handle:is_closing() then handle:close() end
  uv.run("nowait")
end

---Runs the loop until `condition` returns something true, and returns that.
---@param condition fun(): any
---@param seconds number  the deadline
---@return any value  what `condition` returned, or nil after the deadline
function M.poll(condition, seconds)
  local deadline = uv.hrtime() + seconds * 1e9
  local tick <close> = setmetatable({ timer = uv.new_timer() }, {
    __close = function(self) close(self.timer) end,
  })
  tick.timer:start(POLL_MS, POLL_MS, function() end)
  while true do
    local value = condition()
    if value then return value end
    if interruption then
      local signal = interruption
      interruption = nil
      error({ signal = signal }, 0)
    end
    if uv.hrtime() > deadline then return nil end
    uv.run("once")
  end
end

---Like poll(), but the deadline raises.
---@param what string  ends the sentence "not within N s: ..."
function M.wait_until(condition, seconds, what)
  local value = M.poll(condition, seconds)
  if not value then
    error(("not within %g s: %s"):format(seconds, what), 2)
  end
  return value
end

---Runs the loop for a while: pacing for the eye, never for correctness.
---@param seconds number
function M.pause(seconds)
  M.poll(function() return false end, seconds)
end

---@class moongate.Process
---@field pid integer
---@field status integer?  exit status, once it has ended
---@field signal integer?  the signal that ended it, 0 for none
---@field output string    what it has written so far and take() has not taken yet
---@field errors string    the same of standard error
local methods = {}
local mt = { __name = "moongate.process", __index = methods }

---@param signal string  "sigterm" ...; nothing happens where the process has ended
function methods:kill(signal)
  if not self.status then uv.process_kill(self.handle, signal) end
end

---@param seconds number  deadline; raises when it passes
---@return integer status, integer signal
function methods:wait(seconds)
  if not M.poll(function() return self.status and self.open == 0 end, seconds) then
    error(("%s did not end within %g s"):format(self.name, seconds), 0)
  end
  return self.status, self.signal
end

---@param bytes string  for its standard input
function methods:write(bytes)
  self.input:write(bytes)
end

---Ends its standard input.
function methods:close_input()
  if self.input then close(self.input) end
end

---Waits until `pattern` occurs in the output; takes and returns what stands before it.
---@param pattern string
---@param seconds number
---@return string before
function methods:take(pattern, seconds)
  local first, last
  M.poll(function()
    first, last = self.output:find(pattern)
    return first or self.status
  end, seconds)
  if not first then
    error(("%s %s without writing %q: %s"):format(self.name,
      self.status and "ended" or "went on for " .. seconds .. " s", pattern, self.errors), 0)
  end
  local before = self.output:sub(1, first - 1)
  self.output = self.output:sub(last + 1)
  return before
end

-- Collects what arrives in the field `into`; `open` counts the pipes that have not ended yet.
local function capture(process, into)
  local pipe = uv.new_pipe(false)
  process.open = process.open + 1
  return pipe, function()
    pipe:read_start(function(_, bytes)
      if bytes then
        process[into] = process[into] .. bytes
      elseif not pipe:is_closing() then
        process.open = process.open - 1
        pipe:close()
      end
    end)
  end
end

local function environment(vars)
  if not vars then return nil end
  local list = {}
  for name, value in pairs(vars) do list[#list + 1] = name .. "=" .. value end
  return list
end

---@class moongate.ProcessOptions
---@field env table<string, string>?  the whole environment; default: ours
---@field cwd string?
---@field uid integer?
---@field gid integer?
---@field input boolean?      keep its standard input open, for write()
---@field log string?         a file that all of its output is appended to; default: it is collected
---@field detached boolean?   a session of its own: a terminal's Ctrl-C does not reach it

---Starts a program.
---@param command string[]  program (a path, or a name in PATH) and arguments
---@param options moongate.ProcessOptions?
---@return moongate.Process
function M.spawn(command, options)
  options = options or {}
  local self = setmetatable({ name = command[1]:match("[^/]+$"), output = "", errors = "", open = 0 }, mt)
  local stdio, read_output, read_errors = {}, nil, nil
  if options.input then
    self.input = uv.new_pipe(false)
    stdio[1] = self.input
  end
  local log
  if options.log then
    log = assert(uv.fs_open(options.log, "a", tonumber("644", 8)))
    stdio[2], stdio[3] = log, log
  else
    stdio[2], read_output = capture(self, "output")
    stdio[3], read_errors = capture(self, "errors")
  end
  local handle, pid = uv.spawn(command[1], {
    args = table.move(command, 2, #command, 1, {}),
    stdio = stdio,
    env = environment(options.env),
    cwd = options.cwd,
    uid = options.uid,
    gid = options.gid,
    detached = options.detached,
  }, function(status, signal)
    self.status, self.signal = status, signal
    self.handle:close()
    if self.input and not self.input:is_closing() then self.input:close() end
  end)
  if log then uv.fs_close(log) end
  if not handle then error(("cannot start %s: %s"):format(command[1], pid), 2) end
  self.handle, self.pid = handle, pid
  if read_output then
    read_output()
    read_errors()
  end
  return self
end

---Runs a program to its end.
---@param command string[]
---@param options moongate.ProcessOptions | { text: string?, seconds: number?, guard: function? } | nil
---  `text` is its standard input; `seconds` the deadline (default 60); `guard` is called with the
---  process once it runs, and what that returns is called when it has ended
---@return integer status, string output, string errors  128 and more: it was ended by a signal, as in shells
function M.run(command, options)
  options = options or {}
  local self = M.spawn(command, setmetatable({ input = options.text ~= nil }, { __index = options }))
  if options.text then
    self:write(options.text)
    self.input:shutdown(function()
      if not self.input:is_closing() then self.input:close() end
    end)
  end
  local release = options.guard and options.guard(self)
  local ok, err = pcall(self.wait, self, options.seconds or 60)
  if not ok then
    self:kill("sigkill")
    M.poll(function() return self.status end, 5)
  end
  if release then release() end
  if not ok then error(err, 0) end
  return self.signal > 0 and 128 + self.signal or self.status, self.output, self.errors
end

-- The kernel takes ports above 32768 for outgoing connections; a server that was killed must find
-- its own still free when it starts again.
local FIRST_PORT, LAST_PORT = 15000, 32000

---@param port integer
---@return boolean
function M.port_is_free(port)
  local socket = uv.new_tcp()
  local ok = socket:bind("127.0.0.1", port) and socket:listen(1, function() end)
  close(socket)
  return ok ~= nil
end

-- Those that this process has been given: who was need not listen there yet, or may be killed just now.
local given = {}

---A TCP port of 127.0.0.1 that nobody listens on now, another one with each call.
---@return integer
function M.free_port()
  for _ = 1, 1000 do
    local port = math.random(FIRST_PORT, LAST_PORT)
    if not given[port] and M.port_is_free(port) then
      given[port] = true
      return port
    end
  end
  error("no free TCP port on 127.0.0.1", 2)
end

---Whether something accepts connections there.
---@param port integer
---@return boolean
function M.port_answers(port)
  local socket, answer = uv.new_tcp(), nil
  socket:connect("127.0.0.1", port, function(err) answer = err or "yes" end)
  M.poll(function() return answer end, 5)
  close(socket)
  return answer == "yes"
end

return M
