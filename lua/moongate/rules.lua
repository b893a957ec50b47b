---Policies as a list of rules: the first whose conditions hold decides. Each counts how often it has.
---
---    local rules = require "moongate.rules"
---    local first, when, to, limit = rules.first, rules.when, rules.to, rules.limit
---
---    return function(cluster)
---      local primary = cluster:route { to = "primary" }
---      local reads = cluster:route { to = "replicas", fallback = "primary" }
---      return first {
---        when { user = "report", kind = "truncate" }, rules.reject "reports truncate nothing",
---        limit { key = "user", rate = 100 },
---        when { intent = "read", tag = { fresh = false } }, to(reads),
---        to(primary),
---      }
---    end
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
local criteria = require "moongate.rules.criteria"
local keys = require "moongate.rules.keys"
local make_limit = require "moongate.rules.limit"
local options = require "moongate.options"
core.own()

local checks = options.checks

---@class moongate.Condition
---@field tests (fun(query: moongate.Query): any)[]  all of them must hold, and:
---@field intent "read"|"write"|nil                   apart, since it parts the rules
---@field text string
---@field name string?

---@class moongate.Action
---@field verdict any                            what it always decides, or:
---@field act (fun(query: moongate.Query): any)?  nil: the next rules decide
---@field text string

local condition_mt = { __name = "moongate.condition" }
local action_mt = { __name = "moongate.action" }

local M = {
  ---What refuses a query: moongate.reject. An action as it is.
  ---@type fun(message: string, sqlstate?: string): moongate.Rejection
  reject = core.reject,
}

local function condition(test, text)
  return setmetatable({ tests = { test }, text = text }, condition_mt)
end

local function is_condition(value)
  return getmetatable(value) == condition_mt
end

---A condition: all of the table's criteria hold. Each is a string, or a list of strings any of which
---will do, unless it says otherwise:
---  intent        "read" or "write"
---  kind          "select", "insert", "truncate" ...
---  tables, functions  that the statement names; without a schema those of any schema are meant
---  user, database     as they are
---  application, address  Lua patterns: "^web"
---  fingerprint   as `moongate explain` and moongate.classify show it
---  in_transaction  true or false
---  writes        true: it may change data itself; a read in a block that may write does not
---  tag           { key = value, or a list, or true: there is one, or false: there is none }
---  hour          { 22, 6 }: from 22:00 until 5:59 where the router runs; "22-6"; or a list of such
---  test          a function(query)
---  name          what the rule is called; made from its criteria otherwise
---@type fun(spec: moongate.rules.When|fun(query: moongate.Query): any): moongate.Condition
M.when = core.checked("rules.when", function(spec)
  if type(spec) == "function" then return condition(spec, "function") end
  if is_condition(spec) then return nil, "it is given what a when { ... } has made already" end
  if type(spec) ~= "table" then
    return nil, ("its argument must be a table of criteria or a function(query), not %s"):format(type(spec))
  end
  if next(spec) == nil then return nil, "it names no criterion; what always holds needs no when" end
  if spec.name ~= nil and (type(spec.name) ~= "string" or spec.name == "") then
    return nil, "name must be a string"
  end
  local made, why = criteria.compile(spec)
  if not made then return nil, why end
  made.name = spec.name
  return setmetatable(made, condition_mt)
end)

local function always()
  return true
end

---All of a condition in one test.
local function test_of(each)
  local test, intent = criteria.every(each.tests), each.intent
  if not intent then return test or always end
  return function(query) return query.intent == intent and (not test or test(query)) end
end

---The tests of a list of conditions, or nil and what is wrong with it.
local function tests_of(list)
  if type(list) ~= "table" or is_condition(list) then
    return nil, "it takes a list of conditions: { when { ... }, ... }"
  end
  local tests, texts = {}, {}
  for _, key in ipairs(checks.sorted_keys(list)) do
    local value = list[key]
    if math.type(key) ~= "integer" or key > #list then
      return nil, ("it takes a list of conditions, with nothing at %q"):format(tostring(key))
    end
    if not is_condition(value) and type(value) ~= "function" then
      return nil, ("[%d] must be a condition or a function(query), not a %s"):format(key, type(value))
    end
    tests[key] = is_condition(value) and test_of(value) or value
    texts[key] = is_condition(value) and value.text or "function"
  end
  if #tests == 0 then return nil, "its list is empty" end
  return tests, texts
