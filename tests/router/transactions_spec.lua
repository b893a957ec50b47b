-- A transaction has one server, from its first statement to its end; between transactions servers
-- are shared.

local cluster = require "tests.support.cluster"
local router = require "tests.support.router"
local wire = require "tests.support.wire"

describe("a transaction", function()
  local pg, moongate
  local opened = {}

  local function open()
    local client = wire.open(moongate.port)
    opened[#opened + 1] = client
    return client
  end

  after_each(function()
    for _, client in ipairs(opened) do client:close() end
    opened = {}
    if moongate then moongate:stop() end
    moongate = nil
  end)

  setup(function()
    pg = cluster.shared()
    pg.primary:psql [[
      drop table if exists ledger;
      drop sequence if exists turns;
      create table ledger (id int primary key, note text);
      create sequence turns;
    ]]
  end)

  before_each(function() pg.primary:psql "truncate ledger" end)

  local function start(pool)
    moongate = router.start {
      pg = pg,
      text = router.script(pg, { extra = pool and ("pool = { %s },"):format(pool) }),
    }
  end

  it("stays on one server, be it begun by a read", function()
    start()
    local client, pids = open(), {}
    client:query("begin")
    assert.equal(pg.primary.port, client:served_by())
    for _ = 1, 20 do pids[client:value("select pg_backend_pid()")] = true end
    assert.is_nil(client:query("insert into ledger values (1, 'a')").error)
    assert.equal("a", client:value("select note from ledger"))
    assert.equal(pg.primary.port, client:served_by())
    pids[client:value("select pg_backend_pid()")] = true
    assert.equal("COMMIT", client:query("commit").tags[1])
    local count = 0
    for _ in pairs(pids) do count = count + 1 end
    assert.equal(1, count)
  end)

  it("that only reads stays on one server as well", function()
    start()
    local client = open()
    client:query("start transaction read only, isolation level repeatable read")
    local port = client:served_by()
    for _ = 1, 20 do assert.equal(port, client:served_by()) end
    assert.equal("25006", client:query("insert into ledger values (1, 'a')").error.C)
    assert.equal("E", client:query("select 1").status)
    assert.equal("I", client:query("rollback").status)
  end)

  it("tells its status as PostgreSQL does", function()
    start()
    local client = open()
    local function status(sql) return client:query(sql).status end
    assert.equal("T", status "begin")
    assert.equal("T", status "select 1")
    assert.equal("T", status "savepoint a")
    assert.equal("E", status "select 1/0")
    assert.equal("25P02", client:query("select 1").error.C)
    assert.equal("T", status "rollback to a")
    assert.equal("T", status "insert into ledger values (1, 'kept')")
    assert.equal("T", status "commit and chain")
    assert.equal("T", status "insert into ledger values (2, 'not kept')")
    assert.equal("E", status "selekt")
    assert.same({ "ROLLBACK" }, client:query("commit").tags)
    assert.equal("I", status "select 1")
    assert.equal("1", client:value("select count(*) from ledger"))
  end)

  it("gives the answers of PostgreSQL for BEGIN and COMMIT out of place", function()
    start()
    local client = open()
    assert.equal("25P01", client:query("commit").notices[1].C)
    client:query("begin")
    assert.equal("25001", client:query("begin").notices[1].C)
    assert.equal("T", client:query("select 1").status)
    assert.equal("ROLLBACK", client:query("rollback").tags[1])
    client:query("begin")
    assert.same({ "COMMIT" }, client:query("commit").tags)
  end)

  it("may live in one string", function()
    start()
    local client = open()
    local result = client:query("begin; insert into ledger values (1, 'a'); commit; select 2")
    assert.same({ "BEGIN", "INSERT 0 1", "COMMIT", "SELECT 1" }, result.tags)
    assert.equal("T", client:query("insert into ledger values (2, 'b'); begin; select 1").status)
    assert.equal("2", client:value("select count(*) from ledger"))
    assert.equal("I", client:query("commit").status)
  end)

  it("is rolled back, and its server free, when its client goes", function()
    start "size = 1"
    for _, how in ipairs { "quit", "close" } do
      local client = wire.open(moongate.port)
      client:query("begin")
      client:query("insert into ledger values (1, 'gone')")
      client[how](client, true)
      -- Names the node, and so needs the one server of the primary's pool.
      assert.equal("0", open():value("select count(*), pg_backend_pid() from ledger"))
    end
  end)

  it("shares servers with those of other clients", function()
    start "size = 2"
    local pids, count = {}, 0
    for _ = 1, 30 do
      local client = open()
      for _ = 1, 3 do pids[client:value("select pg_backend_pid()")] = true end
    end
    for _ in pairs(pids) do count = count + 1 end
    assert.is_true(count <= 2, count)
  end)

  it("keeps its server until it ends, and others wait in the order of their coming", function()
    start "size = 1"
    local holder, first, second = open(), open(), open()
    holder:query("begin")
    local pid = holder:value("select pg_backend_pid()")
    for _, waiting in ipairs { first, second } do
      waiting:send(wire.query("select nextval('turns'), pg_backend_pid()"))
      -- What is answered after it was sent after it: by then the router has seen it.
      for _ = 1, 5 do assert.equal(pid, holder:value("select pg_backend_pid()")) end
    end
    local turn = tonumber(holder:value("select nextval('turns')"))
    holder:query("commit")
    local one, two = first:result().rows[1], second:result().rows[1]
    assert.same({ tostring(turn + 1), pid }, one)
    assert.same({ tostring(turn + 2), pid }, two)
  end)

  it("that gets no server in time is refused, and its client stays", function()
    start "size = 1, acquire_timeout = 1"
    local holder, other = open(), open()
    holder:query("begin")
    holder:value("select pg_backend_pid()")
    local result = other:query("select pg_backend_pid()")
    assert.equal("53300", result.error.C)
    assert.equal("I", result.status)
    holder:query("commit")
    assert.truthy(other:value("select pg_backend_pid()"))
  end)

  it("that is cut off by an administrator gives one error, and the router lives", function()
    start()
    local client = open()
    client:query("begin")
    client:query("insert into ledger values (1, 'lost')")
    local pid = client:value("select pg_backend_pid()")
    pg.primary:psql(("select pg_terminate_backend(%s, 5000)"):format(pid))
    local result = client:query("select 1")
    assert.equal("57P01", result.error and result.error.C)
    assert.equal("0", open():value("select count(*) from ledger"))
  end)

  it("finds a working server where a pooled one was cut off meanwhile", function()
    start "size = 3"
    local client = open()
    for _ = 1, 5 do
      local pid = client:value("select pg_backend_pid()")
      pg.primary:psql(("select pg_terminate_backend(%s, 5000)"):format(pid))
      assert.not_equal(pid, client:value("select pg_backend_pid()"))
    end
  end)
end)
