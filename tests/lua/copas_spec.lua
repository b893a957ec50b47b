-- The same calls in the coroutines of copas, which has neither timers nor a way to wake a coroutine.

package.path = package.path .. ";/usr/share/lua/5.2/?.lua" -- where Debian has it
local copas = require "copas"
local socket = require "socket"

local moongate = require "moongate"
local shared = require "tests.support.cluster"
local wrap = require "moongate.copas".wrap

describe("in a coroutine of copas,", function()
  local pg, cluster

  setup(function()
    pg = shared.shared()
    cluster = moongate.cluster { primary = pg.primary.url, pool = { size = 4 }, health = { interval = 0.05 } }
    cluster:health()
  end)
  teardown(function() cluster:close() end)

  -- Runs the functions side by side. An error in one is copas', which prints it.
  local function run(...)
    local left = select("#", ...)
    for _, fn in ipairs { ... } do
      copas.addthread(wrap(function()
        fn()
        left = left - 1
      end))
    end
    local deadline = socket.gettime() + 20
    while left > 0 and socket.gettime() < deadline do copas.step(5) end
    assert(left == 0, "it did not end")
  end

  it("16 share a pool of 4, and let one another go on", function()
    local answered, most, all, pool = 0, 0, {}, cluster:pool "write"
    local function let_go(connections)
      for _, connection in ipairs(connections) do connection:release() end
    end
    for i = 1, 16 do
      all[i] = function()
        assert.equal(i, (cluster:value("select $1::int from pg_sleep(0.05)", i)))
        answered = answered + 1
        most = math.max(most, pool:stats().lent)
      end
    end
    let_go { pool:acquire(), pool:acquire(), pool:acquire(), pool:acquire() } -- all are open
    run(table.unpack(all))
    assert.equal(16, answered)
    assert.equal(4, most)
  end)

  it("timers run out in time, and nothing turns meanwhile", function()
    local order = {}
    local function sleeper(seconds)
      return function()
        moongate.sleep(seconds)
        order[#order + 1] = seconds
      end
    end
    local began, cpu = socket.gettime(), os.clock()
    run(sleeper(0.3), sleeper(0.1), sleeper(0.2))
    cpu = os.clock() - cpu
    assert.same({ 0.1, 0.2, 0.3 }, order)
    assert.is_true(socket.gettime() - began < 3) -- copas' own step takes 5
    assert.is_true(cpu < 0.1, cpu)
  end)

  it("transactions, errors and the end of a cluster are as ever", function()
    local own = moongate.cluster { primary = pg.primary.url }
    local got, code
    run(function()
      assert.equal(1, cluster:transaction(function(tx) return tx:value "select 1 from pg_sleep(0.01)" end))
      code = select(3, cluster:query "select 1 / 0 from pg_sleep(0.01)")
    end, function() got = select(2, own:query "select pg_sleep(54)") end, function()
      moongate.sleep(0.1)
      own:close()
    end)
    assert.equal("22012", code)
    assert.equal("the cluster was closed", got)
  end)

  it("a server answers others while one of its clients waits", function()
    local server = assert(socket.bind("127.0.0.1", 0))
    local _, port = server:getsockname()
    local order = {}
    local in_the_way <close> = assert(cluster:pool("write"):acquire())
    assert(in_the_way:query "select pg_advisory_lock(4712)") -- of the slow one
    copas.addserver(server, wrap(function(client)
      local line = copas.receive(client)
      local value = cluster:value("select $1 || coalesce(pg_advisory_xact_lock(4712 - $2)::text, '')",
        line, line == "slow" and 0 or 1)
      copas.send(client, value .. "\n")
      client:close()
    end))
    local function ask(line)
      return function()
        local client = assert(socket.connect("127.0.0.1", port))
        client:settimeout(0)
        copas.send(client, line .. "\n")
        local answer = copas.receive(client)
        order[#order + 1] = answer
        client:close()
        if #order == 2 then in_the_way:query "select pg_advisory_unlock(4712)" end
      end
    end
    run(ask "slow", ask "quick", ask "quick")
    assert.same({ "quick", "quick", "slow" }, order)
  end)

  it("blocks where the coroutine is not copas' own", function()
    local value
    run(function() value = coroutine.wrap(function() return cluster:value "select 7" end)() end)
    assert.equal(7, value)
  end)
end)
