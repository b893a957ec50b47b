---Tries policies without a database: on a cluster that connects nowhere, all of whose endpoints are
---up and fresh until the test says otherwise. Made for busted, and in need of nothing.
---
---    local testing = require "moongate.testing"
---    local expect = testing.expect
---
---    it("keeps reports off the primary", function()
---      local reports = expect(require "my_policy"):as { user = "report" }
---      reports:sends("select 1"):to_one_of { "replica-1", "replica-2" }:by("reports")
---      reports:rejects("truncate t", "42501")
---      reports:given { ["replica-1"] = "down" }:sends("select 1"):to("replica-2")
---    end)
---
---What is not as expected raises, in the test's own line.
-- SPDX-License-Identifier: MIT
local clock = require "moongate.clock"
local core = require "moongate.core"
local examples = require "moongate.examples"
local options = require "moongate.options"
require "moongate" -- cluster:route
core.own()

local checks = options.checks
local M = {}

---A cluster to try policies on; see testing.cluster.
---@class moongate.testing.Cluster
local cluster_mt = { __name = "moongate.testing.cluster" }

---@param value any  nil, a URL, or { name =, region =, weight = }
local function endpoint_of(value, default)
  if type(value) == "string" then value = { url = value } end
  if value ~= nil and type(value) ~= "table" then return value end
  local made = { name = default, url = "postgres://localhost:1/app" }
  for key, each in pairs(value or {}) do made[key] = each end
  return made
end

---Options for core.cluster, with names where there are none: "primary", "replica-1", "replica-2".
local function describe(opts)
  if type(opts) ~= "table" then return nil, ("its argument must be a table of options, not a %s"):format(type(opts)) end
  local filled = {}
  for key, value in pairs(opts) do filled[key] = value end
  filled.primary = endpoint_of(opts.primary, "primary")
  if type(opts.replicas) == "table" then
    filled.replicas = {}
    for i, replica in ipairs(opts.replicas) do filled.replicas[i] = endpoint_of(replica, "replica-" .. i) end
  elseif opts.replicas == nil then
    filled.replicas = { endpoint_of({}, "replica-1"), endpoint_of({}, "replica-2") }
  end
  return options.cluster(filled)
end

---The cluster that a policy is tried on: options of moongate.cluster, in which URLs may be left out.
---Endpoints without a name are called "primary", "replica-1", "replica-2" ...; without `replicas`
---there are two.
---@type fun(opts: moongate.ClusterOptions): moongate.testing.Cluster
M.cluster = core.checked("testing.cluster", function(opts)
  local config, why = describe(opts)
  if not config then return nil, why end
  return setmetatable({ config = config }, cluster_mt)
end)

---@class moongate.testing.Situation
---@field user string?
---@field database string?
---@field application string?    its application_name
---@field address string?
---@field in_transaction boolean?
---@field parameters integer?    how many the statement takes
---@field wrote number?          seconds since the session's last write; none unless it is said
---@field tags table<string, string>?  put into the statement's comment
---@field hour integer?          of the day, where the router runs

local a_string = checks.text "a string"

local function tags_of(value, where)
  if type(value) ~= "table" then return checks.must_be("a table of tags")(value, where) end
  for key, each in pairs(value) do
    if type(key) ~= "string" or type(each) ~= "string" then
      return nil, where .. " must be a table from tags' names to their values, both strings"
    end
  end
  return value
end

local situation_schema = {
  user = a_string,
  database = a_string,
  application = a_string,
  address = a_string,
  in_transaction = checks.flag,
  parameters = checks.integer(0, 65535),
  wrote = checks.seconds,
  tags = tags_of,
  hour = checks.integer(0, 23),
}

local check_situation = checks.options_of(situation_schema)

---How a statement carries its tags: as sqlcommenter writes them.
local function tagged(sql, tags)
  local list = {}
  for i, key in ipairs(checks.sorted_keys(tags)) do
    local value = tags[key]:gsub("[^%w._~-]", function(c) return ("%%%02X"):format(c:byte()) end)
    list[i] = ("%s='%s'"):format(key, value)
  end
  return #list > 0 and ("%s /*%s*/"):format(sql, table.concat(list, ",")) or sql
end

---Runs `fn` when it is that hour of today.
local function at_hour(hour, fn, ...)
  if not hour then return fn(...) end
  local now, time = os.date "*t", clock.time
  now.hour, now.min, now.sec = hour, 30, 0
  local then_ = os.time(now)
  clock.time = function() return then_ end
  local fine, result = pcall(fn, ...)
  clock.time = time
  if not fine then error(result, 0) end
  return result
end

---A policy on its cluster, and who asks it.
---@class moongate.testing.Expectation
local expectation_methods = {}
local expectation_mt = { __name = "moongate.testing.expectation", __index = expectation_methods }

---Where one statement went.
---@class moongate.testing.Sent
local sent_methods = {}
local sent_mt = { __name = "moongate.testing.sent", __index = sent_methods }

