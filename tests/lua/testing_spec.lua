-- moongate.testing: what it lets pass, and what it says of the rest.

local moongate = require "moongate"
local process = require "moongate.process"
local testing = require "moongate.testing"
local uv = require "luv"

local expect = testing.expect

local function split(cluster)
  local reads = cluster:route { name = "reads", to = "replicas", fallback = "primary" }
  local writes = cluster:route { name = "writes", to = "primary" }
  return function(query)
    if query.kind == "truncate" then return moongate.reject("not here", "57014") end
    if query.tags.at then return cluster.replicas[1] end
    return query.intent == "read" and reads or writes
  end
end

-- A policy that notes what it is asked about.
local function watching(fn)
  return function()
    return function(query) fn(query) end
  end
end

local function complaint(fn)
  local fine, message = pcall(fn)
  assert.is_false(fine)
  return (assert(message:match "^tests/lua/testing_spec%.lua:%d+: (.*)", message))
end

describe("an expectation", function()
  it("holds or raises, and says what was the case", function()
    local e = expect(split)
    e:sends("select 1"):to_route("reads"):to_one_of { "replica-2", "replica-1" }
    e:sends("delete from t"):to("primary"):to_route("writes"):by(nil)
    e:sends("select 1 /* moongate: at=x */"):to("replica-1")
    e:rejects("truncate t"):rejected("57014", "not here")
    for expected, fn in pairs {
      ['sends%(...%):to: "select 1" should go to replica%-1 alone, but it takes the route "reads", '
        .. 'to replica%-1 or replica%-2'] = function() e:sends("select 1"):to("replica-1") end,
      ['to_one_of: "select 1" should go to one of replica%-1, primary, but it takes'] =
        function() e:sends("select 1"):to_one_of { "replica-1", "primary" } end,
      ['to_route: "delete from t" should take the route "reads", but it takes the route "writes", to primary'] =
        function() e:sends("delete from t"):to_route("reads") end,
      ['to_route: .* but it goes to replica%-1'] =
        function() e:sends("select 1 /* moongate: at=x */"):to_route("replica-1") end,
      ['to: "truncate t" should go to primary alone, but it is rejected with 57014: not here'] =
        function() e:sends("truncate t"):to("primary") end,
      ['rejects: "truncate t" should be rejected with 42501, but it is rejected with 57014'] =
        function() e:rejects("truncate t", "42501") end,
      ['rejects: .* with 57014: go away, but'] = function() e:rejects("truncate t", "57014", "go away") end,
      ['rejects: "select 1" should be rejected with an error, but it takes'] =
        function() e:rejects("select 1") end,
      ['by: "select 1" should be decided by the rule "x", but'] = function() e:sends("select 1"):by("x") end,
    } do
      assert.matches(expected, complaint(fn))
    end
  end)

  it("to one endpoint is not met by luck", function()
    local function weighted(balance)
      return function(cluster)
        local route = cluster:route { to = "replicas", balance = balance, weights = { ["replica-2"] = 0.0001 } }
        return function() return route end
      end
    end
    for _, balance in ipairs { "weighted", "round_robin" } do
      assert.matches("to replica%-1 or replica%-2",
        complaint(function() expect(weighted(balance)):sends("select 1"):to("replica-1") end))
    end
    expect(weighted "least_in_flight"):given { ["replica-1"] = "in_flight=1", ["replica-2"] = "in_flight=1" }
      :sends("select 1"):to("replica-1")
  end)

  it("knows who asks", function()
    local seen
    expect(watching(function(query)
      local session = query.session
      seen = { session.user, session.database, session.application_name, session.address, query.in_transaction,
        query.parameters, query.tags }
    end)):as {
      user = "u", database = "d", application = "a", address = "10.0.0.1", in_transaction = true, parameters = 3,
      tags = { a = "it's 100%", b = "2" },
    }:sends "select 1"
    assert.same({ "u", "d", "a", "10.0.0.1", true, 3, { a = "it's 100%", b = "2" } }, seen)
  end)

  it("has statements in a block that may write, where all are writes", function()
    local seen
    local e = expect(watching(function(query)
      seen = { query.intent, query.transaction and query.transaction.read_only, query.bound }
    end))
    e:as { in_transaction = true }:sends "select 1"
    assert.same({ "write", false, false }, seen)
    e:as {}:sends "select 1"
    assert.same({ "read", nil, false }, seen)
  end)

  it("keeps a session's notes until another one asks", function()
    local count
    local e = expect(watching(function(query)
      local vars = query.session.vars
      vars.count = (vars.count or 0) + 1
      count = vars.count
    end))
    e:sends "select 1"
    e:sends "select 1"
    assert.equal(2, count)
    e:as {}:sends "select 1"
    assert.equal(1, count)
  end)

  it("has endpoints in the state that is given", function()
    local e = expect(split):given { ["replica-1"] = "down" }
    e:sends("select 1"):to("replica-2")
    e:given { ["replica-1"] = { "up", "lag=1" } }:as { wrote = 0.5 }:sends("select 1"):to("replica-2")
    e:as {}:sends("select 1"):to_one_of { "replica-1", "replica-2" }
    e:given { ["replica-2"] = "primary" }:sends("delete from t"):to("replica-2")
  end)

  it("is on the cluster that it is told", function()
    local e = expect(split):on(testing.cluster {
      primary = { name = "main" }, replicas = { "postgres://localhost:9/d", { name = "copy" } },
    })
    e:sends("select 1"):to_one_of { "replica-1", "copy" }
    e:sends("delete from t"):to("main")
    expect(split):on(testing.cluster { replicas = {} }):sends("select 1"):to("primary")
  end)

  it("raises when the policy fails", function()
    local e = expect(watching(function() error "oops" end))
    assert.matches('sends: the policy fails at "select 1": .*oops', complaint(function() e:sends "select 1" end))
    local odd = expect(function() return 5 end)
    assert.matches("policy must return a function", complaint(function() odd:sends "select 1" end))
  end)

  it("says what it does not understand", function()
    local e = expect(split)
    for expected, fn in pairs {
      ["testing.expect: its argument must be a policy, a function%(cluster%), not a table"] =
        function() return (expect {}) end,
      ['as: unknown option "usr" %(did you mean "user"%?%)'] = function() e:as { usr = "x" } end,
      ["as: hour must be an integer from 0 to 23, not 24"] = function() e:as { hour = 24 } end,
      ["as: tags must be a table from tags' names"] = function() e:as { tags = { 1 } } end,
      ['given: no endpoint is called "replica1" %(did you mean "replica%-1"%?%); there are primary, replica%-1'] =
        function() e:given { replica1 = "down" } end,
      ['given: "dead" is none of: up, down'] = function() e:given { ["replica-1"] = "dead" } end,
      ["on: it takes a testing.cluster"] = function() e:on {} end,
      ["testing.cluster: unknown option \"primry\""] = function() return (testing.cluster { primry = {} }) end,
      ["testing.cluster: primary.weight must be"] = function() testing.cluster { primary = { weight = -1 } } end,
      ["sends: it takes a statement, not a nil"] = function() e:sends() end,
    } do
      assert.matches(expected, complaint(fn))
    end
  end)

  it("writes nothing to the log", function()
    local env = uv.os_environ()
    env.LUA_PATH, env.LUA_CPATH, env.MOONGATE_LOG = package.path, package.cpath, "debug"
    local status, output, errors = process.run({ "lua5.4", "-e", [[
      local testing = require "moongate.testing"
      local e = testing.expect(function() return function() error "no" end end)
      e:given { primary = "down", ["replica-1"] = "primary" }
      print(pcall(e.sends, e, "select 1"))
      require("moongate.testing").expect(require "moongate.policies.read_write_split"):sends("select 1")
    ]] }, { env = env })
    assert.equal(0, status, errors)
    assert.matches("^false", output)
    assert.equal("", errors)
  end)
end)

