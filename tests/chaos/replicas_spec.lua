-- Replicas are killed, suspended and cut off under load: readers see no error, and wait at most until
-- the router has noticed.

local fault_proxy = require "tests.support.fault_proxy"
local load = require "tests.chaos.load"
local process = require "moongate.process"
local router = require "tests.support.router"
local throwaway = require "moongate.throwaway"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

local ROUNDS = load.long and 10 or 1

-- Down after a second or so: what the slowest read has to be measured against.
local HEALTH = [[
  health = { interval = 0.3, timeout = 0.3, fall = 2, rise = 1 },
  backoff = { initial = 0.2, max = 0.5, attempts = 1000 },
  pool = { size = 8 },
]]
-- The outage lasts longer than it may take until the router has noticed and the slowest read is answered.
local NOTICED, OUTAGE = 3, 4 -- s

describe("under load, readers see no error", function()
  local pg, moongate, proxy

  setup(function()
    pg = throwaway.start { replicas = 2 }
    load.create_tables(pg)
    proxy = fault_proxy.start(pg.replicas[2].port)
    -- The second replica is reached through the proxy.
    local real = pg.replicas[2].port
    pg.replicas[2].port = proxy.port
    moongate = router.start { pg = pg, text = router.script(pg, { extra = HEALTH }) }
    pg.replicas[2].port = real
  end)
  teardown(function()
    moongate:stop()
    proxy:stop()
    pg:stop()
  end)

  local function serves(replica)
    local client = wire.open(moongate.port)
    wait.until_true(("port %d to serve"):format(replica.port), function()
      return client:served_by() == replica.port
    end, 20)
    client:quit()
  end

  before_each(function()
    for _, replica in ipairs(pg.replicas) do serves(replica) end
  end)

  -- Load; meanwhile `strike` and, once reads have gone on without it for a while, `mend`.
  local function under_load(replica, strike, mend)
    local slowest, reads = 0, 0
    for _ = 1, ROUNDS do
      local run = load.start { pg = pg, url = moongate:url(), readers = 12, mixed = 2, promise = "own",
        write_pause = 0.05, burst = 0.2, pause = 1 }
      process.pause(0.5)
      strike()
      process.pause(OUTAGE)
      mend()
      serves(replica)
      local totals = run:stop()
      assert.equal(0, totals.read_errors, totals.complaints)
      assert.equal(0, totals.violations, totals.complaints)
      assert.equal(0, totals.failed + totals.unknown + totals.silent, totals.complaints)
      assert.equal(0, totals.hanging + totals.reconnects)
      assert.is_true(totals["reader_" .. replica.port] > 0, "the replica had no part in it")
      assert.is_true(totals.reads > 500, "there was no load")
      assert.is_true(totals.slowest_read < NOTICED, totals.slowest_read .. " s")
      slowest, reads = math.max(slowest, totals.slowest_read), reads + totals.reads
    end
    load.say("%d rounds, %d reads, 0 errors, the slowest took %.2f s", ROUNDS, reads, slowest)
  end

  it("when a replica is killed", function()
    local replica = pg.replicas[1]
    under_load(replica, function() replica:kill() end, function() replica:start() end)
  end)

  it("when a replica is suspended and its connections stay open", function()
    local replica = pg.replicas[1]
    under_load(replica, function() replica:suspend() end, function() replica:resume() end)
  end)

  it("when all connections to a replica are reset", function()
    under_load(pg.replicas[2], function()
      proxy:refuse()
      proxy:now "reset"
    end, function() proxy:heal() end)
  end)

  it("when the network to a replica swallows everything", function()
    under_load(pg.replicas[2], function()
      proxy:silence()
      proxy:now "hole"
    end, function() proxy:heal() end)
  end)

  it("when a replica hears, and nothing of its answers arrives", function()
    under_load(pg.replicas[2], function()
      proxy:fault("stall", "down", 0, 0)
      proxy:now "stall"
    end, function() proxy:heal() end)
  end)
end)