---The simulated cluster, made when it is first needed; its factory's table is kept.
local function cluster_of(self)
  if self.cluster then return self.cluster end
  local factory = self.policy
  local cluster, why = core.cluster(self.config, function(made_for)
    local made = factory(made_for)
    self.made = made
    return made
  end, true)
  self.cluster = cluster
  return cluster, why
end

---@return table? judgment, string? why
local function judge(self, sql, situation)
  local cluster, why = cluster_of(self)
  if not cluster then return nil, why end
  local session = self.session
  session.user = situation.user or "app"
  session.database = situation.database or "app"
  session.application_name = situation.application or "app"
  session.address = situation.address or "127.0.0.1"
  session.in_transaction = situation.in_transaction
  session.parameters = situation.parameters
  sql = tagged(sql, situation.tags or {})
  return at_hour(situation.hour, core.judge, cluster, sql, session, situation.wrote)
end

---Something to expect of a policy: what moongate.cluster takes as `policy`.
---@type fun(policy: moongate.Factory): moongate.testing.Expectation
M.expect = core.checked("testing.expect", function(policy)
  local meta = type(policy) == "table" and getmetatable(policy)
  if type(policy) ~= "function" and not (type(meta) == "table" and meta.__call) then
    return nil, ("its argument must be a policy, a function(cluster), not a %s"):format(type(policy))
  end
  return setmetatable({
    policy = policy, config = describe {}, situation = {}, session = {},
  }, expectation_mt)
end)

---From now on on this cluster, which begins anew.
---@type fun(self: moongate.testing.Expectation, cluster: moongate.testing.Cluster): moongate.testing.Expectation
expectation_methods.on = core.checked("expect(...):on", function(self, cluster)
  if getmetatable(cluster) ~= cluster_mt then return nil, "it takes a testing.cluster { ... }" end
  self.config, self.cluster, self.session = cluster.config, nil, {}
  return self
end)

local function endpoints_by_name(cluster)
  local found, names = {}, {}
  for i, each in ipairs(cluster.endpoints) do found[each.name], names[i] = each, each.name end
  return found, names
end

---Tells what is the case at endpoints from now on.
local function simulate(self, state)
  if type(state) ~= "table" then return nil, "it takes a table such as { [\"replica-1\"] = \"down\" }" end
  local cluster, why = cluster_of(self)
  if not cluster then return nil, why end
  local found, names = endpoints_by_name(cluster)
  for _, name in ipairs(checks.sorted_keys(state)) do
    if not found[name] then
      return nil, ("no endpoint is called %q%s; there are %s"):format(
        tostring(name), options.suggest(name, names), table.concat(names, ", "))
    end
    for _, what in ipairs(type(state[name]) == "table" and state[name] or { state[name] }) do
      local fine, wrong = core.simulate(found[name], tostring(what))
      if not fine then return nil, wrong end
    end
  end
  return self
end

---What is the case at endpoints from now on: a table from their names to "down", "up", "drained",
---"lag=3", "staleness=3", "latency=0.1", "in_flight=20" ..., or to a list of these.
---@type fun(self: moongate.testing.Expectation, state: table<string, string|string[]>): moongate.testing.Expectation
expectation_methods.given = core.checked("expect(...):given", simulate)

---Who asks from now on: a new session, of which nothing else is known than what is said here.
---@type fun(self: moongate.testing.Expectation, who: moongate.testing.Situation): moongate.testing.Expectation
expectation_methods.as = core.checked("expect(...):as", function(self, situation)
  local checked, why = check_situation(situation)
  if not checked then return nil, why end
  self.situation, self.session = checked, {}
  return self
end)

---Asks the policy. A policy that fails raises.
---@return moongate.testing.Sent? sent, string? why
local function send(self, sql)
  if type(sql) ~= "string" then return nil, ("it takes a statement, not a %s"):format(type(sql)) end
  local judgment, why = judge(self, sql, self.situation)
  if not judgment then return nil, why end
  if judgment.error then return nil, ("the policy fails at %q: %s"):format(sql, judgment.error) end
  return setmetatable({ sql = sql, judgment = judgment }, sent_mt)
end

---@type fun(self: moongate.testing.Expectation, sql: string): moongate.testing.Sent
expectation_methods.sends = core.checked("expect(...):sends", send)

---"route replicas, to replica-1 or replica-2, by the rule "3: ...""
local function outcome(judgment)
  local text
  if judgment.kind == "reject" then
    text = ("is rejected with %s: %s"):format(judgment.sqlstate, judgment.message)
  elseif judgment.kind == "endpoint" then
    text = ("goes to %s"):format(judgment.endpoint or "no endpoint")
  else
    local names = table.concat(judgment.candidates, " or ")
    text = ("takes the route %q, to %s"):format(judgment.verdict, names ~= "" and names or "no endpoint")
  end
  return judgment.rule and ("%s (by the rule %q)"):format(text, judgment.rule) or text
end

local function differs(self, expected)
  return nil, ("%q should %s, but it %s"):format(self.sql, expected, outcome(self.judgment))
end

---It goes there, and chance could not have it go elsewhere.
---@type fun(self: moongate.testing.Sent, endpoint: string): moongate.testing.Sent
sent_methods.to = core.checked("sends(...):to", function(self, endpoint)
  local names = self.judgment.candidates
  if #names == 1 and names[1] == endpoint then return self end
  return differs(self, ("go to %s alone"):format(tostring(endpoint)))
end)

