-- moongate.run(), spawn(), gather(), with_timeout(): the same calls, waiting at the same time.

local moongate = require "moongate"
local process = require "moongate.process"
local shared = require "tests.support.cluster"
local wait = require "tests.support.wait"

describe("a task", function()
  local pg, cluster

  setup(function()
    pg = shared.shared()
    pg.primary:psql [[
      drop table if exists lua_task;
      create table lua_task (id int primary key)]]
    cluster = moongate.cluster {
      primary = pg.primary.url,
      pool = { size = 4, acquire_timeout = 10 },
      health = { interval = 0.05 },
    }
    cluster:health()
  end)
  before_each(function() pg.primary:psql "truncate lua_task" end)
  teardown(function() cluster:close() end)

  local function stats() return cluster:pool("write"):stats() end

  -- How many backends run a statement like this.
  local function running(pattern)
    return tonumber(pg.primary:psql(
      ("select count(*) from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() and query like '%s'")
        :format(pattern)))
  end

  -- Without the table of fields.
  local function triple(...) return { (...), (select(2, ...)), (select(3, ...)) } end

  local function list(count, make)
    local all = {}
    for i = 1, count do all[i] = make(i) end
    return all
  end

  -- All that the pool may have: no query spends its time on connecting, then.
  local function open_all()
    local connections = list(4, function() return assert(cluster:pool("write"):acquire()) end)
    for _, connection in ipairs(connections) do connection:release() end
  end

  describe("that is run", function()
    it("returns what its function returns, and takes its arguments", function()
      assert.same({ n = 3, 1, nil, 2 }, table.pack(moongate.run(function(...) return ... end, 1, nil, 2)))
      assert.same({ n = 0 }, table.pack(moongate.run(function() end)))
    end)

    it("waits for all that it has spawned, and they for theirs", function()
      local order = {}
      moongate.run(function()
        moongate.spawn(function()
          moongate.spawn(function()
            moongate.sleep(0.02)
            order[#order + 1] = "inner"
          end)
          order[#order + 1] = "outer"
        end)
        order[#order + 1] = "main"
      end)
      assert.same({ "main", "outer", "inner" }, order)
    end)

    it("raises its error with the traceback of where it was, and ends the others", function()
      local other
      local function deep() error "no such luck" end
      local ok, why = pcall(moongate.run, function()
        other = moongate.spawn(function() moongate.sleep(60) end)
        moongate.sleep(0)
        deep()
      end)
      assert.is_false(ok)
      assert.matches("task_spec.lua:%d+: no such luck\nstack traceback:.*upvalue 'deep'", why)
      assert.equal("cancelled", other.status)
    end)

    it("raises an error that is no message as it is", function()
      local oops = {}
      assert.same({ false, oops }, { pcall(moongate.run, function() error(oops) end) })
    end)

    it("raises the error of a task that nobody has waited for", function()
      local finished
      local ok, why = pcall(moongate.run, function()
        moongate.spawn(function() error "unheard of" end)
        moongate.sleep(0.01)
        finished = true
      end)
      assert.is_false(ok)
      assert.is_true(finished)
      assert.matches("unheard of\nstack traceback:", why)
    end)

    it("is not run inside of another, nor spawned outside of one", function()
      assert.error_matches(function() moongate.run(function() moongate.run(print) end) end, "this is inside of one")
      assert.error_matches(function() moongate.spawn(print) end, "moongate.run%(fn%) is not under way")
      assert.error_matches(function() moongate.run(7) end, "moongate.run: it takes a function, not a number")
      assert.equal(1, moongate.run(function() return 1 end))
    end)

    it("says so when all wait for one another", function()
      local why = select(2, pcall(moongate.run, function()
        local task
        task = moongate.spawn(function() task:wait() end)
        task:wait()
      end))
      assert.matches("all tasks wait for one another", why)
      assert.equal(1, moongate.run(function() return 1 end))
    end)

    it("sleeps while others go on, and wakes in time's order", function()
      local order = {}
      moongate.run(function()
        for i, seconds in ipairs { 0.06, 0.02, 0.04 } do
          moongate.spawn(function()
            moongate.sleep(seconds)
            order[#order + 1] = i
          end)
        end
      end)
      assert.same({ 2, 3, 1 }, order)
      assert.error_matches(function() moongate.sleep(-1) end, "a number of seconds expected")
      assert.error_matches(function() moongate.with_timeout(-1, print) end,
        "a number of seconds expected, 0 or more, not %-1")
      assert.error_matches(function() moongate.with_timeout("1", print) end, "not a string")
    end)

    it("lets others go first when it yields", function()
      local order = {}
      moongate.run(function()
        for name in ("ab"):gmatch "." do
          moongate.spawn(function()
            for _ = 1, 2 do
              order[#order + 1] = name
              coroutine.yield "to nobody"
            end
          end)
        end
      end)
      assert.equal("abab", table.concat(order))
    end)

    it("is of no use to a policy", function()
      local own <close> = moongate.cluster {
        primary = pg.primary.url,
        policy = function()
          return function() moongate.run(function() end) end
        end,
      }
      local _, failed = own:verdict "select 1"
      assert.is_true(failed)
    end)
  end)

  describe("that queries", function()
    it("does so beside others, as many as the pool has servers", function()
      local under_way, most, results = 0, 0, {}
      open_all()
      moongate.run(function()
        local tasks = list(16, function(i)
          return moongate.spawn(function()
            local connection <close> = assert(cluster:pool("write"):acquire())
            under_way = under_way + 1
            most = math.max(most, under_way)
            local rows = assert(connection:query("select pg_sleep(0.02), $1::int as i", i))
            under_way = under_way - 1
            return rows[1].i
          end)
        end)
        for i, task in ipairs(tasks) do results[i] = task:wait() end
      end)
      assert.equal(4, most)
      assert.same(list(16, function(i) return i end), results)
      assert.equal(0, stats().lent)
    end)

    it("has its queries run at the same time in PostgreSQL", function()
      local seen = moongate.run(function()
        local tasks = list(3, function()
          return moongate.spawn(cluster.query, cluster, "select pg_sleep(30) /* beside */")
        end)
        local three = wait.until_true("three to run", function()
          moongate.sleep(0.01)
          local rows = assert(cluster:query [[
            select count(*) as n from pg_stat_activity
            where state = 'active' and query like '%pg_sleep(30) /* beside */']])
          return rows[1].n >= 3 and rows[1].n
        end)
        for _, task in ipairs(tasks) do task:cancel() end
        return three
      end)
      assert.is_true(seen >= 3)
    end)

    it("has the results in order that its statement came to", function()
      local results = moongate.gather(table.unpack(list(16, function(i)
        return function() return cluster:query("select $1::int as i, pg_sleep($2)", i, (17 - i) % 4 * 0.01)[1].i end
      end)))
      assert.same(list(16, function(i) return { i } end), results)
    end)

    it("gets PostgreSQL's errors as ever", function()
      assert.same({ { nil, 'syntax error at or near "selec"', "42601" }, { 1 } }, moongate.gather(
        function() return table.unpack(triple(cluster:query "selec"), 1, 3) end,
        function() return cluster:query("select 1 as one")[1].one end))
    end)

    it("has transactions beside those of others, and inside of one another", function()
      local under_way, most = 0, 0
      open_all()
      local function insert(i)
        return cluster:transaction(function(tx)
          under_way = under_way + 1
          most = math.max(most, under_way)
          assert(tx:query("insert into lua_task values ($1)", i))
          local rows = assert(tx:query "select count(*) as n from lua_task, pg_sleep(0.02)")
          under_way = under_way - 1
          return rows[1].n
        end)
      end
      local results = moongate.gather(
        function() return insert(1) end,
        function() return insert(2) end,
        function() return insert(3) end,
        function()
          return cluster:transaction(function(tx)
            assert(tx:query "insert into lua_task values (4)")
            assert(insert(-5))
            error("no", 0)
          end)
        end)
      assert.equal(3, most) -- the fourth server is the outer transaction's
      assert.same({ nil, "no" }, triple(table.unpack(results[4])))
      assert.equal("-5,1,2,3", pg.primary:psql "select string_agg(id::text, ',' order by id) from lua_task")
      assert.equal(0, stats().lent)
    end)

    it("asks for health and tokens beside others", function()
      local results = moongate.gather(
        function() return cluster:health().status end,
        function()
          assert(cluster:query "insert into lua_task values (1)")
          return #assert(cluster:token()) > 0
        end,
        function() return cluster:query("select 1 as one")[1].one end)
      assert.same({ { "healthy" }, { true }, { 1 } }, results)
    end)

    it("keeps what it waits for through garbage collections", function()
      local results = moongate.gather(table.unpack(list(12, function(i)
        return function()
          local text = ("x"):rep(100) .. i
          local rows = assert(cluster:query("select pg_sleep(0.01), $1::text || $2 as t", text, i))
          collectgarbage()
          return rows[1].t == text .. i
        end
      end), 1, 12))
      for i = 1, 12 do assert.is_true(results[i][1]) end
    end)

    it("blocks in coroutines of its own, where the others stand still", function()
      local order = {}
      moongate.run(function()
        moongate.spawn(function()
          for _ = 1, 3 do
            order[#order + 1] = "other"
            moongate.sleep(0)
          end
        end)
        for row in coroutine.wrap(function()
          for i = 1, 2 do
            coroutine.yield(cluster:query("select pg_sleep(0.02), $1::int as i", i)[1].i)
          end
        end) do order[#order + 1] = row end
        local sorted = { 2, 1 }
        table.sort(sorted, function(a, b) return cluster:query("select $1::int < $2::int as less", a, b)[1].less end)
        order[#order + 1] = sorted[1]
      end)
      assert.same({ 1, 2, 1, "other", "other", "other" }, order)
      assert.error_matches(function()
        moongate.run(function() coroutine.wrap(function() moongate.gather(print) end)() end)
      end, "in its own coroutine only")
    end)

    it("has its connection for itself", function()
      local why
      moongate.run(function()
        local connection <close> = assert(cluster:pool("write"):acquire())
        local task = moongate.spawn(function() return connection:query "select pg_sleep(0.2), 1 as one" end)
        moongate.sleep(0)
        why = select(2, pcall(connection.query, connection, "select 2"))
        assert.equal(1, task:wait()[1].one)
        assert.equal(2, connection:query("select 2 as two")[1].two)
      end)
      assert.matches("the connection is busy", why)
    end)

    it("is told when its connection is released or its cluster closed by another", function()
      assert.same({ nil, "the connection was released meanwhile", "08003" }, triple(moongate.run(function()
        local connection = assert(cluster:pool("write"):acquire())
        local task = moongate.spawn(function() return connection:query "select pg_sleep(30)" end)
        moongate.sleep(0)
        connection:release()
        return task:wait()
      end)))
      local own = moongate.cluster { primary = pg.primary.url, pool = { size = 1 } }
      local closed = { nil, "the cluster was closed", "57P01" }
      local all = moongate.run(function()
        local tasks = {
          moongate.spawn(own.query, own, "select pg_sleep(30)"),
          moongate.spawn(own.query, own, "select pg_sleep(31)"),
          moongate.spawn(own.transaction, own, function() end),
        }
        wait.until_true("a query to run", function()
          moongate.sleep(0.01)
          return running "select pg_sleep(30)" > 0
        end)
        own:close()
        return list(3, function(i) return triple(tasks[i]:wait()) end)
      end)
      assert.same({ closed, closed, closed }, all)
    end)
  end)

  describe("that is given up", function()
    -- Whatever it was about.
    local function nothing_left()
      assert.equal(0, stats().lent)
      assert.equal(0, stats().waiting)
      wait.until_true("PostgreSQL to stop", function() return running "%pg_sleep(6_)%" == 0 end)
    end

    it("has its query cancelled by a timeout, and its server closed", function()
      open_all()
      local closed = stats().closed
      local fields = { message = "timeout", sqlstate = "57014" }
      assert.same({ nil, "timeout", "57014", fields }, { moongate.with_timeout(0.05, function()
        return cluster:query "select pg_sleep(60)"
      end) })
      assert.equal(closed + 1, stats().closed)
      nothing_left()
      assert.same({ 1, nil, 3 }, { moongate.with_timeout(5, function() return 1, nil, 3 end) })
    end)

    it("has what its end raises raised by who has ended it", function()
      assert.error_matches(function()
        moongate.with_timeout(0.01, function()
          local _ <close> = setmetatable({}, { __close = function() error "on closing" end })
          moongate.sleep(60)
        end)
      end, "on closing")
    end)

    it("leaves no transaction behind", function()
      moongate.with_timeout(0.1, cluster.transaction, cluster, function(tx)
        tx:query "insert into lua_task values (1)"
        moongate.sleep(60)
      end)
      nothing_left()
      assert.equal("0", pg.primary:psql "select count(*) from lua_task")
    end)

    it("stops waiting for a server", function()
      moongate.run(function()
        local pool, held = cluster:pool "write", {}
        for i = 1, 4 do held[i] = assert(pool:acquire()) end
        assert.same({ nil, "timeout", "57014" }, triple(moongate.with_timeout(0.02, pool.acquire, pool)))
        assert.equal(0, stats().waiting)
        for i = 1, 4 do held[i]:release() end
      end)
      nothing_left()
    end)

    it("ends with the first error that moongate.gather meets", function()
      local others = {}
      local ok, why = pcall(moongate.gather,
        function()
          local _ <close> = setmetatable({}, { __close = function() others.closed = true end })
          cluster:query "select pg_sleep(61)"
          others.went_on = true
        end,
        function()
          moongate.sleep(0.05)
          error "the second"
        end)
      assert.is_false(ok)
      assert.matches("the second\nstack traceback:", why)
      assert.same({ closed = true }, others)
      nothing_left()
    end)

    it("ends when it is cancelled, or closed", function()
      moongate.run(function()
        local task = moongate.spawn(cluster.query, cluster, "select pg_sleep(62)")
        do
          local _ <close> = moongate.spawn(cluster.query, cluster, "select pg_sleep(63)")
          moongate.sleep(0.05)
        end
        assert.is_true(task:cancel())
        assert.is_false(task:cancel())
        assert.equal("cancelled", task.status)
        local message = "the task was cancelled"
        assert.same({ nil, message, "57014", { message = message, sqlstate = "57014" } }, { task:wait() })
      end)
      nothing_left()
    end)

    it("takes along what it waits for", function()
      moongate.run(function()
        local task = moongate.spawn(function()
          moongate.gather(
            function() moongate.with_timeout(60, cluster.query, cluster, "select pg_sleep(64)") end,
            function() cluster:query "select pg_sleep(65)" end)
        end)
        moongate.sleep(0.05)
        task:cancel()
      end)
      nothing_left()
    end)

    it("has what it wrote seen by those that follow, as far as anybody knows", function()
      local own <close> = moongate.cluster { primary = pg.primary.url, replicas = { pg.replicas[1].url } }
      own:health()
      own:pool("write"):acquire():release()
      moongate.with_timeout(0.1, own.query, own, "insert into lua_task select 1 from pg_sleep(60)")
      assert.is_true(#assert(own:token()) > 0)
    end)

    it("is of its own Lua state, in a process with several", function()
      local status, output, errors = process.run({ "lua5.4", "-e", ([[
        local uv = require "luv"
        local function work(url)
          local moongate = require "moongate"
          local cluster = moongate.cluster { primary = url, pool = { size = 2 } }
          moongate.run(function()
            for i = 1, 20 do
              moongate.spawn(function() assert(cluster:query("select $1::int as i, pg_sleep(0.01)", i)[1].i == i) end)
            end
            moongate.spawn(moongate.with_timeout, 0.05, cluster.query, cluster, "select pg_sleep(69)")
          end)
          io.write "done\n"
        end
        local threads = {}
        for i = 1, 3 do threads[i] = uv.new_thread(work, %q) end
        work(%q)
        for _, thread in ipairs(threads) do thread:join() end
      ]]):format(pg.primary.url, pg.primary.url) })
      assert.equal(0, status, errors)
      assert.equal(("done\n"):rep(4), output)
      nothing_left()
    end)

    it("ends at Ctrl-C", function()
      local app = process.spawn({ "lua5.4", "-e", ([[
        local moongate = require "moongate"
        local cluster = moongate.cluster { primary = %q }
        local closed = false
        print(pcall(moongate.run, function()
          local _ <close> = setmetatable({}, { __close = function() closed = true end })
          cluster:query "select pg_sleep(68)"
        end))
        print(closed, cluster:pool("write"):stats().lent, cluster:query("select 1 as one")[1].one)
      ]]):format(pg.primary.url) })
      wait.until_true("the query to run", function() return running "select pg_sleep(68)" == 1 end)
      app:kill "sigint"
      assert.equal(0, (app:wait(20)))
      assert.matches("false.*interrupted!.*\ntrue\t0\t1", app.output)
      nothing_left()
    end)

    it("is closed when the state is, in the middle of a query", function()
      local status, output, errors = process.run({ "lua5.4", "-e", ([[
        local moongate = require "moongate"
        local cluster = moongate.cluster { primary = %q }
        cluster:health()
        moongate.run(function()
          local connection = cluster:pool("write"):acquire()
          moongate.spawn(function() connection:query "select pg_sleep(66)" end)
          moongate.spawn(cluster.query, cluster, "select pg_sleep(67)")
          moongate.spawn(moongate.sleep, 60)
          moongate.sleep(0.1)
          print "exits"
          os.exit(0, true)
        end)
      ]]):format(pg.primary.url) }, { seconds = 20 })
      assert.equal("exits\n", output, errors)
      assert.equal(0, status, errors)
    end)
  end)
end)
