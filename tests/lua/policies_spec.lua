-- The policies that come with moongate, each tried on a cluster that connects nowhere.

local testing = require "moongate.testing"

local expect = testing.expect
local WRITE = "insert into t values (1)"

local function policy(name)
  return require("moongate.policies." .. name)
end

local three_regions = testing.cluster {
  primary = { region = "eu" },
  replicas = { { region = "eu" }, { region = "eu" }, { region = "us" } },
}

describe("a ready-made policy", function()
  local all = { "analytics_pool", "least_loaded", "maintenance", "nearest_region", "primary_only", "sticky_session",
    "tenant", "weighted_replicas" }

  it("is a function, which takes a cluster or options", function()
    for _, name in ipairs(all) do
      assert.equal("function", type(policy(name)), name)
      assert.equal("function", type(policy(name) {}), name)
    end
    assert.equal("function", type(policy "read_write_split"))
  end)

  it("says what is wrong with its options, in the line that has them", function()
    for _, case in ipairs {
      { "least_loaded", { maxlag = 1 }, 'unknown option "maxlag" %(did you mean "max_lag"%?%)' },
      { "least_loaded", { max_lag = "x" }, "max_lag must be a number of seconds" },
      { "primary_only", { max_lag = 1 }, 'unknown option "max_lag"' },
      { "weighted_replicas", { weights = { ["replica-1"] = -1 } }, 'weights%["replica%-1"%] must be a number' },
      { "weighted_replicas", { balance = "weight" }, 'did you mean "weighted"' },
      { "nearest_region", { max_waiting = -1 }, "max_waiting must be an integer" },
      { "tenant", { by = "tenant" }, 'by must be one of session, user, .*, not "tenant"' },
      { "tenant", { to = { acme = 5 } }, 'to%["acme"%] must be "primary"' },
      { "analytics_pool", { mean = 0 }, "mean must be a number of seconds" },
      { "maintenance", { sqlstate = "00000" }, "sqlstate must be a SQLSTATE of an error" },
      { "sticky_session", 5, "its argument must be a table of options, not 5" },
    } do
      local fine, message = pcall(function() return (policy(case[1])(case[2])) end)
      assert.is_false(fine)
      assert.matches("^tests/lua/policies_spec%.lua:%d+: moongate%.policies%." .. case[1] .. ": .*" .. case[3], message)
    end
  end)

  it("names what its cluster lacks, where the cluster is made", function()
    local lonely = policy "analytics_pool"
    local fine, message = pcall(function() expect(lonely):on(testing.cluster { replicas = {} }):sends "select 1" end)
    assert.is_false(fine)
    assert.matches("^tests/lua/policies_spec%.lua:%d+: .*analytics_pool: there is no replica yet: `to` must", message)
    local elsewhere = policy "weighted_replicas" { weights = { ["replica-9"] = 1 } }
    assert.error_matches(function() expect(elsewhere):sends "select 1" end,
      'no endpoint is called "replica%-9"; there are: primary, replica%-1, replica%-2')
  end)
end)

describe("read_write_split", function()
  it("parts reads and writes", function()
    local split = expect(policy "read_write_split")
    split:sends("select 1"):to_one_of { "replica-1", "replica-2" }
    split:sends(WRITE):to("primary")
    split:given { ["replica-1"] = "down", ["replica-2"] = "down" }:sends("select 1"):to("primary")
  end)
end)

describe("weighted_replicas", function()
  it("weighs endpoints otherwise than their URLs do", function()
    local first = expect(policy "weighted_replicas" { weights = { ["replica-2"] = 0 } })
    first:sends("select 1"):to("replica-1")
    first:sends(WRITE):to("primary")
    local second = policy "weighted_replicas" { weights = { ["replica-1"] = 3 } }
    expect(second):on(testing.cluster { replicas = { { weight = 0 }, { weight = 0 } } })
      :sends("select 1"):to("replica-1")
  end)

  it("leaves the weights as they are without options", function()
    expect(policy "weighted_replicas"):on(testing.cluster { replicas = { {}, { weight = 0 } } })
      :sends("select 1"):to("replica-1")
  end)
end)

describe("least_loaded", function()
  it("takes the replica with the fewest queries under way", function()
    local least = expect(policy "least_loaded"):given { ["replica-1"] = "in_flight=3", ["replica-2"] = "in_flight=2" }
    least:sends("select 1"):to("replica-2")
    least:given { ["replica-2"] = "in_flight=9" }:sends("select 1"):to("replica-1")
    least:sends(WRITE):to("primary")
  end)

  it("may count the primary among them", function()
    expect(policy "least_loaded" { to = "any" })
      :given { ["replica-1"] = "in_flight=3", ["replica-2"] = "in_flight=2" }
      :sends("select 1"):to("primary")
  end)
end)