end

local function some(tests)
  return function(query)
    for i = 1, #tests do
      if tests[i](query) then return true end
    end
    return false
  end
end

local function combining(name, combine, show)
  return core.checked("rules." .. name, function(list)
    local tests, texts = tests_of(list)
    if not tests then return nil, texts end
    return condition(combine(tests), show(texts))
  end)
end

---A condition: all of these (conditions, or functions) hold.
---@type fun(list: table): moongate.Condition
M.all = combining("all", criteria.every, function(texts) return "(" .. table.concat(texts, " ") .. ")" end)

---A condition: at least one of these holds.
---@type fun(list: table): moongate.Condition
M.any = combining("any", some, function(texts) return "(" .. table.concat(texts, " or ") .. ")" end)

---A condition: none of these holds.
---@type fun(list: table): moongate.Condition
M.none = combining("none", function(tests)
  local test = some(tests)
  return function(query) return not test(query) end
end, function(texts) return "not (" .. table.concat(texts, " or ") .. ")" end)

---A condition that holds for so many of a hundred keys, and for the same ones always: who is in at 5
---is in at 10, too, and after a restart. Only "session" is drawn anew for each session. A query
---without the key is never in.
---@type fun(percentage: number, by?: moongate.Key): moongate.Condition
---by: "session" (the default), "user", "database", "application", "address", "fingerprint", "tag:NAME", or
---a function(query)
M.percent = core.checked("rules.percent", function(percentage, by)
  if type(percentage) ~= "number" or not (percentage >= 0 and percentage <= 100) then
    return nil, ("the percentage must be a number from 0 to 100, not %s"):format(tostring(percentage))
  end
  local share, text = keys.share(by == nil and "session" or by, "the key")
  if not share then return nil, text end
  local part = percentage / 100
  return condition(function(query)
    local at = share(query)
    return at ~= nil and at < part
  end, ("%g%% by %s"):format(percentage, text))
end)

---What a verdict is called, or nil where it is none: a route, an endpoint or a rejection.
local function verdict_text(verdict)
  if type(verdict) ~= "userdata" then return nil end
  local kind, name = tostring(verdict):match "^moongate%.(%l+): (.*)$"
  if kind == "rejection" then return "reject " .. name:sub(1, 5) end
  return (kind == "route" or kind == "endpoint") and name or nil
end

local function action(fields)
  return setmetatable(fields, action_mt)
end

---An action: the query goes there. Takes a route, an endpoint or a rejection.
---@type fun(verdict: moongate.Route|moongate.Endpoint|moongate.Rejection): moongate.Action
M.to = core.checked("rules.to", function(verdict)
  local text = verdict_text(verdict)
  if text then return action { verdict = verdict, text = text } end
  return nil, ("its argument must be a route, an endpoint or moongate.reject(...), not %s"):format(
    verdict == nil and "nil" or "a " .. type(verdict))
end)

---An action: beyond so many queries a second for each key it decides, within them the next rules do.
---Each worker of a router counts for itself, and remembers some 10,000 keys; a query without the key
---is not limited.
---@type fun(opts: moongate.rules.LimitOptions): moongate.Action
---opts: key (as for percent), rate (queries per second), burst (that may come at once; default: rate),
---["else"] or otherwise (a route, an endpoint or a rejection; default: a rejection with SQLSTATE 53400)
M.limit = core.checked("rules.limit", function(opts)
  local act, text, beyond = make_limit(opts)
  if not act then return nil, text end
  local target = beyond and verdict_text(beyond)
  if beyond and not target then return nil, "[\"else\"] must be a route, an endpoint or a rejection" end
  return action { act = act, text = ("%s, else %s"):format(text, target or "reject 53400") }
end)

---What first() has made: rules in there count for themselves.
local lists = setmetatable({}, { __mode = "k" })

---What stands in a list as an action, or nil.
local function action_of(value)
  if getmetatable(value) == action_mt then return value end
  if lists[value] then return { act = value, text = "rules", list = true } end
  if type(value) == "function" then return { act = value, text = "function" } end
  local text = verdict_text(value)
  return text and { verdict = value, text = text }
end

