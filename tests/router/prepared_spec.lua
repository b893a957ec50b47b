-- Prepared statements go with their client to any server, and a server has each of them once.

local cluster = require "tests.support.cluster"
local router = require "tests.support.router"
local wire = require "tests.support.wire"

describe("a prepared statement", function()
  local pg, moongate
  local opened = {}

  local function open(params)
    local all = { user = "postgres", database = "postgres" }
    for name, value in pairs(params or {}) do all[name] = value end
    local client = wire.open(moongate.port, all)
    opened[#opened + 1] = client
    return client
  end

  setup(function()
    pg = cluster.shared()
    pg.primary:psql [[
      drop table if exists goods;
      create table goods (id int primary key, name text);
      insert into goods select i, 'name ' || i from generate_series(1, 10) i;
    ]]
    pg:wait_for_replay()
  end)

  local function start(pool)
    moongate = router.start {
      pg = pg,
      text = router.script(pg, { extra = ("pool = { %s },"):format(pool or "size = 2") }),
    }
  end

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

  local function prepare(client, name, sql, oids)
    return ask(client, wire.parse(name, sql, oids), wire.describe("S", name), wire.sync())
  end

  local function run(client, name, ...)
    return ask(client, wire.bind("", name, { ... }), wire.execute(""), wire.sync())
  end

  -- What the servers of an endpoint hold, as they tell it themselves.
  local function held(client)
    return client:query("select name, statement from pg_prepared_statements order by 1").rows
  end

  it("runs on one replica and another, and its writes on the primary", function()
    start()
    local client = open()
    prepare(client, "where", "select current_setting('port') from goods where id = $1")
    prepare(client, "put", "update goods set name = name where id = $1")
    local seen = {}
    for _ = 1, 40 do seen[run(client, "where", "1").rows[1][1]] = true end
    assert.is_true(seen[tostring(pg.replicas[1].port)] and seen[tostring(pg.replicas[2].port)])
    assert.is_nil(seen[tostring(pg.primary.port)])
    assert.same({ "UPDATE 1" }, run(client, "put", "1").tags)
  end)

  it("is routed by itself, not by the one before", function()
    start()
    local client = open()
    prepare(client, "read", "select pg_is_in_recovery() or name = '' from goods where id = 1")
    prepare(client, "primary", "select current_setting('port'), pg_backend_pid()")
    prepare(client, "replica", "select current_setting('port') from goods limit 1")
    for _ = 1, 20 do
      assert.equal(tostring(pg.primary.port), run(client, "primary").rows[1][1])
      assert.not_equal(tostring(pg.primary.port), run(client, "replica").rows[1][1])
    end
  end)

  it("is prepared once for all clients that share its text and types", function()
    start "size = 1"
    local clients = {}
    for i = 1, 8 do
      clients[i] = open()
      assert.equal("1tTZ", prepare(clients[i], "mine" .. i, "select $1::int + 40, pg_backend_pid()").types)
    end
    for i, client in ipairs(clients) do
      assert.equal(tostring(40 + i), run(client, "mine" .. i, tostring(i)).rows[1][1])
    end
    local names = {}
    for _, row in ipairs(held(clients[1])) do
      if row[2]:find("+ 40", 1, true) then names[#names + 1] = row[1] end
    end
    assert.equal(1, #names)
  end)

  it("is another one with other types, or under other settings", function()
    start "size = 1"
    local one, two, german = open(), open(), open { datestyle = "German" }
    prepare(one, "s", "select $1 as x", { 23 })
    prepare(two, "s", "select $1 as x", { 25 })
    assert.equal("0100", run(two, "s", "0100").rows[1][1])
    assert.equal("100", run(one, "s", "0100").rows[1][1])
    prepare(one, "day", "select '03.02.2001'::date - '2001-01-01'::date")
    prepare(german, "day", "select '03.02.2001'::date - '2001-01-01'::date")
    assert.equal("60", run(one, "day").rows[1][1])
    assert.equal("33", run(german, "day").rows[1][1])
  end)

  it("keeps to the limit of each server, the least recently used going first", function()
    start "size = 1, prepared_statements = 5"
    local client = open()
    for round = 1, 3 do
      for i = 1, 20 do
        local name = "n" .. i
        if round == 1 then
          prepare(client, name, ("select %d, pg_backend_pid()"):format(i))
        end
        assert.equal(tostring(i), run(client, name).rows[1][1])
        assert.is_true(#held(client) <= 5, #held(client))
      end
    end
  end)

  it("is described as it was parsed", function()
    start()
    local client = open()
    local described = prepare(client, "d", "select id, name from goods where id = $1")
    assert.equal("1tTZ", described.types)
    for _ = 1, 4 do
      assert.equal("tTZ", ask(client, wire.describe("S", "d"), wire.sync()).types)
    end
  end)

  it("is gone when it is closed, and its name is free", function()
    start()
    local client = open()
    prepare(client, "c", "select 1")
    assert.equal("3Z", ask(client, wire.close("S", "c"), wire.sync()).types)
    local after = run(client, "c")
    assert.equal("26000", after.error.C)
    assert.equal('prepared statement "c" does not exist', after.error.M)
    assert.equal("1tTZ", prepare(client, "c", "select 2").types)
    assert.equal("2", run(client, "c").rows[1][1])
    assert.equal("3Z", ask(client, wire.close("S", "never"), wire.sync()).types)
  end)

  it("finds a temporary table of its client's, on a server that has had some of another's", function()
    start("size = 1")
    local other, client = open(), open()
    other:query("create temp table once (id int)")
    other:query("drop table once")
    prepare(client, "named", "select count(*) from goods where pg_backend_pid() > 0")
    assert.equal("10", run(client, "named").rows[1][1])
    ask(client, wire.parse("", "select count(*) from goods where pg_backend_pid() > 1"), wire.sync())
    ask(client, wire.bind("", "", {}), wire.execute(""), wire.parse("temp", "create temp table goods (id int)"),
      wire.bind("", "temp", {}), wire.execute(""), wire.sync())
    assert.equal("0", run(client, "named").rows[1][1])
    assert.equal("0", ask(client, wire.bind("", "", {}), wire.execute(""), wire.sync()).rows[1][1])
    client:query("drop table goods")
    assert.equal("10", run(client, "named").rows[1][1])
    ask(client, wire.parse("", "do $$ begin execute 'create temp table goods (id int)'; end $$"),
      wire.bind("", "", {}), wire.execute(""), wire.sync())
    assert.equal("0", run(client, "named").rows[1][1])
  end)

  it("keeps its name where a second one of it is refused", function()
    start()
    local client = open()
    prepare(client, "twice", "select 1")
    local second = prepare(client, "twice", "select 2")
    assert.equal("42P05", second.error.C)
    assert.equal('prepared statement "twice" already exists', second.error.M)
    assert.equal("EZ", second.types)
    assert.equal("1", run(client, "twice").rows[1][1])
    assert.equal("42601", prepare(client, "twice", "selct").error.C)
  end)

  it("keeps its name where a second one is refused ahead of a simple query", function()
    start("size = 1")
    local client, other = open(), open()
    prepare(client, "s", "select 1, pg_backend_pid()")
    local refused = ask(client, wire.parse("s", "select 2, pg_backend_pid()"),
      wire.query("select 3, pg_backend_pid()"), wire.sync())
    assert.equal("EZ", refused.types)
    assert.equal("42P05", refused.error.C)
    assert.equal("2", other:value("select 2, pg_backend_pid()"))
    assert.equal("1", run(client, "s").rows[1][1])
  end)

  it("is not there where its Parse failed or was passed over", function()
    start()
    local client = open()
    assert.equal("42703", prepare(client, "bad", "select no_such_column from goods").error.C)
    assert.equal("26000", run(client, "bad").error.C)
    local skipped = ask(client, wire.extended("select 1/0"), wire.parse("skipped", "select 1"), wire.sync())
    assert.equal("22012", skipped.error.C)
    assert.equal("26000", run(client, "skipped").error.C)
    assert.equal("1tTZ", prepare(client, "skipped", "select 3").types)
    assert.equal("3", run(client, "skipped").rows[1][1])
  end)

  it("is kept where its Close was passed over", function()
    start()
    local client = open()
    prepare(client, "kept", "select 7")
    ask(client, wire.extended("select 1/0"), wire.close("S", "kept"), wire.sync())
    assert.equal("7", run(client, "kept").rows[1][1])
  end)

  it("means in a pipeline what the batches before have made of it", function()
    start()
    local client = open()
    prepare(client, "p", "select 'old'")
    client:send(table.concat {
      wire.extended("select 1/0"), wire.close("S", "p"), wire.parse("p", "select 'new'"), wire.sync(),
      wire.bind("", "p", {}), wire.execute(""), wire.sync(),
      wire.close("S", "p"), wire.parse("p", "select 'new'"), wire.sync(),
      wire.bind("", "p", {}), wire.execute(""), wire.sync(),
    })
    assert.equal("22012", client:result().error.C)
    assert.equal("old", client:result().rows[1][1])
    assert.equal("31Z", client:result().types)
    assert.equal("new", client:result().rows[1][1])
  end)

  it("may be prepared, bound and closed within one batch", function()
    start()
    local client = open()
    for _ = 1, 5 do
      local all = ask(client, wire.parse("x", "select $1::text"), wire.bind("", "x", { "a" }),
        wire.describe("P", ""), wire.execute(""), wire.close("S", "x"), wire.sync())
      assert.equal("12TDC3Z", all.types)
      assert.equal("a", all.rows[1][1])
    end
  end)

  it("answers a Flush without waiting for Sync", function()
    start()
    local client = open()
    for _ = 1, 3 do
      client:send(wire.parse("f", "select 5") .. wire.describe("S", "f") .. wire.flush())
      assert.equal("1tT", client:result("T").types)
      client:send(wire.bind("", "f", {}) .. wire.execute("") .. wire.sync())
      assert.equal("2DCZ", client:result().types)
      ask(client, wire.close("S", "f"), wire.sync())
    end
    client:send(wire.parse("g", "select 6") .. wire.flush())
    assert.equal("1", client:result("1").types)
    client:send(wire.sync())
    assert.equal("Z", client:result().types)
  end)

  it("survives a change of what it selects", function()
    start "size = 1"
    local client, other = open(), open()
    pg.primary:psql "drop table if exists changing; create table changing (a int)"
    pg.primary:psql "insert into changing values (1)"
    for _, each in ipairs { client, other } do
      prepare(each, "star", "select *, pg_backend_pid() is null from changing")
      assert.equal(2, #run(each, "star").rows[1])
    end
    pg.primary:psql "alter table changing add b int default 2"
    assert.equal(3, #run(client, "star").rows[1])
    assert.equal(3, #run(other, "star").rows[1])
    assert.equal("tTZ", ask(other, wire.describe("S", "star"), wire.sync()).types)
    client:query("alter table changing add c int default 3")
    ask(other, wire.close("S", "star"), wire.sync())
    other:query("begin")
    prepare(other, "star", "select *, pg_backend_pid() is null from changing")
    assert.equal(4, #run(other, "star").rows[1])
    other:query("commit")
  end)

  describe("is forgotten by", function()
    it("DEALLOCATE, in either protocol, in a block and out of one", function()
      start()
      local client = open()
      prepare(client, "d", "select 1")
      assert.same({ "DEALLOCATE" }, client:query("deallocate d").tags)
      assert.equal("26000", run(client, "d").error.C)
      prepare(client, "d", "select 1")
      client:query("begin")
      client:value("select 1")
      assert.same({ "DEALLOCATE" }, client:query("deallocate prepare d").tags)
      client:query("commit")
      assert.equal("26000", run(client, "d").error.C)
      prepare(client, "d", "select 1")
      assert.same({ "DEALLOCATE" }, ask(client, wire.extended("deallocate d"), wire.sync()).tags)
      assert.equal("26000", run(client, "d").error.C)
      assert.equal("26000", client:query("deallocate d").error.C)
    end)

    it("DEALLOCATE ALL and DISCARD ALL, as far as it is its client's", function()
      for _, sql in ipairs { "deallocate all", "discard all" } do
        start "size = 1"
        local client, other = open(), open()
        prepare(client, "a", "select 1, pg_backend_pid()")
        prepare(other, "a", "select 1, pg_backend_pid()")
        assert.is_nil(client:query(sql).error)
        assert.equal("26000", run(client, "a").error.C)
        assert.equal("1", run(other, "a").rows[1][1])
        assert.equal("1tTZ", prepare(client, "a", "select 2, pg_backend_pid()").types)
        assert.equal("2", run(client, "a").rows[1][1])
        moongate:stop()
      end
      moongate = nil
    end)
  end)

  it("may be SQL's, and then keeps its client's server until it is deallocated", function()
    start "size = 1"
    local client, other = open(), open()
    client:query("prepare mine as select 'mine' || $1")
    for _ = 1, 3 do assert.equal("minex", client:value("execute mine('x')")) end
    assert.equal("mine1", run(client, "mine", "1").rows[1][1])
    client:query("deallocate mine")
    assert.is_not_nil(other:value("select pg_backend_pid()"))
    assert.equal("26000", client:query("execute mine('x')").error.C)
  end)

  it("does not see a statement of the same name that is another client's", function()
    start "size = 1"
    local one, two = open(), open()
    prepare(one, "same", "select 'one', pg_backend_pid()")
    prepare(two, "same", "select 'two', pg_backend_pid()")
    for _ = 1, 5 do
      assert.equal("one", run(one, "same").rows[1][1])
      assert.equal("two", run(two, "same").rows[1][1])
    end
    assert.equal("26000", run(open(), "same").error.C)
    assert.equal("26000", run(open(), "moongate_1x").error.C)
  end)

  it("takes a value larger than all buffers", function()
    start()
    local client = open()
    prepare(client, "long", "select length($1::text), md5($1::text)")
    local body = ("0123456789abcdef"):rep(1 << 18)
    assert.equal(tostring(#body), run(client, "long", body).rows[1][1])
  end)
end)
