-- How many servers there are, for whom, and for how long.

local cluster = require "tests.support.cluster"
local process = require "moongate.process"
local router = require "tests.support.router"
local socket = require "socket"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

describe("pools", function()
  local pg, alone, moongate, watcher
  local opened = {}

  setup(function()
    pg = cluster.shared()
    alone = { primary = pg.primary, replicas = {} }
    for _, role in ipairs { "pool_a", "pool_b", "pool_c" } do
      pg.primary:psql(("create role %s login in role pg_read_all_data, pg_write_all_data"):format(role))
    end
    for _, database in ipairs { "pool_one", "pool_two" } do pg.primary:psql("create database " .. database) end
    pg.primary:psql "create table pool_turns (turn serial, who text)"
    pg:wait_for_replay()
    watcher = wire.open(pg.primary.port)
  end)
  teardown(function() watcher:quit() end)

  after_each(function()
    for _, client in ipairs(opened) do client:close() end
    opened = {}
    moongate:stop()
  end)

  -- A router in front of the primary (`nodes`: of others, too) with these fields of moongate.cluster{}.
  local function start(fields, nodes)
    moongate = router.start { pg = pg, text = router.script(nodes or alone, { extra = fields .. "," }) }
  end

  local function open(user, database)
    local client = wire.open(moongate.port, { user = user or "pool_a", database = database or "postgres" })
    opened[#opened + 1] = client
    return client
  end

  -- Keeps a server of the primary until the client commits; the error where there is none.
  local function hold(client)
    local result = client:query "begin"
    if not result.error then result = client:query "select pg_backend_pid()" end
    if result.error then
      client:query "rollback"
      return nil, result.error
    end
    return tonumber(result.rows[1][1])
  end

  -- What else has come was there before what comes back: by then the router has seen it.
  local function round_trips(client)
    for _ = 1, 5 do client:value "select 1" end
  end

  -- The pids of pooled servers at the primary (not those of probes), oldest first.
  local function servers(condition)
    local list = {}
    local rows = watcher:query([[select pid from pg_stat_activity
      where usename like 'pool\_%' and backend_type = 'client backend' and query not like 'select r,%' and ]]
      .. (condition or "true") .. " order by backend_start, pid").rows
    for i, row in ipairs(rows) do list[i] = tonumber(row[1]) end
    return list
  end

  local function wait_for_servers(count, condition)
    wait.until_true(("%d servers %s"):format(count, condition or ""), function()
      return #servers(condition) == count
    end)
  end

  local function of(user) return ("usename = '%s'"):format(user) end

  -- How many clients can hold a server at once, of `most`.
  local function room(user, database, most)
    local clients, count, refusal = {}, 0, nil
    for i = 1, most do clients[i] = open(user, database) end
    for _, client in ipairs(clients) do
      local pid, err = hold(client)
      count = count + (pid and 1 or 0)
      refusal = refusal or err
    end
    for _, client in ipairs(clients) do client:query "rollback" end
    return count, refusal
  end

  it("have the size of their user, else of their database, else of the cluster", function()
    start [[pool = { size = 2, acquire_timeout = 1 },
      users = { pool_b = { pool_size = 1 }, pool_c = { pool_size = 3 } },
      databases = { pool_two = { pool_size = 1 } }]]
    local count, refusal = room("pool_a", "pool_one", 3)
    assert.equal(2, count)
    assert.equal("53300", refusal.C)
    assert.matches("all 2 of its pool at 127.0.0.1:%d+ are in use %(pool.size%)", refusal.M)
    assert.equal(1, (room("pool_b", "pool_one", 2)))
    assert.equal(1, (room("pool_a", "pool_two", 2)))
    assert.equal(3, (room("pool_c", "pool_two", 3)))
  end)

  it("use their reserve for those who have waited, and give it up first", function()
    start "pool = { size = 1, reserve = 1, reserve_after = 0.2 }"
    local first, second, third = open(), open(), open()
    local one, two = hold(first), hold(second)
    assert.not_equal(one, two)
    third:send(wire.query "select pg_backend_pid()")
    round_trips(second)
    second:query "commit"
    assert.equal(tostring(two), third:result().rows[1][1])
    first:query "commit"
    wait_for_servers(1)
  end)

  it("keep min_idle servers open, and open them anew when they die", function()
    start "pool = { min_idle = 3, idle_timeout = 0.1 }"
    open():value "select 1"
    wait_for_servers(3)
    local before = servers()
    pg.primary:psql(("select pg_terminate_backend(%d)"):format(before[2]))
    wait.until_true("another one", function()
      local now = servers()
      return #now == 3 and now[3] ~= before[3] and now[1] == before[1]
    end)
  end)

  it("keep min_idle servers open, and open them anew when they are old", function()
    start "pool = { min_idle = 2, server_lifetime = 0.5 }"
    open():value "select 1"
    wait_for_servers(2)
    local before = servers()
    wait.until_true("younger ones", function()
      local now = servers()
      return #now == 2 and now[1] ~= before[1] and now[1] ~= before[2]
    end)
  end)

  it("close what has been idle for long", function()
    start "pool = { idle_timeout = 0.2 }"
    open():value "select 1"
    wait_for_servers(0)
    assert.truthy(opened[1]:value "select 1")
  end)

  it("close what is old as it comes back, whoever waits", function()
    start "pool = { size = 1, max_lifetime = 0.2, idle_timeout = 0 }"
    local client, other = open(), open()
    local pid = hold(client)
    other:send(wire.query "select pg_backend_pid()")
    pg.primary:psql "select pg_sleep(0.3)"
    assert.equal(tostring(pid), client:value "select pg_backend_pid()")
    client:query "commit"
    assert.not_equal(tostring(pid), other:result().rows[1][1])
    wait_for_servers(0)
  end)

  it("do not close together what was opened together", function()
    start "pool = { size = 10, max_lifetime = 2, lifetime_jitter = 1 }"
    local clients = {}
    for i = 1, 10 do
      clients[i] = open()
      hold(clients[i])
    end
    for _, client in ipairs(clients) do client:query "commit" end
    local seen = {}
    wait.until_true("all to be closed", function()
      local count = #servers()
      seen[count] = true
      return count == 0
    end)
    local steps = 0
    for _ in pairs(seen) do steps = steps + 1 end
    assert.is_true(steps > 4, steps .. " steps")
  end)

  describe("share a limit", function()
    local function refusal_of(client)
      local pid, err = hold(client)
      assert.is_nil(pid)
      return err
    end

    it("of their database, whoever the user is", function()
      start "pool = { max_per_database = 1, acquire_timeout = 1 }"
      local a, b, other = open("pool_a", "pool_one"), open("pool_b", "pool_one"), open("pool_b", "pool_two")
      assert.truthy(hold(a))
      local err = refusal_of(b)
      assert.equal("53300", err.C)
      assert.matches("all 1 of database pool_one are in use (pool.max_per_database)", err.M, 1, true)
      assert.truthy(hold(other))
      a:query "commit"
      assert.truthy(hold(b))
      wait_for_servers(1, "datname = 'pool_one'")
    end)

    it("of their user, whichever the database is", function()
      start "pool = { max_per_user = 1, acquire_timeout = 1 }"
      local one, two, other = open("pool_a", "pool_one"), open("pool_a", "pool_two"), open("pool_b", "pool_one")
      assert.truthy(hold(one))
      local err = refusal_of(two)
      assert.equal("53300", err.C)
      assert.matches("all 1 of user pool_a are in use (pool.max_per_user)", err.M, 1, true)
      assert.truthy(hold(other))
      one:query "commit"
      assert.truthy(hold(two))
      wait_for_servers(1, of "pool_a")
    end)

    it("of their endpoint, and of no other", function()
      start("pool = { max_per_endpoint = 1, acquire_timeout = 1 }", pg)
      local a, b = open("pool_a", "pool_one"), open("pool_b", "pool_two")
      assert.truthy(hold(a))
      local err = refusal_of(b)
      assert.equal("53300", err.C)
      assert.matches("all 1 of endpoint 127.0.0.1:" .. pg.primary.port .. " are in use (pool.max_per_endpoint)",
        err.M, 1, true)
      assert.not_equal(pg.primary.port, b:served_by())
      a:query "commit"
      assert.truthy(hold(b))
      wait_for_servers(1)
    end)

    it("and close what has been idle longest to make room", function()
      start "pool = { max_per_database = 2 }"
      local a, b = open "pool_a", open "pool_b"
      a:value "select 1"
      b:value "select 1"
      wait_for_servers(2) -- a probe that is just connecting looks like one
      open "pool_c"
      wait_for_servers(0, of "pool_a")
      wait_for_servers(1, of "pool_b")
      wait_for_servers(1, of "pool_c")
      a:value "select 1"
      wait_for_servers(0, of "pool_b")
    end)

    it("and serve who has waited longest first", function()
      start "pool = { max_per_database = 1 }"
      local waiters = { open "pool_b", open "pool_a", open "pool_c", open "pool_b" }
      local holder = open "pool_a"
      hold(holder)
      for i, client in ipairs(waiters) do
        client:send(wire.query(("insert into pool_turns (who) values ('%d')"):format(i)))
        round_trips(holder)
        pg.primary:psql "select pg_sleep(0.05)" -- else their waits are as good as equal
      end
      pg.primary:psql "truncate pool_turns"
      holder:query "commit"
      for _, client in ipairs(waiters) do assert.same({ "INSERT 0 1" }, client:result().tags) end
      assert.equal("1\n2\n3\n4", pg.primary:psql "select who from pool_turns order by turn")
    end)

    it("and let others in where one pool is always busy", function()
      start "pool = { max_per_database = 2, acquire_timeout = 10 }"
      local b = open "pool_b"
      local script = pg.dir .. "/busy.sql"
      local file = assert(io.open(script, "w"))
      file:write "select pg_sleep(0.001);\n"
      file:close()
      local busy = process.spawn({ router.bin "pgbench", "-n", "-c", "6", "-T", "120", "-f", script,
        moongate:url "pool_a" }, { env = router.environment_for_programs() })
      wait.until_true("the load", function() return #servers(of "pool_a") == 2 end)
      for _ = 1, 20 do assert.is_nil(b:query("select 1").error) end
      busy:kill "sigkill"
      busy:wait(5)
    end)
  end)

  describe("that cannot connect", function()
    local mute, port

    before_each(function()
      mute = assert(socket.bind("127.0.0.1", 0, 100)) -- accepts, as far as TCP goes, and never answers
      port = select(2, mute:getsockname())
    end)
    after_each(function() mute:close() end)

    local function start_mute(pool)
      moongate = router.start {
        pg = pg,
        text = ([[local moongate = require "moongate"
          return moongate.router { cluster = moongate.cluster {
            primary = "postgres://127.0.0.1:%d", pool = %s, health = { timeout = 60 } } }]]):format(port, pool),
      }
    end

    local function refusal()
      local client = wire.connect(moongate.port)
      opened[#opened + 1] = client
      return client:start({ user = "pool_a", database = "postgres" }).error
    end

    it("give up after connect_timeout, and their clients after acquire_timeout", function()
      start_mute "{ connect_timeout = 0.1, acquire_timeout = 1 }"
      assert.equal("57P03", refusal().C)
      assert.matches("no connection within the connect timeout", moongate:log())
    end)

    it("tell clients that connecting takes longer than they wait", function()
      start_mute "{ connect_timeout = 60, acquire_timeout = 0.2 }"
      local err = refusal()
      assert.equal("57P03", err.C)
      assert.matches("connecting to 127.0.0.1:" .. port .. " takes longer", err.M, 1, true)
    end)
  end)
end)
