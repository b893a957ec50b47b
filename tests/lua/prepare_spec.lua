-- prepare(): statements that each server parses once.

local moongate = require "moongate"
local shared = require "tests.support.cluster"
local wait = require "tests.support.wait"

describe("a prepared statement", function()
  local pg, cluster

  setup(function()
    pg = shared.shared()
    pg.primary:psql [[
      drop table if exists lua_prepare;
      create table lua_prepare (id int primary key, name text)]]
    pg:wait_for_replay()
  end)

  before_each(function()
    pg.primary:psql "truncate lua_prepare"
    cluster = moongate.cluster {
      primary = pg.primary.url,
      pool = { size = 1, prepared_statements = 3 },
      prepare_threshold = 0,
    }
  end)
  after_each(function() cluster:close() end)

  -- Raises an error that names the caller's line.
  local function blamed(fn, pattern)
    local line = debug.getinfo(2, "l").currentline
    local ok, why = pcall(fn)
    assert.is_false(ok)
    assert.matches("prepare_spec.lua:" .. line .. ": .*" .. pattern, why)
  end

  local function three(result, message, code) return { result, message, code } end

  -- What its one server has prepared of ours, in order.
  local function prepared(at)
    return (at or cluster):value [[
      select coalesce(string_agg(statement, '; ' order by prepare_time, name), '')
      from pg_prepared_statements where name like 'moongate:%']]
  end

  it("returns what the cluster's methods return", function()
    local insert = cluster:prepare "insert into lua_prepare values ($1, $2)"
    assert.equal(1, insert:exec(1, "one"))
    assert.same({ affected_rows = 1 }, insert:query(2, nil))
    local select = cluster:prepare "select * from lua_prepare where id = $1"
    assert.same({ { id = 1, name = "one" } }, select:query(1))
    assert.same({ id = 2, name = moongate.NULL }, select:one(2))
    assert.is_nil(select:one(3))
    assert.equal(1, select:value(1))
    assert.same({ { id = 1, name = "one" } }, select:assert_query(1))
    assert.equal(2, cluster:prepare("select count(*) from lua_prepare"):value())
    local _, _, code, fields = insert:query(1, "twice")
    assert.same({ "23505", "lua_prepare_pkey" }, { code, fields.constraint })
    local ok, raised = pcall(insert.assert_query, insert, 1, "twice")
    assert.same({ false, "23505" }, { ok, raised.code })
  end)

  it("is parsed once on a server, also where the same text was prepared twice", function()
    for _ = 1, 3 do
      local statement = cluster:prepare "select $1::text || 'x' as t"
      assert.equal("ax", statement:value "a")
      assert.equal("bx", statement:value "b")
    end
    assert.equal("select $1::text || 'x' as t", prepared())
  end)

  it("takes parameters of other types as another statement", function()
    local statement = cluster:prepare "select pg_typeof($1)::text"
    assert.equal("integer", statement:value(1))
    assert.equal("bigint", statement:value(2 ^ 40 // 1 | 0))
    assert.equal("boolean", statement:value(true))
    assert.equal("integer", statement:value(1))
    local id = cluster:prepare "select $1::int + 1"
    assert.same({ 8, 8, moongate.NULL }, { id:value(7), id:value "7", id:value(nil) })
  end)

  it("takes options, and what moongate makes parameters of", function()
    local statement = cluster:prepare "select $1::int[] as list, pg_sleep($2)"
    assert.same({ 1, 2 }, statement:one(moongate.array { 1, 2 }, 0, { timeout = 5, intent = "read" }).list)
    assert.equal("57014", three(statement:query(moongate.array {}, 61, { timeout = 0.05 }))[3])
    assert.same({ 3 }, statement:one(moongate.array { 3 }, 0).list)
  end)

  it("is one of so many on its server; the one used longest ago is closed", function()
    local first = cluster:prepare "select 1"
    first:value()
    for i = 2, 3 do cluster:prepare("select " .. i):value() end
    first:value()
    cluster:prepare("select 4"):value()
    assert.equal("select 1; select 3; select 4", prepared())
    for i = 5, 20 do assert.equal(i, cluster:prepare("select " .. i):value()) end
    assert.equal("select 18; select 19; select 20", prepared())
  end)

  it("is run without being prepared in a block that has no room for it", function()
    for i = 1, 3 do cluster:prepare("select " .. i):value() end
    assert(cluster:transaction(function(tx)
      for i = 4, 6 do assert.equal(i, tx:prepare("select " .. i):value()) end
    end))
    assert.equal("select 1; select 2; select 3", prepared())
  end)

  it("tells of its errors when it is used, and is not remembered then", function()
    local wrong = cluster:prepare "selec 1"
    assert.same({ nil, 'syntax error at or near "selec"', "42601" }, three(wrong:query()))
    assert.same({ nil, "cannot insert multiple commands into a prepared statement", "42601" },
      three(cluster:prepare("select 1; select 2"):query()))
    local late = cluster:prepare "select * from lua_prepare_late"
    assert.equal("42P01", three(late:query())[3])
    assert.equal("", prepared())
    cluster:query "create temp table lua_prepare_late (id int)" -- its server is closed after that
    local connection <close> = assert(cluster:pool("write"):acquire())
    connection:query "create temp table lua_prepare_late (id int)"
    local here = connection:prepare "select * from lua_prepare_late"
    assert.same({}, here:query())
    assert.same({ nil, "division by zero", "22012" }, three(connection:prepare("select 1 / $1::int"):query(0)))
    assert.equal(1, connection:prepare("select 1 / $1::int"):value(1))
    assert.equal("select * from lua_prepare_late; select 1 / $1::int", prepared(connection))
  end)

  it("is prepared anew once its result has other columns", function()
    local all = cluster:prepare "select * from lua_prepare"
    local add = cluster:prepare "insert into lua_prepare values ($1, $2) returning *"
    all:query()
    add:query(1, "one")
    cluster:query "alter table lua_prepare add more int"
    assert.same({ { id = 1, name = "one", more = moongate.NULL } }, all:query())
    assert.same({ id = 2, name = "two", more = moongate.NULL }, add:one(2, "two"))
    cluster:query "alter table lua_prepare drop more"
    assert.same({ { id = 1, name = "one" }, { id = 2, name = "two" } }, all:query())
    assert.equal("insert into lua_prepare values ($1, $2) returning *; select * from lua_prepare", prepared())
  end)

  it("fails in a block then, and is prepared anew after it", function()
    local connection <close> = assert(cluster:pool("write"):acquire())
    local all = connection:prepare "select * from lua_prepare"
    all:query()
    connection:query "begin"
    connection:query "alter table lua_prepare add more int"
    assert.equal("0A000", three(all:query())[3])
    assert.equal("failed", connection:status())
    assert.equal("25P02", three(all:query())[3])
    connection:query "rollback"
    assert.same({}, all:query())
  end)

  it("is prepared anew when the type of a parameter is another of that name", function()
    cluster:query "drop type if exists lua_mood; create type lua_mood as enum ('a')"
    local mood = cluster:prepare "select $1::lua_mood"
    assert.equal("a", mood:value "a")
    cluster:query "drop type lua_mood; create type lua_mood as enum ('b')"
    assert.equal("b", mood:value "b")
    assert.equal("b", mood:value "b")
    cluster:query "drop type lua_mood"
  end)

  it("survives what closes all prepared statements, seen or unseen", function()
    local connection <close> = assert(cluster:pool("write"):acquire())
    local one = connection:prepare "select $1::int"
    for _, close in ipairs {
      "deallocate all", "discard all", "do $$ begin execute 'deallocate all'; end $$", "select 1; deallocate all",
    } do
      assert.equal(1, one:value(1))
      assert(connection:query(close))
      assert.equal("", prepared(connection))
      assert.equal(2, one:value(2))
      assert.equal("select $1::int", prepared(connection))
    end
    connection:query "prepare mine as select 1"
    connection:query "deallocate mine"
    assert.equal(3, one:value(3))
    assert.equal("select $1::int", prepared(connection))
  end)

  it("is routed anew at each call, and known to each server by itself", function()
    local own <close> = moongate.cluster {
      primary = pg.primary.url,
      replicas = { pg.replicas[1].url, pg.replicas[2].url },
      policy = function(at)
        local targets, next_one = { at.replicas[1], at.replicas[2], at.primary }, 0
        return function(query)
          if query.sql:find "current_setting" then
            next_one = next_one % 3 + 1
            return targets[next_one]
          end
        end
      end,
    }
    own:health()
    local port = own:prepare "select current_setting('port')::int"
    local seen = {}
    for i = 1, 6 do seen[i] = port:value() end
    local all = { pg.replicas[1].port, pg.replicas[2].port, pg.primary.port }
    table.move(all, 1, 3, 4)
    assert.same(all, seen)
  end)

  it("is repaired and rejected like any other statement", function()
    local own <close> = moongate.cluster {
      primary = pg.primary.url,
      replicas = { pg.replicas[1].url },
      policy = function()
        return function(query)
          if query.kind == "delete" then return moongate.reject(query.sql .. ", " .. query.parameters) end
        end
      end,
    }
    own:health()
    local insert = own:prepare "insert into lua_prepare values ($1, 'x')"
    assert.equal(1, insert:exec(5, { intent = "read" })) -- a replica refuses it
    assert.same({ nil, "delete from lua_prepare where id = $1, 1", "42501" },
      three(own:prepare("delete from lua_prepare where id = $1"):query(5)))
  end)

  it("goes on on another server when its own is lost", function()
    local pid = cluster:prepare "select pg_backend_pid()"
    local first = pid:value()
    pg.primary:psql(("select pg_terminate_backend(%d)"):format(first))
    wait.until_true("the server to be gone", function()
      return pg.primary:psql(("select count(*) from pg_stat_activity where pid = %d"):format(first)) == "0"
    end)
    local second = pid:value()
    assert.equal("number", type(second))
    assert.not_equal(first, second)
    assert.equal(second, pid:value())
  end)

  it("belongs to its transaction, and is of no use after it", function()
    local kept
    assert(cluster:transaction(function(tx)
      kept = tx:prepare "insert into lua_prepare values ($1, 'in')"
      assert.equal(1, kept:exec(1))
      assert.equal(1, kept:exec(2))
    end))
    blamed(function() kept:exec(3) return end, "the transaction is over")
    assert.equal("2", pg.primary:psql "select count(*) from lua_prepare")
    assert.same({ nil, "23505" }, { (function(ok, _, code) return ok, code end)(cluster:transaction(function(tx)
      local insert = tx:prepare "insert into lua_prepare values ($1, 'in')"
      insert:query(1)
    end)) })
  end)

  it("says in the caller's line what is wrong with its use", function()
    local statement = cluster:prepare "select $1::int"
    blamed(function() cluster:prepare(7) return end, "string expected, got number")
    blamed(function() cluster:prepare "a\0b" return end, "no zero bytes")
    blamed(function() statement:query({}, 1) return end, "parameter 1: .*got table")
    blamed(function() statement.query(cluster, 1) return end, "its methods are called as statement:method")
    local connection = assert(cluster:pool("write"):acquire())
    local on_it = connection:prepare "select 1"
    connection:release()
    blamed(function() on_it:query() return end, "the connection was released")
    cluster:close()
    blamed(function() statement:query(1) return end, "the cluster is closed")
  end)

  it("is used by several tasks at once, and cancelled in mid flight", function()
    local own <close> = moongate.cluster { primary = pg.primary.url, pool = { size = 4 } }
    local sleep = own:prepare "select $1::int as i, pg_sleep($2)"
    local functions = {}
    for i = 1, 16 do functions[i] = function() return sleep:value(i, 0.01) end end
    for i, results in ipairs(moongate.gather(table.unpack(functions))) do assert.equal(i, results[1]) end
    moongate.run(function()
      local fresh = own:prepare "select $1::int as j, pg_sleep($2)"
      local tasks = {}
      for i = 1, 4 do tasks[i] = moongate.spawn(function() return fresh:value(i, 62) end) end
      moongate.sleep(0)
      for _, task in ipairs(tasks) do task:cancel() end
      assert.equal(9, fresh:value(9, 0))
      assert.equal(10, fresh:value(10, 0))
      local last = moongate.spawn(function() return fresh:value(11, 63) end)
      moongate.sleep(0)
      own:close()
      assert.same({ nil, "the cluster was closed", "57P01" }, three(last:wait()))
    end)
  end)
end)
