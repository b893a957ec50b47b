-- The options of one call, and connection:cancel().

local moongate = require "moongate"
local shared = require "tests.support.cluster"
local uv = require "luv"
local wait = require "tests.support.wait"

describe("a call", function()
  local pg, cluster, watcher, asked

  setup(function()
    pg = shared.shared()
    pg.primary:psql [[
      drop table if exists lua_call;
      create table lua_call (id int primary key);
      create or replace function lua_call_port() returns int language sql volatile
        as $$ select current_setting('port')::int $$;
      create or replace function lua_call_write() returns int language sql volatile
        as $$ insert into lua_call values (1) returning id $$]]
    pg:wait_for_replay()
    cluster = moongate.cluster {
      primary = pg.primary.url,
      replicas = { pg.replicas[1].url },
      pool = { size = 2, acquire_timeout = 10 },
      health = { interval = 0.05 },
      policy = function()
        return function(query) asked = query.intent end
      end,
    }
    cluster:health()
    watcher = moongate.cluster { primary = pg.primary.url }
  end)
  before_each(function() pg.primary:psql "truncate lua_call" end)
  teardown(function()
    cluster:close()
    watcher:close()
  end)

  local function three(result, message, code) return { result, message, code } end

  local function in_place(node) return "127.0.0.1:" .. node.port end

  local function is_running(pattern)
    return watcher:value([[select count(*) > 0 from pg_stat_activity
      where state = 'active' and pid <> pg_backend_pid() and query like $1]], pattern, { intent = "read" })
  end

  local function await(what, condition)
    wait.until_true(what, function()
      moongate.sleep(0.005)
      return condition()
    end)
  end

  local function await_running(pattern)
    await("a statement to run", function() return is_running(pattern) end)
  end

  -- What answers nothing, not even a cancel request, while it is open: a server whose process stands still.
  local function stubborn(pid)
    uv.kill(pid, "sigstop")
    return setmetatable({}, { __close = function() uv.kill(pid, "sigcont") end })
  end

  -- May write, and is over at once if it is ever begun.
  local NEVER_ANSWERED <const> = "do $$ begin null; end $$"

  -- A cluster with one server, and the server's process.
  local function small()
    local own = moongate.cluster { primary = pg.primary.url, pool = { size = 1, acquire_timeout = 10 } }
    return own, own:value "select pg_backend_pid()"
  end

  local function blamed(fn, pattern)
    local line = debug.getinfo(2, "l").currentline
    local ok, why = pcall(fn)
    assert.is_false(ok)
    assert.matches("call_spec.lua:" .. line .. ": .*" .. pattern, why)
  end

  describe("with options", function()
    it("refuses what is none of them, with a hint, in the caller's line", function()
      blamed(function() cluster:query("select 1", { timout = 1 }) return end, 'unknown option "timout".*mean "timeout"')
      blamed(function() cluster:query("select 1", { nonsense = 1 }) return end, 'are "as", "intent" and "timeout"')
      blamed(function() cluster:value("select $1", { 1, 2 }) return end, "moongate.array { ... }")
      blamed(function() cluster:one("select 1", { intent = "reed" }) return end, '"read" or "write", not "reed"')
      blamed(function() cluster:exec("select 1", { intent = true }) return end, '"read" or "write", not boolean')
      for _, bad in ipairs { 0, -1, 0 / 0, math.huge, "1" } do
        blamed(function() cluster:assert_query("select 1", { timeout = bad }) return end, "seconds above 0, not ")
      end
    end)

    it("takes a table only where it is last, and has no metatable", function()
      local expected = "parameter 1: nil, boolean, number or string expected, got table %(moongate.array%(%)"
      blamed(function() cluster:query("select $1, $2", {}, 1) return end, expected)
      blamed(function() cluster:query("select $1", setmetatable({}, {})) return end, expected)
      assert.equal(1, cluster:value("select 1", {}))
      assert.equal(7, cluster:value("select $1::int", 7, { intent = "read", timeout = 5 }))
    end)

    it("may have them on connections and in transactions", function()
      local connection <close> = assert(cluster:pool("read"):acquire())
      assert.equal(1, connection:value("select 1", { intent = "write", timeout = 5 }))
      assert.equal("write", asked)
      assert.equal(pg.replicas[1].port, connection:value("select current_setting('port')::int", { intent = "write" }))
      assert(cluster:transaction(function(tx)
        assert.equal(2, tx:value("select 2", { intent = "read", timeout = 5 }))
        assert.equal("read", asked)
        assert.equal(3, tx:assert_query("select 3 as n", { intent = "write" })[1].n)
      end))
    end)
  end)

  describe("with an intent", function()
    local PORT = "select current_setting('port')::int"

    it("goes where that leads, and the policy sees it", function()
      assert.equal(pg.primary.port, cluster:value(PORT, { intent = "write" }))
      assert.equal("write", asked)
      assert.equal(pg.primary.port, cluster:value "select lua_call_port()")
      local own <close> = moongate.cluster { primary = pg.primary.url, replicas = { pg.replicas[1].url } }
      own:health()
      assert.equal(pg.replicas[1].port, own:value(PORT))
      assert.equal(pg.replicas[1].port, own:value("select lua_call_port()", { intent = "read" }))
      assert.equal("", own:token()) -- it has written nothing
    end)

    it("is done on the primary where a replica refuses it, for all that was declared", function()
      assert.equal(1, cluster:value("select lua_call_write()", { intent = "read" }))
      assert.equal("read", asked)
      assert.equal(1, cluster:exec("insert into lua_call values (2)", { intent = "read" }))
      assert.equal("1,2", pg.primary:psql "select string_agg(id::text, ',' order by id) from lua_call")
    end)

    it("dates the session's last write if it is known to write, or declared to", function()
      for _, case in ipairs {
        { "insert into lua_call values (3)", { intent = "read" } },
        { "select 1", { intent = "write" } },
      } do
        local own <close> = moongate.cluster { primary = pg.primary.url, replicas = { pg.replicas[1].url } }
        own:health()
        assert.equal("", own:token())
        assert(own:exec(case[1], case[2]))
        assert.not_equal("", own:token())
      end
    end)
  end)

  describe("with a timeout", function()
    it("is cancelled then, says where, and keeps its server", function()
      local before = cluster:value("select pg_backend_pid()", { intent = "read" })
      local closed = cluster:pool("read"):stats().closed
      assert.same({ nil, "the statement was cancelled at its timeout, after 0.1 s: running on "
        .. in_place(pg.replicas[1]), "57014" },
        three(cluster:query("select pg_sleep(61)", { timeout = 0.1, intent = "read" })))
      assert.equal(before, cluster:value("select pg_backend_pid()", { intent = "read" }))
      assert.equal(closed, cluster:pool("read"):stats().closed)
    end)

    it("has written nothing where PostgreSQL says so", function()
      local slow = "insert into lua_call select 1 from pg_sleep(62)"
      local _, message, code, fields = cluster:exec(slow, { timeout = 0.1 })
      assert.equal("57014", code)
      assert.same({ message = message, sqlstate = code }, fields)
      assert.equal("0", pg.primary:psql "select count(*) from lua_call")
    end)

    it("includes the time of waiting for a server, and says for which", function()
      local own <close> = moongate.cluster { primary = pg.primary.url, pool = { size = 1, acquire_timeout = 10 } }
      local connection <close> = assert(own:pool("write"):acquire())
      assert.same({ nil, "the call ran into its timeout, after 0.05 s: waiting for " .. in_place(pg.primary), "57014" },
        three(own:query("select 1", { timeout = 0.05 })))
      connection:release()
      assert.equal(1, own:value("select 1", { timeout = 5 }))
      local nowhere <close> = moongate.cluster { primary = "postgres://127.0.0.1:1/x" }
      nowhere:health()
      local _, message, code = nowhere:query("select 1", { timeout = 0.05 })
      assert.equal("57014", code)
      assert.matches("^the call ran into its timeout, after 0%.05 s: waiting for an endpoint of its route: "
        .. ".*connecting to 127%.0%.0%.1:1: .*Connection refused$", message)
    end)

    it("goes on where the statement does, on another server", function()
      local own <close> = moongate.cluster { primary = pg.primary.url, replicas = { pg.replicas[1].url } }
      own:health()
      for _, intent in ipairs { "read", "write" } do own:pool(intent):acquire():release() end -- it is not spent on that
      assert.same({ nil, "the statement was cancelled at its timeout, after 0.2 s: running on "
        .. in_place(pg.primary), "57014" },
        three(own:query("select lua_call_write(), pg_sleep(63)", { timeout = 0.2, intent = "read" })))
      assert.equal("0", pg.primary:psql "select count(*) from lua_call")
    end)

    it("is no longer than its route's", function()
      local own <close> = moongate.cluster {
        primary = pg.primary.url,
        policy = function(at)
          local quick = moongate.timeout(at:route { to = "primary" }, 0.05)
          return function() return quick end
        end,
      }
      local _, message, code = own:query("select pg_sleep(63)", { timeout = 5, intent = "read" })
      assert.equal("57014", code)
      assert.matches("timeout of the policy's route", message)
    end)

    it("fails the block that it is in, which can be rolled back", function()
      local pid, status, after
      local result = three(cluster:transaction(function(tx)
        pid = tx:value "select pg_backend_pid()"
        tx:query "insert into lua_call values (1)"
        return tx:query("select pg_sleep(64)", { timeout = 0.1 })
      end))
      assert.equal("57014", result[3])
      do
        local connection <close> = assert(cluster:pool("write"):acquire())
        connection:query "begin"
        assert.equal("57014", three(connection:query("select pg_sleep(64)", { timeout = 0.05 }))[3])
        status = connection:status()
        assert(connection:query "rollback")
        after = connection:value "select pg_backend_pid()"
      end
      assert.equal("failed", status)
      assert.equal(pid, after)
      assert.equal("0", pg.primary:psql "select count(*) from lua_call")
    end)

    it("closes the server that does not answer, and says what is known", function()
      local own <close>, pid = small()
      local server <close> = stubborn(pid)
      local _, message, code = own:query(NEVER_ANSWERED, { timeout = 0.05 })
      assert.same({ "the statement was cancelled at its timeout, after 0.05 s: running on " .. in_place(pg.primary)
        .. ", which has not answered; the outcome is unknown", "08007" }, { message, code })
      local connection <close> = assert(own:pool("write"):acquire())
      connection:query "begin"
      local other <close> = stubborn(connection:value "select pg_backend_pid()")
      assert.equal("57014", three(connection:query(NEVER_ANSWERED, { timeout = 0.05 }))[3])
      assert.equal("lost", connection:status())
      assert.equal(0, own:pool("write"):stats().lent)
      assert.is_truthy(server and other)
    end)

    it("is its own in each of several tasks", function()
      local results = moongate.gather(
        function() return cluster:query("select pg_sleep(65)", { timeout = 0.05 }) end,
        function() return cluster:value("select 1 from pg_sleep(0.1)", { timeout = 5 }) end,
        function() return cluster:query("select pg_sleep(66)", { timeout = 0.1 }) end)
      assert.same({ "57014", 1, "57014" }, { results[1][3], results[2][1], results[3][3] })
    end)

    it("ends with its task, while PostgreSQL is being asked to stop", function()
      local own <close>, pid = small()
      local server <close> = stubborn(pid)
      moongate.run(function()
        local task = moongate.spawn(own.query, own, NEVER_ANSWERED, { timeout = 0.05 })
        moongate.sleep(0.1)
        assert.is_true(task:cancel())
      end)
      assert.equal(0, own:pool("write"):stats().lent)
      assert.is_truthy(server)
    end)

    it("is told of a cluster that is closed meanwhile", function()
      local own, pid = small()
      local server <close> = stubborn(pid)
      assert.same({ nil, "the cluster was closed", "57P01" }, three(moongate.run(function()
        local task = moongate.spawn(own.query, own, NEVER_ANSWERED, { timeout = 0.05 })
        moongate.sleep(0.1)
        own:close()
        return task:wait()
      end)))
      assert.is_truthy(server)
    end)
  end)

  describe("that is cancelled by another task", function()
    it("fails with 57014, and its connection goes on as PostgreSQL says", function()
      moongate.run(function()
        local connection <close> = assert(cluster:pool("write"):acquire())
        local pid = connection:value "select pg_backend_pid()"
        for _, block in ipairs { false, true } do
          if block then connection:query "begin" end
          local task = moongate.spawn(function() return connection:query "select pg_sleep(67)" end)
          await_running "select pg_sleep(67)"
          assert.is_true(connection:cancel())
          assert.same({ nil, "canceling statement due to user request", "57014" }, three(task:wait()))
          assert.equal(block and "failed" or "idle", connection:status())
          if block then assert(connection:query "rollback") end
          assert.equal(pid, connection:value "select pg_backend_pid()")
        end
      end)
    end)

    it("says false where nothing runs", function()
      local connection = assert(cluster:pool("write"):acquire())
      assert.is_false(connection:cancel())
      connection:release()
      assert.is_false(connection:cancel())
      blamed(function() connection.cancel({}) return end, "call it as connection:cancel%(%)")
    end)

    it("is asked again where the request has overtaken the statement", function()
      moongate.run(function()
        local connection <close> = assert(cluster:pool("write"):acquire())
        -- One that is not there yet as a whole when the first request comes.
        local task = moongate.spawn(connection.query, connection, "select pg_sleep(68), $1::text", ("x"):rep(8 << 20))
        moongate.sleep(0)
        assert.is_true(connection:cancel())
        assert.is_true(connection:cancel())
        assert.equal("57014", three(task:wait())[3])
      end)
    end)

    it("never has the next statement of its connection cancelled", function()
      local outcomes = { done = 0, ["57014"] = 0 }
      moongate.run(function()
        local connection <close> = assert(cluster:pool("write"):acquire())
        for i = 1, 150 do
          -- Close to each other, and some that are done in any case, or are not.
          local lasts, pause = i % 10 * 0.0003, i % 7 * 0.0003
          if i % 10 == 0 then pause = 0.02 end
          if i % 10 == 9 then lasts = 0.1 end
          local task = moongate.spawn(connection.query, connection, "select pg_sleep($1)", lasts)
          moongate.sleep(pause)
          connection:cancel()
          local outcome = three(task:wait())[3] or "done"
          outcomes[outcome] = outcomes[outcome] + 1
          assert.same({ i }, { connection:value("select $1::int from pg_sleep(0.001)", i) })
        end
      end)
      assert.is_true(outcomes.done > 0 and outcomes["57014"] > 0)
    end)
  end)
end)
