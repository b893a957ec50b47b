-- moongate.rules: conditions, actions, and which of them decides.

local core = require "moongate.core"
local moongate = require "moongate"
local rules = require "moongate.rules"
local testing = require "moongate.testing"

local first, when, to, all, any, none = rules.first, rules.when, rules.to, rules.all, rules.any, rules.none
local percent, limit = rules.percent, rules.limit
local expect = testing.expect

-- A policy of what `list` makes of two routes, "here" and "there", and "primary".
local function policy(list)
  return function(cluster)
    return first(list(cluster:route { name = "here", to = "replica-1" }, cluster:route { name = "there", to = "any" }))
  end
end

-- A policy by one condition: "here" where it holds, "there" where not.
local function by(condition)
  return expect(policy(function(here, there) return { condition, to(here), to(there) } end))
end

local function holds(condition, sql, who)
  return by(condition):as(who or {}):sends(sql or "select 1").judgment.verdict == "here"
end

-- The message of what `fn` raises, which blames the line of `fn`.
local function complaint(fn)
  local fine, message = pcall(fn)
  assert.is_false(fine)
  return (assert(message:match "^tests/lua/rules_spec%.lua:%d+: (.*)", message))
end

describe("a condition", function()
  it("goes by intent and kind", function()
    assert.is_true(holds(when { intent = "read" }))
    assert.is_false(holds(when { intent = "read" }, "delete from t"))
    assert.is_true(holds(when { intent = "write" }, "delete from t"))
    assert.is_true(holds(when { intent = { "read", "write" } }, "delete from t"))
    assert.is_true(holds(when { kind = { "truncate", "delete" } }, "delete from t"))
    assert.is_false(holds(when { kind = "truncate" }, "delete from t"))
  end)

  it("needs all of its criteria", function()
    local both = when { intent = "read", tables = "a", user = "report" }
    assert.is_true(holds(both, "select * from a", { user = "report" }))
    assert.is_false(holds(both, "select * from a", { user = "app" }))
    assert.is_false(holds(both, "select * from b", { user = "report" }))
    assert.is_false(holds(both, "delete from a", { user = "report" }))
  end)

  it("holds with those before it in the list", function()
    local list = expect(policy(function(here, there)
      return { when { user = "report" }, when { intent = "read" }, when { tables = "a" }, to(here), to(there) }
    end))
    list:as { user = "report" }:sends("select * from a"):to_route("here")
    list:as { user = "report" }:sends("delete from a"):to_route("there")
    list:as { user = "app" }:sends("select * from a"):to_route("there")
    local never = expect(policy(function(here, there)
      return { when { intent = "read" }, when { intent = "write" }, to(here), to(there) }
    end))
    never:sends("select 1"):to_route("there")
    never:sends("delete from t"):to_route("there")
  end)

  it("goes by tables, in any schema where none is said", function()
    for name, expected in pairs {
      t = { true, true, true },
      ["app.t"] = { true, true, false },
      T = { true, true, true },
      ["App.T"] = { true, true, false },
      ["public.u"] = { false, false, false },
    } do
      assert.equal(expected[1], holds(when { tables = name }, "select * from T"), name)
      assert.equal(expected[2], holds(when { tables = name }, "select * from x, app.t"), name)
      assert.equal(expected[3], holds(when { tables = name }, "select * from other.t"), name)
    end
    assert.is_true(holds(when { tables = { "u", "t" } }, "select * from t"))
    assert.is_false(holds(when { tables = "t" }, "select 1"))
    assert.is_true(holds(when { tables = '"Mixed"' }, 'select * from "Mixed"'))
    assert.is_true(holds(when { tables = 'Public."Mixed"' }, 'select * from public."Mixed"'))
    assert.is_false(holds(when { tables = "Mixed" }, 'select * from "Mixed"'))
  end)

  it("goes by functions", function()
    assert.is_true(holds(when { functions = "now" }, "select now()"))
    assert.is_true(holds(when { functions = "now" }, "select pg_catalog.now()"))
    assert.is_false(holds(when { functions = "now" }, "select random()"))
  end)

  it("goes by who asks", function()
    local who = { user = "report", database = "app", application = "web-7", address = "10.1.2.3" }
    for _, case in ipairs {
      { "user", "report", "repo" },
      { "database", { "x", "app" }, "a" },
      { "application", "^web", "^eb" },
      { "address", { "^192%.", "^10%." }, "^1%." },
    } do
      assert.is_true(holds(when { [case[1]] = case[2] }, "select 1", who), case[1])
      assert.is_false(holds(when { [case[1]] = case[3] }, "select 1", who), case[1])
    end
  end)

  it("goes by tags", function()
    local who = { tags = { route = "slow", empty = "" } }
    for _, case in ipairs {
      { { route = "slow" }, true }, { { route = { "fast", "slow" } }, true }, { { route = "fast" }, false },
      { { route = true }, true }, { { route = false }, false },
      { { other = false }, true }, { { other = true }, false },
      { { route = "slow", other = "x" }, false }, { { route = "slow", empty = true }, true },
    } do
      assert.equal(case[2], holds(when { tag = case[1] }, "select 1", who))
    end
  end)

  it("goes by fingerprint and transaction", function()
    local same = moongate.classify("select 7").fingerprint
    assert.is_true(holds(when { fingerprint = same }, "select 1"))
    assert.is_false(holds(when { fingerprint = same }, "select 1 from t"))
    assert.is_true(holds(when { in_transaction = true }, "select 1", { in_transaction = true }))
    assert.is_false(holds(when { in_transaction = false }, "select 1", { in_transaction = true }))
  end)

  it("goes by the hour, past midnight too", function()
    local function hours(value)
      local list = {}
      for hour = 0, 23 do
        if holds(when { hour = value }, "select 1", { hour = hour }) then list[#list + 1] = hour end
      end
      return table.concat(list, " ")
    end
    assert.equal("0 1 2 3 4 5 22 23", hours { 22, 6 })
    assert.equal("9 10", hours "9-11")
    assert.equal("9 12 13", hours { "9-10", "12-14" })
    assert.equal("0 23", hours { 23, 1 })
    assert.equal("22 23", hours { 22, 24 })
  end)

  it("may be a function", function()
    local function is_long(query) return #query.sql > 10 end
    for _, condition in ipairs { when(is_long), when { test = is_long } } do
      assert.is_true(holds(condition, "select 1, 2, 3"))
      assert.is_false(holds(condition, "select 1"))
    end
  end)

  it("is made of others by all, any and none", function()
    local read, tagged = when { intent = "read" }, when { tag = { x = true } }
    local function tables(query) return #query.tables > 0 end
    for _, case in ipairs {
      { all { read, tagged }, false, true, false },
      { any { read, tables }, true, true, true },
      { none { tagged, tables }, true, false, false },
      { none { all { read, none { tagged } } }, false, true, true },
    } do
      assert.equal(case[2], holds(case[1], "select 1"))
      assert.equal(case[3], holds(case[1], "select 1 /* moongate: x=1 */"))
      assert.equal(case[4], holds(case[1], "delete from t"))
    end
  end)

  it("is refused when it asks for what there is not", function()
    for _, case in ipairs {
      { { usr = "a" }, 'unknown criterion "usr" %(did you mean "user"%?%); there are address' },
      { { tags = {} }, 'unknown criterion "tags" %(did you mean "tag"%?%)' },
      { { intent = "reads" }, 'intent must be one of "read", "write", not "reads" %(did you mean "read"%?%)' },
      { { kind = "trunctae" }, 'kind must be one of .*did you mean "truncate"' },
      { { user = 5 }, "user must be a string or a list of strings, not 5" },
      { { user = {} }, "user is an empty list" },
      { { application = "[" }, 'application "%[" is no Lua pattern' },
      { { tag = "slow" }, "tag must be a table such as" },
      { { tag = { route = 5 } }, "tag.route must be a string" },
      { { hour = { 22, 25 } }, "hour must be two hours" },
      { { hour = "9" }, "hour must be two hours" },
      { { hour = { 9, 9 } }, "hour must be two hours" },
      { { in_transaction = "yes" }, "in_transaction must be true or false" },
      { { test = true }, "test must be a function" },
      { { name = "" }, "name must be a string" },
      { {}, "it names no criterion" },
      { "read", "its argument must be a table of criteria or a function" },
      { when { user = "a" }, "it is given what a when" },
    } do
      assert.matches("^rules%.when: " .. case[2], complaint(function() return (when(case[1])) end))
    end
    assert.matches("^rules.all: its list is empty", complaint(function() return (all {}) end))
    assert.matches("^rules.any: %[2%] must be a condition or a function",
      complaint(function() return (any { when { user = "a" }, { user = "b" } }) end))
    assert.matches("^rules.none: it takes a list", complaint(function() return (none(when { user = "a" })) end))
  end)
end)

describe("a list of rules", function()
  it("is decided by the first that holds", function()
    local list = expect(policy(function(here, there)
      return { when { user = "a" }, to(here), when { user = { "a", "b" } }, to(there) }
    end))
    list:as { user = "a" }:sends("select 1"):to_route("here"):by("1: user=a -> here")
    list:as { user = "b" }:sends("select 1"):to_route("there"):by("2: user=a|b -> there")
    list:as { user = "c" }:sends("select 1"):to_route("replicas"):by(nil)
  end)

  it("takes functions, rejections and endpoints as actions", function()
    local list = expect(function(cluster)
      return first {
        function(query) if query.kind == "delete" then return moongate.reject "no" end end,
        when { kind = "insert" }, function() return cluster.replicas[1] end,
        when { kind = "update" }, rules.reject("never", "57014"),
        when { kind = "select" }, cluster.replicas[2],
        function() return nil end,
      }
    end)
    list:rejects("delete from t", "42501", "no"):by("1: always -> function")
    list:sends("insert into t values (1)"):to("replica-1"):by("2: kind=insert -> function")
    list:rejects("update t set x = 1", "57014"):by("3: kind=update -> reject 57014")
    list:sends("select 1"):to("replica-2"):by("4: kind=select -> replica-2")
    list:sends("truncate t"):to_route("primary"):by(nil)
  end)

  it("may have others in it, whose rules count", function()
    local list = expect(policy(function(here, there)
      return {
        when { user = "report" }, first { when { name = "inner", intent = "read" }, to(here) },
        when { name = "outer", intent = "read" }, to(there),
      }
    end))
    list:as { user = "report" }:sends("select 1"):to_route("here"):by("inner")
    list:sends("delete from t"):to_route("primary"):by(nil)
    list:as { user = "app" }:sends("select 1"):to_route("there"):by("outer")
    assert.same({ inner = 1, outer = 1 }, list:hits())
  end)

  it("counts how often each has decided", function()
    local list = expect(policy(function(here, there)
      return {
        when { name = "mine", user = "app" }, when { intent = "read" }, to(here),
        when { name = "rest" }, to(there),
      }
    end))
    for _ = 1, 3 do list:sends "select 1" end
    list:sends "delete from t"
    assert.same({ mine = 3, rest = 1 }, list:hits())
  end)

  it("has no two rules of one name, whatever their length", function()
    local long = ("\u{20ac}"):rep(60)
    local cluster = core.cluster({ endpoints = { { url = "postgres://localhost:1/d", role = "primary" } } }, function(c)
      local route = c:route { to = "primary" }
      local lists = {}
      for i = 1, 3 do lists[i] = first { when { name = long, intent = "read" }, to(route) } end
      return lists[1]
    end, true)
    local names = {}
    for i, rule in ipairs(core.rules(cluster)) do
      assert.is_truthy(utf8.len(rule.name))
      assert.is_true(#rule.name < 96)
      names[i] = rule.name
    end
    assert.equal(3, #names)
    assert.equal(("\u{20ac}"):rep(31), names[1])
    assert.equal(("\u{20ac}"):rep(30) .. " (2)", names[2])
    assert.equal(("\u{20ac}"):rep(30) .. " (3)", names[3])
  end)

  it("may be made outside of a policy", function()
    local rule = first { when { kind = "delete" }, moongate.reject "no" }
    assert.is_nil(rule { kind = "select" })
    assert.equal("moongate.rejection: 42501 no", tostring(rule { kind = "delete" }))
  end)

  it("is refused when it makes no sense", function()
    local reject = moongate.reject "no"
    for _, case in ipairs {
      { {}, "its list is empty" },
      { { when { user = "a" } }, "%[1%] is a condition without an action behind it" },
      { { reject, when { user = "a" }, reject }, "%[3%] is never reached" },
      { { when { user = "a" }, "replicas" }, "%[2%] must be a condition .*, not a string" },
      { { when { user = "a" }, reject, nil, reject }, "%[3%] is nil" },
      { { reject, name = "x" }, 'its list has something else than rules at "name"' },
      { { when { name = "x", user = "a" }, reject, when { name = "x", user = "b" }, reject },
        'two rules are called "x"' },
      { 5, "its argument must be a list of rules, not a number" },
    } do
      assert.matches("^rules%.first: " .. case[2], complaint(function() return (first(case[1])) end))
    end
    assert.matches("^rules%.to: its argument must be a route, an endpoint or moongate.reject%(...%), not nil",
      complaint(function() return (to(nil)) end))
    assert.matches("not a string", complaint(function() return (to "replicas") end))
    assert.matches("not a userdata", complaint(function() return (to(io.stdout)) end))
  end)
end)

describe("a percentage", function()
  local function members(condition)
    local who, count = {}, 0
    local policy_of = by(condition)
    for i = 1, 1000 do
      who[i] = policy_of:as { user = "user" .. i }:sends("select 1").judgment.verdict == "here"
      count = count + (who[i] and 1 or 0)
    end
    return who, count
  end

  it("is of keys, the same ones each time, and grows without losing any", function()
    local few, five = members(percent(5, "user"))
    local more, twenty = members(percent(20, "user"))
    assert.is_true(five > 25 and five < 80, five)
    assert.is_true(twenty > 150 and twenty < 250, twenty)
    assert.same(few, (members(percent(5, "user"))))
    for i, is_in in ipairs(few) do assert.is_true(more[i] or not is_in) end
    assert.equal(0, select(2, members(percent(0, "user"))))
    assert.equal(1000, select(2, members(percent(100, "user"))))
  end)

  it("is the same in another process, and in the next version", function()
    assert.equal("0.021", ("%.3f"):format(core.share "21"))
    assert.equal("0.728", ("%.3f"):format(core.share "1"))
  end)

  it("is of sessions, each of which keeps its side", function()
    local half = by(percent(50))
    local here = 0
    for _ = 1, 100 do
      local session = half:as {}
      local side = session:sends("select 1").judgment.verdict
      for _ = 1, 5 do session:sends("select 1"):to_route(side) end
      here = here + (side == "here" and 1 or 0)
    end
    assert.is_true(here > 20 and here < 80, here)
  end)

  it("goes by tags, fingerprints and functions, and never holds without a key", function()
    assert.is_false(holds(percent(100, "tag:id")))
    assert.is_true(holds(percent(100, "tag:id"), "select 1", { tags = { id = "x" } }))
    assert.is_true(holds(percent(100, "fingerprint")))
    assert.is_true(holds(percent(3, function() return "21" end)))
    assert.is_false(holds(percent(2, function() return 21 end)))
  end)

  it("is refused when it is none", function()
    assert.matches("must be a number from 0 to 100, not 101", complaint(function() return (percent(101)) end))
    assert.matches("the key must be one of session, .* tag:NAME.*, not \"usr\" %(did you mean \"user\"%?%)",
      complaint(function() return (percent(5, "usr")) end))
  end)
end)

describe("a limit", function()
  local clock = require "moongate.clock"
  local real, now = clock.now, 0

  before_each(function()
    now = 1000.25
    clock.now = function() return now end
  end)

  after_each(function() clock.now = real end)

  local function limited(options)
    return expect(policy(function(here, there)
      if options["else"] then options["else"] = there end
      return { limit(options), to(here) }
    end))
  end

  it("lets a burst through, and then so many a second", function()
    local list = limited { key = "user", rate = 2, burst = 3 }
    for _ = 1, 3 do list:sends("select 1"):to_route("here") end
    list:rejects("select 1", "53400", "rate limit: more than 2 queries per second for user app")
      :by("1: always -> limit 2/s per user, else reject 53400")
    now = now + 0.5
    list:sends("select 1"):to_route("here")
    list:rejects("select 1")
    now = now + 60
    for _ = 1, 3 do list:sends("select 1"):to_route("here") end
    list:rejects("select 1")
  end)

  it("is for each key, and for none without one", function()
    local list = limited { key = "tag:job", rate = 1 }
    list:as { tags = { job = "a" } }:sends("select 1"):to_route("here")
    list:rejects("select 1", "53400", "tag:job a")
    list:as { tags = { job = "b" } }:sends("select 1"):to_route("here")
    for _ = 1, 3 do list:as {}:sends("select 1"):to_route("here") end
  end)

  it("may send what is beyond it elsewhere", function()
    local list = limited { key = function() return 1 end, rate = 1, ["else"] = true }
    list:sends("select 1"):to_route("here")
    list:sends("select 1"):to_route("there"):by("1: always -> limit 1/s per a function, else there")
  end)

  it("forgets keys when there are many, and those with an empty bucket last", function()
    local act = first { limit { key = "user", rate = 0.001 } }
    local function ask(user) return act { session = { user = user } } end
    assert.is_nil(ask "greedy")
    collectgarbage()
    local before = collectgarbage "count"
    for i = 1, 100000 do
      ask("user" .. i)
      if i % 1000 == 0 then assert.is_not_nil(ask "greedy") end
    end
    collectgarbage()
    assert.is_true(collectgarbage "count" - before < 2000)
  end)

  it("is refused when it makes no sense", function()
    for _, case in ipairs {
      { { rate = 1 }, "key is missing" },
      { { key = "user" }, "rate is missing" },
      { { key = "user", rate = 0 }, "rate must be a number of queries per second" },
      { { key = "user", rate = 1, brust = 5 }, 'unknown option "brust" %(did you mean "burst"%?%)' },
      { { key = "usr", rate = 1 }, 'key must be one of .*did you mean "user"' },
      { { key = "user", rate = 1, ["else"] = "x" }, "else must be a route, an endpoint or a rejection" },
      { { key = "user", rate = 1, otherwise = io.stdout }, "must be a route, an endpoint or a rejection" },
    } do
      assert.matches("^rules%.limit: .*" .. case[2], complaint(function() return (limit(case[1])) end))
    end
  end)
end)
