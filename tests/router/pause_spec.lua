-- A paused cluster sends no new work: what is under way ends, the rest waits and then goes on.

local cluster = require "tests.support.cluster"
local gate = require "tests.support.gate"
local router = require "tests.support.router"
local uv = require "luv"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

describe("a paused cluster", function()
  local pg, moongate, client, other

  setup(function()
    pg = cluster.shared()
    pg.primary:psql "create table paused (id serial primary key, note text)"
    pg:wait_for_replay()
  end)
  teardown(function() pg.primary:psql "drop table paused" end)

  local function start(extra)
    moongate = router.start { pg = pg, text = router.script(pg, { extra = extra or "" }) }
    client, other = wire.open(moongate.port), wire.open(moongate.port)
  end
  after_each(function()
    client:close()
    other:close()
    moongate:stop()
  end)

  local function logged(pattern)
    wait.until_true("the log to say " .. pattern, function() return moongate:log():match(pattern) end)
  end

  local function pause()
    uv.kill(moongate.pid, "sigusr1")
    logged "pausing"
  end

  local function resume()
    uv.kill(moongate.pid, "sigusr2")
    logged "resumed"
  end

  local function is_silent(wired)
    wired.socket:settimeout(0.3)
    local got, why = wired.socket:receive(1)
    wired.socket:settimeout(20)
    return got == nil and why == "timeout"
  end

  -- Our servers, whichever node they are on.
  local function servers()
    local count = 0
    for _, node in ipairs(pg:nodes()) do
      count = count + tonumber(node:psql [[select count(*) from pg_stat_activity
        where backend_type = 'client backend' and pid <> pg_backend_pid()
          and query not like '%pg_is_in_recovery%']])
    end
    return count
  end

  it("holds reads and writes without a deadline, and lets them go in order", function()
    start "pool = { acquire_timeout = 0.8, size = 1 }," -- three times is_silent() is longer
    client:query "select 1"
    pause()
    logged "paused: no server is at work"
    client:send(wire.query "insert into paused (note) values ('first') returning id")
    assert.is_true(is_silent(client))
    other:send(wire.extended "insert into paused (note) values ('second') returning id" .. wire.sync())
    assert.is_true(is_silent(other))
    local reader = wire.open(moongate.port)
    reader:send(wire.query "select 'read'")
    assert.is_true(is_silent(reader))
    resume()
    local first, second, read = client:result(), other:result(), reader:result()
    assert.is_nil(first.error, first.error and first.error.M)
    assert.is_true(tonumber(first.rows[1][1]) < tonumber(second.rows[1][1]))
    assert.equal("read", read.rows[1][1])
    reader:close()
  end)

  it("lets a block that is under way go on to its end, and then holds its client", function()
    start()
    client:query "begin"
    client:query "insert into paused (note) values ('block')"
    pause()
    assert.not_matches("paused: no server is at work", moongate:log())
    assert.is_nil(client:query("insert into paused (note) values ('block')").error)
    assert.same({ "COMMIT" }, client:query("commit").tags)
    logged "paused: no server is at work"
    client:send(wire.query "select 'after'")
    assert.is_true(is_silent(client))
    resume()
    assert.equal("after", client:result().rows[1][1])
  end)

  it("holds a pipeline's next batch behind the one under way", function()
    start()
    local shut <close> = gate.shut(pg)
    client:send(wire.query "select 'under way' from gate")
    shut:await()
    pause()
    client:send(wire.query "select 'next'")
    shut:open()
    assert.equal("under way", client:result().rows[1][1])
    logged "paused: no server is at work"
    assert.is_true(is_silent(client))
    resume()
    assert.equal("next", client:result().rows[1][1])
  end)

  it("holds those that were waiting for a server", function()
    start "pool = { size = 1 },"
    local shut <close> = gate.shut(pg)
    client:send(wire.query "insert into paused (note) select 'slow' from gate")
    shut:await { pg.primary }
    other:send(wire.query "insert into paused (note) values ('waiting')")
    assert.is_true(is_silent(other))
    pause()
    shut:open()
    assert.is_nil(client:result().error)
    logged "paused: no server is at work"
    assert.equal("0", pg.primary:psql "select count(*) from paused where note = 'waiting'")
    resume()
    assert.is_nil(other:result().error)
  end)

  it("has no server left once it is quiet", function()
    start()
    for _ = 1, 5 do client:query "select 1" end
    client:query "insert into paused (note) values ('x')"
    assert.is_true(servers() > 0)
    pause()
    logged "paused: no server is at work"
    wait.until_true("no server to be left", function() return servers() == 0 end)
  end)

  it("does nothing for a held client that has gone", function()
    start "pool = { size = 1 },"
    pause()
    client:send(wire.query "insert into paused (note) values ('gone')")
    assert.is_true(is_silent(client))
    other:send(wire.query "insert into paused (note) values ('stayed')")
    assert.is_true(is_silent(other))
    client:send(wire.terminate())
    client:close()
    resume()
    assert.is_nil(other:result().error)
    assert.equal("0", pg.primary:psql "select count(*) from paused where note = 'gone'")
  end)

  it("lets a held query be cancelled", function()
    start()
    pause()
    client:send(wire.query "select 'cancelled'")
    assert.is_true(is_silent(client))
    local canceller = wire.connect(moongate.port)
    canceller:send(wire.cancel(client.pid, client.key))
    local result = client:result()
    assert.equal("57014", result.error.C)
    assert.equal("I", result.status)
    canceller:close()
    resume()
    assert.equal("1", client:value "select 1")
  end)

  it("refuses at once what is more than hold_limit", function()
    start "hold_limit = { queries = 1 },"
    pause()
    client:send(wire.query "select 'held'")
    assert.is_true(is_silent(client))
    local result = other:query "select 'too many'"
    assert.equal("57P03", result.error.C)
    assert.matches("paused", result.error.M)
    assert.matches("hold_limit", result.error.H)
    assert.equal("I", result.status)
    resume()
    assert.equal("held", client:result().rows[1][1])
    assert.equal("too many", other:value "select 'too many'")
  end)

  it("stays paused while another script takes over, and its clients held", function()
    start()
    pause()
    client:send(wire.query "insert into paused (note) values ('reloaded') returning note")
    assert.is_true(is_silent(client))
    uv.kill(moongate.pid, "sighup")
    logged "msg=reloaded"
    assert.is_true(is_silent(client))
    other:send(wire.query "select 'other'")
    assert.is_true(is_silent(other))
    resume()
    assert.equal("reloaded", client:result().rows[1][1])
    assert.equal("other", other:result().rows[1][1])
  end)

  it("is paused and resumed over HTTP, by name too", function()
    moongate = router.start { pg = pg, admin = true }
    client, other = wire.open(moongate.port), wire.open(moongate.port)
    local function order(path) return moongate:ask(path, { method = "POST" }) end
    local function metric(name)
      return select(2, moongate:http "/metrics"):match("\nmoongate_" .. name .. " (%d+)\n")
    end
    client:query "begin"
    client:query "insert into paused (note) values ('http')"
    assert.equal(404, select(2, order "/pause?cluster=nobody"))
    assert.same({ paused = true, at_work = 1, held = 0 }, order "/pause")
    other:send(wire.query "select 'held'")
    assert.is_true(is_silent(other))
    client:query "commit"
    wait.until_true("the server to be given back", function()
      return metric 'servers_at_work{cluster="%*"}' == "0"
    end)
    assert.same({ paused = true, at_work = 0, held = 1 }, order "/pause?cluster=*")
    assert.equal("1", metric 'queries_held{cluster="%*"}')
    assert.equal("1", metric 'paused{cluster="%*"}')
    assert.is_false(order "/resume".paused)
    assert.equal("held", other:result().rows[1][1])
    assert.equal("0", metric 'paused{cluster="%*"}')
    assert.equal("1", metric 'failures_total{cluster="%*",kind="paused"}')
  end)

  it("can be paused and resumed again and again", function()
    start()
    uv.kill(moongate.pid, "sigusr2")
    for i = 1, 3 do
      uv.kill(moongate.pid, "sigusr1")
      client:send(wire.query("select " .. i))
      uv.kill(moongate.pid, "sigusr2")
      assert.equal(tostring(i), client:result().rows[1][1])
    end
  end)
end)
