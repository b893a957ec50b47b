-- BEGIN is answered by the router; the server is chosen by what the block does first.

local cluster = require "tests.support.cluster"
local router = require "tests.support.router"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

describe("a block", function()
  local pg, moongate
  local opened = {}

  local function open(params)
    local all = { user = "postgres", database = "postgres" }
    for name, value in pairs(params or {}) do all[name] = value end
    local client = wire.open(moongate.port, all)
    opened[#opened + 1] = client
    return client
  end

  local function start(extra)
    moongate = router.start { pg = pg, text = router.script(pg, { extra = extra or "" }) }
  end

  setup(function()
    pg = cluster.shared()
    pg.primary:psql [[
      drop table if exists blocks, kept; create table blocks (id int); create table kept (id int);
    ]]
    pg:wait_for_replay()
  end)

  after_each(function()
    for _, client in ipairs(opened) do client:close() end
    opened = {}
    if moongate then moongate:stop() end
    moongate = nil
  end)

  local function ask(client, ...)
    client:send(table.concat { ... })
    return client:result()
  end

  local function transactions()
    local total = 0
    for _, node in ipairs { pg.primary, pg.replicas[1], pg.replicas[2] } do
      total = total + tonumber((node:psql [[select count(*) from pg_stat_activity
        where application_name = 'blocks' and state <> 'idle']]))
    end
    return total
  end

  it("that is empty touches no server", function()
    start()
    local client = open { application_name = "blocks" }
    for _, pair in ipairs {
      { "begin", "commit", "BEGIN", "COMMIT" },
      { "start transaction read only", "rollback", "START TRANSACTION", "ROLLBACK" },
      { "/* ours */ begin isolation level serializable", "end", "BEGIN", "COMMIT" },
      { "BEGIN WORK;", "abort", "BEGIN", "ROLLBACK" },
    } do
      local begun = client:query(pair[1])
      assert.same({ pair[3] }, begun.tags)
      assert.equal("T", begun.status)
      assert.equal(0, transactions())
      local set = client:query("set transaction isolation level repeatable read")
      assert.same({ "SET" }, set.tags)
      assert.equal("T", set.status)
      local done = client:query(pair[2])
      assert.same({ pair[4] }, done.tags)
      assert.equal("I", done.status)
    end
  end)

  it("may be empty in the extended protocol, too", function()
    start()
    local client = open()
    assert.equal("12nCZ", ask(client, wire.extended("begin"), wire.sync()).types)
    assert.equal("1tnZ", ask(client, wire.parse("end", "commit"), wire.describe("S", "end"), wire.sync()).types)
    local done = ask(client, wire.bind("", "end", {}), wire.execute(""), wire.sync())
    assert.same({ "COMMIT" }, done.tags)
    assert.equal("I", done.status)
  end)

  it("keeps what BEGIN and SET TRANSACTION have said", function()
    start()
    local client = open()
    client:query("begin isolation level repeatable read -- as we like it")
    client:query("set transaction read only")
    assert.equal("repeatable read", client:value("select current_setting('transaction_isolation')"))
    assert.equal("on", client:value("select current_setting('transaction_read_only')"))
    assert.equal("25006", client:query("insert into blocks values (1)").error.C)
    local failed = client:query("select 1")
    assert.equal("25P02", failed.error.C)
    assert.equal("E", failed.status)
    assert.same({ "ROLLBACK" }, client:query("commit").tags)
  end)

  it("that only reads runs on replicas, and any other on the primary", function()
    start()
    local client = open()
    local seen = {}
    for _ = 1, 30 do
      client:query("begin read only")
      seen[client:served_by()] = true
      client:query("commit")
      client:query("begin")
      assert.equal(pg.primary.port, client:served_by())
      client:query("commit")
      client:query("begin isolation level serializable read only")
      assert.equal(pg.primary.port, client:served_by())
      client:query("rollback")
    end
    assert.is_true(seen[pg.replicas[1].port] and seen[pg.replicas[2].port])
    assert.is_nil(seen[pg.primary.port])
  end)

  local keeping = {
    "declare c cursor with hold for select 1",
    "prepare p as select 1",
    "select pg_advisory_lock(1)",
    "select setseed(0.5)",
    "load 'plpgsql'",
  }

  it("that runs on a replica fails where its client would have to stay there", function()
    start()
    for i, sql in ipairs(keeping) do
      local client = open()
      client:query("begin read only")
      assert.not_equal(pg.primary.port, client:served_by())
      local refused = i % 2 == 0 and client:query(sql) or ask(client, wire.extended(sql), wire.sync())
      assert.equal("EZ", refused.types)
      assert.equal("0A000", refused.error.C)
      assert.matches("is not possible in a block that runs on a replica", refused.error.M, 1, true)
      assert.equal("E", refused.status)
      assert.equal("25P02", client:query("select 1").error.C)
      assert.equal("I", client:query("rollback").status)
      assert.is_nil(client:query("insert into kept values (1)").error)
    end
  end)

  it("that runs on a replica fails there in its place in a pipeline", function()
    start()
    local client = open()
    client:send(wire.query("begin read only") .. wire.query("select 1")
      .. wire.extended("select 2") .. wire.flush() .. wire.extended("prepare p as select 1") .. wire.flush()
      .. wire.extended("select 3") .. wire.sync() .. wire.query("rollback") .. wire.query("select 4"))
    assert.same({ "BEGIN" }, client:result().tags)
    assert.equal("1", client:result().rows[1][1])
    local batch = client:result()
    assert.equal("12TDCEZ", batch.types)
    assert.equal("0A000", batch.error.C)
    assert.same({ "ROLLBACK" }, client:result().tags)
    assert.equal("4", client:result().rows[1][1])
  end)

  it("that only reads runs on the primary where it begins with what keeps its client there", function()
    start()
    for _, sql in ipairs(keeping) do
      local client = open()
      client:query("begin read only")
      assert.is_nil(client:query(sql).error)
      assert.equal(pg.primary.port, client:served_by())
      client:query("commit")
      assert.is_nil(client:query("insert into kept values (1)").error)
      client:close()
    end
  end)

  it("that only reads may set what keeps its client on the primary afterwards", function()
    start()
    for _, sql in ipairs { "set search_path = pg_temp, public", "set client_encoding = 'SJIS'" } do
      local client = open()
      client:query("begin read only")
      assert.not_equal(pg.primary.port, client:served_by())
      assert.is_nil(client:query(sql).error)
      assert.is_nil(client:query("commit").error)
      assert.equal(pg.primary.port, client:served_by())
      assert.is_nil(client:query("insert into public.kept values (1)").error)
      client:close()
    end
  end)

  it("that has kept its client on a replica unseen is told of where a write fails", function()
    pg.primary:psql [[create or replace function prepares() returns void language plpgsql
      as $$ begin execute 'prepare p as select 1'; end $$]]
    pg:wait_for_replay()
    start()
    local client = open()
    client:query("begin read only")
    assert.not_equal(pg.primary.port, client:served_by())
    assert.is_nil(client:query("select prepares()").error)
    client:query("commit")
    local refused = client:query("insert into kept values (1)")
    assert.equal("25006", refused.error.C)
    assert.matches("stays on a replica for what it holds there (prepare)", refused.error.H, 1, true)
    client:query("discard all")
    assert.is_nil(client:query("insert into kept values (1)").error)
  end)

  it("of a session that only reads runs on replicas", function()
    start()
    local client = open { default_transaction_read_only = "on" }
    client:query("begin")
    assert.not_equal(pg.primary.port, client:served_by())
    client:query("commit")
    client:query("begin read write")
    assert.equal(pg.primary.port, client:served_by())
    client:query("rollback")
  end)

  it("of a session that is serializable by default runs on the primary", function()
    start()
    local client = open { default_transaction_isolation = "serializable" }
    for _ = 1, 5 do
      client:query("begin read only")
      assert.equal(pg.primary.port, client:served_by())
      client:query("commit")
      assert.equal(pg.primary.port, client:served_by())
    end
  end)

  it("begun twice, or ended twice, warns as PostgreSQL does", function()
    start()
    local client = open()
    client:query("begin")
    local again = client:query("begin")
    assert.equal("25001", again.notices[1].C)
    assert.equal("T", again.status)
    client:query("commit")
    local done = client:query("commit")
    assert.equal("25P01", done.notices[1].C)
    assert.equal("I", done.status)
  end)

  it("goes on after COMMIT AND CHAIN", function()
    start()
    local client = open()
    client:query("begin")
    client:query("insert into blocks values (1)")
    assert.equal("T", client:query("commit and chain").status)
    client:query("insert into blocks values (2)")
    assert.equal("I", client:query("rollback").status)
    assert.equal("1", pg.primary:psql "select string_agg(id::text, ',') from blocks")
    pg.primary:psql "truncate blocks"
  end)

  it("begun in the batch of its first statement is one block", function()
    start()
    local client = open()
    local all = ask(client, wire.extended("begin"), wire.extended("insert into blocks values (7)"), wire.sync())
    assert.equal("12nC12nCZ", all.types)
    assert.equal("T", all.status)
    client:query("rollback")
    assert.equal("0", pg.primary:psql "select count(*) from blocks")
  end)

  it("that gets no server has failed until its end", function()
    start "pool = { size = 1, acquire_timeout = 0.1 },"
    local holder, client = open(), open()
    holder:query("begin")
    holder:query("insert into blocks values (1)")
    assert.equal("T", client:query("begin").status)
    local refused = client:query("insert into blocks values (2)")
    assert.equal("53300", refused.error.C)
    assert.equal("E", refused.status)
    assert.equal("25P02", client:query("select 1").error.C)
    assert.equal("25P02", ask(client, wire.extended("select 1"), wire.sync()).error.C)
    assert.same({ "ROLLBACK" }, client:query("commit").tags)
    holder:query("rollback")
    assert.equal("1", client:value("select 1"))
  end)

  it("that is rejected by the policy has failed, too", function()
    moongate = router.start { pg = pg, text = router.script(pg, { policy = [[function(cluster)
      local moongate = require "moongate"
      return function(query)
        if query.kind == "delete" then return moongate.reject("no deletes here", "42501") end
      end
    end]] }) }
    local client = open()
    client:query("begin")
    assert.equal("42501", client:query("delete from blocks").error.C)
    assert.equal("25P02", client:query("select 1").error.C)
    assert.equal("I", client:query("rollback").status)
    assert.equal("1", client:value("select 1"))
  end)

  it("is told to the policy", function()
    moongate = router.start { pg = pg, text = router.script(pg, { policy = [[function(cluster)
      local primary = cluster:route { to = "primary" }
      local replicas = cluster:route { to = "replicas" }
      return function(query)
        if query.in_transaction then return primary end
        return query.intent == "read" and replicas or primary
      end
    end]] }) }
    local client = open()
    assert.not_equal(pg.primary.port, client:served_by())
    client:query("begin read only")
    assert.equal(pg.primary.port, client:served_by())
    client:query("commit")
  end)

  it("whose first read meets a dead replica reads elsewhere", function()
    start()
    local client = open()
    for _ = 1, 20 do -- both replicas have a server for it
      client:query("begin read only")
      client:served_by()
      client:query("commit")
    end
    for _, node in ipairs(pg.replicas) do
      node:psql [[select pg_terminate_backend(pid) from pg_stat_activity
        where backend_type = 'client backend' and pid <> pg_backend_pid()]]
    end
    for _ = 1, 6 do
      client:query("begin read only")
      local answer = client:query("select count(*) from blocks")
      assert.is_nil(answer.error, answer.error and answer.error.M)
      assert.equal("T", answer.status)
      client:query("commit")
    end
    wait.until_true("the replicas to be used again", function()
      client:query("begin read only")
      local port = client:served_by()
      client:query("commit")
      return port ~= pg.primary.port
    end)
  end)
end)
