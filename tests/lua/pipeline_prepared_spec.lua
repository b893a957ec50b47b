-- Prepared statements in pipelines.

local moongate = require "moongate"
local shared = require "tests.support.cluster"

describe("a pipeline's prepared statement", function()
  local pg, cluster

  setup(function()
    pg = shared.shared()
    pg.primary:psql [[drop table if exists lua_pipeline_prepared;
      create table lua_pipeline_prepared (id int primary key)]]
  end)
  before_each(function()
    pg.primary:psql "truncate lua_pipeline_prepared"
    cluster = moongate.cluster {
      primary = pg.primary.url,
      pool = { size = 1, prepared_statements = 3 },
      prepare_threshold = 0,
    }
  end)
  after_each(function() cluster:close() end)

  -- What its one server has prepared of ours, with how often it has run it.
  local function prepared(at)
    return (at or cluster):value [[
      select coalesce(string_agg(statement || ' ' || generic_plans + custom_plans, '; '
        order by prepare_time, name), '')
      from pg_prepared_statements where name like 'moongate:%']]
  end

  local function failed(result, _, code, fields) return { result, code, fields and fields.statement } end

  it("is parsed once on a server, and run by its name", function()
    local add = cluster:prepare "select $1::int + 1 as n"
    for i = 1, 2 do
      local results = assert(cluster:pipeline(function(p)
        assert.equal(1, p:value(add, i))
        p:one(add, 10)
        p:value("select $1::int + 1 as n", 20)
        p:query(add, 30)
        p:value("select $1::int + 1 as n", 40)
        p:exec(add, 50)
      end))
      assert.same({ i + 1, { n = 11 }, 21, { { n = 31 } }, 41, 1, n = 6 }, results)
    end
    assert.equal(101, add:value(100))
    assert.equal("select $1::int + 1 as n 9", prepared())
  end)

  it("is another for parameters of other types, and runs unprepared where there is no room", function()
    local echo = cluster:prepare "select $1 as v"
    local results = assert(cluster:pipeline(function(p)
      p:value(echo, 1)
      p:value(echo, "a")
      p:value(echo, true)
      p:value(echo, 2)
      p:value(echo, 0.5) -- there is no room for it
    end))
    assert.same({ 1, "a", true, 2, "0.5", n = 5 }, results)
    assert.equal("select $1 as v 2; select $1 as v 1; select $1 as v 1", prepared())
  end)

  it("is the transaction's, the connection's or the cluster's", function()
    local ours = cluster:prepare "select 'cluster'"
    local names = assert(cluster:transaction(function(tx)
      local own = tx:prepare "select 'transaction'"
      return tx:pipeline(function(p)
        p:value(ours)
        p:value(own)
      end)
    end))
    assert.same({ "cluster", "transaction", n = 2 }, names)
    local connection <close> = assert(cluster:pool("write"):acquire())
    local own = connection:prepare "select 'connection'"
    assert.same({ "connection", "cluster", n = 2 }, assert(connection:pipeline(function(p)
      p:value(own)
      p:value(ours)
    end)))
  end)

  it("is not remembered where it fails, or where one ahead of it does", function()
    local insert = cluster:prepare "insert into lua_pipeline_prepared values ($1)"
    local nowhere = cluster:prepare "select * from nowhere"
    local later = cluster:prepare "select 'later'"
    for _ = 1, 2 do
      assert.same({ nil, "42P01", 2 }, failed(cluster:pipeline(function(p)
        p:exec(insert, 1)
        p:query(nowhere)
        p:value(later)
      end)))
      assert.equal("insert into lua_pipeline_prepared values ($1) 0", prepared():gsub(" %d+$", " 0"))
    end
    assert.equal("later", (cluster:transaction(function(tx) -- where nothing is prepared anew
      return assert(tx:pipeline(function(p) p:value(later) end))[1]
    end)))
    assert.same({ nil, "23505", 2 }, failed(cluster:pipeline(function(p)
      p:exec(insert, 1)
      p:exec(insert, 1)
    end)))
    assert.equal("0", pg.primary:psql "select count(*) from lua_pipeline_prepared")
  end)

  it("is prepared anew where all of them are gone, or its result has other columns", function()
    local statements = {}
    for i = 1, 3 do statements[i] = cluster:prepare(("select %d, * from lua_pipeline_prepared"):format(i)) end
    local function run(on)
      return on:pipeline(function(p)
        for i = 1, 3 do p:query(statements[i]) end
      end)
    end
    assert(run(cluster))
    assert(cluster:query "do 'begin execute ''deallocate all''; end'") -- which nobody sees
    assert(run(cluster))
    pg.primary:psql "alter table lua_pipeline_prepared add column more int"
    assert(run(cluster))
    pg.primary:psql "alter table lua_pipeline_prepared drop column more"
    assert.same({ nil, "0A000", 1 }, failed(cluster:transaction(function(tx) return run(tx) end)))
    assert(run(cluster))
  end)

  it("is never why what may have committed by itself is done twice", function()
    pg.primary:psql [[create or replace procedure lua_pipeline_prepared_once() language plpgsql as
      $$ begin insert into lua_pipeline_prepared values (7); commit; end $$]]
    local one = cluster:prepare "select 1"
    assert.equal(1, one:value())
    assert(cluster:query "do 'begin execute ''deallocate all''; end'")
    assert(cluster:pipeline(function(p)
      p:exec "call lua_pipeline_prepared_once()"
      p:value(one)
    end))
    assert.equal("1", pg.primary:psql "select count(*) from lua_pipeline_prepared")
  end)

  it("may be one of thousands, whose answers are many", function()
    local add = cluster:prepare "select repeat('x', $1::int)"
    local results = assert(cluster:pipeline(function(p)
      for i = 1, 3000 do
        if i % 3 == 0 then p:value("select $1::int", i) else p:value(add, 1000) end
      end
    end))
    for i = 1, 3000 do assert.equal(i % 3 == 0 and i or ("x"):rep(1000), results[i]) end
  end)
end)
