-- Servers die and come back: readers see nothing of it, writers wait or are told.

local process = require "moongate.process"
local router = require "tests.support.router"
local throwaway = require "moongate.throwaway"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

-- Quick to notice and to try again, for tests.
local HEALTH = [[
  health = { interval = 0.2, timeout = 0.5, fall = 2, rise = 2 },
  backoff = { initial = 0.2, max = 0.5 },
  pool = { acquire_timeout = 50 },
]]

describe("when servers die", function()
  local pg, moongate

  setup(function()
    pg = throwaway.start { replicas = 2 }
    pg.primary:psql "create table survivors (id serial primary key, note text)"
    pg:wait_for_replay()
    process.run { pg.bindir .. "/pgbench", "-i", "-q", pg.primary.url }
    pg:wait_for_replay()
  end)
  teardown(function() pg:stop() end)

  before_each(function()
    moongate = router.start { pg = pg, text = router.script(pg, { extra = HEALTH }) }
  end)
  after_each(function()
    for _, node in ipairs(pg:nodes()) do
      if not node:is_running() then node:start() end
    end
    moongate:stop()
  end)

  local function served_by(client, port)
    wait.until_true(("port %d to serve"):format(port), function()
      return client:served_by() == port
    end, 15)
  end

  -- pgbench -S for some seconds; `during` runs once transactions are seen on the node.
  local function reads_during(node, during)
    local function transactions()
      return tonumber(node:psql [[select xact_commit from pg_stat_database
        where datname = current_database()]])
    end
    local before = transactions()
    local load = process.spawn({
      pg.bindir .. "/pgbench", "-n", "-S", "-c", "8", "-j", "2", "-T", "4", "-M", "extended",
      moongate:url(),
    }, { env = router.environment_for_programs() })
    wait.until_true("load on " .. node.name, function() return transactions() > before + 100 end)
    during()
    local status = load:wait(60)
    return status, load.output, load.errors
  end

  it("readers see no error when a replica is killed under load, and it comes back", function()
    local replica = pg.replicas[1]
    local status, output, errors = reads_during(replica, function() replica:kill() end)
    assert.equal(0, status, errors)
    assert.matches("number of failed transactions: 0 ", output)
    assert.not_matches("rror", errors)
    wait.until_true("the log to tell", function()
      return moongate:log():match(("endpoint down\"[^\n]* endpoint=127.0.0.1:%d"):format(replica.port))
    end)

    local client = wire.open(moongate.port)
    for _ = 1, 20 do assert.not_equal(replica.port, client:served_by()) end
    replica:start()
    served_by(client, replica.port)
    client:quit()
  end)

  it("readers see no error when a replica is stopped in good order #slow", function()
    local replica = pg.replicas[2]
    local status, output, errors = reads_during(replica, function() replica:stop() end)
    assert.equal(0, status, errors)
    assert.matches("number of failed transactions: 0 ", output)
  end)

  it("the primary reads where no replica is left", function()
    local client = wire.open(moongate.port)
    for _, replica in ipairs(pg.replicas) do replica:kill() end
    for _ = 1, 10 do assert.equal(pg.primary.port, client:served_by()) end
    assert.is_nil(client:query("insert into survivors (note) values ('alone')").error)
    for _, replica in ipairs(pg.replicas) do replica:start() end
    for _, replica in ipairs(pg.replicas) do served_by(client, replica.port) end
    client:quit()
  end)

  it("a replica that does not answer any more leaves the rotation", function()
    local client = wire.open(moongate.port)
    local replica = pg.replicas[1]
    replica:suspend()
    wait.until_true("the log to tell", function()
      return moongate:log():match("down[^\n]*" .. replica.port)
        or moongate:log():match(replica.port .. "[^\n]*down")
    end)
    for _ = 1, 20 do assert.equal(pg.replicas[2].port, client:served_by()) end
    replica:resume()
    served_by(client, replica.port)
    client:quit()
  end)

  it("reads go on without the primary, and writes wait for it", function()
    local client, writer = wire.open(moongate.port), wire.open(moongate.port)
    pg.primary:kill()
    for _ = 1, 20 do assert.not_equal(pg.primary.port, client:served_by()) end
    writer:send(wire.query("insert into survivors (note) values ('waited') returning note"))
    for _ = 1, 20 do client:served_by() end
    pg.primary:start()
    local result = writer:result()
    assert.is_nil(result.error, result.error and result.error.M)
    assert.equal("waited", result.rows[1][1])
    client:quit()
    writer:quit()
  end)

  it("a new client is welcomed while the primary is away", function()
    pg.primary:kill()
    local client = wire.open(moongate.port)
    assert.not_equal(pg.primary.port, client:served_by())
    client:quit()
  end)

  it("a transaction on the killed primary gets one error, and is not run again", function()
    local client = wire.open(moongate.port)
    client:query("begin")
    client:query("insert into survivors (note) values ('cut off')")
    pg.primary:kill()
    local result = client:query("insert into survivors (note) values ('cut off')")
    assert.is_not_nil(result.error)
    pg.primary:start()
    assert.equal("0", pg.primary:psql "select count(*) from survivors where note = 'cut off'")
    local other = wire.open(moongate.port)
    assert.equal("0", other:value("select count(*) from survivors where note = 'cut off'"))
    other:quit()
  end)

  it("a router that starts before PostgreSQL waits for it", function()
    for _, node in ipairs(pg:nodes()) do node:kill() end
    local early = router.start { pg = pg, text = router.script(pg, { extra = HEALTH }) }
    pg.primary:start()
    local client
    wait.until_true("a welcome", function()
      local ok, got = pcall(wire.open, early.port)
      client = ok and got
      return client
    end)
    assert.equal(pg.primary.port, client:served_by())
    for _, replica in ipairs(pg.replicas) do replica:start() end
    for _, replica in ipairs(pg.replicas) do served_by(client, replica.port) end
    client:quit()
    early:stop()
  end)
end)
