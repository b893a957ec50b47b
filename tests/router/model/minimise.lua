--- Makes a plan with a mismatch shorter: what can be left out so that one remains, is left out.
-- SPDX-License-Identifier: MIT

local schedule = require "tests.router.model.schedule"
local socket = require "socket"

local M = {}

-- An answer that has not come by then is missing.
local SILENCE_SECONDS = 3

local function filter(plan, keep)
  local out = {}
  for i, step in ipairs(plan) do
    if keep(i, step) then out[#out + 1] = step end
  end
  return out
end

---@class tests.model.Shrinking
---@field check tests.model.Check
---@field plan tests.model.Plan          the shortest so far
---@field mismatch tests.model.Mismatch  its
---@field deadline number
local methods = {}
local mt = { __index = methods }

-- A step torn out of its context may bring a mismatch of another kind, which means nothing.
local function is_alike(self, candidate, mismatch)
  local before, now = self.plan[self.mismatch.index], candidate[mismatch.index]
  return before.client == now.client and before.feature == now.feature
end

-- Takes the candidate if it has the mismatch, too; all behind that is of no use.
local function try(self, candidate)
  if #candidate == 0 or socket.gettime() > self.deadline then return false end
  local mismatch = self.check:run(candidate, SILENCE_SECONDS)
  if not mismatch or not is_alike(self, candidate, mismatch) then return false end
  self.plan = filter(candidate, function(i) return i <= mismatch.index end)
  self.mismatch = mismatch
  return true
end

local function drop_clients(self)
  local guilty = self.plan[self.mismatch.index].client
  if #schedule.clients(self.plan) == 1
    or try(self, filter(self.plan, function(_, step) return step.client == guilty end)) then
    return
  end
  for _, client in ipairs(schedule.clients(self.plan)) do
    try(self, filter(self.plan, function(_, step) return step.client ~= client end))
  end
end

-- Leaves out ever smaller chunks (delta debugging).
local function drop_steps(self)
  local size = #self.plan // 2
  while size >= 1 and socket.gettime() < self.deadline do
    local at = 1
    while at <= #self.plan do
      local first, last = at, at + size - 1
      if not try(self, filter(self.plan, function(i) return i < first or i > last end)) then at = at + size end
    end
    size = size // 2
  end
end

-- What makes the answers come must stay.
local asks = { S = true, H = true, c = true, f = true }

local function without_message(plan, i, j)
  local shorter = table.move(plan, 1, #plan, 1, {})
  local messages = table.move(plan[i].messages, 1, #plan[i].messages, 1, {})
  table.remove(messages, j)
  shorter[i] = setmetatable({ messages = messages }, { __index = plan[i] })
  return shorter
end

local function drop_messages(self)
  local i = 1
  while i <= #self.plan do
    local j = 1
    while self.plan[i] and #self.plan[i].messages > 1 and self.plan[i].messages[j] do
      if asks[self.plan[i].messages[j][1]] or not try(self, without_message(self.plan, i, j)) then
        j = j + 1
      end
    end
    i = i + 1
  end
end

---@param check tests.model.Check
---@param plan tests.model.Plan
---@param mismatch tests.model.Mismatch
---@param seconds number  how long it may take, about
---@return tests.model.Plan plan, tests.model.Mismatch mismatch
function M.run(check, plan, mismatch, seconds)
  local self = setmetatable({ check = check, mismatch = mismatch,
    plan = filter(plan, function(i) return i <= mismatch.index end),
    deadline = socket.gettime() + seconds }, mt)
  drop_clients(self)
  drop_steps(self)
  drop_messages(self)
  drop_steps(self)
  return self.plan, self.mismatch
end

return M
