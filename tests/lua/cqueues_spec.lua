-- The same calls in the coroutines of cqueues: they wait by its loop, and let the others go on.

local cqueues = require "cqueues"
local condition = require "cqueues.condition"

package.path = package.path .. ";/usr/share/lua/5.2/?.lua" -- where Debian has lua-http

local moongate = require "moongate"
local shared = require "tests.support.cluster"

describe("in a coroutine of cqueues,", function()
  local pg, cluster

  setup(function()
    pg = shared.shared()
    cluster = moongate.cluster {
      primary = pg.primary.url,
      pool = { size = 4, acquire_timeout = 10 },
      health = { interval = 0.05 },
    }
    cluster:health()
  end)
  teardown(function() cluster:close() end)

  -- Runs the functions side by side, in a controller of their own; an error in one is raised.
  local function run(...)
    local controller = cqueues.new()
    for _, fn in ipairs { ... } do controller:wrap(fn) end
    assert(controller:loop(20))
    assert(controller:empty(), "it did not end in 20 s")
  end

  -- How long that took.
  local function seconds(fn, ...)
    local began = cqueues.monotime()
    fn(...)
    return cqueues.monotime() - began
  end

  local function triple(...) return { (...), (select(2, ...)), (select(3, ...)) } end

  local function stats() return cluster:pool("write"):stats() end

  -- How often a coroutine comes to its turn, while another does this; 0 where that blocks.
  local function turns_during(fn)
    local turns, over = 0, false
    run(function()
      fn()
      over = true
    end, function()
      while not over do
        turns = turns + 1
        cqueues.sleep(0.005)
      end
    end)
    return turns
  end

  it("a query lets the others go on", function()
    local rows
    local turns = turns_during(function() rows = cluster:query "select 1 as one, pg_sleep(0.1)" end)
    assert.equal(1, rows[1].one)
    assert.is_true(turns > 1, turns)
  end)

  it("a connection, a transaction, health and sleep do, too", function()
    assert.is_true(turns_during(function()
      local connection <close> = assert(cluster:pool("write"):acquire())
      assert(connection:query "select pg_sleep(0.1)")
    end) > 1)
    assert.is_true(turns_during(function()
      assert(cluster:transaction(function(tx) return tx:value "select pg_sleep(0.1)::text" end))
    end) > 1)
    assert.is_true(turns_during(function() moongate.sleep(0.1) end) > 1)
    run(function() assert.equal("healthy", cluster:health().status) end)
  end)

  it("16 share a pool of 4", function()
    local order, most, all = {}, 0, {}
    for i = 1, 16 do
      all[i] = function()
        assert.equal(i, cluster:value("select $1::int from pg_sleep(0.05)", i))
        order[#order + 1] = i
        most = math.max(most, stats().lent)
      end
    end
    local pool, held = cluster:pool "write", {}
    for i = 1, 4 do held[i] = assert(pool:acquire()) end -- all are open
    for i = 1, 4 do held[i]:release() end
    local took = seconds(run, table.unpack(all))
    table.sort(order)
    assert.equal(16, #order)
    assert.equal(16, order[16])
    assert.is_true(took >= 0.2, took)
    assert.equal(4, most)
  end)

  it("timers run out in time", function()
    local own <close> = moongate.cluster { primary = pg.primary.url, pool = { size = 1, acquire_timeout = 0.3 } }
    own:health()
    local got, took
    local busy, over = condition.new(), condition.new()
    run(function()
      local connection <close> = assert(own:pool("write"):acquire(10))
      assert(connection)
      busy:signal()
      over:wait()
    end, function()
      busy:wait()
      took = seconds(function() got = triple(own:query "select 1") end)
      over:signal()
    end)
    assert.equal("53300", got[3])
    assert.is_true(took >= 0.3 and took < 3, took)
    run(function() took = seconds(moongate.sleep, 0.03) end)
    assert.is_true(took >= 0.03 and took < 0.5, took)
  end)

  it("a query ends after the timeout of its route", function()
    local own <close> = moongate.cluster {
      primary = pg.primary.url,
      policy = function(c)
        local route = moongate.timeout(c:route { to = "primary" }, 0.1)
        return function() return route end
      end,
    }
    own:health()
    local got, took
    assert(own:query "select 1")
    run(function() took = seconds(function() got = triple(own:query "select pg_sleep(63)") end) end,
      function() moongate.sleep(0.05) end)
    assert.equal("57014", got[3])
    assert.is_true(took >= 0.1 and took < 3, took)
  end)

  it("hears of a timer that is sooner than what the others wait for", function()
    local order = {}
    run(function()
      moongate.sleep(0.6)
      order[#order + 1] = "the other"
    end, function()
      cqueues.sleep(0.02)
      moongate.sleep(0.05)
      order[#order + 1] = "the sooner"
    end)
    assert.same({ "the sooner", "the other" }, order)
  end)

  it("is told that its server was terminated", function()
    local got
    run(function()
      local connection <close> = assert(cluster:pool("write"):acquire())
      got = triple(connection:query "select 'victim', pg_sleep(60)")
    end, function()
      repeat
        cqueues.sleep(0.01)
      until cluster:value [[select count(pg_terminate_backend(pid)) from pg_stat_activity
        where query like 'select ''victim''%' and pid <> pg_backend_pid() and state = 'active']] > 0
    end)
    assert.equal("08006", got[3])
  end)

  it("is told when another closes its cluster", function()
    local own = moongate.cluster { primary = pg.primary.url }
    local got
    run(function() got = triple(own:query "select pg_sleep(60)") end, function()
      cqueues.sleep(0.05)
      own:close()
    end)
    assert.same({ nil, "the cluster was closed", "57P01" }, got)
  end)

  it("raises what a decoder raises, to the one that has asked", function()
    local function decode() error "no such JSON" end
    local own <close> = moongate.cluster { primary = pg.primary.url, json = function(text) return (decode(text)) end }
    local ok, why
    run(function() ok, why = xpcall(own.query, debug.traceback, own, "select '1'::json") end,
      function() assert(own:query "select 1") end)
    assert.is_false(ok)
    assert.matches("cqueues_spec.lua:%d+: no such JSON\nstack traceback:.*in upvalue 'decode'", why)
  end)

  it("waits in each of two controllers, one inside of the other", function()
    local inner, ended = cqueues.new(), {}
    inner:wrap(function()
      assert(cluster:query "select pg_sleep(0.05)")
      ended.inner = true
    end)
    run(function()
      assert(cluster:query "select pg_sleep(0.1)")
      ended.outer = true
    end, function()
      while not inner:empty() do assert(inner:step()) end
    end)
    assert.same({ inner = true, outer = true }, ended)
  end)

  it("waits in each of two controllers that take turns", function()
    local first, second, ended = cqueues.new(), cqueues.new(), {}
    for i, controller in ipairs { first, second } do
      controller:wrap(function()
        for _ = 1, 3 do assert(cluster:query "select pg_sleep(0.01)") end
        ended[i] = true
      end)
    end
    local deadline = cqueues.monotime() + 10
    while not (ended[1] and ended[2]) and cqueues.monotime() < deadline do
      assert(first:step(0.002))
      assert(second:step(0.002))
    end
    assert.same({ true, true }, ended)
  end)

  it("goes on when the one that polls has been dropped with its controller", function()
    local left = cqueues.new()
    left:wrap(function() cluster:query "select pg_sleep(64)" end)
    for _ = 1, 3 do assert(left:step(0.02)) end
    assert.equal(1, stats().lent)
    left = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    run(function() assert(cluster:query "select 1") end)
    assert.equal(0, stats().lent)
  end)

  it("goes on when the one that polls was answered first", function()
    local ended = {}
    local function query(time)
      return function()
        assert(cluster:query(("select pg_sleep(%g)"):format(time)))
        ended[#ended + 1] = time
      end
    end
    run(query(0), query(0), query(0))
    ended = {}
    run(query(0.05), query(0.15), query(0.1))
    table.sort(ended) -- on a busy machine two may be answered at once
    assert.same({ 0.05, 0.1, 0.15 }, ended)
  end)

  it("goes on however many are answered at once", function()
    local answered, all = 0, {}
    for i = 1, 12 do
      all[i] = function()
        for _ = 1, 30 do
          local one = cluster:value "select 1"
          answered = answered + one
        end
      end
    end
    run(table.unpack(all))
    assert.equal(360, answered)
  end)

  it("goes on when another has blocked meanwhile, and has had its answer", function()
    local signal = condition.new()
    local answered
    run(function()
      answered = cluster:value "select 7 from pg_sleep(0.02)"
      signal:signal()
    end, function()
      -- cqueues' yield means nothing to a coroutine of one's own: it blocks.
      coroutine.wrap(function() assert(cluster:query "select pg_sleep(0.1)") end)()
      if not answered then signal:wait(5) end
    end)
    assert.equal(7, answered)
  end)

  it("does not turn while there is nothing to do", function()
    local cpu
    run(function()
      local before = os.clock()
      assert(cluster:query "select pg_sleep(0.3)")
      cpu = os.clock() - before
    end, function() assert(cluster:query "select pg_sleep(0.3)") end)
    assert.is_true(cpu < 0.05, cpu)
  end)

  it("an HTTP server's handlers query beside one another", function()
    local headers, request, server = require "http.headers", require "http.request", require "http.server"
    local listener = assert(server.listen {
      host = "127.0.0.1",
      port = 0,
      onstream = function(_, stream)
        local path = assert(stream:get_headers()):get ":path"
        local answer = headers.new()
        answer:append(":status", "200")
        assert(stream:write_headers(answer, false))
        stream:write_body_from_string(cluster:value("select $1 from pg_sleep(0.1)", path))
      end,
    })
    assert(listener:listen())
    local _, _, port = listener:localname()
    local left, bodies, all = 8, {}, {}
    all[1] = function()
      while left > 0 do assert(listener:step(0.1)) end
    end
    for i = 1, left do
      all[i + 1] = function()
        local _, stream = assert(request.new_from_uri(("http://127.0.0.1:%d/%d"):format(port, i)):go(10))
        local body = stream:get_body_as_string()
        bodies[i] = body
        left = left - 1
      end
    end
    local took = seconds(run, table.unpack(all))
    assert.same({ "/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8" }, bodies)
    assert.is_true(took >= 0.2, took) -- 4 at a time
    listener:close()
  end)

  it("moongate.run and its like say what to use instead", function()
    run(function()
      for name, fn in pairs { run = moongate.run, gather = moongate.gather } do
        local ok, why = pcall(fn, function() end)
        assert.is_false(ok)
        assert.matches("moongate." .. name .. ": this is a coroutine of cqueues, and waits as such", why)
      end
      local ok, why = pcall(moongate.with_timeout, 1, function() end)
      assert.is_false(ok)
      assert.matches("moongate.with_timeout: this is a coroutine of cqueues", why)
    end)
  end)

  it("the cluster is polled as it is, and what it does between queries goes on", function()
    local ticks = 0
    local timer <close> = moongate.every(0.02, function() ticks = ticks + 1 end)
    assert.is_truthy(timer)
    local took = seconds(run, function()
      local deadline = cqueues.monotime() + 10
      while ticks < 10 and cqueues.monotime() < deadline do
        cqueues.poll(cluster)
        cluster:step()
      end
    end)
    assert.equal(10, ticks)
    assert.is_true(took >= 0.15 and took < 10, took)
    assert.equal("r", cluster:events())
    assert.is_true(cluster:timeout() <= 0.05)
    assert.equal("integer", math.type(cluster:pollfd()))
  end)

  it("a server that has gone is noticed though whoever polled the cluster has stopped doing so", function()
    local own <close> = moongate.cluster { primary = pg.primary.url, health = { interval = 60 } }
    local pid = own:value "select pg_backend_pid()"
    own:timeout()
    pg.primary:psql(("select pg_terminate_backend(%d, 5000)"):format(pid))
    assert(own:query "do $$ begin end $$")
    own:step()
  end)
end)
