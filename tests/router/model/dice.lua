--- Chance that repeats: the same seed gives the same numbers, on any machine (SplitMix64).
-- SPDX-License-Identifier: MIT

local M = {}

---@class tests.model.Dice
local methods = {}
local mt = { __name = "tests.model.dice", __index = methods }

---@param seed integer
---@return tests.model.Dice
function M.new(seed)
  return setmetatable({ state = seed }, mt)
end

function methods:next()
  self.state = self.state + 0x9E3779B97F4A7C15
  local z = self.state
  z = (z ~ (z >> 30)) * 0xBF58476D1CE4E5B9
  z = (z ~ (z >> 27)) * 0x94D049BB133111EB
  return z ~ (z >> 31)
end

---@return integer  from `low` to `high`
function methods:int(low, high)
  return low + (self:next() >> 1) % (high - low + 1)
end

---@param probability number
---@return boolean
function methods:chance(probability)
  return (self:next() >> 11) / (1 << 53) < probability
end

---@generic T
---@param list T[]
---@return T
function methods:pick(list)
  return list[self:int(1, #list)]
end

---One of a list of { weight =, ... }.
function methods:weighted(list)
  local total = 0
  for _, item in ipairs(list) do total = total + item.weight end
  local at = self:int(1, total)
  for _, item in ipairs(list) do
    at = at - item.weight
    if at <= 0 then return item end
  end
end

---Dice of their own, which do not depend on how often these are thrown later.
function methods:fork()
  return M.new(self:next())
end

return M
