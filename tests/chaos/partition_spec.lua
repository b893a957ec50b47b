-- The network between the router and one endpoint fails at any byte, in either direction: the router
-- lives, no client hangs, no result is wrong, and nobody is told a lie about a write.

local fault_proxy = require "tests.support.fault_proxy"
local load = require "tests.chaos.load"
local router = require "tests.support.router"
local throwaway = require "moongate.throwaway"
local uv = require "luv"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

local CLIENTS = 80       -- at once, each with a fault of its own
-- Further than a connection's first query and its answer; and every how many bytes `make test` cuts.
local UP_TO = { up = 180, down = 520 }
local SHORT_STEP = { up = 11, down = 29 }
local PATIENCE = 12      -- s: acquire_timeout, query_timeout, and what a cancel is given

-- Each query opens a server of its own, so that each has a startup to be cut off in. The endpoint is
-- to be used in spite of it all.
local SCRIPT = [[
local moongate = require "moongate"
return moongate.router {
  cluster = moongate.cluster {
    primary = %q,
    replicas = { %q },
    policy = require "moongate.policies.read_write_split",
    pool = { size = 100, max_lifetime = 0.001, connect_timeout = 0.5, acquire_timeout = 5 },
    timeouts = { query_timeout = 1 },
    health = { interval = 0.2, timeout = 0.5, fall = 1000, rise = 1 },
    breaker = { failures = 0 },
  },
}
]]

