-- endpoint.stats and query.stats of the embedded module, against real PostgreSQL.

local moongate = require "moongate"
local shared = require "tests.support.cluster"

describe("statistics of the module", function()
  local pg, cluster, seen, watched

  -- Notes what is known of `watched` when the policy is asked about it.
  local function policy(c)
    return function(query)
      if query.sql == watched then
        seen = { calls = query.stats.calls, errors = query.stats.errors, rows = query.stats.rows,
          mean = query.stats.mean, there = query.stats:on(c.primary).calls }
      end
      return c.primary
    end
  end

  setup(function()
    pg = shared.shared()
    cluster = moongate.cluster { primary = pg.primary.url, replicas = { pg.replicas[1].url }, policy = policy }
    assert.equal("healthy", cluster:health().status)
  end)
  teardown(function() cluster:close() end)

  local function known(sql)
    watched, seen = sql, nil
    cluster:verdict(sql)
    return seen
  end

  it("know nothing at first", function()
    assert.same({ calls = 0, errors = 0, rows = 0, mean = 0.0, there = 0 }, known "select 'nothing'")
    assert.equal(0, cluster.replicas[1].stats.calls)
    assert.equal(0, cluster.replicas[1].stats.p99)
  end)

  it("count cluster:query(), its rows, errors and time", function()
    local before = cluster.primary.stats.calls
    assert(cluster:query("select pg_sleep(0.05), n from generate_series(1, $1::int) n", 3))
    assert.is_nil(cluster:query("select 1 / $1::int", 0))
    assert(cluster:query("select 1 / $1::int", 1))
    local slow = known "select pg_sleep(0.05), n from generate_series(1, $1::int) n"
    assert.equal(1, slow.calls)
    assert.equal(3, slow.rows)
    assert.equal(1, slow.there)
    assert.is_true(slow.mean >= 0.15)
    local failing = known "select 1 / $1::int"
    assert.equal(2, failing.calls)
    assert.equal(1, failing.errors)
    assert.equal(before + 3, cluster.primary.stats.calls)
    assert.is_true(cluster.primary.stats.max >= 0.15)
  end)

  it("count what transactions and borrowed connections send", function()
    assert(cluster:transaction(function(tx) return tx:query "select 'in a transaction'" end))
    assert.equal(1, known("select 'in a transaction'").calls)
    assert.is_true(known("commit").calls >= 1)
  end)

  it("are read-only, and say what they have", function()
    local stats = cluster.primary.stats
    assert.equal(stats, cluster.primary.stats)
    assert.error_matches(function() stats.calls = 1 end, "stats are read%-only")
    assert.error_matches(function() return stats.median end,
      'stats has no field "median"; it has calls, errors, rows, mean, p50, p95, p99, max, on')
    assert.error_matches(function() return stats:on(cluster.primary) end, "query%.stats expected")
  end)

  it("of a query are gone with its call, those of an endpoint with its cluster", function()
    local kept, there, foreign
    local c = moongate.cluster { primary = pg.primary.url, policy = function(own)
      return function(query)
        kept, there = query.stats, query.stats:on(own.primary)
        foreign = select(2, pcall(kept.on, kept, cluster.primary))
      end
    end }
    local stats = c.primary.stats
    c:verdict "select 1"
    assert.matches("an endpoint of the query's cluster expected", foreign)
    for _, view in ipairs { kept, there } do
      assert.error_matches(function() return view.calls end, "only while the policy is being asked")
    end
    assert.equal(0, stats.calls)
    c:close()
    assert.error_matches(function() return stats.calls end, "the endpoint's cluster is closed")
    assert.error_matches(function() return kept.calls end, "only while the policy is being asked")
    c = nil -- luacheck: ignore
    collectgarbage()
    assert.error_matches(function() return kept.calls end, "only while the policy is being asked")
  end)
end)
