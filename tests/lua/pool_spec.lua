-- moongate.pool { url = ... }, and what the pools of a cluster have in common with it.

local moongate = require "moongate"
local process = require "moongate.process"
local shared = require "tests.support.cluster"
local wait = require "tests.support.wait"

describe("a pool", function()
  local pg, pool

  setup(function() pg = shared.shared() end)
  after_each(function()
    if pool then pool:close() end
    pool = nil
  end)

  local function open(options)
    options.url = options.url or pg.primary.url .. "?application_name=lua_pool"
    pool = moongate.pool(options)
    return pool
  end

  -- How many backends it has, by PostgreSQL's account; one is that of its health checks.
  local function backends()
    return tonumber(pg.primary:psql "select count(*) from pg_stat_activity where application_name = 'lua_pool'")
  end

  local function let_go(connections)
    for _, connection in ipairs(connections) do connection:release() end
  end

  describe("on its own", function()
    it("lends connections with all methods of queries, whatever its endpoint's role", function()
      open { url = pg.replicas[1].url, numeric = "float", null = "nil" }
      local connection <close> = assert(pool:acquire())
      assert.is_true(connection:value "select pg_is_in_recovery()")
      assert.same({ a = 1.5 }, connection:one "select 1.5 as a, null as b")
      assert.same({ { a = 7 } }, connection:query("select $1::int as a", 7))
      assert.equal(3, connection:exec "select generate_series(1, 3)")
      assert.equal(1, connection:assert_query("select 1 as a")[1].a)
      local _, _, code = connection:query "create table never (id int)"
      assert.equal("25006", code)
      pool:release(connection)
      assert.equal(1, pool:stats().idle)
    end)

    it("is of use in a script that has nothing else", function()
      local status, output, errors = process.run { "lua5.4", "-e", ([==[
        local moongate = require "moongate"
        local pool <close> = moongate.pool { url = %q, size = 2 }
        pool:with(function() end) -- what is asked at first, has been
        moongate.sleep(0.3)
        print(pool:with(function(connection)
          return connection:value [[
            select clock_timestamp() - max(state_change) > '0.15 s' from pg_stat_activity
            where application_name = 'lua_alone' and pid <> pg_backend_pid()]]
        end))
      ]==]):format(pg.replicas[1].url .. "?application_name=lua_alone") }
      assert.equal("true\n", output) -- nobody looks for a primary, which would be done often
      assert.equal("", errors)
      assert.equal(0, status)
    end)

    it("refuses options that make no sense, and names those that do", function()
      for message, options in pairs {
        ["moongate.pool: url is missing"] = {},
        ["moongate.pool: unknown option \"sise\" %(did you mean \"size\"%?%)"] = { url = pg.primary.url, sise = 1 },
        ["moongate.pool: size must be an integer from 1 to 100000, not 0"] = { url = pg.primary.url, size = 0 },
        ["moongate.pool: unknown option \"mode\""] = { url = pg.primary.url, mode = "session" },
        ["moongate.pool: endpoint 1: "] = { url = "postgres://host:port:1/x" },
      } do
        assert.error_matches(function() moongate.pool(options) end, "" .. message)
      end
    end)

    it("has mistakes blamed on the line that made them", function()
      open {}
      for _, fn in ipairs {
        function() pool:acquire "soon" end,
        function() pool:with(7) end,
        function() pool:resize(0) end,
        function() moongate.pool {} end,
      } do
        assert.matches("^tests/lua/pool_spec.lua:%d+: ", (select(2, pcall(fn))))
      end
    end)

    it("has no connection to spare for whoever comes late", function()
      open { size = 1, acquire_timeout = 0.05 }
      local held <close> = assert(pool:acquire(5))
      for _, timeout in ipairs { false, 0, 0.02 } do
        local connection, message, code, fields = pool:acquire(timeout or nil)
        assert.is_nil(connection)
        assert.matches(("in time %%(%g s%%): all 1 of its pool"):format(timeout or 0.05), message)
        assert.equal("53300", code)
        assert.same({ message = message, sqlstate = code }, fields)
      end
      assert.equal(0, pool:stats().waiting)
      assert.equal(3, pool:stats().timeouts)
      assert.error_matches(function() pool:acquire "soon" end, "pool:acquire: the timeout must be")
      assert.error_matches(function() pool:acquire(-1) end,
        "the timeout must be a number of seconds, 0 or more, not %-1")
      assert.equal("idle", held:status())
    end)

    it("serves those who wait in the order in which they came", function()
      open { size = 1 }
      local order = {}
      moongate.run(function()
        local held = assert(pool:acquire())
        for i = 1, 5 do
          moongate.spawn(function()
            local connection <close> = assert(pool:acquire())
            order[#order + 1] = i
            assert(connection:query "select 1")
          end)
        end
        wait.until_true("five to wait", function()
          moongate.sleep(0)
          return pool:stats().waiting == 5
        end)
        held:release()
      end)
      assert.same({ 1, 2, 3, 4, 5 }, order)
      assert.equal(1, pool:stats().opened)
    end)

    it("has other connections for those that were broken", function()
      open { size = 2 }
      local pid = pool:with(function(connection) return connection:value "select pg_backend_pid()" end)
      pg.primary:psql(("select pg_terminate_backend(%d)"):format(pid))
      wait.until_true("it to end", function()
        return pg.primary:psql(("select count(*) from pg_stat_activity where pid = %d"):format(pid)) == "0"
      end)
      local other = pool:with(function(connection) return connection:value "select pg_backend_pid()" end)
      assert.not_equal(pid, other)
      local lost <close> = assert(pool:acquire())
      assert.equal("08007", (select(3, lost:query "select pg_terminate_backend(pg_backend_pid())")))
      assert.equal("lost", lost:status())
      lost:release()
      assert.equal(1, pool:with(function(connection) return connection:value "select 1" end))
    end)

    it("lends one that dies before the task that waited for it goes on", function()
      open { size = 1 }
      local status, code
      moongate.run(function()
        local connection = assert(pool:acquire())
        local pid = connection:value "select pg_backend_pid()"
        local waiting = moongate.spawn(function()
          local other <close> = assert(pool:acquire())
          status, code = other:status(), select(3, other:query "select 1")
        end)
        moongate.sleep(0)
        connection:release() -- it is the other task's now, which does not run before this one waits
        pg.primary:psql(("select pg_terminate_backend(%d, 5000)"):format(pid))
        coroutine.wrap(function() moongate.sleep(0.02) end)() -- the loop runs, and no task
        waiting:wait()
      end)
      assert.is_true(status == "lost" or status == "idle", status)
      assert.equal("08006", code)
      assert.equal(1, assert(pool:with(function(connection) return connection:value "select 1" end)))
    end)

    it("keeps as many open as it is told to, and no longer", function()
      open { size = 3, min_idle = 2, idle_timeout = 0.05, health = { interval = 0.02 } }
      wait.until_true("two to be open", function()
        moongate.sleep(0.01)
        return pool:stats().idle == 2
      end)
      local all = { pool:acquire(), pool:acquire(), pool:acquire() }
      assert.equal(3, #all)
      let_go(all)
      wait.until_true("the third to be closed", function()
        moongate.sleep(0.01)
        return pool:stats().idle == 2
      end)
      pool:close()
      open { max_lifetime = 0.05, lifetime_jitter = 0 }
      local first = pool:with(function(connection)
        moongate.sleep(0.06)
        return connection:value "select pg_backend_pid()"
      end)
      assert.equal(0, pool:stats().idle)
      assert.not_equal(first, pool:with(function(connection) return connection:value "select pg_backend_pid()" end))
    end)

    it("waits for its endpoint to be there, as long as whoever asks does", function()
      local refused = moongate.pool { url = "postgres://app:Secret-Word@127.0.0.1:1/x" }
      local connection, message, code = refused:acquire(0.1)
      assert.is_nil(connection)
      assert.equal("57P03", code)
      assert.matches("connecting to 127%.0%.0%.1:1: .*refused", message)
      assert.is_nil(message:find("Secret", 1, true))
      refused:close()
    end)
  end)

  describe("that runs a function with a connection", function()
    it("returns what it returns, and has the connection back", function()
      open { size = 1 }
      assert.same({ n = 3, 1, nil, 3 }, table.pack(pool:with(function(connection)
        assert.equal(1, pool:stats().lent)
        return connection:value "select 1", nil, 3
      end)))
      assert.equal(1, pool:stats().idle)
    end)

    it("has it back after an error, too, and raises that", function()
      open { size = 1 }
      local oops = {}
      local ok, raised = pcall(pool.with, pool, function(connection)
        connection:query "begin"
        error(oops)
      end)
      assert.is_false(ok)
      assert.equal(oops, raised)
      assert.equal(0, pool:stats().lent)
      assert.equal(0, pool:stats().idle) -- it was in a transaction
      assert.error_matches(function() pool:with(7) end,
        "pool:with: it takes a function%(connection%), not a number")
    end)

    it("does not run it without one", function()
      open { size = 1, acquire_timeout = 0.02 }
      local held <close> = assert(pool:acquire(5))
      local result, message, code, fields = pool:with(function() error "never" end)
      assert.is_nil(result)
      assert.equal("53300", code)
      assert.same({ message = message, sqlstate = code }, fields)
      assert.equal("idle", held:status())
    end)

    it("waits in tasks while others go on", function()
      open { size = 2 }
      let_go { pool:acquire(), pool:acquire() } -- both are open
      local most, under_way = 0, 0
      moongate.run(function()
        for _ = 1, 6 do
          moongate.spawn(pool.with, pool, function(connection)
            under_way = under_way + 1
            most = math.max(most, under_way)
            assert(connection:query "select pg_sleep(0.01)")
            under_way = under_way - 1
          end)
        end
      end)
      assert.equal(2, most)
      assert.equal(0, pool:stats().lent)
    end)
  end)

  describe("that is resized", function()
    it("serves those who wait at once", function()
      open { size = 1 }
      moongate.run(function()
        local held = assert(pool:acquire())
        local task = moongate.spawn(pool.acquire, pool)
        wait.until_true("it to wait", function()
          moongate.sleep(0)
          return pool:stats().waiting == 1
        end)
        pool:resize(2)
        let_go { held, assert(task:wait()) }
      end)
      assert.equal(2, pool:stats().size)
      assert.equal(2, pool:stats().idle)
    end)

    it("closes what is too much: idle ones now, lent ones when they come back", function()
      open { size = 4 }
      local all = { pool:acquire(), pool:acquire(), pool:acquire(), pool:acquire() }
      all[1]:release()
      pool:resize(1)
      assert.equal(0, pool:stats().idle)
      moongate.run(function()
        local task = moongate.spawn(pool.acquire, pool)
        wait.until_true("it to wait", function()
          moongate.sleep(0)
          return pool:stats().waiting == 1
        end)
        all[2]:release()
        all[3]:release()
        assert.equal(1, pool:stats().lent)
        assert.equal(1, pool:stats().waiting)
        all[4]:release()
        task:wait():release()
      end)
      assert.equal(1, pool:stats().idle)
      assert.equal(4, pool:stats().opened)
      assert.error_matches(function() pool:resize(0) end,
        "pool:resize: the size must be an integer from 1 to 100000, not 0")
    end)

    it("keeps its size when it has been empty", function()
      open { size = 4 }
      pool:resize(2)
      assert.equal(2, pool:stats().size)
    end)
  end)

  describe("that is drained", function()
    it("waits for all that it has lent, and turns away whoever asks, or waits", function()
      open { size = 1 }
      local refusal = "the pool is drained: it lends no more"
      moongate.run(function()
        local held = assert(pool:acquire())
        local waiting = moongate.spawn(pool.acquire, pool)
        moongate.sleep(0.01)
        local draining = moongate.spawn(pool.drain, pool)
        moongate.sleep(0.01)
        assert.same({ nil, refusal, "57P01", { message = refusal, sqlstate = "57P01" } }, { waiting:wait() })
        assert.same({ nil, refusal, "57P01", { message = refusal, sqlstate = "57P01" } }, { pool:acquire() })
        assert.equal("57P01", (select(3, pool:with(print))))
        assert.equal("running", draining.status)
        assert.equal(1, held:value "select 1")
        held:release()
        assert.is_true(draining:wait())
      end)
      assert.equal(0, pool:stats().lent)
      assert.equal(0, pool:stats().idle)
    end)

    it("says what is left when the time is over", function()
      open { size = 3 }
      local all = { pool:acquire(), pool:acquire() }
      local done, message, code, fields = pool:drain(0.03)
      assert.is_nil(done)
      assert.equal("timeout: 2 of the pool's connections are still lent", message)
      assert.equal("57014", code)
      assert.same({ message = message, sqlstate = code }, fields)
      let_go(all)
      assert.is_true(pool:drain(0))
    end)
  end)

  describe("that is closed", function()
    it("has nothing left in PostgreSQL, and tells those who used it", function()
      open { size = 1 }
      moongate.run(function()
        local held = assert(pool:acquire())
        local busy = moongate.spawn(held.query, held, "select pg_sleep(60)")
        local waiting = moongate.spawn(pool.acquire, pool)
        moongate.sleep(0.02)
        pool:close()
        assert.equal("the pool was closed", (select(2, busy:wait())))
        assert.equal("the pool was closed", (select(2, waiting:wait())))
        held:release()
        pool:release(held)
      end)
      pool:close()
      wait.until_true("its backends to end", function() return backends() == 0 end)
      for _, name in ipairs { "acquire", "with", "stats", "resize", "drain" } do
        assert.error_matches(function() pool[name](pool) end, ("pool:%s: the pool is closed"):format(name))
      end
    end)

    it("may be so by the end of its scope, and by the collector", function()
      do
        local _ <close> = moongate.pool { url = pg.primary.url .. "?application_name=lua_pool" }
        assert.equal(1, _:with(function(connection) return connection:value "select 1" end))
        assert.is_true(backends() > 0)
      end
      wait.until_true("its backends to end", function() return backends() == 0 end)
      moongate.pool({ url = pg.primary.url .. "?application_name=lua_pool" }):with(function() end)
      collectgarbage()
      collectgarbage()
      wait.until_true("its backends to end", function() return backends() == 0 end)
    end)
  end)

  describe("of a cluster", function()
    local cluster

    before_each(function()
      cluster = moongate.cluster {
        primary = pg.primary.url, replicas = { pg.replicas[1].url }, pool = { size = 2 },
      }
      cluster:health()
    end)
    after_each(function() cluster:close() end)

    it("runs functions, and is resized, where its intent leads", function()
      local reads, writes = cluster:pool "read", cluster:pool "write"
      local where = "select pg_is_in_recovery()"
      assert.is_true(reads:with(function(connection) return connection:value(where) end))
      assert.is_false(writes:with(function(connection) return connection:value(where) end))
      reads:resize(1)
      assert.equal(1, reads:stats().size)
      assert.equal(2, writes:stats().size)
    end)

    it("is drained with its endpoints, whose work goes elsewhere meanwhile", function()
      local reads = cluster:pool "read"
      local function port()
        return reads:with(function(connection) return connection:value "select current_setting('port')::int" end)
      end
      local held = assert(reads:acquire())
      assert.equal("57014", (select(3, reads:drain(0.01))))
      assert.is_true(cluster.replicas[1].draining)
      assert.equal(pg.primary.port, port())
      held:release()
      assert.is_true(reads:drain())
      cluster.replicas[1]:undrain()
      assert.equal(pg.replicas[1].port, port())
    end)

    it("is not closed by itself", function()
      assert.error_matches(function() cluster:pool("read"):close() end,
        "pool:close: the pool is its cluster's, and ends with it: cluster:close%(%)")
      assert.error_matches(function() cluster:pool "reads" end, "cluster:pool: it takes \"read\" or")
      assert.error_matches(function() cluster:pool("read").acquire() end, "call it as pool:acquire%(%)")
    end)
  end)
end)
