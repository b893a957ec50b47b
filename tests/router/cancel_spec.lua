-- A CancelRequest with the key that the router gave cancels that client's query, and no other.

local cluster = require "tests.support.cluster"
local gate = require "tests.support.gate"
local process = require "moongate.process"
local router = require "tests.support.router"
local socket = require "socket"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

describe("cancelling", function()
  local pg, moongate
  local opened = {}

  local function start(size)
    moongate = router.start {
      pg = pg,
      text = router.script(pg, { extra = ("pool = { size = %d },"):format(size) }),
    }
  end

  local function open()
    local client = wire.open(moongate.port)
    opened[#opened + 1] = client
    return client
  end

  setup(function() pg = cluster.shared() end)

  after_each(function()
    for _, client in ipairs(opened) do client:close() end
    opened = {}
    moongate:stop()
  end)

  local function cancel(pid, key)
    local request = wire.connect(moongate.port)
    request:send(wire.cancel(pid, key))
    assert.is_true(request:ends())
    request:close()
  end

  -- Which node runs the statement marked so now.
  local function find(mark)
    for _, node in ipairs(pg:nodes()) do
      local found = node:psql(([[select 1 from pg_stat_activity where state = 'active'
        and pid <> pg_backend_pid() and query like '%%/* %s */%%']]):format(mark))
      if found == "1" then return node.name end
    end
  end

  local function send(client, sql, mark)
    client:send(wire.query(("%s /* %s */"):format(sql, mark)))
    return wait.until_true("the query to run", function() return find(mark) end)
  end

  local function send_sleep(client, mark) return send(client, "select pg_sleep(60)", mark) end

  it("stops a query on a replica", function()
    start(5)
    local client = open()
    assert.matches("^replica", send_sleep(client, "on a replica"))
    cancel(client.pid, client.key)
    local result = client:result()
    assert.equal("57014", result.error.C)
    assert.equal("I", result.status)
    assert.equal("1", client:value("select 1"))
  end)

  it("stops a query in a transaction on the primary", function()
    start(5)
    local client = open()
    client:query("begin")
    assert.equal("primary", send_sleep(client, "on the primary"))
    cancel(client.pid, client.key)
    local result = client:result()
    assert.equal("57014", result.error.C)
    assert.equal("E", result.status)
    assert.equal("I", client:query("rollback").status)
  end)

  -- As long, and not the same.
  local function other_bits(key)
    return key:sub(1, -2) .. string.char(key:byte(-1) ~ 1)
  end

  it("reaches a server that is spoken to through TLS", function()
    local text = router.script(pg):gsub("postgres://127.0.0.1:%d+", "%0?sslmode=require")
    moongate = router.start { pg = pg, text = text }
    local client = open()
    assert.equal("t", client:value "select ssl from pg_stat_ssl where pid = pg_backend_pid()")
    send_sleep(client, "encrypted")
    cancel(client.pid, client.key)
    assert.equal("57014", client:result().error.C)
    assert.equal("1", client:value "select 1")
  end)

  it("needs the right key", function()
    start(5)
    local client = open()
    local shut <close> = gate.shut(pg)
    send(client, "select n from gate", "wrong key")
    cancel(client.pid, other_bits(client.key))
    cancel(client.pid, client.key .. ("\0"):rep(28))
    cancel(client.pid, client.key:sub(1, 1))
    cancel(client.pid ~ 1, client.key)
    cancel(0, "\0\0\0\0")
    assert.truthy(find("wrong key"))
    shut:open()
    assert.is_nil(client:result().error)
  end)

  it("takes the longer keys of protocol 3.2, and no part of one", function()
    start(5)
    local client = wire.connect(moongate.port)
    opened[#opened + 1] = client
    client:start(nil, wire.NEWEST)
    assert.equal(32, #client.key)
    send_sleep(client, "long key")
    cancel(client.pid, client.key:sub(1, 4))
    cancel(client.pid, other_bits(client.key))
    assert.truthy(find("long key"))
    cancel(client.pid, client.key)
    assert.equal("57014", client:result().error.C)
  end)

  it("of an idle client does not hit who has its server now", function()
    start(1)
    local idle, busy = open(), open()
    idle:value("select pg_backend_pid()")
    local shut <close> = gate.shut(pg)
    busy:query("begin")
    send(busy, "select n from gate", "not idle")
    for _ = 1, 5 do cancel(idle.pid, idle.key) end
    assert.truthy(find("not idle"))
    shut:open()
    assert.is_nil(busy:result().error)
  end)

  it("of a client that waits for a server ends its waiting", function()
    start(1)
    local holder, waiting = open(), open()
    holder:query("begin")
    holder:value("select pg_backend_pid()")
    waiting:send(wire.query("select pg_backend_pid()"))
    cancel(waiting.pid, waiting.key)
    assert.equal("57014", waiting:result().error.C)
    holder:query("commit")
    assert.truthy(waiting:value("select pg_backend_pid()"))
  end)

  it("too late does not hit the next query", function()
    start(2)
    local client, other = open(), open()
    for _ = 1, 50 do
      client:value("select 1")
      cancel(client.pid, client.key)
      assert.equal("2", other:value("select 2"))
      -- Its own next query may be hit, as with PostgreSQL; nobody else's.
      client:query("select 3")
    end
  end)

  -- One server; `other` waits for it, so that it runs there as soon as the first statement has ended. The cancel
  -- request comes about then: before, in between, after.
  it("just as the statement ends never hits who gets the server next", function()
    moongate = router.start { pg = pg, text = ([[
      local moongate = require "moongate"
      return moongate.router { cluster = moongate.cluster {
        primary = "postgres://127.0.0.1:%d", pool = { size = 1 } } }
    ]]):format(pg.primary.port) }
    local client, other = open(), open()
    client:value "select 1" -- opens the server
    local cancelled, rounds = 0, router.binary:find("asan") and 100 or 300
    for i = 1, rounds do
      local request = wire.connect(moongate.port)
      client:send(wire.query "select pg_sleep(0.002)")
      other:send(wire.query "select pg_sleep(0.004)")
      socket.sleep(i % 10 * 0.0005)
      request:send(wire.cancel(client.pid, client.key))
      cancelled = cancelled + (client:result().error and 1 or 0)
      assert.is_nil(other:result().error)
      request:close()
    end
    assert.is_true(cancelled > 0)
  end)

  -- After a SET the router asks the server what has become of it; that question is nobody's to cancel.
  it("just as the statement ends does not hit what the router itself has to ask then", function()
    moongate = router.start { pg = pg, text = ([[
      local moongate = require "moongate"
      return moongate.router { cluster = moongate.cluster {
        primary = "postgres://127.0.0.1:%d", pool = { size = 1 } } }
    ]]):format(pg.primary.port) }
    local client, other = open(), open()
    for i = 1, router.binary:find("asan") and 200 or 600 do
      local request = wire.connect(moongate.port)
      client:send(wire.query(("select pg_sleep(0.001); set work_mem = '%dkB'"):format(64 + i)))
      socket.sleep(i % 10 * 0.0003)
      request:send(wire.cancel(client.pid, client.key))
      client:result()
      request:close()
      assert.equal("1", other:value "select 1") -- the client has given its server back
    end
  end)

  it("works for a named statement of the extended protocol, and for psql", function()
    start(5)
    local client = open()
    client:send(wire.parse("s", "select pg_sleep(60) /* extended */") .. wire.bind("", "s", {})
      .. wire.execute("") .. wire.sync())
    wait.until_true("the query to run", function() return find("extended") end)
    cancel(client.pid, client.key)
    assert.equal("57014", client:result().error.C)

    local psql = process.spawn({ router.bin("psql"), "-X", "-d", moongate:url(), "-c",
      "select pg_sleep(60) /* psql */" })
    wait.until_true("the query to run", function() return find("psql") end)
    psql:kill("sigint")
    psql:wait(10)
    assert.matches("canceling statement due to user request", psql.errors)
  end)
end)
