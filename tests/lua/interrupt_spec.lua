-- What nobody waits for any more ends in PostgreSQL, too, whatever becomes of who has asked.

local uv = require "luv"

local moongate = require "moongate"
local process = require "moongate.process"
local shared = require "tests.support.cluster"
local wait = require "tests.support.wait"

describe("a statement that is given up", function()
  local pg, cluster

  setup(function()
    pg = shared.shared()
    cluster = moongate.cluster { primary = pg.primary.url, pool = { size = 2 } }
    cluster:health()
  end)
  teardown(function() cluster:close() end)

  local function running(what)
    return tonumber(pg.primary:psql(([[
      select count(*) from pg_stat_activity
      where state = 'active' and pid <> pg_backend_pid() and query like '%%%s%%']]):format(what)))
  end

  local function ends(what)
    wait.until_true("PostgreSQL to stop", function() return running(what) == 0 end)
  end

  local function is_gone(pid)
    wait.until_true("the backend to have gone", function()
      return pg.primary:psql(("select count(*) from pg_stat_activity where pid = %d"):format(pid)) == "0"
    end)
  end

  -- The process is stopped, and goes on after so many seconds.
  local function stop(pid, seconds)
    uv.kill(pid, "sigstop")
    return process.spawn { "sh", "-c", ("sleep %g; kill -CONT %d"):format(seconds, pid) }
  end

  it("ends although its backend has read it after it was told to stop", function()
    local connection = assert(cluster:pool("write"):acquire())
    local pid = connection:value "select pg_backend_pid()"
    local helper = stop(pid, 1.4)
    moongate.run(function()
      local task = moongate.spawn(connection.query, connection, "select pg_sleep(50)")
      moongate.sleep(0.01)
      connection:release()
      task:wait()
    end)
    helper:wait(10)
    is_gone(pid)
  end)

  it("ends although it was told to stop too early, and has sent a lot since", function()
    local connection = assert(cluster:pool("write"):acquire())
    local pid = connection:value "select pg_backend_pid()"
    local helper = stop(pid, 0.4)
    moongate.run(function()
      local task = moongate.spawn(connection.query, connection,
        "select repeat('x', 1000) from generate_series(1, 2000) union all select pg_sleep(53)::text")
      moongate.sleep(0.01)
      connection:release()
      task:wait()
    end)
    helper:wait(10)
    is_gone(pid)
  end)

  it("ends although what follows it has not been sent whole", function()
    moongate.run(function()
      local task = moongate.spawn(cluster.pipeline, cluster, function(p)
        p:query "select pg_sleep(54)"
        p:value("select $1::text", ("x"):rep(16 << 20))
      end)
      wait.until_true("it to run", function()
        moongate.sleep(0.01)
        return running "pg_sleep(54)" == 1
      end)
      task:cancel()
    end)
    ends "pg_sleep(54)"
  end)

  it("ends although its process does at once", function()
    local status, output, errors = process.run({ "lua5.4", "-e", ([[
      local moongate = require "moongate"
      local cluster = moongate.cluster { primary = %q }
      local connection = assert(cluster:pool("write"):acquire())
      local pid = connection:value "select pg_backend_pid()"
      print(pid)
      os.execute(("kill -STOP %%d; (sleep 0.3; kill -CONT %%d) >/dev/null 2>&1 &"):format(pid, pid))
      moongate.run(function()
        moongate.spawn(connection.query, connection, "select pg_sleep(51)")
        moongate.sleep(0.01)
        os.exit(0, true)
      end)
    ]]):format(pg.primary.url) }, { seconds = 20 })
    assert.equal(0, status, errors)
    assert.equal("", errors)
    is_gone(tonumber(output))
  end)

  it("ends although it had been sending rows or notices", function()
    moongate.with_timeout(0.1, cluster.query, cluster, "select 'rows', i from generate_series(1, 100000000) i")
    ends "''rows''"
    moongate.with_timeout(0.1, cluster.query, cluster,
      "do $$ begin raise notice 'notices'; perform pg_sleep(52); end $$")
    ends "''notices''"
    assert.equal(1, cluster:value "select 1")
  end)
end)
