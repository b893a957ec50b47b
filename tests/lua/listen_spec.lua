-- cluster:listen() and notify(): what is heard, what is kept, and what is told when something may be missing.

local moongate = require "moongate"
local process = require "moongate.process"
local shared = require "tests.support.cluster"
local throwaway = require "moongate.throwaway"
local wait = require "tests.support.wait"

describe("a listener", function()
  local pg, cluster

  setup(function() pg = shared.shared() end)
  before_each(function()
    cluster = moongate.cluster {
      primary = pg.primary.url .. "?application_name=lua_listen&sslmode=disable",
      pool = { size = 2, acquire_timeout = 10 },
      health = { interval = 0.05 },
      backoff = { initial = 0.02, max = 0.05 },
    }
  end)
  after_each(function() cluster:close() end)

  -- Those that listen, as PostgreSQL has them.
  local function listeners()
    return tonumber(pg.primary:psql [[
      select count(*) from pg_stat_activity where application_name = 'lua_listen' and query like 'unlisten *%']])
  end

  local function cut_off()
    pg.primary:psql [[
      select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = 'lua_listen' and query like 'unlisten *%']]
  end

  -- Payloads of what has come: all that was sent until now is heard ahead of what is sent now.
  local function payloads(listener)
    assert(listener:listen "the end")
    assert(cluster:notify "the end")
    local all = {}
    for n in function() return assert(listener:wait(10)) end do
      if n.channel == "the end" then break end
      all[#all + 1] = n.reconnected and "reconnected" or n.payload
    end
    assert(listener:unlisten "the end")
    return all
  end

  local function failure_of(message, code) return { nil, message, code, { message = message, sqlstate = code } } end

  it("hears its channels, by names as they are given, in order", function()
    local listener <close> = assert(cluster:listen("Jobs \"of\" today", "plain"))
    assert.is_true(cluster:notify("Jobs \"of\" today", "it's"))
    assert.is_true(cluster:notify("plain"))
    assert.is_true(cluster:notify("jobs", "nobody's"))
    local first = assert(listener:wait(5))
    assert.same({ "Jobs \"of\" today", "it's" }, { first.channel, first.payload })
    assert.equal("integer", math.type(first.pid))
    assert.equal("", assert(listener:wait(5)).payload)
    assert.same(failure_of("timeout", "57014"), { listener:wait(0.01) })
    assert.same(failure_of("timeout", "57014"), { listener:wait(0) })
  end)

  it("hears more channels, or fewer, as it goes", function()
    local listener <close> = assert(cluster:listen "a")
    assert.is_true(listener:listen("b", "c"))
    assert.is_true(listener:unlisten("a", "c"))
    for _, channel in ipairs { "a", "b", "c" } do cluster:notify(channel, channel) end
    assert.same({ "b" }, payloads(listener))
    assert.is_true(listener:unlisten "b")
    assert.is_true(listener:listen())
    cluster:notify("b", "b")
    assert.same({}, payloads(listener))
  end)

  it("takes none of the pool's connections, and is not lent to anybody", function()
    local listener <close> = assert(cluster:listen "own")
    local pool = cluster:pool "write"
    local first <close> = assert(pool:acquire())
    local second <close> = assert(pool:acquire())
    assert.equal(2, pool:stats().lent)
    assert.is_true(first:notify("own", "1"))
    assert.equal("1", listener:wait(5).payload)
    assert.equal("idle", second:status())
  end)

  it("hears of a transaction when it commits, and of one that does not, nothing", function()
    local listener <close> = assert(cluster:listen "tx")
    assert.is_true((cluster:transaction(function(tx)
      assert(tx:notify("tx", "committed"))
      assert.same({}, payloads(listener))
      return true
    end)))
    cluster:transaction(function(tx)
      tx:notify("tx", "rolled back")
      error "never mind"
    end)
    assert.same({ "committed" }, payloads(listener))
  end)

  it("keeps what comes while nobody waits, however much", function()
    local listener <close> = assert(cluster:listen "many")
    local count <const> = 2500 -- more than it keeps: the rest waits in PostgreSQL
    moongate.run(function()
      moongate.spawn(function()
        assert(cluster:query("select pg_notify('many', i::text) from generate_series(1, $1) as i", count))
      end)
      moongate.sleep(0.1)
      for i = 1, count do assert.equal(tostring(i), assert(listener:wait(5)).payload) end
    end)
    assert.same({}, payloads(listener))
  end)

  it("waits in a task while others go on", function()
    local order = {}
    moongate.run(function()
      local listener <close> = assert(cluster:listen "task")
      local task = moongate.spawn(function()
        local payload = assert(listener:wait()).payload
        order[#order + 1] = payload
      end)
      moongate.sleep(0)
      order[#order + 1] = "went on"
      local ok, why = pcall(listener.wait, listener)
      assert.is_false(ok)
      assert.matches("listener:wait: another task waits on this listener already", why)
      cluster:notify("task", "heard")
      task:wait()
      local given_up = moongate.spawn(listener.wait, listener)
      moongate.sleep(0)
      assert.is_true(given_up:cancel())
      assert.equal("timeout", (select(2, listener:wait(0))))
    end)
    assert.same({ "went on", "heard" }, order)
  end)

  it("waits in a coroutine of cqueues while others go on", function()
    local order = {}
    local controller = require("cqueues").new()
    controller:wrap(function()
      local listener <close> = assert(cluster:listen "cqueues")
      controller:wrap(function()
        order[#order + 1] = "went on"
        assert(cluster:notify("cqueues", "heard"))
      end)
      local payload = assert(listener:wait(5)).payload
      order[#order + 1] = payload
      order[#order + 1] = select(2, listener:wait(0.01))
      assert.is_true(cluster:reconnect(cluster.primary))
      assert.equal("57014", (select(3, cluster:pool("write"):with(function()
        return cluster:pool("write"):drain(0.01)
      end))))
    end)
    assert(controller:loop(20))
    assert.is_true(controller:empty())
    assert.same({ "went on", "heard", "timeout" }, order)
  end)

  it("goes through what it hears in a loop, which ends with it", function()
    local heard = {}
    moongate.run(function()
      local listener = assert(cluster:listen "loop")
      local task = moongate.spawn(function()
        for notification in listener:each() do heard[#heard + 1] = notification.payload end
        return "ended"
      end)
      cluster:notify("loop", "1")
      cluster:notify("loop", "2")
      wait.until_true("both to be heard", function()
        moongate.sleep(0.01)
        return #heard == 2
      end)
      listener:close()
      assert.equal("ended", task:wait())
      for _ in listener:each() do error "never" end
    end)
    assert.same({ "1", "2" }, heard)
  end)

  it("listens anew when its connection is lost, and says so in the place of what may be missing", function()
    local listener <close> = assert(cluster:listen("again", "and again"))
    pg.primary:psql "notify again, 'before'" -- is read together with the end
    cut_off()
    wait.until_true("it to end", function() return listeners() == 0 end)
    wait.until_true("it to listen", function()
      moongate.sleep(0.01)
      return listeners() == 1
    end)
    cluster:notify("and again", "after")
    assert.same({ "before", "reconnected", "after" }, payloads(listener))
    cut_off()
    assert.same({ reconnected = true }, listener:wait(5))
    assert.is_true(listener:listen "more")
    cluster:notify("more", "more")
    assert.same({ "more" }, payloads(listener))
  end)

  it("leaves nothing behind when it is closed, or forgotten, or its cluster is closed", function()
    local listener = assert(cluster:listen "a")
    listener:close()
    listener:close()
    wait.until_true("it to end", function() return listeners() == 0 end)
    assert.error_matches(function() listener:wait() end, "listener:wait: the listener is closed")
    assert.error_matches(function() listener:listen "b" end, "listener:listen: the listener is closed")
    assert(cluster:listen "a")
    collectgarbage()
    collectgarbage()
    wait.until_true("it to end", function() return listeners() == 0 end)
    moongate.run(function()
      local last = assert(cluster:listen "a")
      local task = moongate.spawn(last.wait, last)
      moongate.sleep(0)
      cluster:close()
      assert.same(failure_of("the listener was closed", "57P01"), { task:wait() })
      last:close()
    end)
  end)

  it("is not there without a primary, and says why", function()
    local own <close> = moongate.cluster {
      primary = "postgres://app:Secret-Word@127.0.0.1:1/d", pool = { acquire_timeout = 0.1 },
      backoff = { initial = 0.02, max = 0.02 },
    }
    local listener, message, code, fields = own:listen "a"
    assert.is_nil(listener)
    assert.matches("connecting to 127%.0%.0%.1:1: .*refused", message)
    assert.is_nil(message:find("Secret", 1, true))
    assert.same({ message = message, sqlstate = code }, fields)
    local refused <close> = moongate.cluster {
      primary = ("postgres://%s:wrong@127.0.0.1:%d/postgres"):format(shared.ROLE, pg.primary.port),
      backoff = { initial = 0.01, max = 0.01, attempts = 2 },
    }
    listener, message, code = refused:listen "a"
    assert.is_nil(listener)
    assert.equal("28P01", code)
    assert.matches("^gave up after 2 attempts: connecting to 127.*password authentication failed", message)
  end)

  it("has mistakes blamed on the line that made them", function()
    local listener <close> = assert(cluster:listen "a")
    for message, fn in pairs {
      ["cluster:listen: a channel is a name of 1 to 63 bytes, not one of 64"] = function()
        cluster:listen(("x"):rep(64))
      end,
      ["cluster:listen: a channel is a name of 1 to 63 bytes, not a nil"] = function() cluster:listen("a", nil) end,
      ["listener:listen: a channel is a name of 1 to 63 bytes, not one of 0"] = function() listener:listen "" end,
      ["notify: a channel is a name"] = function() cluster:notify() end,
      ["notify: the payload is a string, not a table"] = function() cluster:notify("a", {}) end,
      ["listener:wait: the timeout must be a number of seconds, 0 or more, not %-1"] = function() listener:wait(-1) end,
      ["listener:wait: call it as listener:wait%(%)"] = function() listener.wait(1) end,
    } do
      local ok, why = pcall(fn)
      assert.is_false(ok)
      assert.matches("^tests/lua/listen_spec.lua:%d+: " .. message, why)
    end
  end)

  it("says nothing wrong of a payload that PostgreSQL refuses", function()
    local done, message, code = cluster:notify("a", ("x"):rep(8000))
    assert.is_nil(done)
    assert.equal("payload string too long", message)
    assert.equal("22023", code)
  end)

  it("is closed when the state is", function()
    local status, output, errors = process.run({ "lua5.4", "-e", ([[
      local moongate = require "moongate"
      local cluster = moongate.cluster { primary = %q }
      moongate.run(function()
        local listener = assert(cluster:listen "exit")
        moongate.spawn(listener.wait, listener)
        moongate.sleep(0.01)
        print "exits"
        os.exit(0, true)
      end)
    ]]):format(pg.primary.url) }, { seconds = 20 })
    assert.equal("exits\n", output, errors)
    assert.equal(0, status, errors)
  end)
end)

describe("when the primary #slow", function()
  local pg

  -- Each test takes a replica for itself, and only the last one takes the primary.
  setup(function() pg = throwaway.start { replicas = 2 } end)
  teardown(function() pg:stop() end)

  it("has become a replica, or is silent, listeners notice", function()
    local port = process.free_port()
    local door = process.spawn({ "lua5.4", "tests/support/forward.lua", "127.0.0.1", tostring(port),
      tostring(pg.primary.port) }, { input = true })
    door:take("ready\n", 5)
    local cluster <close> = moongate.cluster {
      primary = (pg.primary.url:gsub(":" .. pg.primary.port .. "/", ":" .. port .. "/")),
      replicas = { pg.replicas[1].url },
      health = { interval = 0.05, timeout = 0.2, fall = 2, rise = 1 },
      pool = { connect_timeout = 0.2 },
      backoff = { initial = 0.05, max = 0.1, attempts = 0 },
    }
    local listener <close> = assert(cluster:listen "silent")
    door:kill "sigstop"
    wait.until_true("it to be seen", function()
      assert.equal("timeout", (select(2, listener:wait(0.02))))
      return not cluster.endpoints[1].up
    end)
    door:kill "sigcont"
    assert.same({ reconnected = true }, listener:wait(20))
    pg.replicas[1]:promote() -- on a newer timeline: the other is none any more
    assert.same({ reconnected = true }, listener:wait(20))
    assert.is_true(cluster:notify("silent", "no more"))
    assert.equal("no more", assert(listener:wait(5)).payload)
    door:kill "sigkill"
  end)

  it("is another, listeners go there, and workers work there", function()
    local cluster <close> = moongate.cluster {
      primary = pg.primary.url,
      replicas = { pg.replicas[2].url },
      health = { interval = 0.05, timeout = 1, fall = 2, rise = 1 },
      backoff = { initial = 0.05, max = 0.1, attempts = 0 },
    }
    local listener <close> = assert(cluster:listen "failover")
    local env = require("luv").os_environ()
    env.LUA_PATH, env.LUA_CPATH = package.path, package.cpath
    env.DATABASE_URL, env.DATABASE_REPLICA_URL = pg.primary.url, pg.replicas[2].url
    local worker = process.spawn({ "lua5.4", "examples/worker.lua" }, { env = env })
    wait.until_true("the worker to begin", function()
      return pg.primary:psql "select count(*) from pg_stat_activity where query like '%listen \"jobs\"'" == "1"
    end)
    wait.until_true("the replica to have its table", function()
      return pg.replicas[2]:psql "select to_regclass('jobs') is not null" == "t"
    end)
    assert.same({ nil, "timeout", "57014" }, { table.unpack({ listener:wait(0.05) }, 1, 3) })
    pg.primary:kill()
    pg.replicas[2]:promote()
    assert.same({ reconnected = true }, listener:wait(20))
    assert.is_true(cluster:notify("failover", "from the new one"))
    assert.equal("from the new one", assert(listener:wait(5)).payload)
    pg.replicas[2]:psql "insert into jobs (kind, payload) values ('print', 'done after all')"
    worker:take("done after all\n", 20)
    worker:kill "sigint"
    assert.equal(0, (worker:wait(20)), worker.errors)
  end)
end)
