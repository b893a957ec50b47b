-- What an application sees when servers die: reads move, writes never run twice.

local moongate = require "moongate"
local process = require "moongate.process"
local shared = require "tests.support.cluster"
local throwaway = require "moongate.throwaway"
local wait = require "tests.support.wait"

-- Long enough to be caught in the act, on any machine.
local SLOW = "select current_setting('port')::int as port, pg_sleep(%s) is null as slept /* %s */"

describe("when a server dies", function()
  local pg, cluster

  setup(function()
    pg = throwaway.start { replicas = 2 }
    pg.primary:psql "create table failure (id int primary key)"
    pg:wait_for_replay()
  end)
  teardown(function() pg:stop() end)

  before_each(function()
    cluster = moongate.cluster {
      primary = pg.primary.url,
      replicas = { pg.replicas[1].url, pg.replicas[2].url },
      health = { interval = 0.05, timeout = 1, fall = 2, rise = 1 },
      backoff = { initial = 0.05, max = 0.1, attempts = 0 },
      pool = { acquire_timeout = 1 },
    }
    assert.equal("healthy", cluster:health().status)
  end)
  after_each(function() cluster:close() end)

  -- A process that terminates the first of our servers that it sees at work on `mark`.
  local function assassin(node, mark)
    return process.spawn({ pg.bindir .. "/psql", "-XAtq", "-d", node.url, "-c", ([[
      do $$
      begin
        for i in 1..1000 loop
          perform pg_terminate_backend(pid) from pg_stat_activity
            where state = 'active' and query like '%%/* %s */%%' and pid <> pg_backend_pid();
          exit when found;
          perform pg_sleep(0.01), pg_stat_clear_snapshot();
        end loop;
      end $$]]):format(mark) })
  end

  it("runs a read elsewhere that was cut off", function()
    local first <const>, second <const> = pg.replicas[1], pg.replicas[2]
    local killer = assassin(first, "cut")
    local ports = {}
    wait.until_true("a read to begin on the first replica", function()
      local rows = assert(cluster:query(SLOW:format(0.3, "cut")))
      ports[#ports + 1] = rows[1].port
      return process.poll(function() return killer.status end, 0.001)
    end, 30)
    assert.equal(second.port, ports[#ports])
  end)

  it("says that the outcome of a write is unknown, and runs it once", function()
    local killer = assassin(pg.primary, "write")
    local rows, message, code = cluster:query(
      "insert into failure select 1 from pg_sleep(5) /* write */")
    assert.is_nil(rows)
    assert.equal("08007", code)
    assert.matches("outcome is unknown", message)
    killer:wait(20)
    assert.same({}, (cluster:query "select id from failure for update"))
  end)

  it("notices pooled servers that have died while nothing ran", function()
    for _, sql in ipairs { "select 1 as one", "select 1 as one from failure for update" } do
      assert.is_truthy(cluster:query(sql))
    end
    for _, node in ipairs(pg:nodes()) do
      node:psql [[select pg_terminate_backend(pid, 5000) from pg_stat_activity
        where backend_type = 'client backend' and pid <> pg_backend_pid()]]
    end
    assert.same({ { one = 1 } }, (cluster:query "select 1 as one"))
    assert.same({ affected_rows = 1 }, (cluster:query "insert into failure values (2)"))
  end)

  it("serves reads from the others when a replica is gone, and from it when it is back", function()
    local replica = pg.replicas[2]
    replica:kill()
    for _ = 1, 50 do
      assert.not_equal(replica.port, assert(cluster:query "select current_setting('port')::int as port")[1].port)
    end
    wait.until_true("the replica to be down", function()
      local health = cluster:health()
      return health.status == "degraded" and health.db_replica == "connected" and health.db_primary == "connected"
    end)
    replica:start()
    wait.until_true("the replica to serve again", function()
      return assert(cluster:query "select current_setting('port')::int as port")[1].port == replica.port
    end)
    assert.equal("healthy", cluster:health().status)
  end)

  it("gives no new work to an endpoint that is drained", function()
    local first <const>, second <const> = cluster.endpoints[2], cluster.endpoints[3]
    local function served_by()
      return assert(cluster:query "select current_setting('port')::int as port")[1].port
    end
    wait.until_true("the first replica to serve", function() return served_by() == first.port end)
    moongate.drain(first)
    assert.is_true(first.draining)
    for _ = 1, 30 do assert.equal(second.port, served_by()) end
    local health = cluster:health()
    assert.is_true(health.endpoints[2].draining)
    assert.equal("connected", health.endpoints[2].status)
    wait.until_true("its servers to be closed", function()
      assert(cluster:query "select 1")
      return pg.replicas[1]:psql [[select count(*) from pg_stat_activity
        where backend_type = 'client backend' and pid <> pg_backend_pid() and query not like 'select r,%']] == "0"
    end)
    first:undrain()
    assert.is_false(first.draining)
    wait.until_true("it to serve again", function() return served_by() == first.port end)
    assert.has_error(function() moongate.drain "replica1" end)
    assert.has_error(function() first.drain() end)
  end)

  it("has writes wait for a primary that is drained, and says why in the end", function()
    cluster.primary:drain()
    local rows, message, code = cluster:query "insert into failure values (100)"
    assert.is_nil(rows)
    assert.equal("57P03", code)
    assert.matches("the primary is drained", message)
    cluster.primary:undrain()
    assert.same({ affected_rows = 1 }, (cluster:query "insert into failure values (100)"))
  end)

  it("sends writes to a replica that was promoted", function()
    assert.is_truthy(cluster:query "insert into failure values (3)")
    pg:wait_for_replay()
    pg.primary:kill()
    local _, _, code = cluster:query "insert into failure values (4)"
    assert.is_truthy(code == "57P03" or code == "08006", code)
    pg.replicas[1]:promote()
    wait.until_true("a write to be taken", function() return (cluster:query "insert into failure values (5)") end)
    assert.same({ { port = pg.replicas[1].port } },
      (cluster:query "select current_setting('port')::int as port from failure where id = 5 for update"))
    assert.equal(pg.replicas[1].port, cluster.primary.port)
    local health = cluster:health()
    assert.same({ "degraded", "connected", "connected" }, { health.status, health.db_primary, health.db_replica })
  end)
end)

describe("the module", function()
  it("ends a query at Ctrl-C, and goes on", function()
    local pg = shared.shared()
    local app = process.spawn({ "lua5.4", "-e", ([[
      local moongate = require "moongate"
      local cluster = moongate.cluster { primary = %q }
      assert(cluster:query "select 1")
      print "ready"
      io.stdout:flush()
      print(pcall(cluster.query, cluster, "select pg_sleep(60)"))
    ]]):format(pg.primary.url) })
    app:take("ready\n", 20)
    wait.until_true("the query to run", function()
      return pg.primary:psql "select count(*) from pg_stat_activity where query = 'select pg_sleep(60)'" == "1"
    end)
    app:kill "sigint"
    assert.equal(0, (app:wait(20)))
    assert.matches("false.*interrupted!", app.output)
  end)

  it("works twice in one process, each Lua state on its own", function()
    local pg = shared.shared()
    local status, output, errors = process.run({ "lua5.4", "-e", ([[
      local uv = require "luv"
      local function work(url)
        local moongate = require "moongate"
        local cluster = moongate.cluster { primary = url, policy = require "moongate.policies.read_write_split" }
        for i = 1, 300 do assert(cluster:query("select $1::int as i", i)[1].i == i) end
        io.write "done\n"
      end
      local threads = {}
      for i = 1, 4 do threads[i] = uv.new_thread(work, %q) end
      work(%q)
      for _, thread in ipairs(threads) do thread:join() end
    ]]):format(pg.primary.url, pg.primary.url) })
    assert.equal(0, status, errors)
    assert.equal(("done\n"):rep(5), output)
  end)
end)