describe("nearest_region", function()
  local eu = policy "nearest_region" { region = "eu", max_lag = 5 }

  it("stays in its own region", function()
    expect(eu):on(three_regions):sends("select 1"):to_one_of { "replica-1", "replica-2" }:to_route("region eu")
  end)

  it("takes the replica there that answers soonest", function()
    expect(eu):on(three_regions):given { ["replica-1"] = "latency=0.02", ["replica-2"] = "latency=0.01" }
      :sends("select 1"):to("replica-2")
  end)

  it("leaves it when its replicas are down or stale", function()
    expect(eu):on(three_regions):given { ["replica-1"] = "down", ["replica-2"] = "lag=6" }
      :sends("select 1"):to("replica-3")
  end)

  it("leaves it when all its replicas have queries waiting", function()
    local here = expect(eu):on(three_regions):given { ["replica-1"] = { "waiting=1", "latency=0.01" } }
    here:given { ["replica-3"] = "latency=0.001", ["replica-2"] = "latency=0.02" }
    here:sends("select 1"):to_route("region eu")
    here:given { ["replica-2"] = "waiting=1" }:sends("select 1"):to_route("any region")
  end)

  it("leaves it when so many are under way at each of them", function()
    local busy = expect(policy "nearest_region" { region = "us", max_in_flight = 10 }):on(three_regions)
    busy:given { ["replica-3"] = "in_flight=9" }:sends("select 1"):to("replica-3")
    busy:given { ["replica-3"] = "in_flight=10" }:sends("select 1"):to_route("any region")
  end)

  it("goes by latency alone without a region", function()
    expect(policy "nearest_region"):given { ["replica-1"] = "latency=0.02", ["replica-2"] = "latency=0.01" }
      :sends("select 1"):to("replica-2")
  end)

  it("sends writes to the primary", function()
    expect(eu):on(three_regions):sends(WRITE):to("primary")
  end)
end)

describe("sticky_session", function()
  local function where(session)
    return session:sends("select 1").judgment.endpoint
  end

  it("keeps a session's reads on one replica", function()
    local session = expect(policy "sticky_session")
    local first = where(session)
    for _ = 1, 20 do session:sends("select 1"):to(first) end
    session:sends(WRITE):to("primary")
    session:sends("select 1"):to(first)
  end)

  it("spreads sessions by the replicas' weights", function()
    local sessions, seen = expect(policy "sticky_session"), {}
    for _ = 1, 60 do seen[where(sessions:as {})] = true end
    assert.same({ ["replica-1"] = true, ["replica-2"] = true }, seen)
    local one = expect(policy "sticky_session"):on(testing.cluster { replicas = { { weight = 0 }, {} } })
    for _ = 1, 20 do one:as {}:sends("select 1"):to("replica-2") end
  end)

  it("moves when its replica is down, drained or behind, and stays where it went", function()
    for _, state in ipairs { "down", "drained", "lag=9" } do
      local session = expect(policy "sticky_session" { max_lag = 5 })
      local first = where(session)
      local other = first == "replica-1" and "replica-2" or "replica-1"
      session:given { [first] = state }:sends("select 1"):to(other)
      session:given { [first] = state == "drained" and "undrained" or { "up", "lag=0" } }:sends("select 1"):to(other)
    end
  end)

  it("is served by the primary while its replica lacks its write", function()
    local session = expect(policy "sticky_session"):given { ["replica-1"] = "down" }:as { wrote = 0.1 }
    session:sends("select 1"):to("replica-2")
    session:given { ["replica-2"] = "staleness=1" }:sends("select 1"):to("primary")
    session:given { ["replica-2"] = "staleness=0" }:sends("select 1"):to("replica-2")
  end)

  it("leaves the primary to serve when there is no replica", function()
    expect(policy "sticky_session"):on(testing.cluster { replicas = {} }):sends("select 1"):to("primary")
  end)
end)

