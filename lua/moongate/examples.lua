---The examples that a policy carries: `tests` of the table that its factory returns. Their form is
---checked here; core.cluster(), or the router when it has loaded the script, tries the policy on them.
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
local options = require "moongate.options"
core.own()

local M = {}

local checks = options.checks
local name = checks.text("a name")

---What comments in a statement may say, as strings.
local function tags(value, where)
  if type(value) ~= "table" then
    return checks.must_be("a table of tags, such as { tenant = \"7\" }")(value, where)
  end
  local checked = {}
  for _, key in ipairs(checks.sorted_keys(value)) do
    local each, place = value[key], ("%s.%s"):format(where, key)
    if type(each) == "number" or type(each) == "boolean" then each = tostring(each) end
    local found, why = checks.text("a string, a number or a boolean")(each, place)
    if not found then return nil, why end
    why = core.tag_wrong(tostring(key), each)
    if why then return nil, ("%s can be no tag: %s"):format(place, why) end
    checked[tostring(key)] = each
  end
  return checked
end

---A check of one example.
M.example = checks.options_of({
  sql = checks.text("a statement"),
  expect = checks.text("the name of a route or an endpoint, \"reject\" or \"reject: MESSAGE\""),
  name = name,
  user = name,
  database = name,
  application = name,
  address = name,
  tags = tags,
  in_transaction = checks.flag,
  parameters = checks.integer(0, 65535),
  rule = name,
  -- These are for moongate.testing, which makes such situations: core.cluster() leaves them to it.
  given = function(value) return value end,
  wrote = checks.seconds,
  hour = checks.integer(0, 23),
}, { "sql", "expect" })

local examples = checks.list_of(M.example, "a list of { sql = ..., expect = ... }")

---The same factory; `tests` of the policies that it makes have the right form.
---@param factory? fun(cluster: moongate.Cluster): any
---@return nil | fun(cluster: moongate.Cluster): any
function M.checked(factory)
  if not factory then return nil end
  return function(cluster)
    local policy = factory(cluster)
    if type(policy) ~= "table" or policy.tests == nil then return policy end
    local checked, why = examples(policy.tests, "tests")
    if not checked then core.misuse("moongate.cluster: policy: " .. why) end
    local copy = {}
    for key, value in pairs(policy) do copy[key] = value end
    copy.tests = checked
    return setmetatable(copy, getmetatable(policy))
  end
end

return M
