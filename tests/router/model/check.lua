--- Runs a plan directly on PostgreSQL and through what is tested, and finds the first answer that
-- differs.
-- SPDX-License-Identifier: MIT

local differences = require "tests.router.model.differences"
local process = require "moongate.process"
local message = require "tests.router.model.message"
local schedule = require "tests.router.model.schedule"
local world = require "tests.router.model.world"

local M = {}

local MOST_STEPS = 30

---@class tests.model.Mismatch
---@field index integer    of the step in the plan
---@field direct string[]
---@field routed string[]

---@class tests.model.Check
---@field world tests.model.World
---@field port integer      of what is tested
---@field plan tests.model.Plan?  that has been run last
---@field accepted table<string, integer>  how often each known difference was met
local methods = {}
local mt = { __name = "tests.model.check", __index = methods }

---@param the_world tests.model.World
---@param port integer
---@return tests.model.Check
function M.new(the_world, port)
  return setmetatable({ world = the_world, port = port, accepted = {} }, mt)
end

local function equal(a, b)
  return table.concat(a, "\n") == table.concat(b, "\n")
end

local function status(lines)
  for i = #lines, 1, -1 do
    if lines[i]:find("^Z ") then return lines[i] end
  end
end

local function known(self, direct, routed)
  for _, difference in ipairs(differences) do
    if difference.accepts(direct, routed) then
      self.accepted[difference.name] = (self.accepted[difference.name] or 0) + 1
      return true
    end
  end
  return false
end

-- Where a client's answers went apart, those to its later steps follow from that.
local function compare(self, plan, direct, routed)
  local astray = {}
  for i, step in ipairs(plan) do
    if not astray[step.client] and not equal(direct[i], routed[i]) then
      if not known(self, direct[i], routed[i]) then
        return { index = i, direct = direct[i], routed = routed[i] }
      end
      astray[step.client] = status(direct[i]) ~= status(routed[i])
    end
  end
end

---@param plan tests.model.Plan
---@param silence number?  seconds after which no more answers are expected
---@return tests.model.Mismatch? mismatch, string[][] direct  and the answers of PostgreSQL itself
function methods:run(plan, silence)
  self.plan = plan
  self.world:reset(schedule.clients(plan))
  local direct = schedule.run(plan, self.world.pg.primary.port, world.DIRECT, silence)
  local routed = schedule.run(plan, self.port, world.ROUTED, silence)
  if not process.port_answers(self.port) then error("what is tested has ended, or listens no more", 0) end
  return compare(self, plan, direct, routed), direct
end

local function show_step(step)
  local parts = {}
  for i, one in ipairs(step.messages) do parts[i] = message.show(one) end
  local extra = (step.pieces and (", pieces = %d"):format(step.pieces) or "")
    .. (step.wait and ", wait = true" or "")
  return ("  { client = %d, feature = %q%s, messages = { %s } },"):format(step.client, step.feature,
    extra, table.concat(parts, ", "))
end

---The plan as Lua source, which check.load() reads back.
---@param plan tests.model.Plan
---@return string
function M.dump(plan)
  local lines = { "return {" }
  for _, step in ipairs(plan) do lines[#lines + 1] = show_step(step) end
  lines[#lines + 1] = "}\n"
  return table.concat(lines, "\n")
end

---@param path string
---@return tests.model.Plan
function M.load(path)
  return assert(loadfile(path, "t", {}))()
end

---The steps that lead to a mismatch, the last ones at least, and both answers.
---@param plan tests.model.Plan
---@param mismatch tests.model.Mismatch
---@return string
function M.describe(plan, mismatch)
  local lines = {}
  for i = math.max(1, mismatch.index - MOST_STEPS + 1), mismatch.index do
    lines[#lines + 1] = (i == mismatch.index and "=>" or "  ") .. show_step(plan[i])
  end
  lines[#lines + 1] = ("client %d, step %d: PostgreSQL answers"):format(
    plan[mismatch.index].client, mismatch.index)
  for _, line in ipairs(mismatch.direct) do lines[#lines + 1] = "    " .. line end
  lines[#lines + 1] = "  and through the router comes"
  for _, line in ipairs(mismatch.routed) do lines[#lines + 1] = "    " .. line end
  return table.concat(lines, "\n")
end

return M
