-- { as = "list" }: rows by position, in the order of the columns.

local moongate = require "moongate"
local shared = require "tests.support.cluster"

local NULL <const> = moongate.NULL
local LIST <const> = { as = "list" }
local TWO <const> = "select 1 as id, 2 as id, null as last"
local INT4 <const>, TEXT <const> = 23, 25

describe("rows as lists", function()
  local pg, cluster, with_nil

  setup(function()
    pg = shared.shared()
    cluster = moongate.cluster { primary = pg.primary.url }
    with_nil = moongate.cluster { primary = pg.primary.url, null = "nil" }
    pg.primary:psql "drop table if exists lua_list; create table lua_list (id int primary key, name text)"
  end)
  teardown(function()
    cluster:close()
    with_nil:close()
  end)

  -- A list of TWO's columns alone.
  local function values(row) return { row[1], row[2], row[3] } end

  local function is_of_two(result)
    assert.same({ "id", "id", "last" }, result.columns)
    assert.same({ INT4, INT4, TEXT }, result.types)
  end

  -- On what is asked: a cluster, a connection or a transaction.
  local function asks(on)
    local rows = assert(on:query(TWO, LIST))
    assert.same({ { 1, 2, NULL } }, { table.unpack(rows) })
    is_of_two(rows)
    local row = assert(on:one(TWO, LIST))
    assert.same({ 1, 2, NULL }, values(row))
    is_of_two(row)
    assert.equal(1, on:value(TWO, LIST))
    assert.equal(1, on:exec(TWO, LIST))
    assert.same({ { 1, 2, NULL } }, { table.unpack(on:assert_query(TWO, LIST)) })
    local statement = on:prepare "select $1::int as id, $2::int as id"
    assert.same({ { 3, 4 } }, { table.unpack(statement:query(3, 4, LIST)) })
    assert.same({ "id", "id" }, statement:one(3, 4, LIST).columns)
    local results = assert(on:pipeline(function(p)
      p:query(TWO)
      p:value(TWO)
      p:one(TWO)
    end, LIST))
    assert.same({ 1, 2, NULL }, results[1][1])
    is_of_two(results[1])
    assert.equal(1, results[2])
    assert.same({ 1, 2, NULL }, values(results[3]))
    do
      local stream <close> = on:rows(TWO, LIST)
      is_of_two(stream)
      assert.same({ 1, 2, NULL }, stream())
      assert.is_nil(stream())
      is_of_two(stream)
    end
  end

  it("hold all columns, also of one name, of clusters, connections and transactions", function()
    asks(cluster)
    local connection <close> = assert(cluster:pool("write"):acquire())
    asks(connection)
    assert(cluster:transaction(function(tx)
      asks(tx)
      return true
    end))
    moongate.run(function() asks(cluster) end)
  end)

  it("leave NULL out with null = \"nil\", where the columns tell how long they are", function()
    local rows = assert(with_nil:query("select null, 2 as b, null", LIST))
    assert.is_nil(rows[1][1])
    assert.equal(2, rows[1][2])
    assert.is_nil(rows[1][3])
    assert.equal(3, #rows.columns)
    local first = with_nil:rows("select null, 2 as b", LIST)()
    assert.same({ nil, 2 }, { first[1], first[2] })
  end)

  it("come one by one, however many there are, with the columns at hand all the time", function()
    local count = 0
    local rows <close> = cluster:rows("select g, g + 1 as g from generate_series(1, 3000) g", LIST)
    for row in rows do
      count = count + 1
      assert(#row == 2 and row[1] == count and row[2] == count + 1)
      if count % 1000 == 0 then
        collectgarbage()
        assert.same({ "g", "g" }, rows.columns)
      end
    end
    assert.equal(3000, count)
  end)

  it("tell the columns where there are no rows, and of what was written", function()
    local none = assert(cluster:query("select id, name from lua_list where id < 0", LIST))
    assert.equal(0, #none)
    assert.same({ "id", "name" }, none.columns)
    assert.is_nil(cluster:one("select id from lua_list where id < 0", LIST))
    local stream <close> = cluster:rows("select id from lua_list where id < 0", LIST)
    assert.same({ "id" }, stream.columns)
    assert.is_nil(stream())
    local written = assert(cluster:query("insert into lua_list values (1, 'a') returning name, id", LIST))
    assert.same({ "a", 1 }, written[1])
    assert.same({ "name", "id" }, written.columns)
    assert.equal(1, written.affected_rows)
    assert.same({ affected_rows = 1 }, cluster:query("delete from lua_list", LIST))
    assert.is_nil(cluster:rows("delete from lua_list", LIST).columns)
  end)

  it("are none without being asked for", function()
    for _, options in ipairs { { as = "table" }, { timeout = 10 } } do
      local rows = assert(cluster:query("select 1 as id", options))
      assert.same({ { id = 1 } }, rows)
      assert.same({ id = 1 }, cluster:one("select 1 as id", options))
      local stream <close> = cluster:rows("select 1 as id", options)
      assert.is_nil(stream.columns)
      assert.same({ id = 1 }, stream())
    end
  end)

  it("are one of the forms that there are, which misuse is told", function()
    local function told(as)
      local ok, message = pcall(cluster.query, cluster, "select 1", { as = as })
      assert.is_false(ok)
      return message
    end
    assert.matches('the option "as" is "table" or "list", not "array"', told "array", 1, true)
    assert.matches('the option "as" is "table" or "list", not boolean', told(true), 1, true)
  end)
end)
