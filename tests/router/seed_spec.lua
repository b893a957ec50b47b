-- What the service before this one promised: one primary, perhaps a replica, two kinds of intents,
-- and a health check that says which database is down.

local cluster = require "tests.support.cluster"
local process = require "moongate.process"
local router = require "tests.support.router"
local throwaway = require "moongate.throwaway"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

local function url(port, rest) return ("postgres://postgres@127.0.0.1:%d/postgres%s"):format(port, rest or "") end

local function told(bad, text)
  return text:find(bad.tells, 1, true) or bad.or_tells and text:find(bad.or_tells, 1, true)
end

-- What is wrong with the replica's URL; `tells` is what /health says of it.
local function bad_replicas()
  return {
    { what = "whose port refuses", url = url(process.free_port()), tells = "refused" },
    { what = "whose host has no address", url = "postgres://app:s3cret@nowhere.invalid/app",
      -- The latter where name servers do not answer.
      tells = "could not resolve host nowhere.invalid", or_tells = "no connection within the connect timeout" },
    { what = "with a URL of another kind", url = "mysql://app:s3cret@db/app", tells = "invalid URL: " },
    { what = "with a port that is none", url = "postgres://app:s3cret@db:99999/app", tells = "invalid URL: its port" },
    { what = "with a URL that breaks off", url = "postgres://app:s3cret@[::1/app", tells = "invalid URL: " },
  }
end

describe("the seed's router", function()
  local pg, replica, moongate

  setup(function()
    pg = cluster.shared()
    pg.primary:psql "create table seeds (id serial primary key, note text)"
    pg:wait_for_replay()
    replica = pg.replicas[1]
  end)
  after_each(function()
    moongate:stop()
  end)

  local function start(primary_url, replica_url)
    moongate = router.start { pg = pg, admin = true,
      env = { DATABASE_URL = primary_url, DATABASE_REPLICA_URL = replica_url } }
    return moongate
  end

  local function health_with(key, value)
    return wait.until_true(("%s to be %s"):format(key, value), function()
      local answer, status = moongate:ask "/health"
      return answer[key] == value and { answer = answer, status = status }
    end)
  end

  local function reads_and_writes(client, read_port)
    wait.until_true("reads to be served there", function() return client:served_by() == read_port end)
    local written = client:query "insert into seeds (note) values ('sown') returning current_setting('port')"
    assert.equal(pg.primary.port, tonumber(written.rows[1][1]))
  end

  it("has a primary only: it serves all, and no replica is missed", function()
    start(url(pg.primary.port))
    local client = wire.open(moongate.port)
    reads_and_writes(client, pg.primary.port)
    client:quit()
    health_with("status", "healthy")
    local status, body = moongate:http "/health"
    assert.equal(200, status)
    assert.matches('^{"status":"healthy","version":"[^"]+","db_primary":"connected","db_replica":null[,}]', body)
  end)

  it("has a primary and a replica: intents are told apart", function()
    start(url(pg.primary.port), url(replica.port))
    local client = wire.open(moongate.port)
    reads_and_writes(client, replica.port)
    client:quit()
    health_with("status", "healthy")
    local status, body = moongate:http "/health"
    assert.equal(200, status)
    assert.matches('^{"status":"healthy","version":"[^"]+","db_primary":"connected","db_replica":"connected"[,}]', body)
  end)

  for _, bad in ipairs(bad_replicas()) do
    it("starts with a replica " .. bad.what .. ": the primary reads, and health says so", function()
      start(url(pg.primary.port), bad.url)
      local client = wire.open(moongate.port)
      reads_and_writes(client, pg.primary.port)
      client:quit()
      local health = health_with("db_primary", "connected")
      assert.equal(503, health.status)
      assert.equal("unhealthy", health.answer.status)
      assert.equal("disconnected", health.answer.db_replica)
      wait.until_true("it to say why", function()
        local answer = moongate:ask "/health"
        return told(bad, answer.endpoints[2].error or "")
      end)
      assert.equal(200, (moongate:http "/ready"))
      assert.equal(200, (moongate:http "/live"))
      wait.until_true("the log to say so, too", function() return told(bad, moongate:log()) end)
      assert.not_matches("s3cret", moongate:log())
      assert.not_matches("s3cret", (select(2, moongate:http "/health")))
    end)
  end

  it("has a primary that is down: it says so, and is not ready", function()
    start(url(process.free_port()), url(replica.port))
    local health = health_with("db_replica", "connected")
    assert.equal(503, health.status)
    assert.equal("disconnected", health.answer.db_primary)
    local ready, status = moongate:ask "/ready"
    assert.equal(503, status)
    assert.equal("no primary is up", ready.reason)
    assert.equal(200, (moongate:http "/live"))
    local client = wire.open(moongate.port)
    assert.equal(replica.port, client:served_by())
    client:quit()
  end)

  it("refuses a primary's URL that is wrong, without telling the password", function()
    local status, _, errors = router.command({ "check", "scripts/read_write_split.lua" },
      { env = { DATABASE_URL = "mysql://app:s3cret@db/app" } })
    assert.equal(1, status)
    assert.matches("primary: invalid URL", errors)
    assert.not_matches("s3cret", errors)
    moongate = start(url(pg.primary.port)) -- for after_each()
  end)
end)

