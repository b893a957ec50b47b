--- Makes plans: what each client sends, by features with weights (features/*.lua), and in which order
-- the clients take their turns.
--
-- A generator knows what it has sent, not what came of it: that a name is taken, or that a block has
-- failed, it guesses. PostgreSQL's own answer says what is right, whatever was sent.
-- SPDX-License-Identifier: MIT

local dice = require "tests.router.model.dice"
local statements = require "tests.router.model.statements"

local M = {}

---@class tests.model.Feature
---@field name string
---@field weight integer
---@field make fun(g: tests.model.Generator)  adds one or more steps
---@field outside boolean?  never within a block
---@field needs string[]?   is of use only with these features, too

---@type tests.model.Feature[]
M.features = {}
for _, group in ipairs { "simple", "extended", "blocks", "settings", "session", "copy" } do
  for _, feature in ipairs(require("tests.router.model.features." .. group)) do
    M.features[#M.features + 1] = feature
  end
end

---@class tests.model.Generator
---@field client integer
---@field dice tests.model.Dice
---@field steps tests.model.Step[]
---@field inside boolean   within a block, as far as is known
---@field parsed table<string, tests.model.Statement>  by the name of the prepared statement
local methods = {}
local mt = { __name = "tests.model.generator", __index = methods }

---Adds a step of these messages.
function methods:add(...)
  local step = { client = self.client, feature = self.feature, messages = { ... } }
  if self.dice:chance(0.1) then step.pieces = self.dice:int(2, 6) end
  self.steps[#self.steps + 1] = step
end

---Adds a simple query.
---@param sql string
function methods:query(sql)
  self:add({ "Q", sql:gsub("%%d", function() return self.dice:int(1, 12) end) .. "" })
end

---A simple query, or the same in the extended protocol.
---@param sql string
function methods:say(sql)
  if self.dice:chance(0.7) then return self:query(sql) end
  self:add({ "P", "", sql }, { "B", "", "" }, { "D", "P", "" }, { "E", "" }, { "S" })
end

---Some statement, as a step of its own.
function methods:work()
  if self.dice:chance(0.6) then return self:query(statements.any(self.dice)) end
  local statement = statements.parametric(self.dice)
  self:add({ "P", "", statement.sql, statement.types }, { "B", "", "", statement.values(self.dice) },
    { "D", "P", "" }, { "E", "" }, { "S" })
end

---One of the features' steps, by weight.
function methods:one()
  local feature = self.dice:weighted(self.inside and self.inner or self.outer)
  local outer_name = self.feature
  self.feature = feature.name
  feature.make(self)
  self.feature = outer_name
end

---Between these two steps of its own a feature runs others, as within a transaction block.
---@param body fun()
function methods:within(body)
  local before = self.inside
  self.inside = true
  body()
  self.inside = before
end

local function names_of(list)
  local names = {}
  for _, feature in ipairs(list) do names[#names + 1] = feature.name end
  return table.concat(names, ", ")
end

---The features named by a list such as "plain,block" or "all,-ddl"; an unknown name raises.
---@param text string
---@return tests.model.Feature[]
function M.select(text)
  local chosen = {}
  for word in text:gmatch("[^,%s]+") do
    local minus, name = word:match("^(%-?)(.+)$")
    local known = name == "all"
    for _, feature in ipairs(M.features) do
      if name == "all" or feature.name == name then
        chosen[feature] = minus == ""
        known = true
      end
    end
    if not known then
      error(('there is no feature "%s"; there are: all, %s'):format(name, names_of(M.features)), 0)
    end
  end
  local list = {}
  for _, feature in ipairs(M.features) do
    if chosen[feature] then list[#list + 1] = feature end
  end
  if #list == 0 then error(('FEATURES "%s" names no feature'):format(text), 0) end
  return list
end

local function inner_of(features)
  local list = {}
  for _, feature in ipairs(features) do
    if not feature.outside then list[#list + 1] = feature end
  end
  -- A block of nothing but itself would be none.
  if #list == 0 then list[1] = M.select("plain")[1] end
  return list
end

local function steps_of_client(client, options, chance)
  local self = setmetatable({ client = client, dice = chance, steps = {}, parsed = {}, inside = false,
    outer = options.features, inner = inner_of(options.features) }, mt)
  while #self.steps < options.steps do self:one() end
  return self.steps
end

-- One client goes on for a while, then another one takes its turn.
local function interleave(lists, chance)
  local plan, left = {}, {}
  for i, list in ipairs(lists) do left[i] = { list = list, at = 1 } end
  while #left > 0 do
    local index = chance:int(1, #left)
    local one = left[index]
    for _ = 1, chance:int(1, 3) do
      local step = one.list[one.at]
      if not step then break end
      step.wait = chance:chance(0.5) or nil
      plan[#plan + 1] = step
      one.at = one.at + 1
    end
    if not one.list[one.at] then table.remove(left, index) end
  end
  return plan
end

---@class tests.model.PlanOptions
---@field seed integer
---@field clients integer
---@field steps integer    per client, at least
---@field features tests.model.Feature[]

---@param options tests.model.PlanOptions
---@return tests.model.Plan
function M.plan(options)
  local chance, lists = dice.new(options.seed), {}
  for client = 1, options.clients do
    lists[client] = steps_of_client(client, options, chance:fork())
  end
  return interleave(lists, chance)
end

return M
