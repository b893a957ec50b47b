-- What the router does about endpoints that hang, fail, come back, move, or are taken out of service.

local gate = require "tests.support.gate"
local process = require "moongate.process"
local router = require "tests.support.router"
local socket = require "socket"
local throwaway = require "moongate.throwaway"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

-- Connections under way or open to this port of this machine, told by the kernel: 01 ESTABLISHED,
-- 02 SYN_SENT.
local function connections_to(port)
  local count = 0
  for line in io.lines "/proc/net/tcp" do
    local remote, state = line:match "^%s*%d+: %x+:%x+ %x+:(%x+) (%x%x)"
    if remote and tonumber(remote, 16) == port and (state == "01" or state == "02") then count = count + 1 end
  end
  return count
end

-- The kernel's list is no snapshot: one that closes and the next that opens may both be on it once.
local function steady_connections_to(port)
  return math.min(connections_to(port), connections_to(port))
end

-- Connections to this port that the kernel has made and nobody has accepted.
local function unaccepted(port)
  for line in io.lines "/proc/net/tcp" do
    local here, waiting = line:match "^%s*%d+: %x+:(%x+) %x+:%x+ 0A %x+:(%x+)"
    if here and tonumber(here, 16) == port then return tonumber(waiting, 16) end
  end
end

---The most connections to `port` that were seen until `condition` held.
local function most_connections(port, what, condition)
  local most = 0
  wait.until_true(what, function()
    most = math.max(most, steady_connections_to(port))
    return condition()
  end, 30)
  return most
end

local function count(text, pattern)
  return select(2, text:gsub(pattern, ""))
end