---It goes to one of these, and to each of them by chance.
---@type fun(self: moongate.testing.Sent, endpoints: string[]): moongate.testing.Sent
sent_methods.to_one_of = core.checked("sends(...):to_one_of", function(self, endpoints)
  if type(endpoints) ~= "table" then return nil, "it takes a list of endpoints' names" end
  local expected, names = {}, self.judgment.candidates
  for _, name in ipairs(endpoints) do expected[name] = true end
  local missing = #names ~= #endpoints
  for _, name in ipairs(names) do missing = missing or not expected[name] end
  if not missing then return self end
  return differs(self, "go to one of " .. table.concat(endpoints, ", "))
end)

---The policy has returned the route of this name.
---@type fun(self: moongate.testing.Sent, route: string): moongate.testing.Sent
sent_methods.to_route = core.checked("sends(...):to_route", function(self, route)
  if self.judgment.kind == "route" and self.judgment.verdict == route then return self end
  return differs(self, ("take the route %q"):format(tostring(route)))
end)

---The rule of this name has decided (moongate.rules).
---@type fun(self: moongate.testing.Sent, rule: string): moongate.testing.Sent
sent_methods.by = core.checked("sends(...):by", function(self, rule)
  if self.judgment.rule == rule then return self end
  return differs(self, ("be decided by the rule %q"):format(tostring(rule)))
end)

---It is refused, with this SQLSTATE if one is given, by a message that has this text in it.
local function rejected(self, sqlstate, message)
  local judgment = self.judgment
  local text = judgment.kind == "reject" and (sqlstate or judgment.sqlstate) == judgment.sqlstate
    and judgment.message:find(message or "", 1, true)
  if text then return self end
  return differs(self, ("be rejected with %s%s"):format(sqlstate or "an error", message and ": " .. message or ""))
end

---@type fun(self: moongate.testing.Sent, sqlstate?: string, message?: string): moongate.testing.Sent
sent_methods.rejected = core.checked("sends(...):rejected", rejected)

---The same of a statement that is sent now.
---@type fun(self: moongate.testing.Expectation, sql: string, code?: string, text?: string): moongate.testing.Sent
expectation_methods.rejects = core.checked("expect(...):rejects", function(self, sql, sqlstate, message)
  local sent, why = send(self, sql)
  if not sent then return nil, why end
  return rejected(sent, sqlstate, message)
end)

---How often each rule has decided so far, by name.
---@return table<string, integer>
function expectation_methods:hits()
  local hits = {}
  for _, rule in ipairs(self.cluster and core.rules(self.cluster) or {}) do hits[rule.name] = rule.hits end
  return hits
end

local function is_as_expected(judgment, expected)
  if judgment.verdict == expected then return true end
  if judgment.kind == "reject" then return expected == "reject" end
  return #judgment.candidates == 1 and judgment.candidates[1] == expected
end

---@return string? why  the example does not hold
local function try(policy, on, example)
  local self = M.expect(policy)
  if on then self:on(on) end
  local fine, why = simulate(self, example.given or {})
  if not fine then return why end
  self.situation = example
  local sent, failure = send(self, example.sql)
  if not sent then return failure end
  if not is_as_expected(sent.judgment, example.expect) then
    return (select(2, differs(sent, "come to " .. example.expect)))
  end
  if example.rule and sent.judgment.rule ~= example.rule then
    return (select(2, differs(sent, ("be decided by the rule %q"):format(example.rule))))
  end
end

local function examples_of(policy, on)
  local self = M.expect(policy)
  if on then self:on(on) end
  local cluster, why = cluster_of(self)
  if not cluster then return nil, why end
  local list = type(self.made) == "table" and self.made.tests
  if type(list) ~= "table" or #list == 0 then
    return nil, "the policy has no examples: its factory returns { route =, tests = { { sql =, expect = } } }"
  end
  return list
end

---Tries the policy's own examples, each in a session and on a cluster of its own, and raises if some
---do not hold: { sql =, expect = the name of a route or an endpoint, "reject" or "reject: MESSAGE" },
---and if need be what it is called (`name`), the `rule` that decides, what is `given` at endpoints, and
---who asks, as in expect(...):as.
---@type fun(policy: moongate.Factory, on?: moongate.testing.Cluster): integer
---Returns how many there are.
M.run = core.checked("testing.run", function(policy, on)
  local list, why = examples_of(policy, on)
  if not list then return nil, why end
  local failures = {}
  for i, each in ipairs(list) do
    local example, wrong = examples.example(each, ("tests[%d]"):format(i))
    wrong = wrong or try(policy, on, example)
    local name = example and example.name and (", %s"):format(example.name) or ""
    if wrong then failures[#failures + 1] = ("\n  example %d%s: %s"):format(i, name, wrong) end
  end
  if #failures == 0 then return #list end
  return nil, ("%d of %d examples do not hold:%s"):format(#failures, #list, table.concat(failures))
end)

return M
