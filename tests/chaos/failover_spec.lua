-- The primary is killed under load and a replica promoted, over and over: no acknowledged write is lost,
-- none is done twice, whoever cannot know is told so, reads go on, and writes soon do.

local failover = require "tests.chaos.failover"
local load = require "tests.chaos.load"
local process = require "moongate.process"
local router = require "tests.support.router"
local throwaway = require "moongate.throwaway"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

-- Of the old primary's comings and goings the router should not have to hear late; all else is default.
local BACKOFF = "backoff = { initial = 0.2, max = 0.5, attempts = 1000 },"
local ROUNDS = load.long and 20 or 2
local SLOWEST_READ = 2 -- s; a read that found its server dead runs again elsewhere
local MEDIAN = 0.2     -- s from the promotion to the first write through the router

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

describe("the primary is killed and a replica promoted:", function()
  local pg, moongate

  setup(function()
    pg = throwaway.start { replicas = 2, settings = failover.SETTINGS }
    load.create_tables(pg)
    failover.prepare(pg)
    moongate = router.start { pg = pg, text = router.script(pg, { extra = BACKOFF }) }
  end)
  teardown(function()
    moongate:stop()
    pg:stop()
  end)

  local function all_serve()
    local client = wire.open(moongate.port)
    for _, replica in ipairs(pg.replicas) do
      wait.until_true(("port %d to serve"):format(replica.port), function()
        return client:served_by() == replica.port
      end, 30)
    end
    wait.until_true("the new primary to take writes", function()
      return client:value "insert into direct_writes values (2) returning current_setting('port')"
        == tostring(pg.primary.port)
    end, 30)
    client:quit()
  end

  local function one_round(number, run)
    process.pause(0.4)
    assert.is_true(run:is_running())
    local old = pg.primary
    old:kill()
    local times = failover.promote(pg)
    process.pause(0.6)
    times.rejoined = failover.rejoin(pg, old, number % 2 == 1 and "rewind" or "copy")
    all_serve()
    return times
  end

  -- The first write that was acknowledged after the promotion.
  local function first_after(writes, time)
    local first = math.huge
    for _, write in pairs(writes) do
      if write.outcome == "acknowledged" and write.ended > time then first = math.min(first, write.ended) end
    end
    return first - time
  end

  it("nothing is lost, nothing is done twice, and it is over soon", function()
    local path = pg.dir .. "/outcomes"
    local run = load.start { pg = pg, url = moongate:url(), readers = 4, writers = 4, mixed = 3, promise = "own",
      read_pause = 0.002, write_pause = 0.004, blocks = 0.3, outcomes = path }
    local rounds, rewound = {}, 0
    for number = 1, ROUNDS do
      rounds[number] = one_round(number, run)
      if rounds[number].rejoined == "rewind" then rewound = rewound + 1 end
    end
    local totals = run:stop()

    local writes = load.read_outcomes(path)
    local audit = load.audit(pg.primary, writes)
    local delays, direct = {}, {}
    for number, times in ipairs(rounds) do
      delays[number] = first_after(writes, times.promoted)
      direct[number] = times.written - times.promoted
    end
    local worst = math.max(table.unpack(delays))
    load.say("%d failovers (%d by pg_rewind): %d writes acknowledged, %d failed, %d unknown (%d of them done)",
      ROUNDS, rewound, totals.acknowledged, totals.failed, totals.unknown, audit.kept)
    load.say("lost %d, twice %d, denied %d, silent %d; %d reads, %d errors, %d violations", #audit.lost,
      #audit.twice, #audit.denied, totals.silent, totals.reads, totals.read_errors, totals.violations)
    load.say("first write after promotion: median %.0f ms, worst %.0f ms (PostgreSQL itself: median %.0f ms); "
      .. "slowest read %.2f s", 1000 * median(delays), 1000 * worst, 1000 * median(direct), totals.slowest_reader)

    load.assert_kept(totals, audit)
    assert.is_true(totals.acknowledged > 200 * ROUNDS, totals.acknowledged .. " writes")
    assert.is_true(totals.slowest_reader < SLOWEST_READ, totals.slowest_reader .. " s")
    assert.is_true(median(delays) <= MEDIAN, ("median %.3f s"):format(median(delays)))
  end)
end)
