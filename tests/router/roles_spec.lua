-- Who is the primary is found out, not configured: promotion, demotion, two primaries, none.

local router = require "tests.support.router"
local throwaway = require "moongate.throwaway"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

-- Probes are further apart than writes wait, so that what is noticed was looked for.
local SELDOM = [[
  health = { interval = 600, timeout = 5, fall = 3, rise = 1, slow_start = 0 },
  backoff = { initial = 0.2, max = 0.2, attempts = 0, jitter = 0 },
]]
local OFTEN = [[
  health = { interval = 0.1, timeout = 5, fall = 2, rise = 1, slow_start = 0 },
  backoff = { initial = 0.1, max = 0.1, attempts = 0, jitter = 0 },
]]
-- Writes, plain reads, and reads that do not mind how old they are.
local POLICY = [[function(cluster)
  local writes = cluster:route { to = "primary", hold = 50 }
  local reads = cluster:route { to = "replicas", fallback = "primary" }
  local any = cluster:route { to = "replicas", consistency = "eventual" }
  return function(query)
    if query.tags.any then return any end
    return query.intent == "read" and reads or writes
  end
end]]
local PORT = "select current_setting('port')"

describe("roles", function()
  local pg, moongate, client

  local function start(options)
    pg = throwaway.start { replicas = options.replicas }
    pg.primary:psql "create table roles (id serial primary key, port int)"
    pg:wait_for_replay()
    moongate = router.start { pg = pg, text = router.script(pg, { policy = POLICY, extra = options.extra }) }
    client = wire.open(moongate.port)
  end

  after_each(function()
    if client then client:close() end
    if moongate then moongate:stop() end
    if pg then pg:stop() end
    client, moongate, pg = nil, nil, nil
  end)

  local WRITE = "insert into roles (port) values (current_setting('port')::int) returning port"

  local function write()
    return tonumber(client:value(WRITE))
  end

  local function logged(pattern)
    wait.until_true("the log to say " .. pattern, function() return moongate:log():match(pattern) end)
  end

  local function read_any()
    return tonumber(client:value(PORT .. " /* moongate: any=yes */"))
  end

  it("follow a promotion that nobody announces, and the old primary is ignored when it is back", function()
    start { replicas = 2, extra = SELDOM }
    local old <const>, new <const>, rest <const> = pg.primary, pg.replicas[1], pg.replicas[2]
    assert.equal(old.port, write())
    pg:wait_for_replay()
    old:kill()
    client:send(wire.query(WRITE)) -- waits
    new:promote()
    local result = client:result()
    assert.is_nil(result.error, result.error and result.error.M)
    assert.equal(tostring(new.port), result.rows[1][1])
    assert.matches(('writes go to another primary" endpoint=127.0.0.1:%d timeline=2'):format(new.port), moongate:log())

    -- The other replica still follows what was left: good for those only who do not mind.
    for _ = 1, 10 do assert.equal(new.port, client:served_by()) end
    assert.equal(rest.port, read_any())
    logged("follows a timeline that was left[^\n]*endpoint=127.0.0.1:" .. rest.port)

    old:start()
    logged("endpoint up\" endpoint=127.0.0.1:" .. old.port)
    assert.matches("an old primary[^\n]*ignored\" endpoint=127.0.0.1:" .. old.port, moongate:log())
    for _ = 1, 5 do
      assert.equal(new.port, write())
      assert.equal(new.port, client:served_by())
    end
  end)

  it("follow a switchover: the old primary comes back as a replica", function()
    start { replicas = 1, extra = OFTEN }
    local old <const>, new <const> = pg.primary, pg.replicas[1]
    assert.equal(old.port, write())
    pg:wait_for_replay()
    old:stop()
    new:promote()
    assert.equal(new.port, write())
    local file = assert(io.open(old.data .. "/postgresql.auto.conf", "a"))
    file:write(("primary_conninfo = 'host=127.0.0.1 port=%d user=postgres'\n"):format(new.port))
    file:close()
    assert(io.open(old.data .. "/standby.signal", "w")):close()
    old:start()
    wait.until_true("the old primary to serve reads", function() return client:served_by() == old.port end)
    assert.equal(new.port, write())
    assert.matches("role changed\" endpoint=127.0.0.1:" .. old.port .. " from=primary to=replica", moongate:log())
  end)

  it("are split by two primaries on one timeline: writes are refused until one is left", function()
    start { replicas = 1, extra = OFTEN }
    local rival = pg.replicas[1]
    assert.equal(pg.primary.port, write())
    rival:stop()
    assert(os.remove(rival.data .. "/standby.signal"))
    rival:start()
    logged "several primaries on one timeline"
    local result = client:query(WRITE)
    assert.equal("57P03", result.error.C)
    assert.matches("several primaries on one timeline", result.error.M)
    rival:stop()
    wait.until_true("writes to be taken again", function() return not client:query(WRITE).error end)
    assert.equal(pg.primary.port, write())
    -- Once, not with each probe.
    assert.equal(1, select(2, moongate:log():gsub("several primaries on one timeline", "")))
  end)

  it("know a primary that takes no writes", function()
    start { replicas = 0, extra = OFTEN }
    pg.primary:psql "alter system set default_transaction_read_only = on"
    pg.primary:psql "select pg_reload_conf()"
    logged "the primary is read%-only: writes wait"
    local writer = wire.open(moongate.port)
    writer:send(wire.query(WRITE))
    for _ = 1, 5 do assert.equal(pg.primary.port, client:served_by()) end
    pg.primary:psql "set default_transaction_read_only = off; alter system reset default_transaction_read_only"
    pg.primary:psql "select pg_reload_conf()"
    local result = writer:result()
    assert.is_nil(result.error, result.error and result.error.M)
    assert.equal(tostring(pg.primary.port), result.rows[1][1])
    writer:quit()
  end)

  it("know that what a role is set to says nothing of the primary", function()
    start { replicas = 0, extra = OFTEN }
    pg.primary:psql "alter role postgres set default_transaction_read_only = on"
    local other = router.start { pg = pg, text = router.script(pg, { policy = POLICY, extra = OFTEN }) }
    local writer = wire.open(other.port)
    assert.equal("25006", writer:query(WRITE).error.C) -- PostgreSQL's own answer: nothing waited
    assert.is_nil(writer:query("begin read write; " .. WRITE .. "; commit").error)
    assert.not_matches("read%-only", other:log())
    writer:quit()
    other:stop()
  end)

  it("leave out an endpoint that belongs to another system", function()
    local other <close> = throwaway.start()
    pg = throwaway.start { replicas = 1 }
    local nodes = { primary = pg.primary, replicas = { pg.replicas[1], other.primary } }
    moongate = router.start { pg = pg, text = router.script(nodes, { policy = POLICY, extra = OFTEN }) }
    client = wire.open(moongate.port)
    logged("another PostgreSQL system; it is not used\" endpoint=127.0.0.1:" .. other.primary.port)
    for _ = 1, 30 do assert.not_equal(other.primary.port, client:served_by()) end
    for _ = 1, 30 do assert.equal(pg.replicas[1].port, read_any()) end
    assert.equal(pg.primary.port, tonumber(client:value(PORT .. " from pg_class limit 1 for update")))
  end)

  it("are not taken from the script while the first probes are under way", function()
    pg = throwaway.start { replicas = 1 }
    pg.primary:psql "create table roles (id serial primary key, port int)"
    pg:wait_for_replay()
    local swapped = { primary = pg.replicas[1], replicas = { pg.primary } }
    moongate = router.start { pg = pg, text = router.script(swapped, { policy = POLICY, extra = OFTEN }) }
    client = wire.open(moongate.port)
    assert.equal(pg.primary.port, write())
  end)
end)
