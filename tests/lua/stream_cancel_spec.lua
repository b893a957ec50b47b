-- connection:cancel() while rows(), copy_out() or copy_in() is under way.
-- luacheck: ignore 512 (loops are left at once)

local moongate = require "moongate"
local shared = require "tests.support.cluster"
local wait = require "tests.support.wait"

describe("connection:cancel()", function()
  local pg, cluster, watcher

  setup(function()
    pg = shared.shared()
    pg.primary:psql [[drop table if exists lua_stream_cancel;
      create table lua_stream_cancel (id int, v text)]]
    cluster = moongate.cluster { primary = pg.primary.url, pool = { size = 2, acquire_timeout = 10 } }
    watcher = moongate.cluster { primary = pg.primary.url }
  end)
  teardown(function()
    cluster:close()
    watcher:close()
  end)

  after_each(function()
    collectgarbage()
    assert.equal(0, cluster:pool("write"):stats().lent)
  end)

  local function three(result, message, code) return { result, message, code } end

  local function await(what, condition)
    wait.until_true(what, function()
      moongate.sleep(0.005)
      return condition()
    end, 10)
  end

  local function active(pattern)
    return watcher:value([[select count(*) from pg_stat_activity
      where state = 'active' and pid <> pg_backend_pid() and query like $1]], pattern, { intent = "read" })
  end

  local function await_running(pattern)
    await("a statement to run", function() return active(pattern) == 1 end)
  end

  -- Runs `body(connection)` in a task, outside of a block and in one; its last statement fails there, and the
  -- connection is to go on as PostgreSQL says.
  local function in_and_out_of_blocks(body)
    moongate.run(function()
      local connection <close> = assert(cluster:pool("write"):acquire())
      local pid = connection:value "select pg_backend_pid()"
      for _, block in ipairs { false, true } do
        if block then assert(connection:query "begin") end
        body(connection)
        assert.equal(block and "failed" or "idle", connection:status())
        assert.is_false(connection:cancel())
        if block then assert(connection:query "rollback") end
        assert.equal(pid, connection:value "select pg_backend_pid()")
      end
    end)
  end

  -- A task that loops over what `begin` returns, and the count of what it got.
  local function loop(begin)
    local seen = { count = 0 }
    seen.task = moongate.spawn(function()
      local ok, why = pcall(function()
        for _ in begin() do seen.count = seen.count + 1 end
      end)
      return not ok and why.code or "done"
    end)
    return seen
  end

  it("ends rows that are waited for, before the first and behind it", function()
    in_and_out_of_blocks(function(connection)
      local first = loop(function() return connection:rows "select pg_sleep(71)" end)
      await_running "select pg_sleep(71)"
      assert.is_true(connection:cancel())
      assert.equal("57014", first.task:wait())
      assert.equal(0, first.count)
      if connection:status() == "failed" then assert(connection:query "rollback and chain") end

      -- The first rows fill what PostgreSQL sends at once.
      local later = loop(function()
        return connection:rows [[select case when g > 100 then pg_sleep(72)::text end, repeat('x', 1000)
          from generate_series(1, 101) g]]
      end)
      await("rows", function() return later.count > 0 end)
      assert.is_true(connection:cancel())
      assert.equal("57014", later.task:wait())
    end)
  end)

  it("reaches a loop that does not wait, behind the rows that had come", function()
    in_and_out_of_blocks(function(connection)
      local count = 0
      local ok, why = pcall(function()
        for _ in connection:rows "select g, repeat('x', 100) from generate_series(1, 1000000) g" do
          count = count + 1
          if count == 1 then assert.is_true(connection:cancel()) end
        end
      end)
      assert.is_false(ok)
      assert.equal("57014", why.code)
      assert.is_true(count < 1000000)
    end)
  end)

  it("spares the wait for the rest where the loop is left", function()
    local done = moongate.with_timeout(10, function()
      local connection <close> = assert(cluster:pool("write"):acquire())
      local pid = connection:value "select pg_backend_pid()"
      for _ in connection:rows [[select case when g > 100 then pg_sleep(73)::text end, repeat('x', 1000)
          from generate_series(1, 101) g]] do
        connection:cancel()
        break
      end
      assert.equal(pid, connection:value "select pg_backend_pid()")
      return true
    end)
    assert.is_true(done)
  end)

  it("ends copy_out", function()
    in_and_out_of_blocks(function(connection)
      local lines = loop(function()
        return connection:copy_out [[copy (select case when g > 100 then pg_sleep(74)::text end, repeat('x', 1000)
          from generate_series(1, 101) g) to stdout]]
      end)
      await("lines", function() return lines.count > 0 end)
      assert.is_true(connection:cancel())
      assert.equal("57014", lines.task:wait())
    end)
  end)

  it("ends copy_in, whatever it waits for", function()
    local IN <const> = "copy lua_stream_cancel from stdin"
    local function copy(connection, source)
      return moongate.spawn(function() return three(connection:copy_in(IN, source)) end)
    end
    in_and_out_of_blocks(function(connection)
      local asked = 0
      -- For its source.
      local task = copy(connection, function()
        asked = asked + 1
        moongate.sleep(0.005)
        return "1\ta\n"
      end)
      await("data", function() return asked > 3 end)
      assert.is_true(connection:cancel())
      local result = task:wait()
      assert.equal("57014", result[3], result[2])
      if connection:status() == "failed" then assert(connection:query "rollback and chain") end

      -- For PostgreSQL, which takes no more; and for its answer.
      for _, lines in ipairs { 9000, 1 } do
        pg.primary:psql [[create or replace function lua_stream_cancel_waits() returns trigger language plpgsql as
            $$ begin if new.id = 1 then perform pg_sleep(75); end if; return new; end $$;
          create or replace trigger waits before insert on lua_stream_cancel for each row
            execute function lua_stream_cancel_waits()]]
        local i = 0
        task = copy(connection, function()
          i = i + 1
          if i <= lines then return i .. "\t" .. ("x"):rep(1000) .. "\n" end
        end)
        await("PostgreSQL to sleep", function()
          return watcher:value([[select count(*) from pg_stat_activity where wait_event = 'PgSleep']],
            { intent = "read" }) == 1
        end)
        assert.is_true(connection:cancel())
        result = task:wait()
        assert.equal("57014", result[3], result[2])
        if lines > 1 and connection:status() == "failed" then assert(connection:query "rollback and chain") end
      end
    end)
    pg.primary:psql "drop trigger waits on lua_stream_cancel"
    assert.equal("0", pg.primary:psql "select count(*) from lua_stream_cancel")
  end)

  it("never hits the statement behind the rows", function()
    local outcomes = { done = 0, ["57014"] = 0 }
    moongate.run(function()
      local connection <close> = assert(cluster:pool("write"):acquire())
      for i = 1, 100 do
        local pause = i % 7 * 0.0003
        local rows = loop(function()
          return connection:rows("select g, pg_sleep($1) from generate_series(1, 3) g", i % 10 * 0.0003)
        end)
        moongate.sleep(pause)
        connection:cancel()
        local outcome = rows.task:wait()
        outcomes[outcome] = outcomes[outcome] + 1
        assert.same({ i }, { connection:value("select $1::int from pg_sleep(0.001)", i) })
      end
    end)
    assert.is_true(outcomes.done > 0 and outcomes["57014"] > 0)
  end)
end)