-- When (s since midnight) each line was written that matches.
local function times(log, pattern)
  local list = {}
  for line in log:gmatch "[^\n]+" do
    local hours, minutes, seconds = line:match "T(%d+):(%d+):([%d.]+)Z"
    if line:match(pattern) then list[#list + 1] = hours * 3600 + minutes * 60 + tonumber(seconds) end
  end
  return list
end

local DRAINER = [[function(cluster)
  local writes = cluster:route { to = "primary", hold = 20 }
  local reads = cluster:route { to = "replicas", fallback = "primary" }
  local byname = {}
  for _, e in ipairs(cluster.endpoints) do byname[tostring(e.port)] = e end
  return function(query)
    local tags = query.tags
    if tags.drain then require "moongate".drain(byname[tags.drain]) end
    if tags.undrain then byname[tags.undrain]:undrain() end
    if tags.to then return byname[tags.to] end
    return query.intent == "read" and reads or writes
  end
end]]

describe("an endpoint", function()
  local pg, moongate, client

  setup(function()
    pg = throwaway.start { replicas = 2 }
    pg.primary:psql "create table health (id serial primary key, port int)"
    pg:wait_for_replay()
  end)
  teardown(function() pg:stop() end)

  after_each(function()
    if client then client:close() end
    if moongate then moongate:stop() end
    client, moongate = nil, nil
    for _, node in ipairs(pg:nodes()) do
      node:resume()
      if not node:is_running() then node:start() end
    end
  end)

  local function start(extra, options)
    options = options or {}
    moongate = router.start {
      pg = pg,
      admin = options.admin,
      text = options.text or router.script(pg, { policy = options.policy, extra = extra, weights = options.weights }),
      env = options.env or {},
    }
  end

  local function logged(pattern, seconds)
    wait.until_true("the log to say " .. pattern, function() return moongate:log():match(pattern) end, seconds)
  end

  local function served_by(port)
    wait.until_true(("port %d to serve"):format(port), function() return client:served_by() == port end)
  end

  -- Every probe has its connection, as the user that it got to know from the first client.
  local function all_probed()
    for _, node in ipairs(pg:nodes()) do
      wait.until_true("the probe at " .. node.name, function()
        return node:psql "select count(*) from pg_stat_activity where query like 'select r,%'" == "1"
      end)
    end
  end

  -- How many servers the router has there, without the one of the probe: once that is at work, for a
  -- connection that has not asked anything yet looks like a server.
  local function servers_at(node)
    return tonumber(node:psql [[select count(*) from pg_stat_activity
      where backend_type = 'client backend' and pid <> pg_backend_pid() and query not like 'select r,%']])
  end

  describe("that hangs #slow", function()
    local QUICK = [[
      health = { interval = 0.05, timeout = 0.2, fall = 3, rise = 1 },
      backoff = { initial = 0.1, max = 0.2, attempts = 0, jitter = 0 },
    ]]

    it("has one connection of its probe's at a time, if it accepts and says nothing", function()
      local mute = assert(socket.bind("127.0.0.1", 0, 100))
      local port = tonumber((select(2, mute:getsockname())))
      start(nil, { text = ([[local moongate = require "moongate"
        return moongate.router { cluster = moongate.cluster {
          primary = %q, replicas = { "postgres://postgres@127.0.0.1:%d/postgres" }, %s } }]]):format(
          pg.primary.url, port, QUICK) })
      local most = most_connections(port, "ten attempts", function()
        return count(moongate:log(), "connection attempt failed") >= 10
      end)
      assert.equal(1, most)
      mute:close()
    end)

    it("has one connection of its probe's at a time, if it is suspended", function()
      start(QUICK)
      client = wire.open(moongate.port)
      all_probed()
      for _ = 1, 20 do client:served_by() end
      local node = pg.replicas[1]
      node:suspend()
      local servers = connections_to(node.port) - 1 -- idle ones, which nobody can tell to be dead
      local most = most_connections(node.port, "ten attempts", function()
        return count(moongate:log(), "connection attempt failed") >= 10
      end)
      assert.is_true(most <= servers + 1, ("%d connections, with %d servers"):format(most, servers))
      for _ = 1, 10 do assert.not_equal(node.port, client:served_by()) end
      node:resume()
      served_by(node.port)
    end)
  end)

  it("is tried after the backoff's delays, five times, and then when a query wants it #slow", function()
    local node = pg.replicas[1]
    start [[
      health = { interval = 0.05, timeout = 5, fall = 2, rise = 1 },
      backoff = { initial = 0.1, factor = 2, max = 1.6, attempts = 5, jitter = 0 },
    ]]
    client = wire.open(moongate.port)
    all_probed()
    node:kill()
    logged("endpoint failed; it is tried again when a query wants it\" endpoint=127.0.0.1:" .. node.port)
    local log = moongate:log()
    local retries = { log:match 'msg="endpoint down"[^\n]*retry_in=([%d.]+)' }
    for each in log:gmatch 'connection attempt failed"[^\n]*retry_in=([%d.]+)' do retries[#retries + 1] = each end
    assert.same({ "0.100", "0.200", "0.400", "0.800", "1.600" }, retries)
    for i = 1, 4 do assert.matches("connection attempt failed\"[^\n]* attempt=" .. i, log) end
    assert.matches("endpoint failed[^\n]* attempt=5", log)
    local at = times(log, "endpoint down")
    for _, each in ipairs(times(log, "connection attempt failed")) do at[#at + 1] = each end
    at[#at + 1] = times(log, "endpoint failed")[1]
    for i = 1, 5 do
      local waited, planned = at[i + 1] - at[i], 0.1 * 2 ^ (i - 1)
      assert.is_true(waited > planned / 2 and waited < planned + 2, ("%g s, not %g"):format(waited, planned))
    end
    node:start()
    served_by(node.port) -- each of these reads wants it; the first one after 1.6 s has it tried
    assert.matches("endpoint up\" endpoint=127.0.0.1:" .. node.port, moongate:log():sub(#log))
  end)

  it("is left out by traffic that fails while its probes succeed, and tried again", function()
    local node = pg.replicas[1]
    start [[
      pool = { connect_timeout = 0.3, max_lifetime = 0.001, size = 4 }, -- each query opens a server
      health = { interval = 0.05, timeout = 5, fall = 3, rise = 1 },
      breaker = { failures = 3, pause = 1, trials = 2 },
    ]]
    client = wire.open(moongate.port)
    all_probed()
    served_by(node.port)
    -- The postmaster alone: who is connected is served on, and nobody new is let in.
    node.postmaster:kill "sigstop"
    wait.until_true("the breaker to open", function()
      client:served_by()
      return moongate:log():match("traffic fails too often[^\n]*endpoint=127.0.0.1:" .. node.port)
    end)
    assert.not_matches("endpoint down", moongate:log())
    local since, before = socket.gettime(), unaccepted(node.port)
    for _ = 1, 30 do assert.not_equal(node.port, client:served_by()) end
    local tried, seconds = unaccepted(node.port) - before, socket.gettime() - since
    assert.is_true(tried <= 2 * (1 + seconds), ("%d of 30 reads went there first"):format(tried))
    node.postmaster:kill "sigcont"
    served_by(node.port)
    wait.until_true("the breaker to close", function()
      client:served_by()
      return moongate:log():match("traffic succeeds again\" endpoint=127.0.0.1:" .. node.port)
    end)
  end)

  it("gets little at first when it is back", function()
    local node = pg.replicas[1]
    start [[
      health = { interval = 0.05, timeout = 5, fall = 2, rise = 1, slow_start = 60 },
      backoff = { initial = 0.1, max = 0.1, attempts = 0 },
    ]]
    client = wire.open(moongate.port)
    all_probed()
    local function share()
      local served = 0
      for _ = 1, 200 do served = served + (client:served_by() == node.port and 1 or 0) end
      return served / 200
    end
    local function ups() return count(moongate:log(), "endpoint up\" endpoint=127.0.0.1:" .. node.port) end
    assert.is_true(share() > 0.3)
    local before = ups()
    node:kill()
    logged "endpoint down"
    node:start()
    wait.until_true("it to be up again", function() return ups() > before end)
    served_by(node.port)
    assert.is_true(share() < 0.25)
  end)

  describe("that is drained", function()
    local CALM = "pool = { min_idle = 1 }, health = { interval = 0.1, slow_start = 0 },"

    it("gets no new work; what is under way ends, and idle servers are closed", function()
      local node = pg.replicas[1]
      start(CALM, { policy = DRAINER })
      client = wire.open(moongate.port)
      local busy = wire.open(moongate.port)
      all_probed()
      served_by(node.port)
      local shut <close> = gate.shut(pg)
      busy:send(wire.query(("begin read only; select n from gate /* moongate: to=%d */"):format(node.port)))
      shut:await { node }
      client:value(("select 1 /* moongate: to=%d */"):format(node.port))
      wait.until_true("one at work and an idle one", function() return servers_at(node) == 2 end)
      client:value(("select 1 /* moongate: drain=%d */"):format(node.port))
      wait.until_true("the idle one to be closed", function() return servers_at(node) == 1 end)
      for _ = 1, 30 do assert.not_equal(node.port, client:served_by()) end
      shut:open()
      assert.is_nil(busy:result().error)
      assert.equal(node.port, busy:served_by()) -- the block is not over
      assert.is_nil(busy:query("commit").error)
      wait.until_true("its servers to be closed", function() return servers_at(node) == 0 end)
      local refused = client:query(("select 1 /* moongate: to=%d */"):format(node.port)).error
      assert.equal("57P03", refused.C)
      assert.matches("drained", refused.M)
      assert.matches("endpoint drained[^\n]*endpoint=127.0.0.1:" .. node.port, moongate:log())

      client:value(("select 1 /* moongate: undrain=%d */"):format(node.port))
      served_by(node.port)
      busy:quit()
    end)

    it("and is the primary, has writes wait until it is back", function()
      start(CALM, { policy = DRAINER })
      client = wire.open(moongate.port)
      local writer = wire.open(moongate.port)
      all_probed()
      client:value(("select 1 /* moongate: drain=%d */"):format(pg.primary.port))
      writer:send(wire.query "insert into health (port) values (1)")
      for _ = 1, 5 do client:served_by() end
      assert.is_nil((writer.socket:settimeout(0.2) and writer.socket:receive(1)))
      writer.socket:settimeout(20)
      client:value(("select 1 /* moongate: undrain=%d */"):format(pg.primary.port))
      assert.same({ "INSERT 0 1" }, writer:result().tags)
      writer:quit()
    end)

    it("over HTTP gets none either, until it is undrained", function()
      local node = pg.replicas[1]
      start(CALM, { policy = DRAINER, admin = true })
      client = wire.open(moongate.port)
      all_probed()
      served_by(node.port)
      local function order(path) return moongate:ask(path, { method = "POST" }) end
      local answer, status = order("/drain?endpoint=127.0.0.1:" .. node.port)
      assert.same({ { draining = true, in_flight = 0 }, 200 }, { answer, status })
      for _ = 1, 30 do assert.not_equal(node.port, client:served_by()) end
      wait.until_true("its servers to be closed", function() return servers_at(node) == 0 end)
      for path, expected in pairs {
        ["/drain"] = 400,
        ["/drain?endpoint=nobody"] = 404,
        ["/undrain?cluster=nobody&endpoint=127.0.0.1:" .. node.port] = 404,
      } do
        local wrong, code = order(path)
        assert.equal(expected, code)
        assert.matches("/health", wrong.error)
      end
      assert.is_false(order("/undrain?endpoint=127.0.0.1:" .. node.port).draining)
      served_by(node.port)
    end)

    it("by a weight of 0 is left alone by all routes that do not name it", function()
      start(CALM, { policy = DRAINER, weights = { 0, 1 } })
      client = wire.open(moongate.port)
      all_probed()
      for _ = 1, 30 do assert.equal(pg.replicas[2].port, client:served_by()) end
      assert.equal("1", client:value(("select 1 /* moongate: to=%d */"):format(pg.replicas[1].port)))
    end)
  end)

  describe("with a name", function()
    local helpers = {}

    local function helper(...)
      local child = process.spawn({ "lua5.4", ... }, { input = true })
      local release = pg:guard(child)
      helpers[#helpers + 1] = function()
        child:close_input()
        child:wait(5)
        release()
      end
      return child
    end

    after_each(function()
      for _, stop in ipairs(helpers) do stop() end
      helpers = {}
    end)

    -- "db.test" is 127.0.0.2, and there the first node; the second one is at 127.0.0.3.
    local function start_named(first, second, ttl)
      local zone = pg.dir .. "/zone"
      local port = process.free_port()
      for i, node in ipairs { first, second } do
        helper("tests/support/forward.lua", "127.0.0." .. i + 1, tostring(port), tostring(node.port)):take("ready\n", 5)
      end
      local function name(address)
        local file = assert(io.open(zone .. ".new", "w"))
        file:write(address and ("db.test %d %s\n"):format(ttl, address) or "")
        file:close()
        assert(os.rename(zone .. ".new", zone))
      end
      name "127.0.0.2"
      local dns = helper("tests/support/dns.lua", zone)
      local dns_port = dns:take("\n", 5)
      start(nil, {
        text = ([[local moongate = require "moongate"
          return moongate.router { cluster = moongate.cluster {
            primary = "postgres://postgres@db.test:%d/postgres",
            health = { interval = 0.2, timeout = 5, fall = 2, rise = 1 },
            backoff = { initial = 20, max = 20 } } }]]):format(port),
        env = { MOONGATE_DNS = "127.0.0.1:" .. dns_port },
      })
      return name, function()
        process.poll(function() return false end, 0.01) -- lets its output in
        return count(dns.output, "db%.test")
      end
    end

    it("is looked up again, and its servers follow the name", function()
      local first, second = pg.primary, pg.replicas[1]
      local name = start_named(first, second, 1)
      client = wire.open(moongate.port)
      local other = wire.open(moongate.port)
      assert.equal(first.port, client:served_by())
      assert.equal(first.port, (function()
        other:query "begin"
        return other:served_by()
      end)())
      assert.equal(first.port, client:served_by())
      wait.until_true("one in a block and an idle one", function() return servers_at(first) == 2 end)
      name "127.0.0.3"
      logged "the host has another address\" endpoint=db.test:%d+ from=127.0.0.2 to=127.0.0.3"
      wait.until_true("the idle server to be closed", function() return servers_at(first) == 1 end)
      served_by(second.port)
      assert.equal(first.port, other:served_by()) -- a block stays where it is
      other:query "commit"
      wait.until_true("no server to be left at the old address", function() return servers_at(first) == 0 end)
      other:quit()
    end)

    it("that has moved is tried at once, though it was down", function()
      local first, second = pg.replicas[2], pg.replicas[1]
      local name = start_named(first, second, 1)
      client = wire.open(moongate.port)
      assert.equal(first.port, client:served_by())
      first:kill()
      logged "endpoint down"
      name "127.0.0.3"
      served_by(second.port) -- not after 20 s, which is the backoff
    end)

    it("keeps its servers when the name is not known any more", function()
      local first <const> = pg.primary
      local name, questions = start_named(first, pg.replicas[1], 1)
      client = wire.open(moongate.port)
      assert.equal(first.port, client:served_by())
      name(nil)
      local asked = questions()
      wait.until_true("it to be looked up in vain", function() return questions() > asked end)
      for _ = 1, 10 do assert.equal(first.port, client:served_by()) end
      assert.not_matches("another address", moongate:log())
      assert.not_matches("endpoint down", moongate:log())
    end)
  end)
end)
