-- pipeline(fn): several statements in one round trip, all or nothing.

local moongate = require "moongate"
local shared = require "tests.support.cluster"
local wait = require "tests.support.wait"

describe("a pipeline", function()
  local pg, cluster, asked

  setup(function()
    pg = shared.shared()
    pg.primary:psql [[
      drop table if exists lua_pipeline, lua_pipeline_slow;
      create table lua_pipeline_slow as select 60 as seconds;
      create table lua_pipeline (id int primary key, at int unique deferrable initially deferred);
      create or replace function lua_pipeline_add(id int) returns int language sql volatile
        as $$ insert into lua_pipeline values (id) returning id $$]]
    pg:wait_for_replay()
    cluster = moongate.cluster {
      primary = pg.primary.url,
      replicas = { pg.replicas[1].url },
      pool = { size = 2 },
      health = { interval = 0.05 },
      policy = function()
        return function(query)
          asked[#asked + 1] = query.intent
          if query.kind == "delete" then return moongate.reject "never delete" end
        end
      end,
    }
    cluster:health()
  end)
  before_each(function()
    asked = {}
    pg.primary:psql "truncate lua_pipeline"
  end)
  teardown(function() cluster:close() end)

  local PORT = "select current_setting('port')::int"

  local function count() return tonumber(pg.primary:psql "select count(*) from lua_pipeline") end

  local function three(result, message, code) return { result, message, code } end

  -- A failure, with the number of its statement.
  local function failed(result, message, code, fields) return { result, message, code, fields and fields.statement } end

  local function blamed(fn, pattern)
    local line = debug.getinfo(2, "l").currentline
    local ok, why = pcall(fn)
    assert.is_false(ok)
    assert.matches("pipeline_spec.lua:" .. line .. ": .*" .. pattern, why)
  end

  it("has all rows of its first statement, also where rows came one by one before", function()
    local connection <close> = assert(cluster:pool("write"):acquire())
    local function several(p)
      p:value "select 1"
      p:query "select generate_series(1, 3) as n"
    end
    for _ = 1, 2 do
      for _ in connection:rows "select generate_series(1, 3)" do end
      assert.same({ 1, { { n = 1 }, { n = 2 }, { n = 3 } }, n = 2 }, connection:pipeline(several))
      for _ in connection:copy_out "copy (select 1) to stdout" do end
      assert.same({ { { n = 1 }, { n = 2 } }, n = 1 },
        connection:pipeline(function(p) p:query "select generate_series(1, 2) as n" end))
    end
  end)

  it("returns the results in order, each in its form", function()
    local numbers = {}
    local results = assert(cluster:pipeline(function(p)
      numbers[1] = p:exec("insert into lua_pipeline values ($1), ($2)", 1, 2)
      numbers[2] = p:query "select id from lua_pipeline order by id"
      numbers[3] = p:one("select id, $1::text as t from lua_pipeline where id = $2", "x", 2)
      numbers[4] = p:one "select 1 where false"
      numbers[5] = p:value "select null"
      numbers[6] = p:value("select $1::bytea", moongate.bytea "\0a")
      p:query "update lua_pipeline set at = id"
    end))
    assert.same({ 1, 2, 3, 4, 5, 6 }, numbers)
    assert.same({ 2, { { id = 1 }, { id = 2 } }, { id = 2, t = "x" }, nil, moongate.NULL, "\0a", { affected_rows = 2 },
      n = 7 }, results)
    assert.equal(2, count())
  end)

  it("sends nothing before its function has returned, and nothing where it raises", function()
    assert(cluster:pipeline(function(p)
      p:exec "insert into lua_pipeline values (1)"
      assert.equal(0, cluster:value("select count(*) from lua_pipeline", { intent = "write" }))
    end))
    assert.equal(1, count())
    assert.error_matches(function()
      cluster:pipeline(function(p)
        p:exec "insert into lua_pipeline values (2)"
        error "no"
      end)
    end, "no")
    assert.same({ n = 0 }, cluster:pipeline(function() end))
    assert.equal(1, count())
  end)

  it("does nothing at all where one of them fails, and says which", function()
    assert.same({ nil, 'duplicate key value violates unique constraint "lua_pipeline_pkey"', "23505", 3 },
      failed(cluster:pipeline(function(p)
        p:exec "insert into lua_pipeline values (1)"
        p:exec "insert into lua_pipeline values (2)"
        p:exec "insert into lua_pipeline values (1)"
        p:exec "insert into lua_pipeline values (3)"
      end)))
    assert.same({ nil, 'syntax error at or near "selec"', "42601", 1 },
      failed(cluster:pipeline(function(p) p:query "selec" p:query "select 1" end)))
    assert.same({ nil, "cannot insert multiple commands into a prepared statement", "42601", 2 },
      failed(cluster:pipeline(function(p) p:query "select 1" p:query "select 1; select 2" end)))
    assert.equal(0, count())
    assert.equal(1, cluster:value "select 1")
  end)

  it("fails as a whole where its end does", function()
    assert.same({ nil, 'duplicate key value violates unique constraint "lua_pipeline_at_key"', "23505" },
      failed(cluster:pipeline(function(p)
        p:exec "insert into lua_pipeline values (1, 1)"
        p:exec "insert into lua_pipeline values (2, 1)"
      end)))
    assert.equal(0, count())
    assert.equal(1, cluster:value "select 1")
  end)

  it("takes thousands of statements, and their results, without either side waiting for the other", function()
    local N <const> = 20000
    local pad = ("x"):rep(100)
    local results = assert(cluster:pipeline(function(p)
      for i = 1, N do p:one("select $1::int as i, repeat('y', 200) as y, $2::text as x", i, pad) end
    end))
    assert.equal(N, results.n)
    for i = 1, N do
      if results[i].i ~= i or #results[i].y ~= 200 then error("not the result of number " .. i) end
    end
  end)

  it("parses what is repeated once, for the types that it has", function()
    local results = assert(cluster:pipeline(function(p)
      for _, value in ipairs { 1, 2, true, false, 3, 2 ^ 0.5 } do
        p:value("select pg_typeof($1)::text || ' ' || $1::text", value)
      end
      for _ = 1, 2 do p:value "select 'none'" end
      for id = 1, 3 do p:exec("insert into lua_pipeline values ($1)", id) end
    end))
    assert.same({ "integer 1", "integer 2", "boolean true", "boolean false", "integer 3",
      "numeric 1.4142135623730951", "none", "none", 1, 1, 1, n = 11 }, results)
    assert.equal("23505 3", (function(_, _, code, fields) return code .. " " .. fields.statement end)(
      cluster:pipeline(function(p)
        for _, id in ipairs { 4, 5, 1, 6 } do p:exec("insert into lua_pipeline values ($1)", id) end
      end)))
    assert.equal(3, count())
  end)

  it("takes results and texts that fit no buffer", function()
    local big = ("z"):rep(4 << 20)
    local results = assert(cluster:pipeline(function(p)
      for _ = 1, 4 do p:value("select $1::text", big) end
    end))
    for i = 1, 4 do assert.is_true(results[i] == big) end
  end)

  it("goes to a replica if all are reads, else to the primary", function()
    local own <close> = moongate.cluster { primary = pg.primary.url, replicas = { pg.replicas[1].url } }
    own:health()
    local replica, primary = pg.replicas[1].port, pg.primary.port
    local function ports(opts)
      return assert(own:pipeline(function(p) p:value(PORT) p:value(PORT) end, opts))
    end
    assert.same({ n = 2, replica, replica }, ports())
    assert.same({ n = 2, primary, primary }, ports { intent = "write" })
    assert.same({ n = 2, primary, 1 }, assert(own:pipeline(function(p)
      p:value(PORT)
      p:exec "insert into lua_pipeline values (1)"
    end)))
    assert.not_equal("", own:token())
  end)

  it("goes where the first write's verdict says", function()
    local own <close> = moongate.cluster {
      primary = pg.primary.url,
      replicas = { pg.replicas[1].url, pg.replicas[2].url },
      policy = function(at)
        return function(query)
          if query.sql:find "second" then return at.replicas[2] end
          return query.intent == "read" and at.replicas[1] or at.primary
        end
      end,
    }
    own:health()
    assert.equal(pg.replicas[1].port, own:pipeline(function(p) p:value(PORT) p:value(PORT .. " /* second */") end)[1])
    assert.equal(pg.replicas[2].port, own:pipeline(function(p) p:value(PORT .. " /* second */") p:value(PORT) end)[2])
    assert.equal(pg.primary.port, own:pipeline(function(p) p:value(PORT) p:exec "truncate lua_pipeline" end)[1])
  end)

  it("is done on the primary where a replica refuses it", function()
    local own <close> = moongate.cluster { primary = pg.primary.url, replicas = { pg.replicas[1].url } }
    own:health()
    assert.same({ n = 2, pg.primary.port, 7 }, assert(own:pipeline(function(p)
      p:value(PORT)
      p:value "select lua_pipeline_add(7)"
    end, { intent = "read" })))
    assert.equal(1, count())
  end)

  it("asks the policy of each, and is refused whole", function()
    assert.same({ nil, "never delete", "42501", 2 }, failed(cluster:pipeline(function(p)
      p:exec "insert into lua_pipeline values (1)"
      p:exec "delete from lua_pipeline"
      p:exec "insert into lua_pipeline values (2)"
    end)))
    assert.same({ "write", "write" }, asked)
    assert.equal(0, count())
    asked = {}
    assert(cluster:pipeline(function(p) p:value "select 1" p:value "select 2" end, { intent = "write" }))
    assert.same({ "write", "write" }, asked)
  end)

  it("refuses what has no place in it, before anything is sent", function()
    for _, sql in ipairs { "begin", "commit", "rollback", "start transaction read only" } do
      assert.same({ nil, "a pipeline neither begins nor ends a transaction: outside of one, it is one", "0A000", 2 },
        failed(cluster:pipeline(function(p) p:exec "insert into lua_pipeline values (1)" p:query(sql) end)))
    end
    assert.same({ nil, "COPY from or to the client has no place in a pipeline", "0A000", 1 },
      failed(cluster:pipeline(function(p) p:query "copy lua_pipeline to stdout" end)))
    assert.equal(0, count())
  end)

  it("is a part of the transaction that it is in, and fails it", function()
    assert(cluster:transaction(function(tx)
      local results = assert(tx:pipeline(function(p)
        p:exec "insert into lua_pipeline values (1)"
        p:exec "insert into lua_pipeline values (2)"
      end))
      assert.same({ 1, 1, n = 2 }, results)
      assert.equal(2, tx:value "select count(*) from lua_pipeline")
    end))
    assert.equal(2, count())
    assert.same({ nil, "23505" }, { (function(ok, _, code) return ok, code end)(cluster:transaction(function(tx)
      tx:exec "insert into lua_pipeline values (3)"
      assert.equal(2, select(4, tx:pipeline(function(p)
        p:exec "insert into lua_pipeline values (4)"
        p:exec "insert into lua_pipeline values (4)"
      end)).statement)
    end)) })
    local rejected = three(cluster:transaction(function(tx)
      tx:exec "insert into lua_pipeline values (5)"
      tx:pipeline(function(p) p:exec "delete from lua_pipeline" end)
    end))
    assert.same({ nil, "never delete", "42501" }, rejected)
    assert.equal(2, count())
  end)

  it("runs on a connection, and keeps what it leaves in the session", function()
    local connection <close> = assert(cluster:pool("write"):acquire())
    local results = assert(connection:pipeline(function(p)
      p:query "set application_name to 'piped'"
      p:value "show application_name"
      p:value "select pg_backend_pid()"
    end))
    assert.equal("piped", results[2])
    local closed = cluster:pool("write"):stats().closed
    connection:release()
    assert.equal(closed + 1, cluster:pool("write"):stats().closed)
    blamed(function() connection:pipeline(function() end) return end, "the connection was released")
  end)

  it("is cancelled at its timeout, and by connection:cancel()", function()
    local function slow(p)
      p:exec "insert into lua_pipeline values (1)"
      p:query "select pg_sleep(61)"
      p:exec "insert into lua_pipeline values (2)"
    end
    cluster:pool("write"):acquire():release() -- no time is spent on connecting
    local result = failed(cluster:pipeline(slow, { timeout = 0.2 }))
    assert.matches("cancelled at its timeout, after 0.2 s: running on 127.0.0.1:", result[2])
    assert.same({ "57014", 2 }, { result[3], result[4] })
    moongate.run(function()
      local connection <close> = assert(cluster:pool("write"):acquire())
      local task = moongate.spawn(function() return connection:pipeline(slow) end)
      wait.until_true("the second statement to run", function()
        moongate.sleep(0.005)
        return cluster:value([[select count(*) > 0 from pg_stat_activity
          where query = 'select pg_sleep(61)' and wait_event = 'PgSleep']], { intent = "write" })
      end)
      assert.is_true(connection:cancel())
      assert.same({ nil, "canceling statement due to user request", "57014", 2 }, failed(task:wait()))
      assert.equal(1, connection:value "select 1")
    end)
    assert.equal(0, count())
  end)

  it("is lost with its server: a write's outcome is unknown, a read goes on elsewhere", function()
    local function terminate(mark)
      wait.until_true("it to run", function()
        moongate.sleep(0.005)
        return pg.primary:psql(([[select count(pg_terminate_backend(pid)) from pg_stat_activity
          where wait_event = 'PgSleep' and query like '%%/* %s */%%' and pid <> pg_backend_pid()]]):format(mark)) ~= "0"
      end)
    end
    moongate.run(function()
      local task = moongate.spawn(function()
        return cluster:pipeline(function(p)
          p:exec "insert into lua_pipeline values (1)"
          p:query "select pg_sleep(61) /* pipeline lost */"
        end)
      end)
      terminate "pipeline lost"
      local result = failed(task:wait())
      assert.matches("lost, the outcome is unknown", result[2])
      assert.equal("08007", result[3])
    end)
    assert.equal(0, count())
    local own <close> = moongate.cluster { primary = pg.primary.url }
    moongate.run(function()
      local task = moongate.spawn(function()
        return own:pipeline(function(p)
          p:value "select 1"
          p:value "select 2 from pg_sleep((select seconds from lua_pipeline_slow)) /* pipeline again */"
        end)
      end)
      wait.until_true("the second statement to run", function()
        moongate.sleep(0.005)
        return pg.primary:psql [[select count(*) from pg_stat_activity
          where wait_event = 'PgSleep' and query like '%/* pipeline again */']] == "1"
      end)
      pg.primary:psql "delete from lua_pipeline_slow"
      terminate "pipeline again"
      assert.same({ 1, 2, n = 2 }, task:wait())
    end)
  end)

  it("runs beside others, is given up with its task, and closed with its cluster", function()
    local own <close> = moongate.cluster { primary = pg.primary.url, pool = { size = 4 } }
    local functions = {}
    for i = 1, 8 do
      functions[i] = function()
        return own:pipeline(function(p)
          for j = 1, 50 do p:value("select $1::int", i * j) end
          p:query "select pg_sleep(0.01)"
        end)
      end
    end
    for i, results in ipairs(moongate.gather(table.unpack(functions))) do
      for j = 1, 50 do assert.equal(i * j, results[1][j]) end
    end
    moongate.run(function()
      local function slow()
        return own:pipeline(function(p)
          for i = 1, 2000 do p:value("select $1::int, repeat('x', 1000)", i) end
          p:query "select pg_sleep(62)"
        end)
      end
      local first, second = moongate.spawn(slow), moongate.spawn(slow)
      moongate.sleep(0.02)
      first:cancel()
      assert.equal(5, own:value "select 5")
      own:close()
      assert.same({ nil, "the cluster was closed", "57P01" }, three(second:wait()))
    end)
  end)

  it("says in the caller's line what is wrong with its use", function()
    local kept
    blamed(function() cluster:pipeline() return end, "it takes a function%(p%), not a nil")
    blamed(function() cluster:pipeline(print, 7) return end, "options of a pipeline are a table, not a number")
    blamed(function() cluster:pipeline(print, { timout = 7 }) return end, 'unknown option "timout"')
    cluster:pipeline(function(p)
      kept = p
      blamed(function() p:query("select $1", {}) return end, "parameter 1: .*got table")
      blamed(function() p.query("select 1") return end, "called as p:query")
    end)
    blamed(function() kept:query "select 1" return end, "the pipeline is over")
  end)
end)
