-- What is counted of statements and endpoints, where it is told, and that policies can go by it.

local classify = require "moongate".classify
local cluster = require "tests.support.cluster"
local router = require "tests.support.router"
local throwaway = require "moongate.throwaway"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

local QUICK = "health = { interval = 0.1, timeout = 5, fall = 2, rise = 1 },"
local TO_PRIMARY = [[function(cluster)
  local all = cluster:route { to = "primary" }
  return function() return all end
end]]

-- What /statements has of this one; without calls: nothing.
local function of(moongate, sql)
  local fingerprint = classify(sql).fingerprint
  for _, one in ipairs(moongate:ask("/statements?limit=500").clusters[1].statements) do
    if one.fingerprint == fingerprint then return one end
  end
  return { calls = 0, errors = 0, rows = 0, endpoints = {} }
end

local function has(expected, one)
  for key, value in pairs(expected) do assert.equal(value, one[key], key) end
end

describe("statistics", function()
  local pg, moongate, client, primary

  setup(function()
    pg = cluster.shared()
    primary = "127.0.0.1:" .. pg.primary.port
    pg.primary:psql "drop table if exists counted; create table counted as select generate_series(1, 7) as n"
    pg:wait_for_replay()
    moongate = router.start { pg = pg, admin = true,
      text = router.script(pg, { policy = TO_PRIMARY, extra = QUICK }) }
    wait.until_true("it to be ready", function() return moongate:http "/ready" == 200 end)
  end)
  teardown(function() moongate:stop() end)
  before_each(function() client = wire.open(moongate.port) end)
  after_each(function() client:close() end)

  it("count calls and rows of simple queries, whatever their literals", function()
    client:query "create temporary table more (n int)"
    client:query "insert into more select generate_series(1, 7)"
    client:query "select n from counted where n < 3"
    client:query "select n from counted where n < 5"
    has({ kind = "insert", calls = 1, errors = 0, rows = 7 },
      of(moongate, "insert into more select generate_series(8, 9)"))
    local one = of(moongate, "select n from counted where n < 3")
    has({ kind = "select", calls = 2, errors = 0, rows = 6 }, one)
    has({ calls = 2, rows = 6 }, one.endpoints[primary])
  end)

  it("count errors", function()
    client:query "select n / 0 from counted"
    client:send(wire.extended "select n / 0, 1 from counted" .. wire.sync())
    client:result()
    has({ calls = 1, errors = 1 }, of(moongate, "select n / 0 from counted"))
    has({ calls = 1, errors = 1 }, of(moongate, "select n / 0, 1 from counted"))
  end)

  it("measure from sending to the end of the answer", function()
    client:query "select pg_sleep(0.05)"
    client:query "select pg_sleep(0.15)"
    local one = of(moongate, "select pg_sleep(0.05)")
    for _, key in ipairs { "p95", "p99", "max" } do assert.is_true(one[key] > 0.14, key) end
    assert.is_true(one.p50 >= 0.045 and one.p50 < one.max)
    assert.is_true(one.mean >= 0.1 and one.mean < one.max)
  end)

  it("count a statement that was prepared once as often as it runs", function()
    local sql = "select n as prepared from counted where n < $1"
    client:send(wire.parse("p", sql) .. wire.describe("S", "p") .. wire.sync())
    client:result()
    assert.equal(0, of(moongate, sql).calls)
    for _ = 1, 3 do
      client:send(wire.bind("", "p", { "3" }) .. wire.execute "" .. wire.sync())
      client:result()
    end
    has({ calls = 3, errors = 0, rows = 6 }, of(moongate, sql))
  end)

  it("tell batches apart that are sent ahead of the answers", function()
    client:send(wire.extended "select pg_sleep(0.3), 'slow'" .. wire.sync()
      .. wire.extended "select n as ahead from counted" .. wire.sync()
      .. wire.extended "select n / 0 as failing from counted" .. wire.sync()
      .. wire.query "select n as last from counted")
    for _ = 1, 4 do client:result() end
    local slow = of(moongate, "select pg_sleep(0.3), 'slow'")
    has({ calls = 1, errors = 0, rows = 1 }, slow)
    local ahead = of(moongate, "select n as ahead from counted")
    has({ calls = 1, errors = 0, rows = 7 }, ahead)
    assert.is_true(ahead.max < slow.max) -- it is not timed from when it was sent, with that
    has({ calls = 1, errors = 1, rows = 0 }, of(moongate, "select n / 0 as failing from counted"))
    has({ calls = 1, errors = 0, rows = 7 }, of(moongate, "select n as last from counted"))
  end)

  it("count a batch in parts once, and its rows together", function()
    local sql = "select n as parts from counted"
    client:send(wire.parse("", sql) .. wire.flush())
    client:send(wire.bind("", "", {}) .. wire.execute "" .. wire.flush())
    client:send(wire.bind("", "", {}) .. wire.execute "" .. wire.sync())
    client:result()
    has({ calls = 1, rows = 14 }, of(moongate, sql))
  end)

  it("count COPY, both ways and by both protocols", function()
    local into = "copy counted from stdin where n > 0"
    client:send(wire.query(into) .. wire.copy_data "21\n22\n" .. wire.copy_done())
    client:result()
    has({ kind = "copy", calls = 1, errors = 0, rows = 2 }, of(moongate, into))
    client:send(wire.parse("", into) .. wire.bind("", "", {}) .. wire.execute "" .. wire.sync())
    client:send(wire.copy_data "23\n" .. wire.copy_done() .. wire.sync())
    client:result()
    has({ calls = 2, rows = 3 }, of(moongate, into))
    client:query "copy (select n from counted where n > 20) to stdout"
    has({ calls = 1, rows = 3 }, of(moongate, "copy (select n from counted where n > 20) to stdout"))
    client:query "delete from counted where n > 20"
    has({ calls = 1, rows = 3 }, of(moongate, "delete from counted where n > 20"))
  end)

  it("count COMMIT where a server sees it, and nothing that is answered here", function()
    local before = of(moongate, "commit").calls
    client:query "begin"
    client:query "commit"
    client:send(wire.sync())
    client:result()
    has({ calls = before }, of(moongate, "commit"))
    has({ calls = 0 }, of(moongate, "begin"))
    client:query "begin"
    client:query "select n as within from counted"
    client:query "commit"
    has({ calls = before + 1 }, of(moongate, "commit"))
    has({ calls = 1 }, of(moongate, "select n as within from counted"))
  end)

  it("list first what took most time, as many as are asked for, without a text", function()
    client:query "select pg_sleep(0.1), 's3cret'"
    local status, body = moongate:http "/statements?limit=2"
    assert.equal(200, status)
    assert.not_matches("s3cret", body)
    local all = moongate:ask("/statements").clusters[1]
    assert.equal("*", all.cluster)
    for i = 2, #all.statements do assert.is_true(all.statements[i - 1].total >= all.statements[i].total) end
    assert.equal(2, #moongate:ask("/statements?limit=2").clusters[1].statements)
    assert.same({}, moongate:ask("/statements?cluster=none").clusters)
    local answer, refused = moongate:ask "/statements?limit=all"
    assert.equal(400, refused)
    assert.matches("limit must be a number", answer.error)
  end)

  it("are in /metrics: by endpoint, and of what took most time", function()
    client:query "select pg_sleep(0.2), 1, 2"
    for _ = 1, 5 do client:query "select n / 0 from counted" end
    local text = select(2, moongate:http "/metrics")
    local labels = ('{cluster="*",endpoint="%s"'):format(primary)
    local function sample(name)
      local _, last = text:find("\nmoongate_" .. name .. " ", 1, true)
      return last and tonumber(text:match("^%S+", last + 1))
    end
    assert.is_true(sample("query_duration_seconds_count" .. labels .. "}") > 5)
    assert.is_true(sample("query_duration_seconds_sum" .. labels .. "}") >= 0.2)
    assert.is_true(sample("query_duration_seconds" .. labels .. ',quantile="0.99"}') >= 0.1)
    assert.is_true(sample("query_errors_total" .. labels .. "}") >= 1)
    assert.is_true(sample("query_rows_total" .. labels .. "}") >= 1)
    local statement = ('{cluster="*",fingerprint="%s"}'):format(classify("select pg_sleep(0.2), 1, 2").fingerprint)
    assert.equal(1, sample("statement_calls_total" .. statement))
    assert.equal(0, sample("statement_errors_total" .. statement))
    assert.equal(1, sample("statement_rows_total" .. statement))
    assert.is_true(sample("statement_seconds_total" .. statement) >= 0.2)
  end)

  it("survive a reload that gives the endpoints other places", function()
    client:query "select n as reloaded from counted"
    local nodes = { primary = pg.primary, replicas = { pg.replicas[2] } }
    moongate:reload(router.script(nodes, { policy = TO_PRIMARY, extra = QUICK }))
    has({ calls = 1 }, of(moongate, "select n as reloaded from counted"))
    client:query "select n as reloaded from counted"
    local one = of(moongate, "select n as reloaded from counted")
    has({ calls = 2, rows = 14 }, one)
    has({ calls = 2, rows = 14 }, one.endpoints[primary])
  end)
end)

describe("a policy", function()
  local pg, moongate, client

  setup(function() pg = cluster.shared() end)

  local function start(policy)
    moongate = router.start { pg = pg, admin = true, text = router.script(pg, { policy = policy, extra = QUICK }) }
    wait.until_true("it to be ready", function() return moongate:ask("/health").status == "healthy" end)
    client = wire.open(moongate.port)
  end
  after_each(function()
    client:quit()
    moongate:stop()
  end)

  it("can send elsewhere what is slow, by query.stats.mean", function()
    start [[function(cluster)
      local replica = cluster.replicas[1]
      return function(query)
        local s = query.stats
        if s.calls > 0 and s.mean > 0.25 then return replica end
        return cluster.primary
      end
    end]]
    local slow = "select current_setting('port'), pg_sleep(0.3)"
    assert.equal(pg.primary.port, tonumber(client:value(slow)))
    assert.equal(pg.replicas[1].port, tonumber(client:value(slow)))
    assert.equal(pg.primary.port, client:served_by())
    assert.equal(pg.primary.port, client:served_by())
    local one = of(moongate, slow)
    has({ calls = 2, rows = 2 }, one)
    has({ calls = 1 }, one.endpoints["127.0.0.1:" .. pg.primary.port])
    has({ calls = 1 }, one.endpoints["127.0.0.1:" .. pg.replicas[1].port])
  end)

  it("reads all that is known, of the statement, there and of the endpoint", function()
    start [[function(cluster)
      local moongate = require "moongate"
      local counts, times = { "calls", "errors", "rows" }, { "mean", "p50", "p95", "p99", "max" }
      local function told(s)
        local list = {}
        for i, field in ipairs(counts) do list[i] = ("%s=%d"):format(field, s[field]) end
        for _, field in ipairs(times) do
          local seconds = s[field] -- of pg_sleep(0.2), on a machine that may be slow
          list[#list + 1] = ("%s=%s"):format(field, seconds >= 0.19 and seconds < 10 and "some" or seconds)
        end
        return table.concat(list, " ")
      end
      local kept
      return function(query)
        if query.session.application_name ~= "asker" then return cluster.primary end
        local there, elsewhere = query.stats:on(cluster.primary), query.stats:on(cluster.replicas[1])
        assert(there == elsewhere and query.stats == query.stats)
        local a, b = told(query.stats), told(query.stats:on(cluster.replicas[1]))
        local c, d = told(query.stats:on(cluster.primary)), cluster.primary.stats.calls
        assert(cluster.primary.stats == cluster.primary.stats)
        local ok, wrong = pcall(function() return query.stats.median end)
        local also, typed = pcall(query.stats.on, query.stats, "db1")
        return moongate.reject(table.concat({ a, b, c, d, wrong, typed }, "\n"):sub(1, 250))
      end
    end]]
    local asker = wire.open(moongate.port, { user = "postgres", database = "postgres", application_name = "asker" })
    local function ask() return asker:query("select pg_sleep(0.2)").error.M end
    local none = "calls=0 errors=0 rows=0 mean=0.0 p50=0.0 p95=0.0 p99=0.0 max=0.0"
    assert.equal(none .. "\n" .. none .. "\n" .. none .. "\n0\n", ask():sub(1, 3 * #none + 5))
    client:query "select pg_sleep(0.2)"
    local some = "calls=1 errors=0 rows=1 mean=some p50=some p95=some p99=some max=some"
    assert.equal(some .. "\n" .. none .. "\n" .. some .. "\n1\n", ask():sub(1, 2 * #some + #none + 5))
    asker:quit()
  end)
end)

describe("a statement that is run again", function()
  local pg, replica, moongate, client

  setup(function()
    pg = throwaway.start { replicas = 1 }
    replica = pg.replicas[1]
    moongate = router.start { pg = pg, admin = true, text = router.script(pg, { extra = QUICK }) }
    wait.until_true("it to be ready", function() return moongate:ask("/health").status == "healthy" end)
  end)
  teardown(function()
    moongate:stop()
    pg:stop()
  end)
  before_each(function()
    client = wire.open(moongate.port)
    client:query "delete from pg_class where false" -- from now on the primary is known
    wait.until_true("reads to go to the replica", function() return client:served_by() == replica.port end)
  end)
  after_each(function() client:close() end)

  local function terminate(node, text)
    wait.until_true("it to run, and end", function()
      return node:psql(([[select count(pg_terminate_backend(pid)) from pg_stat_activity
        where state = 'active' and query like '%%%s%%' and pid <> pg_backend_pid()]]):format(text)) ~= "0"
    end)
  end

  it("counts once, where it was answered", function()
    local sql = "select pg_sleep(case current_setting('port') when '%d' then 20 else 0 end) as lost"
    sql = sql:format(replica.port)
    client:send(wire.query(sql))
    terminate(replica, "as lost")
    assert.is_nil(client:result().error)
    local one = of(moongate, sql)
    has({ calls = 1, errors = 0, rows = 1 }, one)
    assert.is_true(one.max < 10)
    assert.is_nil(one.endpoints["127.0.0.1:" .. replica.port])
    has({ calls = 1 }, one.endpoints["127.0.0.1:" .. pg.primary.port])
  end)

  it("counts as an error where its server was lost for good", function()
    local sql = "select pg_sleep(20), pg_backend_pid() as gone"
    client:query "begin"
    client:send(wire.query(sql) .. wire.query "select 1 as never")
    terminate(pg.primary, "as gone")
    assert.truthy(client:result().error)
    wait.until_true("it to be counted", function() return of(moongate, sql).calls == 1 end)
    has({ calls = 1, errors = 1, rows = 0 }, of(moongate, sql))
    has({ calls = 1, errors = 1 }, of(moongate, sql).endpoints["127.0.0.1:" .. pg.primary.port])
  end)
end)
