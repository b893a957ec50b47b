--- Runs a plan: all clients at once, each of them its own steps in order.
--
-- The order of the plan is kept as far as possible; a client that is still waiting for an answer (all
-- servers are taken, say) makes up for the steps that it owes as soon as it can.
-- SPDX-License-Identifier: MIT

local conversation = require "tests.router.model.conversation"
local socket = require "socket"
local world = require "tests.router.model.world"

local M = {}

-- When nothing at all has come for so long while answers are awaited, none will.
local SILENCE_SECONDS = 15
-- How long a step marked `wait` keeps the others back at most.
local PATIENCE_SECONDS = 0.005

---@class tests.model.Step
---@field client integer
---@field feature string      what made it
---@field messages table[]    see message.lua
---@field pieces integer?     sent in so many pieces
---@field wait boolean?       the next step waits for the answer, if that does not take long

---@alias tests.model.Plan tests.model.Step[]

---@param plan tests.model.Plan
---@return integer[]
function M.clients(plan)
  local seen, list = {}, {}
  for _, step in ipairs(plan) do
    if not seen[step.client] then list[#list + 1] = step.client end
    seen[step.client] = true
  end
  table.sort(list)
  return list
end

-- A run: per client its conversation, the indexes of steps that it owes and of the one under way.
local run_methods = {}
local run_mt = { __index = run_methods }

local function begin_next(self, client)
  local index = table.remove(client.owed, 1)
  client.current = index
  if index then
    client.conversation:send(self.plan[index])
  elseif client.last then
    client.conversation:close()
    client.closed = true
  end
end

local function finish(self, client)
  self.answers[client.current] = client.conversation:take()
  client.current = nil
end

-- Lets whoever has its answer go on.
local function advance(self, client)
  while not client.closed and (not client.current or client.conversation:is_done()) do
    if client.current then finish(self, client) end
    begin_next(self, client)
    if not client.current then return end
  end
end

local function busy(self)
  local list = {}
  for _, client in pairs(self.clients) do
    if client.current and not client.closed then list[#list + 1] = client.conversation end
  end
  return list
end

-- Reads for a while, or until `enough()`. Raises nothing: a silence ends the run.
function run_methods:pump(seconds, enough)
  local deadline = socket.gettime() + seconds
  repeat
    local list = busy(self)
    if #list == 0 then return end
    for _, ready in ipairs(conversation.wait(list, math.max(0, deadline - socket.gettime()))) do
      self.heard = socket.gettime()
      ready:read()
      advance(self, self.by_conversation[ready])
    end
  until enough() or socket.gettime() >= deadline
end

function run_methods:is_silent()
  return socket.gettime() - self.heard > self.silence
end

local function connect(self, client, port, database)
  local one = { owed = {}, conversation = conversation.open(port, world.params(client, database)) }
  self.clients[client] = one
  self.by_conversation[one.conversation] = one
end

local function last_steps(plan)
  local last = {}
  for i, step in ipairs(plan) do last[step.client] = i end
  return last
end

local function never() return false end

local function play(self)
  local last = last_steps(self.plan)
  for i, step in ipairs(self.plan) do
    local client = self.clients[step.client]
    client.owed[#client.owed + 1] = i
    client.last = last[step.client] == i
    advance(self, client)
    self:pump(step.wait and PATIENCE_SECONDS or 0, step.wait and function()
      return client.current == nil
    end or never)
  end
  while #busy(self) > 0 and not self:is_silent() do self:pump(1, never) end
end

-- Steps without an answer say why.
local function fill(self)
  for i in ipairs(self.plan) do
    if not self.answers[i] then self.answers[i] = { "no answer" } end
  end
  for _, client in pairs(self.clients) do
    if client.current then
      local lines = client.conversation.lines
      lines[#lines + 1] = "nothing more comes"
      self.answers[client.current] = lines
    end
    if not client.closed then client.conversation:close() end
  end
end

---@param plan tests.model.Plan
---@param port integer
---@param database string
---@param silence number?  seconds
---@return string[][] answers  to each step of the plan
function M.run(plan, port, database, silence)
  local self = setmetatable({ plan = plan, answers = {}, clients = {}, by_conversation = {},
    heard = socket.gettime(), silence = silence or SILENCE_SECONDS }, run_mt)
  for _, client in ipairs(M.clients(plan)) do connect(self, client, port, database) end
  play(self)
  fill(self)
  return self.answers
end

return M