---One rule of several conditions in a row, of which there may be none, and an action.
local function rule_of(conditions, what, number)
  local tests, texts, name, intent = {}, {}, nil, nil
  for _, each in ipairs(conditions) do
    table.move(each.tests, 1, #each.tests, #tests + 1, tests)
    -- Two that differ leave one that never holds.
    if intent and each.intent then tests[#tests + 1] = test_of(each) end
    if each.text ~= "" then texts[#texts + 1] = each.text end
    intent, name = intent or each.intent, name or each.name
  end
  local shown = table.concat(texts, " ")
  if shown == "" then shown = what.verdict ~= nil and "otherwise" or "always" end
  return {
    name = name or ("%d: %s -> %s"):format(number, shown, what.text),
    given = name,
    test = criteria.every(tests),
    intent = intent,
    ends = #texts == 0 and what.verdict ~= nil,
    verdict = what.verdict,
    act = what.act,
    silent = what.list,
  }
end

local not_a_rule = "[%d] must be a condition (when { ... }), an action (to(route), limit { ... }, "
  .. "reject(...)) or a function(query), not a %s"

---@param rules table[]  so far
---@return string? why  the next one cannot stand there
local function misplaced(rules, rule, i)
  local last = rules[#rules]
  if last and last.ends then return ("[%d] is never reached: what stands before it always decides"):format(i) end
  for _, other in ipairs(rules) do
    if rule.given and rule.given == other.given then return ("two rules are called %q"):format(rule.given) end
  end
end

---@return table[]? rules, string? why
local function parse(list)
  local rules, conditions = {}, {}
  for i = 1, #list do
    local value = list[i]
    local what = action_of(value)
    if is_condition(value) then
      conditions[#conditions + 1] = value
    elseif what then
      local rule = rule_of(conditions, what, #rules + 1)
      local why = misplaced(rules, rule, i)
      if why then return nil, why end
      rules[#rules + 1], conditions = rule, {}
    else
      return nil, not_a_rule:format(i, type(value))
    end
  end
  if #conditions > 0 then return nil, ("[%d] is a condition without an action behind it"):format(#list) end
  if #rules == 0 then return nil, "its list is empty" end
  return rules
end

---The rules that may decide of a query with this intent (nil: of any), as a function(query).
local function compile(rules, intent)
  local count = 0
  local tests, verdicts, acts, hits = {}, {}, {}, {}
  for _, rule in ipairs(rules) do
    if not rule.intent or rule.intent == intent then
      count = count + 1
      tests[count], verdicts[count] = rule.test or false, rule.verdict or false
      acts[count], hits[count] = rule.act or false, rule.hit or false
    end
  end
  return function(query)
    for i = 1, count do
      local test = tests[i]
      if not test or test(query) then
        local verdict = verdicts[i] or acts[i](query)
        if verdict ~= nil then
          if hits[i] then hits[i]() end
          return verdict
        end
      end
    end
  end
end

---What a policy is: a function(query). Rules with an intent cost the queries of the other one nothing.
local function policy_of(rules)
  local parted = false
  for _, rule in ipairs(rules) do
    parted = parted or rule.intent ~= nil
    if not rule.silent then rule.hit = select(2, core.rule(rule.name)) end
  end
  if not parted then return compile(rules) end
  local reads, writes = compile(rules, "read"), compile(rules, "write")
  return function(query)
    if query.intent == "read" then return reads(query) end
    return writes(query)
  end
end

---The policy's function: the first rule that has something to say decides, or else the default route.
---A rule is an action with the conditions in front of it, all of which must hold; without any it
---always does. A function(query) is an action: what it returns decides, unless it is nil. So is
---another first { ... }, and a rejection, a route or an endpoint as it is.
---@type fun(list: table): fun(query: moongate.Query): any
M.first = core.checked("rules.first", function(list)
  if type(list) ~= "table" then return nil, ("its argument must be a list of rules, not a %s"):format(type(list)) end
  for _, key in ipairs(checks.sorted_keys(list)) do
    if math.type(key) ~= "integer" or key < 1 or key > #list then
      return nil, ("its list has something else than rules at %q"):format(tostring(key))
    end
  end
  for i = 1, #list do
    if list[i] == nil then return nil, ("[%d] is nil"):format(i) end
  end
  local rules, why = parse(list)
  if not rules then return nil, why end
  local policy = policy_of(rules)
  lists[policy] = true
  return policy
end)

return M
