-- statement:rows(): what was prepared, row by row.
-- luacheck: ignore 512 (loops are left at once)

local moongate = require "moongate"
local shared = require "tests.support.cluster"

describe("rows of a prepared statement", function()
  local pg, cluster

  -- Who runs it, by the statement that PostgreSQL is given.
  local BY_NAME <const> = [[select g, (select count(*) from pg_prepared_statements
    where statement like '%by name%')::int as prepared from generate_series(1, $1) g /* by name */]]

  setup(function()
    pg = shared.shared()
    pg.primary:psql [[drop table if exists lua_prepare_rows;
      create table lua_prepare_rows (id int primary key);
      insert into lua_prepare_rows values (1), (2)]]
  end)
  before_each(function()
    cluster = moongate.cluster { primary = pg.primary.url, pool = { size = 1 }, prepare_threshold = 0 }
  end)
  after_each(function() cluster:close() end)

  local function ids(rows)
    local all = {}
    for row in rows do all[#all + 1] = row.g or row.id end
    return all
  end

  -- How often PostgreSQL has executed what is prepared there.
  local function executed(on)
    return on:value [[select coalesce(sum(generic_plans + custom_plans), 0)::int from pg_prepared_statements
      where name like 'moongate:%']]
  end

  -- Of a cluster, a connection or a transaction.
  local function streams(on)
    local statement = on:prepare(BY_NAME)
    assert.same({ 1, 2, 3 }, ids(statement:rows(3)))
    local before = executed(on)
    assert.equal(2, #statement:query(2))
    assert.equal(before + 1, executed(on))
    assert.same({ 1, 2, 3 }, ids(statement:rows(3)))
    assert.equal(before + 2, executed(on))
    local rows <close> = statement:rows(2, { as = "list" })
    assert.same({ "g", "prepared" }, rows.columns)
    assert.same({ 1, 1 }, rows())
    rows:close()
  end

  it("are those of its query, by name where the server has it", function()
    streams(cluster)
    cluster:close()
    cluster = moongate.cluster { primary = pg.primary.url, pool = { size = 1 }, prepare_threshold = 0 }
    do
      local connection <close> = assert(cluster:pool("write"):acquire())
      streams(connection)
    end
    cluster:close()
    cluster = moongate.cluster { primary = pg.primary.url, pool = { size = 1 }, prepare_threshold = 0 }
    assert(cluster:transaction(function(tx)
      streams(tx)
      return true
    end))
    moongate.run(function() assert.same({ 1, 2 }, ids(cluster:prepare(BY_NAME):rows(2))) end)
  end)

  it("come in binary where that is what the statement's results come in", function()
    local statement = cluster:prepare "select g, g::float8 / 4 as q from generate_series(1, $1) g"
    for _ = 1, 2 do assert.equal(2, #statement:query(2)) end
    local quarters = {}
    for row in statement:rows(2) do quarters[row.g] = row.q end
    assert.same({ 0.25, 0.5 }, quarters)
  end)

  it("come of it prepared anew, where it is stale, before the first of them", function()
    local statement = cluster:prepare "select * from lua_prepare_rows order by id"
    assert.equal(2, #statement:query())
    pg.primary:psql "alter table lua_prepare_rows add column name text"
    do
      local rows <close> = statement:rows()
      assert.same({ id = 1, name = moongate.NULL }, rows())
      assert.equal(2, rows().id)
      assert.is_nil(rows())
    end
    assert.equal(2, #statement:query())
    assert(cluster:query "do $$ begin execute 'deallocate all'; end $$")
    assert.same({ 1, 2 }, ids(statement:rows()))
    assert.equal(2, #statement:query())
    pg.primary:psql "alter table lua_prepare_rows drop column name"
  end)

  it("raise their failures, before and behind the first", function()
    local statement = cluster:prepare "select g, 1 / (500 - g) from generate_series($1::int, 600) g"
    statement:query(501)
    local ok, raised = pcall(statement.rows, statement, 500)
    assert.same({ false, "22012" }, { ok, raised.code })
    local count = 0
    ok, raised = pcall(function()
      for _ in statement:rows(1) do count = count + 1 end
    end)
    assert.same({ false, "22012" }, { ok, raised.code })
    assert.is_true(count > 0 and count < 500)
  end)

  it("are undone with their transaction, and of no use after it", function()
    local kept
    local _, message = cluster:transaction(function(tx)
      local statement = tx:prepare "insert into lua_prepare_rows values ($1) returning id"
      kept = statement
      for _ in statement:rows(3) do break end
      error "undone"
    end)
    assert.matches("undone", message)
    assert.equal("2", pg.primary:psql "select count(*) from lua_prepare_rows")
    local ok, why = pcall(kept.rows, kept, 4)
    assert.is_false(ok)
    assert.matches("the transaction is over", why)
  end)
end)