describe("a replica that comes and goes", function()
  local pg, replica, moongate

  setup(function()
    pg = throwaway.start { replicas = 1 }
    replica = pg.replicas[1]
  end)
  teardown(function() pg:stop() end)
  after_each(function() moongate:stop() end)

  -- Waits of 0.1, 0.2, 0.4, 0.8 and 1.6 s in the place of 2, 4, 8, 16 and 32.
  local QUICK = [[
    health = { interval = 0.1, timeout = 5, fall = 1, rise = 1 },
    backoff = { initial = 0.1, factor = 2, max = 1.6, attempts = 5, jitter = 0 },
  ]]

  it("is tried five times at growing intervals, then when a query wants it #slow", function()
    replica:stop()
    moongate = router.start { pg = pg, admin = true, text = router.script(pg, { extra = QUICK }) }
    local waits = {}
    wait.until_true("it to be given up", function() return moongate:log():match "msg=\"endpoint failed;" end, 20)
    local line = 'msg="connection attempt failed"[^\n]* attempt=(%d+)[^\n]* retry_in=([%d.]+)'
    for attempt, seconds in moongate:log():gmatch(line) do
      waits[tonumber(attempt)] = tonumber(seconds)
    end
    local first = tonumber(moongate:log():match 'msg="endpoint down"[^\n]* retry_in=([%d.]+)')
    local all = { first, table.unpack(waits) }
    assert.equal(5, #all)
    for i, seconds in ipairs(all) do assert.is_true(math.abs(seconds - 0.1 * 2 ^ (i - 1)) < 0.01, seconds) end
    local health, status = moongate:ask "/health"
    assert.equal(503, status)
    assert.equal("failed", health.endpoints[2].state)

    replica:start()
    local client = wire.open(moongate.port)
    wait.until_true("a read to have it tried", function() return client:served_by() == replica.port end)
    client:quit()
    wait.until_true("all to be well", function() return moongate:http "/health" == 200 end)
  end)

  it("makes health say so when it dies, and again when it is back", function()
    moongate = router.start { pg = pg, admin = true, text = router.script(pg, { extra = QUICK }) }
    wait.until_true("all to be well", function() return moongate:http "/health" == 200 end)
    replica:stop()
    wait.until_true("health to say so", function()
      local answer, status = moongate:ask "/health"
      return status == 503 and answer.db_primary == "connected" and answer.db_replica == "disconnected"
    end)
    assert.equal(200, (moongate:http "/ready"))
    replica:start()
    wait.until_true("all to be well", function() return moongate:http "/health" == 200 end)
  end)
end)

-- The same over the Lua module.
describe("the seed's pools, embedded,", function()
  local moongate = require "moongate"
  local pg

  setup(function() pg = cluster.shared() end)

  -- What from_env() makes of these two variables.
  local function open(primary_url, replica_url)
    local list = {}
    for each in (replica_url or ""):gmatch "%S+" do list[#list + 1] = { url = each, lenient = true } end
    return moongate.cluster { primary = primary_url, replicas = list }
  end

  local function port_of(pool)
    local connection = assert(pool:acquire())
    local rows = assert(connection:query "select current_setting('port')::int as port")
    pool:release(connection)
    return rows[1].port
  end

  it("are the primary's where there is no replica", function()
    local db <close> = open(url(pg.primary.port))
    local health = db:health()
    assert.equal("healthy", health.status)
    assert.equal("connected", health.db_primary)
    assert.equal("not configured", health.db_replica)
    assert.equal(pg.primary.port, port_of(db:pool "read"))
    assert.equal(pg.primary.port, port_of(db:pool "write"))
  end)

  it("are the replica's for reads", function()
    local db <close> = open(url(pg.primary.port), url(pg.replicas[1].port))
    local health = db:health()
    assert.equal("healthy", health.status)
    assert.equal("connected", health.db_replica)
    assert.equal(pg.replicas[1].port, port_of(db:pool "read"))
    assert.equal(pg.primary.port, port_of(db:pool "write"))
  end)

  for _, bad in ipairs(bad_replicas()) do
    it("are the primary's with a replica " .. bad.what, function()
      local db <close> = open(url(pg.primary.port), bad.url)
      local health = db:health()
      assert.equal("degraded", health.status)
      assert.equal("connected", health.db_primary)
      assert.equal("disconnected", health.db_replica)
      assert.is_truthy(told(bad, health.endpoints[2].error))
      assert.equal(pg.primary.port, port_of(db:pool "read"))
      assert.equal(pg.primary.port, port_of(db:pool "write"))
    end)
  end

  it("tell that the primary is down", function()
    local db <close> = open(url(process.free_port()), url(pg.replicas[1].port))
    local health = db:health()
    assert.equal("unhealthy", health.status)
    assert.equal("disconnected", health.db_primary)
    assert.equal("connected", health.db_replica)
  end)
end)