describe("a policy's own examples", function()
  local function with(tests)
    return function(cluster) return { route = split(cluster), tests = tests } end
  end

  it("are run, each on its own", function()
    assert.equal(5, testing.run(with {
      { sql = "select 1", expect = "reads" },
      { sql = "delete from t", expect = "writes" },
      { sql = "delete from t", expect = "primary" },
      { sql = "truncate t", user = "root", expect = "reject" },
      { sql = "select 1", expect = "replica-2", given = { ["replica-1"] = "down" } },
    }))
    assert.equal(1, testing.run(with { { sql = "select 1", expect = "copy" } },
      testing.cluster { replicas = { { name = "copy" } } }))
  end)

  it("may say all that they may when the policy is loaded", function()
    local message = complaint(function()
      testing.run(with {
        { name = "numbers are tags", sql = "select 1", tags = { at = 7 }, expect = "replica-1" },
        { name = "its message is known", sql = "truncate t", expect = "reject: not here" },
        { name = "and no other will do", sql = "truncate t", expect = "reject: nowhere" },
      })
    end)
    assert.equal("testing.run: 1 of 3 examples do not hold:\n  example 3, and no other will do: "
      .. '"truncate t" should come to reject: nowhere, but it is rejected with 57014: not here', message)
  end)

  it("are told apart when some do not hold", function()
    local message = complaint(function()
      testing.run(with {
        { sql = "select 1", expect = "writes" },
        { sql = "select 1", expect = "reads" },
        { sql = "select 1", expect = "reject" },
        { sql = "select 1", expect = "reads", rule = "x" },
        { sql = "select 1", expct = "reads" },
        { sql = "select 1", expect = "reads", given = { nowhere = "down" } },
      })
    end)
    assert.matches("^testing.run: 5 of 6 examples do not hold:\n", message)
    assert.matches('\n  example 1: "select 1" should come to writes, but it takes the route "reads"', message)
    assert.matches('\n  example 3: "select 1" should come to reject', message)
    assert.matches('\n  example 4: "select 1" should be decided by the rule "x"', message)
    assert.matches('\n  example 5: unknown option "tests%[5%].expct" %(did you mean "expect"%?%)', message)
    assert.matches('\n  example 6: no endpoint is called "nowhere"', message)
  end)

  it("have to be there", function()
    assert.matches("testing.run: the policy has no examples", complaint(function() testing.run(split) end))
  end)
end)
