-- What a client may take its time for; each timeout with PostgreSQL's own SQLSTATE.

local cluster = require "tests.support.cluster"
local router = require "tests.support.router"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

describe("a timeout", function()
  local pg, moongate
  local opened = {}

  local function open()
    local client = wire.open(moongate.port)
    opened[#opened + 1] = client
    return client
  end

  local function start(extra)
    moongate = router.start { pg = pg, text = router.script(pg, { extra = extra }) }
  end

  setup(function() pg = cluster.shared() end)

  after_each(function()
    for _, client in ipairs(opened) do client:close() end
    opened = {}
    if moongate then moongate:stop() end
    moongate = nil
  end)

  -- Statements of this mark that PostgreSQL is working on, or blocks that are open.
  local function working(mark)
    return tonumber((pg.primary:psql(([[select count(*) from pg_stat_activity
      where query like '%%%s%%' and state <> 'idle' and pid <> pg_backend_pid()]]):format(mark))))
  end

  local function farewell(client)
    local result = client:result("E")
    assert.is_true(client:ends())
    return result.error
  end

  it("cancels a query that takes too long, and its client goes on", function()
    start "timeouts = { query_timeout = 0.3 },"
    local client = open()
    local answer = client:query("select pg_sleep(60), 'too long', pg_backend_pid()")
    assert.equal("57014", answer.error.C)
    assert.equal("canceling statement due to query_timeout", answer.error.M)
    assert.equal(0, working("too long"))
    assert.equal("1", client:value("select 1"))
  end)

  it("ends a transaction that takes too long", function()
    start "timeouts = { transaction_timeout = 0.3 },"
    local client = open()
    client:send(wire.query "begin" .. wire.query "select 'in time', pg_backend_pid()")
    assert.equal("25P04", farewell(client).C)
    wait.until_true("its block to end", function() return working("in time") == 0 end)
  end)

  it("ends a transaction that rests too long, be it begun here or there", function()
    start "timeouts = { idle_transaction_timeout = 0.3 },"
    local client, lazy = open(), open()
    client:send(wire.query "begin" .. wire.query "select 'resting', pg_backend_pid()")
    lazy:send(wire.query "begin")
    assert.equal("25P03", farewell(client).C)
    assert.equal("25P03", farewell(lazy).C)
    wait.until_true("its block to end", function() return working("resting") == 0 end)
  end)

  it("does not end a transaction that works", function()
    start "timeouts = { idle_transaction_timeout = 0.3 },"
    local client = open()
    client:query("begin")
    assert.is_nil(client:query("select pg_sleep(1)").error)
    assert.is_nil(client:query("commit").error)
  end)

  it("ends a client that is silent, and none that waits for an answer", function()
    start "timeouts = { client_idle_timeout = 0.5 },"
    local silent, busy = open(), wire.connect(moongate.port)
    opened[#opened + 1] = busy
    busy:send(wire.startup { user = "postgres", database = "postgres" } .. wire.query "select pg_sleep(1.5)")
    assert.equal("57P05", farewell(silent).C)
    assert.equal("I", busy:result().status) -- it is let in
    assert.is_nil(busy:result().error)
  end)

  it("may be another one for a user", function()
    start [[timeouts = { client_idle_timeout = 600 },
      users = { postgres = { query_timeout = 0.3 } },]]
    assert.equal("57014", open():query("select pg_sleep(60)").error.C)
  end)

  it("tells a client that waits for a server", function()
    start "pool = { size = 1, acquire_timeout = 30, notice_after = 0.2 },"
    local holder, waiting = open(), open()
    holder:query("begin")
    holder:query("select 1, pg_backend_pid()")
    waiting:send(wire.query("select 2, pg_backend_pid()"))
    waiting:result("N")
    holder:query("commit")
    assert.equal("2", waiting:result().rows[1][1])
  end)
end)
