-- Quick reads of several tasks, which go to one server together when they wait for it; and frequent
-- statements, which are prepared.

local moongate = require "moongate"
local shared = require "tests.support.cluster"
local wait = require "tests.support.wait"

describe("quick reads of many tasks", function()
  local pg, cluster, watcher

  setup(function()
    pg = shared.shared()
    watcher = moongate.cluster { primary = pg.primary.url }
  end)
  teardown(function() watcher:close() end)
  before_each(function()
    cluster = moongate.cluster { primary = pg.primary.url, pool = { size = 1, acquire_timeout = 10 } }
    cluster:health()
  end)
  after_each(function() cluster:close() end)

  local COUNT = "select count(*) as n, $1::int8 as asked from generate_series(1, $1::int8)"
  local LONG = 10000000000 -- as many rows as nobody waits for

  -- Many know it to be quick.
  local function learn(sql, ...)
    for _ = 1, 10 do assert(cluster:query(sql, ...)) end
  end

  local function acquired() return cluster:pool("write"):stats().acquired end

  local AT_WORK <const> = "state = 'active' and query like 'select count(*) as n, $1::int8 as asked%'"

  local function long_running()
    return watcher:value("select count(*) from pg_stat_activity where " .. AT_WORK) > 0
  end

  -- Ends the server of one that is at work.
  local function cut_off()
    wait.until_true("one to run that is cut off", function()
      moongate.sleep(0.001)
      return watcher:value([[select count(pg_terminate_backend(pid)) from pg_stat_activity
        where query_start < clock_timestamp() - interval '20 ms' and ]] .. AT_WORK) > 0
    end)
  end

  -- Runs fn(i) in so many tasks, and returns what each returned: { rows, message, code }.
  local function side_by_side(count, fn)
    local results = {}
    moongate.run(function()
      for i = 1, count do
        moongate.spawn(function()
          local rows, message, code = fn(i)
          results[i] = { rows and rows[1], message, code }
        end)
      end
    end)
    return results
  end

  it("go together, and each gets its own answer", function()
    wait.until_true("many to know it to be quick", function()
      learn(COUNT, 1)
      local before = acquired()
      side_by_side(8, function() return cluster:query(COUNT, 1) end)
      return acquired() - before <= 4
    end)
    local before = acquired()
    local results = side_by_side(50, function(i)
      for n = 1, 4 do assert.same({ { n = 10 * i + n, asked = 10 * i + n } }, cluster:query(COUNT, 10 * i + n)) end
      return cluster:query(COUNT, i)
    end)
    for i = 1, 50 do assert.same({ { n = i, asked = i } }, results[i]) end
    local trips = acquired() - before
    assert.is_true(trips < 200, trips .. " trips for 250 queries")
    assert.equal(0, cluster:pool("write"):stats().lent)
  end)

  it("have all of their rows on a server from which rows came one by one", function()
    local sql = "select n from generate_series(1, $1::int) as n"
    learn(sql, 3)
    local before = acquired()
    local results = {}
    moongate.run(function()
      local rows = cluster:rows "select generate_series(1, 10)"
      rows()
      for i = 1, 4 do
        moongate.spawn(function() results[i] = cluster:query(sql, 2) end)
      end
      moongate.sleep(0) -- they wait for the server
      while rows() do end
    end)
    for i = 1, 4 do assert.same({ { n = 1 }, { n = 2 } }, results[i]) end
    assert.is_true(acquired() - before < 4, "none went together")
  end)

  it("fail alone", function()
    local sql = "select 100 / $1::int as n"
    learn(sql, 1)
    local results = side_by_side(24, function(i) return cluster:query(sql, i % 3) end)
    for i = 1, 24 do
      local expected = i % 3 > 0 and { { n = 100 // (i % 3) } } or { nil, "division by zero", "22012" }
      assert.same(expected, results[i])
    end
    assert.same({ { n = 1 } }, (cluster:query "select 1 as n"))
  end)

  it("are not mixed with writes, and keep their order", function()
    pg.primary:psql "drop table if exists lua_convoy; create table lua_convoy (n int)"
    local sql = "select coalesce(max(n), 0) as n from lua_convoy where n >= $1::int"
    learn(sql, 0)
    local results = side_by_side(20, function(i)
      if i == 10 then return cluster:query "insert into lua_convoy values (1) returning n" end
      return cluster:query(sql, 0)
    end)
    for i = 1, 20 do assert.same({ { n = i < 10 and 0 or 1 } }, results[i]) end
  end)

  it("end for all when one is given up, and the others begin anew", function()
    learn(COUNT, 1)
    local answered = {}
    moongate.run(function()
      local tasks = {}
      for i = 1, 8 do
        tasks[i] = moongate.spawn(function()
          answered[i] = cluster:value(COUNT, i == 3 and LONG or i)
        end)
      end
      wait.until_true("the third to run", function()
        moongate.sleep(0.01)
        return long_running()
      end)
      tasks[3]:cancel()
    end)
    assert.same({ 1, 2, nil, 4, 5, 6, 7, 8 }, answered)
    wait.until_true("PostgreSQL to have stopped it", function() return not long_running() end)
  end)

  it("begin anew when their server is lost", function()
    learn(COUNT, 1)
    local results = side_by_side(9, function(i)
      if i < 9 then return cluster:query(COUNT, i == 3 and 4000000 or i) end
      cut_off()
      return {}
    end)
    for i = 1, 8 do
      local n = i == 3 and 4000000 or i
      assert.same({ { n = n, asked = n } }, results[i])
    end
    assert.equal(2, cluster:pool("write"):stats().opened)
  end)

  it("take along one that has lost its server when it was alone", function()
    learn(COUNT, 1)
    local over = false
    local results = side_by_side(9, function(i)
      if i == 1 then
        local rows, message = cluster:query(COUNT, 4000000)
        over = true
        return rows, message
      elseif i < 9 then -- they keep the server busy until it is answered
        repeat local rows = cluster:query(COUNT, i) until over or not rows
        return cluster:query(COUNT, i)
      end
      cut_off()
      return {}
    end)
    for i = 1, 8 do
      local n = i == 1 and 4000000 or i
      assert.same({ { n = n, asked = n } }, results[i])
    end
  end)

  it("go alone where only the caller says that they are reads", function()
    pg.primary:psql [[
      create or replace function lua_convoy_read() returns int language plpgsql as
        $$ begin perform set_config('search_path', 'nowhere', true); return 1; end $$]]
    local sql = "select lua_convoy_read() as n"
    for _ = 1, 10 do assert(cluster:query(sql, { intent = "read" })) end
    local before = acquired()
    side_by_side(8, function() return cluster:query(sql, { intent = "read" }) end)
    assert.equal(8, acquired() - before)
  end)

  it("are told when their cluster is closed", function()
    learn(COUNT, 1)
    local results = side_by_side(9, function(i)
      if i < 9 then return cluster:query(COUNT, i == 2 and LONG or i) end
      wait.until_true("the second to run", function()
        moongate.sleep(0.01)
        return long_running()
      end)
      cluster:close()
      return {}
    end)
    assert.same({ { n = 1, asked = 1 } }, results[1])
    for i = 2, 8 do assert.same({ nil, "the cluster was closed", "57P01" }, results[i]) end
    wait.until_true("PostgreSQL to have stopped it", function() return not long_running() end)
  end)

  it("are prepared anew when their columns have changed, or all is forgotten", function()
    pg.primary:psql "drop table if exists lua_shape; create table lua_shape as select 1 as n"
    local sql = "select *, $1::int as asked from lua_shape"
    learn(sql, 0)
    pg.primary:psql "alter table lua_shape add m int default 2"
    local results = side_by_side(20, function(i) return cluster:query(sql, i) end)
    for i = 1, 20 do assert.same({ { n = 1, m = 2, asked = i } }, results[i]) end
    pg.primary:psql "drop table lua_shape"
    results = side_by_side(20, function(i) return cluster:query(sql, i) end)
    for i = 1, 20 do assert.equal("42P01", results[i][3]) end
  end)

  it("go alone as long as nobody knows that they are quick", function()
    local before = acquired()
    side_by_side(4, function(i) return cluster:query(("select %d as n%d where $1"):format(i, i), true) end)
    assert.equal(4, acquired() - before)
  end)
end)

describe("a frequent statement", function()
  local pg

  setup(function() pg = shared.shared() end)

  local function prepared(options)
    options.primary, options.pool = pg.primary.url, { size = 1 }
    local cluster <close> = moongate.cluster(options)
    for i = 1, 8 do assert.same({ { n = i } }, (cluster:query("select $1::int as n", i))) end
    for _ = 1, 8 do assert.same({ { n = 5 } }, (cluster:query "select 5 as n")) end
    for _ = 1, 8 do cluster:query "show port" end
    return cluster:value "select count(*) from pg_prepared_statements"
  end

  it("is prepared when it has run five times, or as often as was said, or never", function()
    assert.equal(2, prepared {})
    assert.equal(2, prepared { prepare_threshold = 7 })
    assert.equal(0, prepared { prepare_threshold = 8 })
    assert.equal(0, prepared { prepare_threshold = 0 })
    assert.error_matches(function() prepared { prepare_threshold = -1 } end, "prepare_threshold must be an integer")
  end)
end)
