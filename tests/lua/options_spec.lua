-- What users are told of options that are wrong: which, why, what would be right, in their own line.

local moongate = require "moongate"

local URL = "postgres://u:s3cret@localhost:1/d"

describe("options", function()
  -- The message of what `fn` raises, without this file's name.
  local function complaint(fn)
    local ok, err = pcall(fn)
    assert.is_false(ok)
    assert.is_nil(err:find("s3cret", 1, true), err)
    local message = err:match("^tests/lua/options_spec%.lua:%d+: (.*)$")
    assert.is_truthy(message, "blames another line: " .. err)
    return message
  end

  local function cluster_complaint(options)
    return complaint(function() return (moongate.cluster(options)) end)
  end

  it("takes Patroni's members instead of a primary, and says what is wrong with them", function()
    local REST <const> = "http://localhost:1"
    local cases = {
      { "url is missing", {} },
      { [[url must be an http:// or https:// URL of Patroni's REST API, such as "http://db1:8008", not a string]],
        { url = "db1:8008" } },
      { "url names no URL", { url = {} } },
      { [[url[2] must be an http:// or https:// URL of Patroni's REST API, such as "http://db1:8008", not 3]],
        { url = { REST, 3 } } },
      { 'unknown option "intervall" (did you mean "interval"?)', { url = REST, intervall = 1 } },
      { "interval must be a number of seconds of at least 0.001, not 0", { url = REST, interval = 0 } },
      { 'unknown option "members.n1.weigth" (did you mean "weight"?)',
        { url = REST, members = { n1 = { weigth = 1 } } } },
    }
    for _, case in ipairs(cases) do
      assert.equal("moongate.patroni: " .. case[1], complaint(function() return (moongate.patroni(case[2])) end))
    end
    local patroni = moongate.patroni { url = REST }
    assert.equal("moongate.cluster: patroni must be a moongate.patroni { url = ... }, not a table",
      cluster_complaint { patroni = { url = REST } })
    assert.equal("moongate.cluster: it takes either patroni, who knows the members, or primary and replicas",
      cluster_complaint { patroni = patroni, primary = URL })
    assert.equal("moongate.cluster: patroni.connect: invalid URL: it names a host or a port, which are found "
      .. "elsewhere; expected postgres://user:password@/database",
      cluster_complaint { patroni = moongate.patroni { url = REST, connect = URL } })
    assert.matches('patroni.url[1] is no URL of Patroni\'s REST API, such as "http://db1:8008": ',
      cluster_complaint { patroni = moongate.patroni { url = "http://db1:99999" } }, 1, true)
    local cluster <close> = moongate.cluster { patroni = moongate.patroni {
      url = REST, connect = "postgres://u:s3cret@/d", members = { n1 = { region = "eu" } } } }
    assert.same({}, cluster.endpoints)
    assert.is_nil(cluster.primary)
    cluster:route { to = { region = "eu" } }
    assert.equal('cluster:route: no endpoint has the region "us"',
      complaint(function() return (cluster:route { to = { region = "us" } }) end))
  end)

  it("names an unknown option and what it was meant to be", function()
    assert.equal('moongate.cluster: unknown option "replica" (did you mean "replicas"?)',
      cluster_complaint { primary = URL, replica = {} })
    assert.equal('moongate.cluster: unknown option "pool.sise" (did you mean "size"?)',
      cluster_complaint { primary = URL, pool = { sise = 1 } })
    assert.equal('moongate.cluster: unknown option "replicas[2].wieght" (did you mean "weight"?)',
      cluster_complaint { primary = URL, replicas = { URL, { url = URL, wieght = 1 } } })
    assert.equal('moongate.cluster: unknown option "health.xyzzy"; there are fall, interval, rise, slow_start, timeout',
      cluster_complaint { primary = URL, health = { xyzzy = 1 } })
    assert.matches('^moongate.cluster: unknown option "1"; there are backoff, breaker, ', cluster_complaint { URL })
  end)

  it("says what is missing", function()
    assert.equal("moongate.cluster: primary is missing", cluster_complaint {})
    assert.equal("moongate.cluster: primary.url is missing", cluster_complaint { primary = {} })
    assert.equal("moongate.cluster: its argument must be a table of options, not nil", cluster_complaint(nil))
  end)

  it("checks every value", function()
    for _, case in ipairs {
      { "primary must be a URL or { url = ... }, not 5", { primary = 5 } },
      { "replicas must be a list of URLs", { primary = URL, replicas = URL } },
      { "with nothing at \"x\"", { primary = URL, replicas = { x = URL } } },
      { "replicas[1].weight must be a number of at least 0, not -1",
        { primary = URL, replicas = { { url = URL, weight = -1 } } } },
      { "primary.weight must be a number of at least 0", { primary = { url = URL, weight = 0 / 0 } } },
      { "pool.size must be an integer from 1 to 100000, not 0", { primary = URL, pool = { size = 0 } } },
      { "pool.size must be an integer from 1 to 100000, not 1.5", { primary = URL, pool = { size = 1.5 } } },
      { "pool.acquire_timeout must be a number of seconds", { primary = URL, pool = { acquire_timeout = "5" } } },
      { 'pool.mode must be one of "transaction", "session", "statement", not "sesion" (did you mean "session"?)',
        { primary = URL, pool = { mode = "sesion" } } },
      { "pool.reserve must be an integer from 0 to 100000, not -1", { primary = URL, pool = { reserve = -1 } } },
      { "pool.reserve_after must be a number of seconds", { primary = URL, pool = { reserve_after = -1 } } },
      { "pool.reserve_after (5 s) must be less than pool.acquire_timeout (5 s), or the reserve is never used",
        { primary = URL, pool = { reserve = 1, reserve_after = 5 } } },
      { "pool.min_idle must be an integer", { primary = URL, pool = { min_idle = true } } },
      { "pool.min_idle (11) is more than pool.size (10)", { primary = URL, pool = { min_idle = 11 } } },
      { "pool.max_per_database must be an integer", { primary = URL, pool = { max_per_database = 0.5 } } },
      { "pool.max_per_user must be an integer", { primary = URL, pool = { max_per_user = "1" } } },
      { "pool.max_per_endpoint must be an integer", { primary = URL, pool = { max_per_endpoint = -1 } } },
      { "pool.max_lifetime must be a number of seconds", { primary = URL, pool = { server_lifetime = -1 } } },
      { "pool has both max_lifetime and its other name: set one of them",
        { primary = URL, pool = { max_lifetime = 1, server_lifetime = 1 } } },
      { "pool.lifetime_jitter must be a number from 0 to 1, not 2", { primary = URL, pool = { lifetime_jitter = 2 } } },
      { "pool.notice_after must be a number of seconds", { primary = URL, pool = { notice_after = "5" } } },
      { "pool.prepared_statements must be an integer from 0", { primary = URL, pool = { prepared_statements = -1 } } },
      { "timeouts must be a table of options, not 5", { primary = URL, timeouts = 5 } },
      { "timeouts.query_timeout must be a number of seconds", { primary = URL, timeouts = { query_timeout = -1 } } },
      { "timeouts.transaction_timeout must be a", { primary = URL, timeouts = { transaction_timeout = "x" } } },
      { "timeouts.idle_transaction_timeout must be a", { primary = URL, timeouts = { idle_transaction = "x" } } },
      { "timeouts.client_idle_timeout must be a", { primary = URL, timeouts = { client_idle_timeout = math.huge } } },
      { "unknown option \"timeouts.querytimeout\" (did you mean \"query_timeout\"?)",
        { primary = URL, timeouts = { querytimeout = 1 } } },
      { "users must be a table from names of users to their options, not \"app\"", { primary = URL, users = "app" } },
      { "users's key must be a name, not 1", { primary = URL, users = { "app" } } },
      { "users.app must be a table of options, not 5", { primary = URL, users = { app = 5 } } },
      { "users.app.pool_size must be an integer from 1 to 100000, not 0",
        { primary = URL, users = { app = { pool_size = 0 } } } },
      { "unknown option \"databases.app.size\"", { primary = URL, databases = { app = { size = 1 } } } },
      { "catalog_age must be a number of seconds of at least 0, not -1", { primary = URL, catalog_age = -1 } },
      { "unknown option \"functions.reads\" (did you mean \"read\"?)",
        { primary = URL, functions = { reads = { "f" } } } },
      { "functions.read must be a list of functions' names, not \"f\"",
        { primary = URL, functions = { read = "f" } } },
      { "functions.write[2] must be a name, not 5", { primary = URL, functions = { write = { "f", 5 } } } },
      { "functions has \"app.f\" both in read and in write",
        { primary = URL, functions = { read = { "app.f" }, write = { "g", "app.f" } } } },
      { "databases.app.pool_mode must be one of", { primary = URL, databases = { app = { pool_mode = 1 } } } },
      { "databases.app.query_timeout must be a", { primary = URL, databases = { app = { query_timeout = "1" } } } },
      { "health.interval must be a number of seconds", { primary = URL, health = { interval = 0 } } },
      { "health.fall must be an integer", { primary = URL, health = { fall = math.huge } } },
      { "health.slow_start must be a number of seconds", { primary = URL, health = { slow_start = -1 } } },
      { "breaker.failures must be an integer from 0", { primary = URL, breaker = { failures = -1 } } },
      { "breaker.window must be a number of seconds of at least 0.001", { primary = URL, breaker = { window = 0 } } },
      { "breaker.ratio must be a number from 0 to 1", { primary = URL, breaker = { ratio = 2 } } },
      { "breaker.pause must be a number of seconds", { primary = URL, breaker = { pause = "5" } } },
      { "breaker.trials must be an integer from 1", { primary = URL, breaker = { trials = 0 } } },
      { 'unknown option "breaker.pauze" (did you mean "pause"?)', { primary = URL, breaker = { pauze = 1 } } },
      { "backoff.factor must be a number of at least 1", { primary = URL, backoff = { factor = 0.5 } } },
      { "hold_limit.queries must be an integer from 1 to 10000000",
        { primary = URL, hold_limit = { queries = 0 } } },
      { "backoff.jitter must be a number from 0 to 1", { primary = URL, backoff = { jitter = 2 } } },
      { "policy must be a function(cluster)", { primary = URL, policy = "read_write_split" } },
      { "null must be \"nil\"", { primary = URL, null = false } },
    } do
      local message = cluster_complaint(case[2])
      assert.is_truthy(message:find("moongate.cluster: ", 1, true) and message:find(case[1], 1, true),
        message .. " for " .. case[1])
    end
  end)

  it("refuses every count that is none, and says which it was and what it may be", function()
    local function within(block)
      return function(name, value) moongate.cluster { primary = URL, [block] = { [name] = value } } end
    end
    local function of(make, options)
      return function(name, value)
        options[name] = value
        make(options)
      end
    end
    local users = of(function(options) moongate.cluster { primary = URL, users = { app = options } } end, {})
    local cluster <close> = moongate.cluster { primary = URL }
    local counts = {
      { within "pool", 0, 100000, "reserve", "min_idle", "max_per_database", "max_per_user", "max_per_endpoint",
        "prepared_statements" },
      { within "pool", 1, 100000, "size" },
      { users, 1, 100000, "pool_size" },
      { within "health", 1, 1000, "fall", "rise" },
      { within "backoff", 0, 1000000, "attempts" },
      { within "hold_limit", 1, 10000000, "queries" },
      { within "hold_limit", 1, 1 << 40, "bytes" },
      { within "breaker", 0, 1000000, "failures" },
      { within "breaker", 1, 1000, "trials" },
      { of(moongate.cluster, { primary = URL }), 0, 1000000, "prepare_threshold" },
      { of(moongate.pool, { url = URL }), 1, 100000, "size" },
      { of(moongate.pool, { url = URL }), 0, 100000, "min_idle" },
      { of(moongate.pool, { url = URL }), 0, 100000, "reserve" },
      { of(moongate.health, { primary = URL }), 1, 1000, "fall" },
      { of(moongate.health, { primary = URL }), 1, 1000, "rise" },
      { of(moongate.backoff, {}), 0, 1000000, "attempts" },
      { function(_, value) cluster:transaction(print, { retries = value }) end, 0, 1000000, "retries" },
    }
    for _, count in ipairs(counts) do
      for _, name in ipairs(table.move(count, 4, #count, 1, {})) do
        for _, value in ipairs { -1, 0.5, count[3] + 1, math.maxinteger, math.huge, 0 / 0, -0.5 } do
          local ok, why = pcall(count[1], name, value)
          local says = ("%s must be an integer from %d to %d, not %s"):format(name, count[2], count[3], tostring(value))
          assert.is_false(ok, name)
          assert.is_truthy(why:find(says, 1, true), why .. " does not say: " .. says)
        end
      end
    end
  end)

  it("accepts what there is", function()
    moongate.cluster({
      primary = URL,
      pool = {
        mode = "session", size = 5, reserve = 2, reserve_after = 1, min_idle = 5, max_per_database = 0,
        max_per_user = 1, max_per_endpoint = 3, acquire_timeout = 5, connect_timeout = 1, idle_timeout = 0,
        server_lifetime = 60, lifetime_jitter = 1, notice_after = 0, prepared_statements = 0,
      },
      timeouts = {
        query_timeout = 1, transaction_timeout = 1.5, idle_transaction_timeout = 0, client_idle_timeout = 3600,
      },
      users = { ["any name"] = { pool_mode = "statement", pool_size = 1, query_timeout = 0 }, b = {} },
      databases = { app = { transaction_timeout = 1, idle_transaction_timeout = 1, client_idle_timeout = 1 } },
    }):close()
  end)

  it("refuses a URL without repeating it", function()
    local message = cluster_complaint { primary = "postgres://u:s3cret@host/d?sslmod=require" }
    assert.is_truthy(message:find("^moongate%.cluster: primary"), message)
  end)

  it("takes a policy that is a table which can be called", function()
    local called = setmetatable({}, { __call = function() return function() end end })
    moongate.cluster({ primary = URL, policy = called }):close()
    local why = cluster_complaint { primary = URL, policy = {} }
    assert.is_truthy(why:find("policy must be a function(cluster)", 1, true))
  end)

  it("wants a policy that returns a function", function()
    assert.has_error(function() moongate.cluster { primary = URL, policy = function() return 5 end } end)
  end)

  describe("of routes", function()
    local cluster

    setup(function()
      cluster = moongate.cluster {
        primary = { url = URL, name = "main", region = "eu" },
        replicas = { { url = "postgres://localhost:2", region = "us" } },
      }
    end)
    teardown(function() cluster:close() end)

    local function route_complaint(options)
      return (complaint(function() return (cluster:route(options)) end):gsub("^cluster:route: ", ""))
    end

    it("accepts what there is", function()
      for _, options in ipairs {
        { to = "primary", hold = 30, name = "writes" },
        { to = "replicas", balance = "weighted", consistency = "eventual", fallback = "primary" },
        { to = "any", balance = "round_robin", consistency = "bounded", max_staleness = 0.5 },
        { to = "main", balance = "least_in_flight", consistency = "read_your_writes", scope = "session" },
        { to = { "main", "localhost:2" }, balance = "latency", consistency = "strong", max_lag = 1 },
        { to = { region = "us" }, prefer = "eu" },
        { to = "replicas", consistency = "session", scope = "user", wait_fresh = 5 },
        { to = "replicas", scope = "table" }, { to = "replicas", scope = "cluster" },
        { to = "replicas", scope = "key" },
      } do
        assert.is_truthy(cluster:route(options))
      end
    end)

    it("says which levels and scopes there are", function()
      assert.is_truthy(route_complaint { to = "replicas", scope = "users" }
        :find('"session", "user", "table", "cluster", "key", not "users"', 1, true))
      assert.is_truthy(route_complaint { to = "replicas", consistency = "sesion" }
        :find('"session", "strong", not "sesion"', 1, true))
      assert.equal("wait_fresh must be a number of milliseconds from 0 to 60000, not -1",
        route_complaint { to = "replicas", wait_fresh = -1 })
    end)

    it("refuses what does not exist", function()
      assert.equal('no endpoint is called "x"; there are: main, localhost:2', route_complaint { to = "x" })
      assert.equal('no endpoint has the region "mars"', route_complaint { to = { region = "mars" } })
      assert.equal('no endpoint has the region "mars"', route_complaint { to = "any", prefer = "mars" })
      assert.equal("to names no endpoint", route_complaint { to = {} })
      assert.equal('no endpoint is called "x"; there are: main, localhost:2',
        route_complaint { to = "any", weights = { main = 1, x = 2 } })
      assert.equal("weights must be a table from endpoints' names to their weights, not 5",
        route_complaint { to = "any", weights = 5 })
      assert.equal('weights["main"] must be a number of at least 0, not -1',
        route_complaint { to = "any", weights = { main = -1 } })
      assert.equal("weights's key must be a name, not 1", route_complaint { to = "any", weights = { 1 } })
      assert.equal("to is missing", route_complaint {})
      assert.is_truthy(route_complaint { to = "any", balance = "wieghted" }:find('did you mean "weighted"?', 1, true))
      assert.equal('fallback must be "primary", not "replicas" (did you mean "primary"?)',
        route_complaint { to = "any", fallback = "replicas" }:gsub("replicas\"$", "%0 (did you mean \"primary\"?)"))
    end)

    it("keeps max_staleness and bounded together", function()
      assert.equal('consistency = "bounded" needs max_staleness, in seconds',
        route_complaint { to = "any", consistency = "bounded" })
      assert.equal('max_staleness needs consistency = "bounded"', route_complaint { to = "any", max_staleness = 1 })
    end)
  end)

  describe("of routers", function()
    local cluster

    setup(function() cluster = moongate.cluster { primary = URL } end)
    teardown(function() cluster:close() end)

    local function router_complaint(options)
      -- A tail call: the line is that of the `return`, which has no frame of its own in Lua.
      local message = complaint(function() return moongate.router(options) end)
      return (message:gsub("^moongate%.router: ", ""))
    end

    it("takes addresses that one can listen on", function()
      for _, address in ipairs { "127.0.0.1:6432", "[::1]:0", "localhost:65535", "*:1" } do
        assert.is_truthy(moongate.router { listen = address, cluster = cluster })
      end
      for _, address in ipairs { "6432", "localhost", ":1", "a b:1", "::1:5432", "a:65536", "a:999999999999" } do
        assert.is_truthy(router_complaint { listen = address, cluster = cluster }:find("^listen must be an address"))
      end
    end)

    it("takes one cluster, or one for each database", function()
      assert.equal("it takes either cluster = ... or clusters = { database = ... }",
        router_complaint { listen = "a:1" })
      assert.is_truthy(router_complaint { listen = "a:1", cluster = {} }:find("not a table", 1, true))
      assert.is_truthy(router_complaint { listen = "a:1", clusters = {} }:find("^clusters must be a table"))
      assert.is_truthy(router_complaint { listen = "a:1", clusters = { a = cluster, b = cluster } }
        :find('the same cluster for "a" and "b"', 1, true))
    end)

    it("takes no closed cluster", function()
      local closed = moongate.cluster { primary = URL }
      closed:close()
      assert.is_truthy(router_complaint { listen = "a:1", cluster = closed }:find("not closed", 1, true))
    end)
  end)
end)

describe("moongate.backoff", function()
  it("doubles from 2 s to 32 s, and is spent after 5 failures", function()
    local backoff, delays = moongate.backoff { jitter = 0 }, {}
    assert.equal(0, backoff:delay())
    for delay in backoff:delays() do delays[#delays + 1] = delay end
    assert.same({ 2, 4, 8, 16, 32 }, delays)
    assert.is_true(backoff.spent)
    backoff:succeed()
    assert.equal(0, backoff.failures)
    assert.is_false(backoff.spent)
    assert.equal(2, backoff:fail())
  end)

  it("takes its numbers from its options, and its jitter from chance", function()
    local backoff = moongate.backoff { initial = 1, factor = 3, max = 5, attempts = 2, jitter = 0.5 }
    local first = backoff:fail()
    assert.is_true(first >= 0.5 and first <= 1.5)
    assert.is_true(backoff:fail() <= 5 * 1.5)
    assert.is_true(backoff.spent)
  end)

  it("refuses what is out of range", function()
    assert.has_error(function() moongate.backoff { factor = 0 } end)
    assert.has_error(function() moongate.backoff { attempt = 1 } end)
    assert.has_error(function() return moongate.backoff().failure end)
  end)
end)

describe("moongate.classify", function()
  it("tells what a statement is", function()
    local facts = moongate.classify "select lower(name) from public.users where id = 5"
    assert.equal("read", facts.intent)
    assert.equal("select", facts.kind)
    assert.same({ "public.users" }, facts.tables)
    assert.same({ "lower" }, facts.functions)
    assert.same({}, facts.pins)
    assert.equal(1, facts.statements)
    assert.is_nil(facts.reason)
    assert.equal(facts.fingerprint,
      moongate.classify("select lower(name) from public.users where id = 6").fingerprint)
  end)

  it("says why a statement is a write", function()
    local facts = moongate.classify "create temp table t (i int)"
    assert.equal("write", facts.intent)
    assert.same({ "temporary_table" }, facts.pins)
    assert.is_string(facts.reason)
  end)

  it("names the settings that a statement changes", function()
    local facts = moongate.classify "set search_path = app; reset time zone; set local a.b = 1"
    assert.same({ "search_path", "timezone" }, facts.settings)
    assert.same({}, facts.pins)
    assert.same({}, moongate.classify("select 1").settings)
  end)
end)

describe("moongate.reject", function()
  it("wants a SQLSTATE of an error", function()
    assert.is_truthy(moongate.reject("no"))
    assert.is_truthy(moongate.reject("no", "0A000"))
    for _, code in ipairs { "", "4250", "425011", "42 01", "00000", "01000" } do
      assert.has_error(function() moongate.reject("no", code) end)
    end
  end)
end)