describe("a network that fails between router and endpoint", function()
  local pg, to_primary, to_replica, moongate, few

  setup(function()
    pg = throwaway.start { replicas = 1 }
    pg.primary:psql [[
      create table cut (token text not null);
      create table echo (n integer primary key, answer text not null);
      insert into echo select n, 'answer ' || n from generate_series(0, 2000) n;
    ]]
    load.create_tables(pg)
    to_primary = fault_proxy.start(pg.primary.port)
    to_replica = fault_proxy.start(pg.replicas[1].port)
    moongate = router.start { pg = pg,
      text = SCRIPT:format(to_primary.url .. "?sslmode=disable", to_replica.url .. "?sslmode=disable") }
  end)
  teardown(function()
    moongate:stop()
    to_primary:stop()
    to_replica:stop()
    pg:stop()
  end)

  local function served_by(port)
    local client = wire.open(moongate.port)
    wait.until_true(("port %d to serve"):format(port), function() return client:served_by() == port end)
    client:quit()
  end

  local function is_whole_again()
    to_primary:heal()
    to_replica:heal()
    served_by(pg.replicas[1].port)
    local client = wire.open(moongate.port)
    assert.is_nil(client:query("insert into echo values (-1, '') on conflict do nothing").error)
    client:quit()
  end

  local function descriptors()
    local count = 0
    for _ in uv.fs_scandir_next, uv.fs_scandir(("/proc/%d/fd"):format(moongate.pid)) do
      count = count + 1
    end
    return count
  end

  -- Server connections that the router has now, by PostgreSQL's own account.
  local function servers()
    local count = 0
    for _, node in ipairs(pg:nodes()) do
      count = count + tonumber(node:psql [[select count(*) from pg_stat_activity
        where backend_type = 'client backend' and pid <> pg_backend_pid()]])
    end
    return count
  end

  local function at_rest()
    is_whole_again()
    wait.until_true("all but the probes' connections to end", function() return servers() == 2 end, 20)
    wait.until_true("the proxies' connections to end", function()
      return to_primary:stat().open == 1 and to_replica:stat().open == 1
    end, 20)
  end

  before_each(function()
    at_rest()
    few = few or descriptors()
  end)

  local function nothing_is_left()
    at_rest()
    wait.until_true("its descriptors to be closed", function() return descriptors() <= few end)
  end

  -- Where to strike: at every byte, or at some.
  local function faults(actions)
    local list = {}
    for seed, action in ipairs(actions) do
      for _, direction in ipairs { "up", "down" } do
        local step = load.long and 1 or SHORT_STEP[direction]
        for byte = seed % step, UP_TO[direction], step do
          list[#list + 1] = { action = action, direction = direction, byte = byte, number = #list,
            name = ("%s %s %d"):format(action, direction, byte) }
        end
      end
    end
    return list
  end

  -- Runs sql(fault) for each from a client of its own, CLIENTS at a time; judge(fault, result) hears
  -- how it went. Which server suffers which fault is up to the router; each new one suffers one.
  local function sweep(proxy, list, sql, judge)
    local struck, began = proxy:stat().struck, os.time()
    for first = 1, #list, CLIENTS do
      local clients, last = {}, math.min(first + CLIENTS - 1, #list)
      for i = first, last do clients[i] = wire.open(moongate.port) end
      for i = first, last do proxy:fault(list[i].action, list[i].direction, list[i].byte) end
      for i = first, last do clients[i]:send(wire.query(sql(list[i]))) end
      for i = first, last do
        judge(list[i], clients[i]:result(), clients[i].torn)
        clients[i]:close()
      end
      proxy:heal()
    end
    assert.is_true(moongate:is_running())
    assert.is_true(os.time() - began <= (#list // CLIENTS + 1) * PATIENCE, "it took too long")
    struck = proxy:stat().struck - struck
    assert.is_true(struck >= #list // 2, "only " .. struck .. " faults struck")
    return struck
  end

  -- A message that had come in part cannot be taken back: then the connection ends, or an error
  -- follows the rows. Nothing else but an answer is right, unless it took too long.
  local function judge_read(fault, result, torn, patient)
    local begun = torn or result.types:find("[TD]") ~= nil
    if result.rows[1] then assert.equal("answer " .. fault.number, result.rows[1][1]) end
    if result.error then
      local code = result.error.C
      local right = begun and code == "08006" or patient and code == "57014"
      assert.is_true(right, ("%s: %s %s"):format(fault.name, code, result.error.M))
      return "cut"
    elseif result.closed then
      assert.is_true(begun, "closed without a word: " .. fault.name)
      return "cut"
    end
    assert.equal("SELECT 1", result.tags[1])
    return "answered"
  end

  local function check_reads(actions, patient)
    local list, counts = faults(actions), { answered = 0, cut = 0 }
    local struck = sweep(to_replica, list, function(fault)
      return "select answer from echo where n = " .. fault.number
    end, function(fault, result, torn)
      local how = judge_read(fault, result, torn, patient)
      counts[how] = counts[how] + 1
    end)
    load.say("reads: %d faults, %d struck; %d answered, %d cut off", #list, struck, counts.answered, counts.cut)
    nothing_is_left()
  end

  local function check_writes(actions)
    local list, told, counts = faults(actions), {}, { done = 0, unknown = 0, kept = 0 }
    local struck = sweep(to_primary, list, function(fault)
      return ("insert into cut values ('%s') returning token"):format(fault.name)
    end, function(fault, result, torn)
      told[fault] = result.error and result.error.C or torn and "torn" or result.closed and "closed" or "done"
      if told[fault] == "done" then assert.equal(fault.name, result.rows[1][1]) end
    end)
    nothing_is_left()

    local there = {}
    for name in pg.primary:psql("select token from cut"):gmatch("[^\n]+") do
      there[name] = (there[name] or 0) + 1
    end
    for _, fault in ipairs(list) do
      local count, outcome = there[fault.name] or 0, told[fault]
      local what = ("%s: it was told %s, and there are %d"):format(fault.name, outcome, count)
      if outcome == "done" then
        assert.equal(1, count, what)
      else
        assert.is_true((outcome == "08007" or outcome == "torn") and count <= 1, what)
      end
      local kind = outcome == "done" and "done" or "unknown"
      counts[kind] = counts[kind] + 1
      if kind == "unknown" then counts.kept = counts.kept + count end
    end
    load.say("writes: %d faults, %d struck; %d done, %d unknown (%d of them done)", #list, struck,
      counts.done, counts.unknown, counts.kept)
  end

  it("reads are right where connections are cut at any byte", function()
    check_reads({ "drop", "reset" }, false)
  end)
  it("reads are right or given up in time where nothing comes any more", function()
    check_reads({ "hole", "stall" }, true)
  end)
  it("writes are done once or said to be unknown where connections are cut at any byte", function()
    check_writes { "drop", "reset" }
  end)
  it("writes are done once or said to be unknown where nothing comes any more", function()
    check_writes { "hole", "stall" }
  end)
end)
