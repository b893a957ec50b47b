-- Many clients: what each costs, who is served, and what happens when file descriptors run out.

local cluster = require "tests.support.cluster"
local process = require "moongate.process"
local router = require "tests.support.router"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

describe("file descriptors", function()
  local pg, moongate
  local opened = {}

  setup(function() pg = cluster.shared() end)

  after_each(function()
    for _, client in ipairs(opened) do client:close() end
    opened = {}
    moongate:stop()
  end)

  ---A router that may have `limits` ("SOFT:HARD") of them.
  local function start(limits, pool)
    moongate = router.start {
      pg = pg,
      text = router.script(pg, { extra = ("pool = { %s },"):format(pool or "") }),
      wrapper = { "prlimit", "--nofile=" .. limits },
    }
  end

  ---Connects and sends the startup packet, whether or not somebody reads it.
  local function knock()
    local client = wire.connect(moongate.port)
    opened[#opened + 1] = client
    client:send(wire.startup { user = "postgres", database = "postgres" })
    return client
  end

  local function count(pattern)
    return select(2, moongate:log():gsub(pattern, ""))
  end

  local function is_accepted(client)
    client.socket:settimeout(0)
    local byte, err, part = client.socket:receive(1)
    client.socket:settimeout(20)
    if not byte and (err ~= "timeout" or part ~= "") then error("the connection has ended") end
    if byte then
      assert.equal("R", byte)
      assert(client.socket:receive(8))
      client:result()
      client.accepted = true
    end
    return byte ~= nil
  end

  -- Of `clients`, those that the router has greeted by now, and those that it has not.
  local function sort(clients)
    local inside, outside = {}, {}
    for _, client in ipairs(clients) do
      if client.accepted or is_accepted(client) then
        inside[#inside + 1] = client
      else
        outside[#outside + 1] = client
      end
    end
    return inside, outside
  end

  local function leave(clients)
    for _, client in ipairs(clients) do client:quit() end
  end

  local function cpu_ticks()
    local file = assert(io.open(("/proc/%d/stat"):format(moongate.pid)))
    local user, system = file:read("a"):match "%) %a %-?%d+ %-?%d+ %-?%d+ %-?%d+ %-?%d+ %d+ %d+ %d+ %d+ %d+ (%d+) (%d+)"
    file:close()
    return tonumber(user) + tonumber(system)
  end

  it("are as many as the hard limit allows", function()
    start "100:1000"
    local file = assert(io.open(("/proc/%d/limits"):format(moongate.pid)))
    local limits = file:read("a")
    file:close()
    assert.matches("Max open files +1000 +1000", limits)
    assert.matches("limit=1000 limit_before=100", moongate:log())
    assert.not_matches("too low", moongate:log())
  end)

  it("that cannot do for the pools are said to be too few, and how many would do", function()
    start("200:200", "size = 100")
    local limit, servers, needed =
      moongate:log():match 'level=warn msg="[^"]*too low[^"]*" limit=(%d+) servers=(%d+) needed=(%d+)'
    assert.equal("200", limit)
    assert.equal("303", servers) -- 3 pools of 100, 3 probes
    assert.is_true(tonumber(needed) > 303)
    moongate:stop()
    start(("%s:%s"):format(needed, needed), "size = 100")
    assert.not_matches("too low", moongate:log())
  end)

  it("that run out keep clients waiting, and those that are in are served", function()
    start("64:64", "size = 4")
    local clients = {}
    for i = 1, 80 do clients[i] = knock() end
    wait.until_true("the log to tell", function() return count "cannot accept clients" > 0 end)
    local inside, outside
    local function served()
      inside, outside = sort(clients)
      for _, client in ipairs(inside) do
        client:query "begin"
        assert.equal("1", client:value "select 1")
        client:query "commit"
      end
      return #inside > 10
    end
    wait.until_true("some clients to be in", served)
    assert.is_true(#outside > 0)

    -- Nothing to do is done without work.
    local before = cpu_ticks()
    pg.primary:psql "select pg_sleep(1)"
    assert.is_true(cpu_ticks() - before < 20, "spinning")
    assert.equal(1, count "cannot accept clients")

    -- As some leave, others come, until all have been in.
    local been = 0
    while #clients > 0 do
      inside, outside = sort(clients)
      been = been + #inside
      leave(inside)
      clients = outside
      if #inside == 0 then pg.primary:psql "select pg_sleep(0.05)" end
    end
    assert.equal(80, been)
    wait.until_true("the log to tell", function() return count "clients are accepted again" > 0 end)
    assert.equal(1, count "cannot accept clients")
    assert.equal(1, count "clients are accepted again")
  end)

  it("leave enough for servers, however many clients come", function()
    start("64:64", "size = 8")
    local clients = {}
    for i = 1, 80 do clients[i] = knock() end
    wait.until_true("the log to tell", function() return count "cannot accept clients" > 0 end)
    local inside
    wait.until_true("10 clients to be in", function()
      inside = sort(clients)
      return #inside >= 10
    end)
    -- Each wants a server of the primary for itself, all at once.
    for i = 1, 8 do
      inside[i]:query "begin"
      assert.equal("1", inside[i]:value "select 1")
    end
    assert.equal(0, count "endpoint down")
    assert.equal(0, count "out of file descriptors")
  end)
end)

describe("a crowd of clients", function()
  local pg, moongate

  setup(function()
    pg = cluster.shared()
    moongate = router.start { pg = pg,
      text = router.script(pg, { extra = "pool = { size = 20, acquire_timeout = 50 }," }) }
  end)
  teardown(function() moongate:stop() end)

  -- Completed transactions by client, from pgbench's log of each.
  local function completed(pattern)
    local counts = {}
    for name in io.popen("ls " .. pattern):lines() do
      for line in io.lines(name) do
        local client = name .. line:match "^%d+"
        counts[client] = (counts[client] or 0) + 1
      end
    end
    return counts
  end

  it("of 1,000 that want 20 servers is served fairly", function()
    local script = pg.dir .. "/fair.sql"
    local file = assert(io.open(script, "w"))
    file:write "select 1;\n"
    file:close()
    -- pgbench needs a descriptor per client, more than the soft limit often allows.
    local status, _, errors = process.run({
      "/bin/sh", "-c", 'cd "$0" && ulimit -n "$(ulimit -Hn)" && exec "$@"', pg.dir,
      router.bin "pgbench", "-n", "-c", "1000", "-T", "3", "-l", "--log-prefix=fair_log", "-f", script, moongate:url(),
    }, { env = router.environment_for_programs(), seconds = 60 })
    assert.equal(0, status, errors)
    local clients, least, most = 0, math.huge, 0
    for _, count in pairs(completed(pg.dir .. "/fair_log.*")) do
      clients, least, most = clients + 1, math.min(least, count), math.max(most, count)
    end
    assert.equal(1000, clients)
    assert.is_true(most <= 2 * least + 1, ("%d to %d"):format(least, most))
  end)

  -- Memory that is the router's own: its share of the libraries' is more when others that use them have ended.
  local function memory()
    local file = assert(io.open(("/proc/%d/smaps_rollup"):format(moongate.pid)))
    local text = file:read "a"
    file:close()
    return tonumber(text:match "Anonymous:%s+(%d+)") * 1024
  end

  it("of 10,000 idle ones costs 512 bytes for each #release", function()
    os.execute 'prlimit --pid "$PPID" --nofile="$(ulimit -Hn):$(ulimit -Hn)"'
    local limits = assert(io.open "/proc/self/limits")
    local limit = tonumber(limits:read("a"):match "Max open files +(%d+)")
    limits:close()
    if limit and limit < 12000 then
      pending(("it takes 12,000 descriptors, and there are %d"):format(limit))
      return
    end
    local clients = {}
    local function open(count)
      for i = #clients + 1, #clients + count do
        clients[i] = wire.open(moongate.port)
        assert.equal("1", clients[i]:value "select 1")
      end
    end
    open(1000)
    local before = memory()
    open(10000)
    local each = (memory() - before) / 10000
    for _, client in ipairs(clients) do client:close() end
    assert.is_true(each <= 512, each .. " bytes")
  end)
end)
