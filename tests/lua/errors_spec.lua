-- What failures tell: fields, objects that are raised, and who was asked for what.

local moongate = require "moongate"
local shared = require "tests.support.cluster"

describe("failures", function()
  local pg, cluster

  setup(function()
    pg = shared.shared()
    pg.primary:psql [[
      drop table if exists lua_errors;
      create table lua_errors (id int constraint lua_errors_key primary key, v text not null)]]
    cluster = moongate.cluster { primary = pg.primary.url }
    assert(cluster:query "insert into lua_errors values (1, 'a')")
  end)
  teardown(function() cluster:close() end)

  -- Calls fn with what has the methods of queries: a cluster, a connection, a transaction.
  local function with_each(fn)
    fn(cluster, "cluster")
    local connection <close> = cluster:pool("write"):acquire()
    fn(connection, "connection")
    cluster:transaction(function(tx)
      tx:query "savepoint s"
      local done, raised = pcall(fn, tx, "transaction")
      tx:query "rollback to s"
      assert(done, raised)
      return true
    end)
  end

  it("come with what PostgreSQL said", function()
    with_each(function(on, what)
      local rows, message, code, fields = on:query "insert into lua_errors values (1, 'b')"
      assert.is_nil(rows)
      assert.equal("23505", code, what)
      assert.equal(message, fields.message)
      assert.equal("23505", fields.sqlstate)
      assert.equal("ERROR", fields.severity)
      assert.equal("Key (id)=(1) already exists.", fields.detail)
      assert.equal("lua_errors_key", fields.constraint)
      assert.equal("lua_errors", fields.table)
      assert.equal("public", fields.schema)
      assert.is_nil(fields.position)
      assert.equal("integer", math.type(fields.line))
      assert.matches("%.c$", fields.file)
    end)
    assert.equal("v", (select(4, cluster:query "insert into lua_errors values (2, null)")).column)
    local _, _, _, fields = cluster:query "select nothing"
    assert.equal(8, fields.position)
    _, _, _, fields = cluster:query [[
      do $$ begin execute 'selec'; exception when others then
        raise exception using message = E'two\nlines', hint = 'try again', detail = 'in detail'; end $$]]
    assert.equal("try again", fields.hint)
    assert.equal("two\nlines", fields.message)
    assert.matches("inline_code_block", fields.context)
    _, _, _, fields = cluster:query "do $$ begin execute 'select nothing'; end $$"
    assert.equal("select nothing", fields.internal_query)
    assert.equal(8, fields.internal_position)
  end)

  it("have fields even when they are not PostgreSQL's", function()
    local own <close> = moongate.cluster {
      primary = "postgres://app:Secret-Word@127.0.0.1:1/d", pool = { acquire_timeout = 0.1 },
    }
    local rows, message, code, fields = own:query "select 1"
    assert.is_nil(rows)
    assert.same({ message = message, sqlstate = code }, fields)
    assert.matches("connecting to 127%.0%.0%.1:1: .*refused", message)
    assert.is_nil(message:find("Secret", 1, true))
    local connection, why, sqlstate, said = own:pool("write"):acquire()
    assert.is_nil(connection)
    assert.same({ message = why, sqlstate = sqlstate }, said)
  end)

  it("name the endpoint that let nobody in, or whose pool is empty, or that went away", function()
    local name = ("127.0.0.1:%d"):format(pg.primary.port)
    local refused <close> = moongate.cluster {
      primary = ("postgres://%s:wrong-Secret@%s/postgres"):format(shared.ROLE, name),
    }
    local _, message, code = refused:query "select 1"
    assert.equal("28P01", code)
    assert.equal(("connecting to %s: password authentication failed for user %q"):format(name, shared.ROLE), message)

    local small <close> = moongate.cluster { primary = pg.primary.url, pool = { size = 1, acquire_timeout = 0.05 } }
    local connection <close> = assert(small:pool("write"):acquire(10))
    _, message, code = small:query "select 1"
    assert.equal("53300", code)
    assert.equal(1, message:find("waiting for ", 1, true), message)
    assert.truthy(message:find(small.primary.name, 1, true), message)

    pg.primary:psql(("select pg_terminate_backend(%d, 5000)"):format(connection:value "select pg_backend_pid()"))
    for _ = 1, 2 do
      local fields
      _, message, code, fields = connection:query "select 1"
      assert.equal("08006", code)
      assert.truthy(message:find(small.primary.name, 1, true), message)
      assert.same({ message = message, sqlstate = code }, fields)
    end
  end)

  it("are raised by assert_query, whole, with who called", function()
    with_each(function(on, what)
      local done, raised = pcall(function()
        on:assert_query("insert into lua_errors values ($1, 'b')", 1)
      end)
      assert.is_false(done)
      assert.equal("23505", raised.code, what)
      assert.equal("lua_errors_key", raised.fields.constraint)
      assert.equal(raised.message .. " (23505)", tostring(raised))
      assert.equal("tests/lua/errors_spec.lua:" .. debug.getinfo(1, "l").currentline - 6, raised.where)
    end)
    assert.same({ { a = 1 } }, cluster:assert_query "select 1 as a")
    for _, method in ipairs { "assert_query", "load_types" } do
      local line = debug.getinfo(1, "l").currentline + 1
      local _, wrong = pcall(function() cluster[method]() end)
      assert.matches("errors_spec.lua:" .. line .. ": .*called as cluster:", wrong)
    end
    local _, misuse = pcall(function() cluster:assert_query(5) end)
    assert.matches("^tests/lua/errors_spec%.lua:%d+: a statement is a string", misuse)
  end)

  it("that are raised in a transaction roll it back, and are its result", function()
    local result, message, code, fields = cluster:transaction(function(tx)
      tx:assert_query "insert into lua_errors values (2, 'b')"
      tx:assert_query "insert into lua_errors values (1, 'b')"
    end)
    assert.is_nil(result)
    assert.equal("string", type(message))
    assert.equal("23505", code)
    assert.equal("lua_errors_key", fields.constraint)
    assert.equal(1, cluster:value "select count(*) from lua_errors")
    -- Of another cluster's, too, which the transaction does not know of.
    result, message, code = cluster:transaction(function(tx)
      tx:exec "insert into lua_errors values (2, 'b')"
      cluster:assert_query "selec"
    end)
    assert.same({ nil, 'syntax error at or near "selec"', "42601" }, { result, message, code })
    assert.equal(1, cluster:value "select count(*) from lua_errors")
    -- One that goes unseen leaves the transaction failed.
    code, fields = select(3, cluster:transaction(function(tx)
      tx:value "select 1/0"
      return true
    end))
    assert.equal("22012", code)
    assert.equal("ERROR", fields.severity)
  end)

  it("have nothing to do with finding nothing", function()
    with_each(function(on, what)
      assert.same({ a = 1, b = moongate.NULL }, (on:one "select 1 as a, null as b union all select 2, 'x'"), what)
      assert.equal(1, (select("#", on:one "select 1 where false")))
      assert.is_nil(on:one "select 1 where false")
      assert.is_nil(on:value "select 1 where false")
      assert.equal("z", (on:value "select 'z' as z, 'a' as a"))
      assert.equal(moongate.NULL, (on:value "select null"))
      assert.is_nil(on:value "create temporary table if not exists lua_errors_temp ()")
      assert.equal(1, (on:exec "insert into lua_errors values (10, 'x')"))
      assert.equal(2, (on:exec "select generate_series(1, 2)"))
      assert.equal(1, (on:exec("delete from lua_errors where id = $1", 10)))
      assert.equal(0, (on:exec "create temporary table if not exists lua_errors_temp ()"))
    end)
    for _, method in ipairs { "query", "exec", "one", "value" } do
      local result, message, code, fields = cluster[method](cluster, "select 1/0")
      assert.same({ nil, "division by zero", "22012" }, { result, message, code })
      assert.equal("ERROR", fields.severity)
    end
  end)
end)
