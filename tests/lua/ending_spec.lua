-- Whatever is alive as a cluster, a task or a Lua state ends, and in whatever order it goes: nothing
-- crashes, and nothing is left behind.

local process = require "moongate.process"
local shared = require "tests.support.cluster"

-- What is run, and what it prints; the process ends well, where no status is given.
local scripts = {
  ["a state that is closed with all there is"] = { [[
    cluster = open()
    connection = assert(cluster:pool("write"):acquire())
    pool, token = cluster:pool "read", assert(cluster:token())
    route = cluster:route { to = "primary" }
    primary, stats = cluster.primary, cluster.primary.stats
    timer = moongate.every(0.01, print)
    backoff = moongate.backoff()
    assert(connection:query "begin")
  ]] },
  ["a cluster that is collected while all that it made is kept"] = { [[
    local cluster = open()
    local pool, primary = cluster:pool "write", cluster.primary
    local connection, stats = assert(pool:acquire()), primary.stats
    local route = cluster:route { to = "primary" }
    cluster = nil
    collectgarbage() collectgarbage()
    print(connection:value "select 1", pool:stats().lent, primary.name ~= nil, stats ~= nil, route ~= nil)
    pool, connection, stats, route = nil, nil, nil, nil
    collectgarbage() collectgarbage()
    print(primary.up)
    primary = nil
    collectgarbage() collectgarbage()
  ]], "1\t1\ttrue\ttrue\ttrue\ntrue\n" },
  ["a cluster that a finalizer closes while it is at work"] = { [[
    for _, work in ipairs {
      function(c) c:query("select 1", { timeout = 1e-5 }) end,
      function(c) c:pipeline(function(p) p:query "select 1" end, { timeout = 1e-5 }) end,
      function(c) c:pool "write":acquire(0) end,
      function(c) assert(#c.endpoints > 0) end,
    } do
      for _ = 1, 4 do
        local cluster = open()
        setmetatable({}, { __gc = function() cluster:close() end })
        repeat until not pcall(work, cluster)
      end
    end
  ]] },
  ["handles of a cluster that is closed"] = { [[
    local cluster <close> = open()
    local pool, primary, replicas = cluster:pool "write", cluster.primary, cluster.replicas
    local connection, stats = assert(pool:acquire()), primary.stats
    cluster:close()
    cluster:close()
    for _, fn in ipairs {
      function() return connection:query "select 1" end, function() return pool:acquire() end,
      function() return pool:stats() end, function() return primary.name end, function() return stats.calls end,
      function() return cluster:query "select 1" end, function() return cluster.primary end,
      function() return tostring(connection) .. tostring(cluster) end, function() return #replicas end,
      function() return cluster:timeout() end,
    } do pcall(fn) collectgarbage() end
    connection:release()
    connection:release()
  ]] },
  ["os.exit() in a task, beside others"] = { [[
    local cluster = open()
    moongate.run(function()
      moongate.spawn(cluster.query, cluster, "select pg_sleep(40)")
      moongate.spawn(cluster.transaction, cluster, function(tx) tx:query "select pg_sleep(41)" end)
      moongate.spawn(moongate.gather, function() moongate.sleep(60) end, function() cluster:health() end)
      moongate.spawn(moongate.with_timeout, 60, cluster.query, cluster, "select pg_sleep(42)")
      moongate.sleep(0.1)
      os.exit(7, true)
    end)
  ]], "", 7 },
  ["os.exit() without closing the state"] = { [[
    local cluster = open()
    moongate.run(function()
      moongate.spawn(cluster.query, cluster, "select 1 from pg_sleep(0.2)")
      moongate.sleep(0.05)
      os.exit(7)
    end)
  ]], "", 7 },
  ["os.exit() in a policy, a timer and a decoder"] = { [[
    -- What the fence around a policy lets through is os.exit() itself, which an application may call.
    local cluster = moongate.cluster { primary = url, json = function() os.exit(7, true) end }
    cluster:query "select '{}'::json"
  ]], "", 7 },
  ["coroutines that wait, and that nobody resumes"] = { [[
    local cluster = open()
    for i = 1, 5 do
      moongate.run(function()
        local thread = coroutine.create(function() cluster:query "select pg_sleep(0.01)" end)
        coroutine.resume(thread)
        local task = moongate.spawn(cluster.query, cluster, "select pg_sleep(43)")
        moongate.sleep(0.02)
        task:cancel()
      end)
      collectgarbage()
    end
    local waiting = coroutine.wrap(function()
      cluster:transaction(function(tx) tx:query "select 1" coroutine.yield() end)
    end)
    waiting()
    waiting = nil
    collectgarbage() collectgarbage()
    print(cluster:value "select 1")
  ]], "1\n" },
  ["an error in the main chunk"] = { [[
    cluster = open()
    local connection <close> = assert(cluster:pool("write"):acquire())
    connection:query "begin"
    moongate.run(function()
      moongate.spawn(cluster.query, cluster, "select pg_sleep(44)")
      moongate.sleep(0.05)
      error "enough"
    end)
  ]], "", 1, "enough" },
  ["several clusters, which close one another"] = { [[
    local all = {}
    for i = 1, 4 do all[i] = open() end
    local mt = { __gc = function() all[1]:close() collectgarbage() end }
    setmetatable({}, mt)
    moongate.run(function()
      for i = 1, 4 do moongate.spawn(all[i].query, all[i], "select pg_sleep(45)") end
      moongate.sleep(0.05)
      all[2]:close()
      collectgarbage()
      os.exit(7, true)
    end)
  ]], "", 7 },
  ["a finalizer that queries, as the state is closed"] = { [[
    cluster = open()
    keep = setmetatable({}, { __gc = function() print(pcall(cluster.value, cluster, "select 1")) end })
    after = open()
  ]], "true\t1\n" },
  ["a finalizer that queries a cluster that has gone"] = { [[
    keep = setmetatable({}, { __gc = function() print((pcall(cluster.value, cluster, "select 1"))) end })
    cluster = open()
  ]], "false\n" },
  ["coroutines of cqueues, whose controller is left"] = { [[
    local cqueues = require "cqueues"
    local cluster = open()
    local controller = cqueues.new()
    for i = 1, 6 do
      controller:wrap(function() cluster:query "select pg_sleep(46)" end)
      controller:wrap(function() cluster:transaction(function(tx) tx:query "select pg_sleep(47)" end) end)
    end
    for _ = 1, 5 do controller:step(0.02) end
    controller = nil
    collectgarbage() collectgarbage()
    print(cluster:pool("write"):stats().lent, cluster:value "select 1")
    kept = cqueues.new()
    kept:wrap(function() cluster:query "select pg_sleep(48)" end)
    kept:step(0.02)
    kept:step(0.02)
  ]], "0\t1\n" },
  ["os.exit() in a coroutine of cqueues"] = { [[
    local cqueues = require "cqueues"
    local cluster = open()
    local controller = cqueues.new()
    controller:wrap(function() cluster:query "select pg_sleep(49)" end)
    controller:wrap(function() moongate.sleep(0.05) os.exit(7, true) end)
    controller:loop()
  ]], "", 7 },
  ["collections all the time"] = { [[
    collectgarbage("generational")
    collectgarbage("incremental", 50, 1000)
    local cluster = open { null = "nil", json = function(text) collectgarbage() return text end }
    moongate.run(function()
      for i = 1, 8 do
        moongate.spawn(function()
          for j = 1, 5 do
            local rows = cluster:query("select $1::int as i, '[1]'::json as j, array[1, 2] as a", i)
            collectgarbage()
            assert(rows[1].i == i and rows[1].a[2] == 2)
            cluster:transaction(function(tx) tx:query "select 1" collectgarbage() error "no" end)
          end
        end)
      end
    end)
    print(cluster:pool("write"):stats().lent)
  ]], "0\n" },
}

local PRELUDE = [[
  local moongate = require "moongate"
  local url = %q
  local function open(options)
    options = options or {}
    options.primary, options.pool = url, { size = 3 }
    local cluster = moongate.cluster(options)
    assert(cluster:query "select 1")
    return cluster
  end
  io.stdout:setvbuf "no"
]]

describe("nothing crashes or is left behind:", function()
  local pg

  setup(function() pg = shared.shared() end)

  local names = {}
  for name in pairs(scripts) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    it(name, function()
      local script, printed, expected, message = table.unpack(scripts[name], 1, 4)
      local status, output, errors = process.run(
        { "lua5.4", "-e", PRELUDE:format(pg.primary.url) .. script }, { seconds = 20 })
      assert.equal(expected or 0, status, errors)
      assert.equal(printed or "", output)
      if message then
        assert.matches(message, errors)
      else
        assert.equal("", errors)
      end
    end)
  end
end)
