-- The extended protocol and pipelines: nothing is lost, mixed up or overtaken.

local cluster = require "tests.support.cluster"
local router = require "tests.support.router"
local wire = require "tests.support.wire"

describe("the extended protocol", function()
  local pg, moongate, client

  setup(function()
    pg = cluster.shared()
    pg.primary:psql "drop table if exists pipeline; create table pipeline (id int primary key)"
    pg:wait_for_replay()
    moongate = router.start { pg = pg }
  end)
  teardown(function() moongate:stop() end)

  before_each(function()
    pg.primary:psql "truncate pipeline"
    client = wire.open(moongate.port)
  end)
  after_each(function() client:close() end)

  local function send(...)
    client:send(table.concat { ... })
  end

  local function rows_of(...)
    send(...)
    return client:result().rows
  end

  it("answers each message in order", function()
    send(wire.extended("select $1 || 'b'", { "a" }), wire.sync())
    local read = client:result()
    assert.equal("12TDCZ", read.types)
    assert.equal("ab", read.rows[1][1])
    send(wire.extended("insert into pipeline values ($1)", { "1" }), wire.sync())
    local write = client:result()
    assert.equal("12nCZ", write.types)
    assert.same({ "INSERT 0 1" }, write.tags)
  end)

  it("takes its messages byte by byte", function()
    local bytes = wire.extended("select $1::int + 1", { "41" }) .. wire.sync()
      .. wire.extended("insert into pipeline values (1)") .. wire.sync() .. wire.query("select 3")
    for i = 1, #bytes do send(bytes:sub(i, i)) end
    assert.equal("42", client:result().rows[1][1])
    assert.same({ "INSERT 0 1" }, client:result().tags)
    assert.equal("3", client:result().rows[1][1])
  end)

  it("answers several simple queries sent at once, in order", function()
    local queries = {}
    for i = 1, 100 do
      queries[i] = wire.query(i % 3 == 0 and ("insert into pipeline values (%d) returning id"):format(i)
        or ("select %d"):format(i))
    end
    send(table.concat(queries))
    for i = 1, 100 do assert.equal(tostring(i), client:result().rows[1][1]) end
  end)

  it("keeps the order of reads and writes with several Syncs in flight", function()
    local batches = {}
    for i = 1, 100 do
      batches[i] = wire.extended(i % 2 == 0 and "insert into pipeline values ($1) returning id"
        or "select $1::int", { tostring(i) }) .. wire.sync()
    end
    send(table.concat(batches))
    for i = 1, 100 do assert.equal(tostring(i), client:result().rows[1][1]) end
    assert.equal("50", pg.primary:psql "select count(*) from pipeline")
  end)

  it("shows a pipelined read what the write before it has done", function()
    local batches = {}
    for i = 1, 50 do
      batches[i] = wire.extended("insert into pipeline values ($1)", { tostring(i) }) .. wire.sync()
        .. wire.extended("select count(*) from pipeline") .. wire.sync()
    end
    send(table.concat(batches))
    for i = 1, 50 do
      assert.is_nil(client:result().error)
      assert.equal(tostring(i), client:result().rows[1][1])
    end
  end)

  it("mixes transactions into a pipeline", function()
    send(wire.query("begin"), wire.query("insert into pipeline values (1)"), wire.query("commit"),
      wire.query("select count(*) from pipeline"),
      wire.extended("begin"), wire.sync(),
      wire.extended("insert into pipeline values (2)"), wire.sync(),
      wire.extended("rollback"), wire.sync(),
      wire.extended("select count(*) from pipeline"), wire.sync())
    local statuses, last = {}, nil
    for i = 1, 8 do
      last = client:result()
      statuses[i] = last.status
    end
    assert.equal("TTIITTII", table.concat(statuses))
    assert.equal("1", last.rows[1][1])
  end)

  it("skips to Sync after an error, and goes on", function()
    send(wire.extended("select 1/0"), wire.extended("insert into pipeline values (1)"), wire.sync(),
      wire.extended("insert into pipeline values (2)"), wire.sync())
    local failed, fine = client:result(), client:result()
    assert.equal("22012", failed.error.C)
    assert.equal(1, #failed.errors)
    assert.equal("I", failed.status)
    assert.same({ "INSERT 0 1" }, fine.tags)
    assert.equal("2", pg.primary:psql "select id from pipeline")
  end)

  it("undoes what stands before an error up to the last Sync", function()
    send(wire.extended("insert into pipeline values (1)"), wire.sync(),
      wire.extended("insert into pipeline values (2)"),
      wire.extended("insert into pipeline values (1)"), wire.sync())
    assert.is_nil(client:result().error)
    assert.equal("23505", client:result().error.C)
    assert.equal("1", pg.primary:psql "select string_agg(id::text, ',') from pipeline")
  end)

  it("reports an error of Parse, Bind and Execute alike", function()
    send(wire.extended("selekt"), wire.sync())
    assert.equal("42601", client:result().error.C)
    send(wire.extended("select $1::int", { "no number" }), wire.sync())
    assert.equal("22P02", client:result().error.C)
    send(wire.extended("select 1 / $1::int", { "0" }), wire.sync())
    assert.equal("22012", client:result().error.C)
    send(wire.bind("", "never parsed", {}), wire.sync())
    assert.equal("26000", client:result().error.C)
    send(wire.execute("never bound"), wire.sync())
    assert.equal("34000", client:result().error.C)
    assert.equal("1", client:value("select 1"))
  end)

  it("answers a Flush before the Sync", function()
    send(wire.parse("", "select $1::int + 1"), wire.describe("S", ""), wire.flush())
    assert.equal("1tT", client:result("T").types)
    send(wire.bind("", "", { "1" }), wire.execute(""), wire.flush())
    assert.equal("2DC", client:result("C").types)
    send(wire.sync())
    assert.equal("Z", client:result().types)
  end)

  it("keeps a portal that is fetched in parts", function()
    send(wire.parse("", "select * from generate_series(1, 5)"), wire.bind("p", "", {}),
      wire.execute("p", 2), wire.flush())
    assert.equal("12DDs", client:result("s").types)
    send(wire.execute("p", 2), wire.flush())
    assert.equal("3", client:result("s").rows[1][1])
    send(wire.execute("p", 2), wire.sync())
    local last = client:result()
    assert.equal("DCZ", last.types)
    assert.equal("5", last.rows[1][1])
  end)

  it("keeps a portal across batches of a transaction", function()
    client:query("begin")
    send(wire.parse("", "select * from generate_series(1, 3)"), wire.bind("p", "", {}),
      wire.execute("p", 1), wire.sync())
    assert.equal("1", client:result().rows[1][1])
    for i = 2, 3 do assert.equal(tostring(i), rows_of(wire.execute("p", 1), wire.sync())[1][1]) end
    client:query("commit")
  end)

  it("runs several statements before one Sync", function()
    send(wire.extended("select 1"), wire.extended("insert into pipeline values (7)"),
      wire.extended("select count(*) from pipeline"), wire.sync())
    local result = client:result()
    assert.is_nil(result.error)
    assert.same({ "SELECT 1", "INSERT 0 1", "SELECT 1" }, result.tags)
    assert.equal("1", result.rows[2][1])
  end)

  it("keeps named statements, whatever other clients do", function()
    local other = wire.open(moongate.port)
    send(wire.parse("mine", "select 'mine ' || $1"), wire.sync())
    assert.equal("1Z", client:result().types)
    other:send(wire.parse("mine", "select 'other ' || $1") .. wire.sync())
    assert.equal("1Z", other:result().types)
    for i = 1, 20 do
      assert.equal("mine " .. i, rows_of(wire.bind("", "mine", { tostring(i) }), wire.execute(""),
        wire.sync())[1][1])
      other:send(wire.bind("", "mine", { tostring(i) }) .. wire.execute("") .. wire.sync())
      assert.equal("other " .. i, other:result().rows[1][1])
      client:query("insert into pipeline values (" .. i .. ")")
    end
    send(wire.describe("S", "mine"), wire.close("S", "mine"), wire.sync())
    assert.equal("tT3Z", client:result().types)
    send(wire.bind("", "mine", { "x" }), wire.sync())
    assert.equal("26000", client:result().error.C)
    other:close()
  end)

  it("keeps a named write a write", function()
    send(wire.parse("put", "insert into pipeline values ($1)"), wire.sync())
    client:result()
    for i = 1, 10 do
      send(wire.bind("", "put", { tostring(i) }), wire.execute(""), wire.sync())
      assert.is_nil(client:result().error)
      assert.equal("1", client:value("select 1"))
    end
    assert.equal("10", pg.primary:psql "select count(*) from pipeline")
  end)

  it("refuses a named statement twice, as PostgreSQL does", function()
    send(wire.parse("twice", "select 1"), wire.sync(), wire.parse("twice", "select 2"), wire.sync())
    assert.is_nil(client:result().error)
    assert.equal("42P05", client:result().error.C)
    assert.equal("1", rows_of(wire.bind("", "twice", {}), wire.execute(""), wire.sync())[1][1])
  end)

  it("binds an unnamed statement after a separate Sync to the client's own", function()
    local other = wire.open(moongate.port)
    for _ = 1, 10 do
      send(wire.parse("", "select 'mine'"), wire.sync())
      client:result()
      other:send(wire.parse("", "select 'other'") .. wire.sync())
      other:result()
      assert.equal("mine", rows_of(wire.bind("", "", {}), wire.execute(""), wire.sync())[1][1])
      other:send(wire.bind("", "", {}) .. wire.execute("") .. wire.sync())
      assert.equal("other", other:result().rows[1][1])
    end
    other:close()
  end)

  it("answers an empty query", function()
    assert.equal("IZ", client:query("").types)
    assert.equal("IZ", client:query(" -- nothing\n ").types)
    send(wire.extended(""), wire.sync())
    assert.equal("12nIZ", client:result().types)
    send(wire.sync())
    assert.equal("Z", client:result().types)
    send(wire.flush(), wire.sync(), wire.sync())
    assert.equal("Z", client:result().types)
    assert.equal("Z", client:result().types)
  end)

  it("sends NULLs and large values along unchanged", function()
    local large = ("0123456789abcdef"):rep(1 << 18)
    local row = rows_of(wire.extended("select $1, $2::int is null, md5($1), length($1)",
      { large, false }), wire.sync())[1]
    assert.equal(large, row[1])
    assert.equal("t", row[2])
    assert.equal(pg.primary:psql "select md5(repeat('0123456789abcdef', 262144))", row[3])
    assert.equal(tostring(1 << 22), row[4])
  end)

  it("copies in and out", function()
    send(wire.extended("copy pipeline from stdin"), wire.sync())
    assert.equal("12nG", client:result("G").types)
    send(wire.copy_data("1\n2\n"), wire.copy_data("3\n"), wire.copy_done(), wire.sync())
    assert.same({ "COPY 3" }, client:result().tags)
    send(wire.extended("copy (select * from pipeline order by 1) to stdout"), wire.sync())
    assert.equal("12nHdddcCZ", client:result().types)
  end)

  it("ends a COPY that the client fails", function()
    send(wire.query("copy pipeline from stdin"))
    assert.equal("G", client:result("G").types)
    send(wire.copy_data("1\n"), wire.copy_fail("changed my mind"))
    local result = client:result()
    assert.equal("57014", result.error.C)
    assert.equal("I", result.status)
    assert.equal("0", pg.primary:psql "select count(*) from pipeline")
  end)

  it("ends a COPY that the server fails, and drops the rest of the data", function()
    send(wire.query("copy pipeline from stdin"))
    assert.equal("G", client:result("G").types)
    send(wire.copy_data("no number\n"), wire.copy_data("2\n"), wire.copy_done(),
      wire.query("select 'next'"))
    assert.equal("22P02", client:result().error.C)
    assert.equal("next", client:result().rows[1][1])
  end)

  it("carries function calls", function()
    local oid = pg.primary:psql "select 'pg_catalog.int4abs(int4)'::regprocedure::oid"
    send(wire.message("F", string.pack(">I4I2I2s4I2", tonumber(oid), 0, 1, "-7", 0)))
    local result = client:result()
    assert.equal("VZ", result.types)
  end)
end)
