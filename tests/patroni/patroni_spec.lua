-- A real Patroni cluster switches over and fails over under load: no acknowledged write is lost, none is done
-- twice, and the router follows members and leaders by itself.

local cluster = require "tests.patroni.cluster"
local load = require "tests.chaos.load"
local process = require "moongate.process"
local router = require "tests.support.router"
local uv = require "luv"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

local ROUNDS = load.long and 5 or 1
local SECONDS = 60

local function now() return uv.hrtime() / 1e9 end

-- Nobody is sent away while Patroni waits for the old leader's key to expire.
local SCRIPT = [[
local moongate = require "moongate"
return moongate.router {
  admin = os.getenv "MOONGATE_ADMIN",
  cluster = moongate.cluster {
    patroni = moongate.patroni { url = { "%s" }, connect = "postgres://postgres@/postgres", interval = 0.5 },
    pool = { acquire_timeout = 40 },
    policy = require "moongate.policies.read_write_split",
  },
}
]]

describe("a real Patroni cluster", function()
  local patroni, moongate

  setup(function()
    patroni = cluster.start()
    load.create_tables(patroni.pg)
    for _, replica in ipairs(patroni.pg.replicas) do -- Patroni runs them: create_tables() did not wait
      wait.until_true(("port %d to have the tables"):format(replica.port), function()
        return replica:psql "select to_regclass('ledger') is not null" == "t"
      end, SECONDS)
    end
    moongate = router.start { pg = patroni.pg, admin = true,
      text = SCRIPT:format(table.concat(patroni:urls(), '", "')) }
    wait.until_true("the router to be ready", function() return moongate:http "/ready" == 200 end, SECONDS)
    patroni:wait_until_whole()
  end)
  teardown(function()
    if moongate then moongate:stop() end
    if patroni then patroni:stop() end
  end)

  local function endpoints()
    local names = {}
    for _, e in ipairs(moongate:ask("/health").endpoints) do names[#names + 1] = e.name end
    table.sort(names)
    return table.concat(names, " ")
  end

  -- Where writes go now.
  local function written_at()
    local client = wire.open(moongate.port)
    local port = client:value "insert into ledger values ('', 0) returning current_setting('port')"
    client:quit()
    return tonumber(port)
  end

  local function all_serve()
    local client = wire.open(moongate.port)
    for _, replica in ipairs(patroni.pg.replicas) do
      wait.until_true(("port %d to serve"):format(replica.port), function()
        return client:served_by() == replica.port
      end, SECONDS)
    end
    client:quit()
  end

  local function settled(leader)
    patroni:wait_until_whole()
    patroni:follow(leader)
    wait.until_true("the endpoints to be all members", function() return endpoints() == "n1 n2 n3" end, SECONDS)
    assert.equal(leader.node.port, written_at())
    all_serve()
  end

  local function switch_over()
    local old = patroni:leader()
    local candidate = patroni:switchover(old)
    local new = patroni:wait_for_leader(old)
    assert.equal(candidate.name, new.name)
    settled(new)
  end

  -- The machine of the leader dies, and is back after its member has been forgotten.
  local function fail_over()
    local old = patroni:leader()
    local killed = now()
    cluster.kill(old)
    local new = patroni:wait_for_leader(old)
    local promoted = now() - killed
    wait.until_true("the dead member to be no endpoint", function()
      return not endpoints():find(old.name, 1, true)
    end, SECONDS)
    assert.equal(new.node.port, written_at())
    patroni:start_node(old)
    settled(new)
    return promoted
  end

  it("switches over and fails over under load: nothing is lost, nothing is done twice", function()
    local path = patroni.pg.dir .. "/outcomes"
    local run = load.start { pg = patroni.pg, url = moongate:url(), readers = 4, writers = 4, mixed = 3,
      promise = "own", read_pause = 0.004, write_pause = 0.008, blocks = 0.3, outcomes = path }
    for _ = 1, ROUNDS do
      process.pause(0.5)
      switch_over()
      load.say("failed over: Patroni had a new leader after %.1f s", fail_over())
    end
    assert.is_true(run:is_running())
    local totals = run:stop()

    local writes = load.read_outcomes(path)
    patroni.pg.primary:psql "delete from ledger where token = ''"
    local audit = load.audit(patroni.pg.primary, writes)
    load.say("%d writes acknowledged, %d failed, %d unknown (%d of them done); lost %d, twice %d, denied %d",
      totals.acknowledged, totals.failed, totals.unknown, audit.kept, #audit.lost, #audit.twice, #audit.denied)
    load.say("%d reads, %d errors, %d violations; slowest read %.2f s", totals.reads, totals.read_errors,
      totals.violations, totals.slowest_reader)
    load.assert_kept(totals, audit)
    assert.is_true(totals.acknowledged > 200 * ROUNDS, totals.acknowledged .. " writes")
  end)
end)