describe("tenant", function()
  local by_tag = policy "tenant" { to = { acme = "replica-2", globex = { "replica-1", "replica-2" } } }

  it("pins a tenant's reads to its replicas", function()
    expect(by_tag):as { tags = { tenant = "acme" } }:sends("select 1"):to("replica-2"):to_route("tenant acme")
    expect(by_tag):as { tags = { tenant = "globex" } }:sends("select 1"):to_one_of { "replica-1", "replica-2" }
    expect(by_tag):as { tags = { tenant = "initech" } }:sends("select 1"):to_route("replicas")
    expect(by_tag):sends("select 1"):to_route("replicas")
  end)

  it("sends a tenant's writes to the primary, and its reads there while its replica is down", function()
    local acme = expect(by_tag):as { tags = { tenant = "acme" } }
    acme:sends(WRITE):to("primary")
    acme:given { ["replica-2"] = "down" }:sends("select 1"):to("primary")
  end)

  it("may go by another key, and refuse who has none", function()
    local by_user = policy "tenant" { by = "user", to = { acme = "replica-1" } }
    expect(by_user):as { user = "acme" }:sends("select 1"):to("replica-1")
    local strict = policy "tenant" { by = "tag:customer", required = true }
    expect(strict):rejects("select 1", "42501", "which tenant")
    expect(strict):as { tags = { customer = "7" } }:sends("select 1"):to_route("replicas")
  end)

  it("gives the query its key", function()
    local key
    local factory = policy "tenant"
    local function watched(cluster)
      local route = factory(cluster)
      return function(query)
        local verdict = route(query)
        key = query.key
        return verdict
      end
    end
    expect(watched):as { tags = { tenant = "acme" } }:sends("select 1")
    assert.equal("acme", key)
    expect(watched):sends(WRITE)
    assert.is_nil(key)
  end)
end)

describe("analytics_pool", function()
  -- What the policy says of a query that is a plain table.
  local function verdict(options, query)
    local said
    local factory = policy "analytics_pool"
    expect(function(cluster)
      local route = (options and factory(options) or factory)(cluster)
      return function() said = tostring(route(query)) return nil end
    end):sends "select 1"
    return said
  end

  it("sends what takes long to the pool, when that is known", function()
    local options = { to = "replica-1", mean = 0.5, calls = 3 }
    assert.equal("moongate.route: analytics", verdict(options, { intent = "read", stats = { mean = 0.5, calls = 3 } }))
    assert.equal("moongate.route: replicas", verdict(options, { intent = "read", stats = { mean = 0.4, calls = 3 } }))
    assert.equal("moongate.route: replicas", verdict(options, { intent = "read", stats = { mean = 0.5, calls = 2 } }))
    assert.equal("moongate.route: primary", verdict(options, { intent = "write", stats = { mean = 9, calls = 9 } }))
  end)

  it("calls a second heavy without options", function()
    assert.equal("moongate.route: analytics", verdict(nil, { intent = "read", stats = { mean = 1, calls = 5 } }))
    assert.equal("moongate.route: replicas", verdict(nil, { intent = "read", stats = { mean = 0.9, calls = 5 } }))
  end)

  it("has the last replica as its pool, and light reads elsewhere", function()
    local factory, light = policy "analytics_pool", { intent = "read", stats = { mean = 0, calls = 0 } }
    local heavy = { intent = "read", stats = { mean = 5, calls = 9 } }
    local function asked(query)
      return expect(function(cluster)
        local route = factory(cluster)
        return function() return route(query) end
      end)
    end
    asked(heavy):sends("select 1"):to("replica-2")
    asked(light):sends("select 1"):to("replica-1")
    asked(light):on(testing.cluster { replicas = { {} } }):sends("select 1"):to("replica-1")
  end)
end)

describe("primary_only", function()
  it("sends all to the primary", function()
    expect(policy "primary_only"):sends("select 1"):to("primary")
    expect(policy "primary_only"):sends(WRITE):to("primary")
  end)
end)

describe("maintenance", function()
  it("refuses writes, and lets reads and sessions go on", function()
    local shut = expect(policy "maintenance")
    shut:rejects(WRITE, "25006", "in maintenance"):by("writes wait")
    shut:rejects("select my_function()", "25006")
    shut:rejects("create table x ()", "25006")
    shut:sends("select 1"):to_one_of { "replica-1", "replica-2" }:by("reads go on")
    for _, sql in ipairs { "begin", "set x.y = 1", "commit", "fetch 1 from c" } do
      shut:sends(sql):to("primary"):by("sessions go on")
    end
    local in_block = expect(policy "maintenance"):as { in_transaction = true }
    in_block:sends("select 1"):to("primary"):by("all else")
    in_block:rejects(WRITE, "25006"):by("writes wait")
  end)

  it("has a message of one's own, and users who may write", function()
    local shut = policy "maintenance" { message = "back at seven", sqlstate = "57P03", except = { "migration" } }
    expect(shut):rejects(WRITE, "57P03", "back at seven")
    expect(shut):as { user = "migration" }:sends(WRITE):to("primary"):by("those who may write")
  end)
end)
