-- Many clients, few servers.

local cluster = require "tests.support.cluster"
local process = require "moongate.process"
local router = require "tests.support.router"
local wire = require "tests.support.wire"

describe("1,000 clients", function()
  local pg, moongate

  setup(function()
    pg = cluster.shared()
    pg.primary:psql "drop table if exists crowd; create table crowd (client int)"
    pg:wait_for_replay()
    -- All are served in the end; how soon is up to the machine.
    moongate = router.start { pg = pg, text = router.script(pg, { extra = "pool = { acquire_timeout = 100 }," }) }
  end)
  teardown(function() moongate:stop() end)

  it("are all served at once, in reads and in transactions", function()
    local script = pg.dir .. "/crowd.sql"
    local file = assert(io.open(script, "w"))
    file:write [[
select count(*) from crowd;
begin;
insert into crowd values (:client_id);
select count(*) from crowd where client = :client_id;
commit;
]]
    file:close()
    -- pgbench needs a descriptor per client, more than the soft limit often allows.
    local status, output, errors = process.run({
      "/bin/sh", "-c", 'ulimit -n "$(ulimit -Hn)"; exec "$@"', "sh",
      router.bin("pgbench"), "-n", "-c", "1000", "-j", "2", "-t", "3", "-f", script, moongate:url(),
    }, { env = router.environment_for_programs(), seconds = 120 })
    assert.equal(0, status, errors)
    assert.matches("number of transactions actually processed: 3000/3000", output)
    assert.matches("number of failed transactions: 0 ", output)
    assert.equal("1000|3000",
      pg.primary:psql "select count(distinct client), count(*) from crowd")
  end)

  it("connect while all servers are busy", function()
    local holders = {}
    for i = 1, 10 do
      holders[i] = wire.open(moongate.port)
      holders[i]:query("begin")
      holders[i]:value("select pg_backend_pid()")
    end
    local clients = {}
    for i = 1, 400 do clients[i] = wire.open(moongate.port) end
    for _, holder in ipairs(holders) do holder:quit() end
    for i, client in ipairs(clients) do client:send(wire.query("select " .. i)) end
    for i, client in ipairs(clients) do
      assert.equal(tostring(i), client:result().rows[1][1])
      client:quit()
    end
  end)
end)
