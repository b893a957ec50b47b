-- cluster:query() against real PostgreSQL: values both ways, errors, and where statements run.

local moongate = require "moongate"
local shared = require "tests.support.cluster"
local wait = require "tests.support.wait"

describe("cluster:query", function()
  local pg, cluster

  setup(function()
    pg = shared.shared()
    pg.primary:psql "drop table if exists lua_query; create table lua_query (id int primary key, v text)"
    pg:wait_for_replay()
    cluster = moongate.cluster {
      primary = pg.primary.url,
      replicas = { pg.replicas[1].url, pg.replicas[2].url },
      health = { interval = 0.05 },
      policy = require "moongate.policies.read_write_split",
    }
    assert.equal("healthy", cluster:health().status)
  end)
  teardown(function() cluster:close() end)

  local function one(sql, ...)
    local rows, err = cluster:query(sql, ...)
    assert.is_truthy(rows, err)
    return rows[1]
  end

  -- What was returned, without what PostgreSQL said in detail.
  local function three(result, message, code) return { result, message, code } end

  it("returns rows by column name, with numbers and booleans decoded", function()
    local row = one [[select 1::int2 as i2, -2 as i4, 9007199254740993::int8 as i8, 4294967295::oid as o,
      1.5::float4 as f4, 0.1::float8 as f8, 'NaN'::float8 as nan, '-Infinity'::float8 as inf,
      true as t, false as f, 1.10::numeric as n, 'text' as s, null as z, '{1,2}'::int[] as a]]
    assert.equal(row.nan ~= row.nan, true)
    row.nan = nil
    assert.same({
      i2 = 1, i4 = -2, i8 = 9007199254740993, o = 4294967295, f4 = 1.5, f8 = 0.1, inf = -math.huge,
      t = true, f = false, n = "1.10", s = "text", z = moongate.NULL, a = { 1, 2 },
    }, row)
    assert.equal("integer", math.type(row.i8))
    assert.equal("float", math.type(row.f4))
  end)

  it("leaves NULL out where asked to", function()
    local c <close> = moongate.cluster { primary = pg.primary.url, null = "nil" }
    assert.same({ { a = 1 } }, (c:query "select 1 as a, null as b"))
  end)

  it("takes parameters of all of Lua's types, exactly", function()
    local row = one([[select $1::int8 as i, $2::float8 as f, $3::bool as b, $4::text as s, $5::text as n1,
      $6::int as n2, $7::float8 as inf, $8::float8 as third]],
      math.mininteger, 0.1, true, "it's \"ä\" \\ $1", nil, moongate.NULL, math.huge, 1 / 3)
    assert.same({
      i = math.mininteger, f = 0.1, b = true, s = "it's \"ä\" \\ $1", n1 = moongate.NULL,
      n2 = moongate.NULL, inf = math.huge, third = 1 / 3,
    }, row)
    assert.equal(2, one("select count(*) as n from unnest(array[$1, $2]) as x", "a", nil).n)
  end)

  it("raises where it is called with what cannot be a parameter", function()
    assert.error_matches(function() cluster:query("$1", {}, 1) end, "nil, boolean, number or string expected")
    assert.error_matches(function() cluster:query("select $1", "a\0b") end, "zero bytes")
    assert.error_matches(function() cluster:query("select 1\0") end, "zero bytes")
    assert.error_matches(function() cluster:query() end, "string expected")
    assert.error_matches(function() cluster.query("x", "select 1") end, "moongate.cluster expected")
  end)

  it("writes numbers as PostgreSQL reads them: short, and exact", function()
    local row = one([[select $1::text as tenth, $2::numeric as third, $3::int as whole, $4::text as huge,
      $5::float8 as inf, $6::int8 as min, $1::numeric * 3 as sum]],
      0.1, 1 / 3, 3.0, 2^70, math.huge, math.mininteger)
    assert.same({
      tenth = "0.1", third = "0.3333333333333333", whole = 3, huge = "1180591620717411300000", inf = math.huge,
      min = math.mininteger, sum = "0.3",
    }, row)
    for _ = 1, 1000 do
      local number = math.random() * 10 ^ math.random(-300, 300)
      assert.equal(number, one("select $1::float8 as n", number).n)
    end
  end)

  it("blames the line that misuses it", function()
    -- `f` must not end in a tail call, which would leave nobody to blame.
    local function blamed(f, message)
      local line = debug.getinfo(f, "S").linedefined
      local _, raised = pcall(f)
      assert.matches(("^tests/lua/query_spec%%.lua:%d: .*%s"):format(line, message), raised)
    end
    blamed(function() cluster:query("$1", {}, 1) return end, "parameter 1: nil, boolean, number or string expected")
    blamed(function() cluster.health(42) return end, "moongate%.cluster expected, got number")
    blamed(function() cluster.transaction(nil, print) return end, "call it as cluster:transaction")
    blamed(function() cluster:pool("read"):release(42) return end, "pool:release: .* got number")
    blamed(function() cluster:pool("read").acquire() return end, "call it as pool:acquire%(%)")
    blamed(function() moongate.cluster { primary = pg.primary.url, policy = function() return 1 end } return end,
      "policy must return a function")
    local closed = moongate.cluster { primary = pg.primary.url }
    closed:close()
    blamed(function() closed:health() return end, "the cluster is closed")
    blamed(function() closed:pool("write"):acquire() return end, "the cluster is closed")
    blamed(function() closed:transaction(print) return end, "the cluster is closed")
    -- What is raised inside of a transaction is its message.
    local _, message = cluster:transaction(function(tx)
      tx:query("select $1", print)
      return true
    end)
    assert.matches("^tests/lua/query_spec%.lua:%d+: parameter 1", message)
  end)

  it("counts the rows of commands", function()
    assert.same({ affected_rows = 2 },
      (cluster:query("insert into lua_query values ($1, $2), ($3, $4)", 1, "a", 2, "b")))
    assert.same({ affected_rows = 2 }, (cluster:query "update lua_query set v = v || '!'"))
    assert.same({ { id = 3 }, affected_rows = 1 }, (cluster:query "insert into lua_query values (3, 'c') returning id"))
    assert.same({ affected_rows = 0 }, (cluster:query "create table if not exists lua_query (id int)"))
    assert.same({ affected_rows = 0 }, (cluster:query ""))
    assert.same({}, (cluster:query "select 1 where false"))
  end)

  it("returns the last of several results", function()
    assert.same({ { b = 2 } }, (cluster:query "select 1 as a; select 2 as b"))
  end)

  it("returns nil, message and SQLSTATE where PostgreSQL refuses", function()
    assert.same({ nil, 'syntax error at or near "selec"', "42601" }, three(cluster:query "selec"))
    local _, message, code = cluster:query("select $1::int as x", "abc")
    assert.matches("invalid input syntax", message)
    assert.equal("22P02", code)
    assert.equal("23505", (select(3, cluster:query "insert into lua_query values (1, 'x'), (1, 'y')")))
    assert.equal("42P01", (select(3, cluster:query "select 1; select * from nowhere")))
  end)

  it("sends reads to the replicas and writes to the primary", function()
    wait.until_true("both replicas to serve reads", function()
      local seen = {}
      for _ = 1, 50 do seen[one("select current_setting('port')::int as port").port] = true end
      return seen[pg.replicas[1].port] and seen[pg.replicas[2].port] and not seen[pg.primary.port]
    end)
    local row = one "insert into lua_query values (100, 'w') returning current_setting('port')::int as port"
    assert.equal(pg.primary.port, row.port)
  end)

  it("reads its own writes", function()
    for i = 1000, 1100 do
      assert.is_truthy(cluster:query("insert into lua_query values ($1, 'own')", i))
      assert.equal(1, one("select count(*) as n from lua_query where id = $1", i).n)
    end
  end)

  it("runs on the primary what a replica refuses, and remembers it", function()
    pg.primary:psql [[
      create or replace function lua_query_writes() returns int language sql volatile as
      'insert into lua_query values (5000) on conflict (id) do update set v = now() returning 1';
      create or replace view lua_query_view as select lua_query_writes() as n]]
    pg:wait_for_replay()
    assert.equal("read", moongate.classify("select n from lua_query_view").intent)
    local c <close> = moongate.cluster {
      primary = pg.primary.url, replicas = { pg.replicas[1].url },
      policy = function(cl)
        local reads = cl:route { to = "replicas", consistency = "eventual" }
        return function(q) if q.intent == "read" then return reads end end
      end,
    }
    assert.same({ { n = 1 } }, (c:query "select n from lua_query_view"))
    assert.equal("primary", (c:verdict "select n from lua_query_view"))
    assert.same({ { n = 1 } }, (c:query "select n from lua_query_view"))
  end)

  it("gives up on a read that every replica cancels, with PostgreSQL's own words", function()
    pg.primary:psql [[
      create or replace function lua_query_cancelled() returns int language plpgsql stable as
      $$ begin raise 'in the way of replay' using errcode = '40001'; end $$;
      create or replace view lua_query_cancelled as select lua_query_cancelled() as n]]
    pg:wait_for_replay()
    local c <close> = moongate.cluster {
      primary = pg.primary.url, replicas = { pg.replicas[1].url }, health = { interval = 0.02 },
      policy = function(cl)
        local reads = cl:route { to = "replicas", consistency = "eventual" }
        return function() return reads end
      end,
    }
    assert.same({ nil, "in the way of replay", "40001" }, three(c:query "select n from lua_query_cancelled"))
  end)

  it("refuses COPY from and to the application", function()
    local _, message, code = cluster:query "copy lua_query to stdout"
    assert.matches("COPY", message)
    assert.equal("0A000", code)
    assert.equal("0A000", (select(3, cluster:query "copy lua_query from stdin")))
    assert.equal(1, one("select 1 as one").one)
  end)

  it("leaves no transaction behind", function()
    local _, message, code = cluster:query "begin"
    assert.matches("cluster:transaction", message)
    assert.equal("25000", code)
    assert.is_truthy(cluster:query "begin; insert into lua_query values (7000); commit")
    assert.equal("25000", (select(3, cluster:query "begin; insert into lua_query values (7001)")))
    assert.same({ { id = 7000 } }, (cluster:query "select id from lua_query where id in (7000, 7001) for update"))
  end)

  it("lends no server again whose session was changed", function()
    assert.is_truthy(cluster:query "set application_name = 'changed'")
    for _ = 1, 20 do
      assert.not_equal("changed", one("select current_setting('application_name') as n for update").n)
    end
  end)

  it("obeys a policy that rejects", function()
    local c <close> = moongate.cluster {
      primary = pg.primary.url,
      policy = function()
        local no = moongate.reject("no deletes here", "0A000")
        return function(q) if q.kind == "delete" then return no end end
      end,
    }
    assert.same({ nil, "no deletes here", "0A000" }, three(c:query "delete from lua_query"))
    assert.is_truthy(c:query "select 1")
  end)

  it("works with a primary alone", function()
    local c <close> = moongate.cluster { primary = pg.primary.url }
    assert.same({ { port = pg.primary.port } }, (c:query "select current_setting('port')::int as port"))
    assert.equal("not configured", c:health().db_replica)
    assert.equal("healthy", c:health().status)
  end)

  it("gives up on an endpoint that nobody serves, in time", function()
    local c <close> = moongate.cluster {
      primary = "postgres://127.0.0.1:1/d", pool = { acquire_timeout = 0.3 }, health = { timeout = 0.2 },
    }
    local rows, message, code = c:query "select 1"
    assert.is_nil(rows)
    assert.matches("in time: .*refused", message)
    assert.equal("57P03", code)
    assert.matches("refused", (select(2, c:query "select 1")))
    local health = c:health()
    assert.equal("unhealthy", health.status)
    assert.equal("disconnected", health.db_primary)
    assert.matches("refused", health.endpoints[1].error)
  end)

  it("says why PostgreSQL does not let it in, without the password", function()
    local c <close> = moongate.cluster {
      primary = ("postgres://%s:wrong-Secret@127.0.0.1:%d/postgres"):format(shared.ROLE, pg.primary.port),
    }
    local _, message, code = c:query "select 1"
    assert.equal("28P01", code)
    assert.is_nil(message:find("wrong-Secret", 1, true))
    local allowed <close> = moongate.cluster {
      primary = ("postgres://%s:%s@127.0.0.1:%d/postgres"):format(shared.ROLE, shared.PASSWORD, pg.primary.port),
    }
    assert.same({ { u = shared.ROLE } }, (allowed:query "select current_user::text as u"))
  end)

  it("lends no server that has rested too long while the application did something else", function()
    local c <close> = moongate.cluster { primary = pg.primary.url, pool = { idle_timeout = 0.01 } }
    assert(c:query "select 1")
    local opened = c:pool("write"):stats().opened
    pg.primary:psql "select pg_sleep(0.05)"
    assert(c:query "select 1")
    assert.equal(opened + 1, c:pool("write"):stats().opened)
  end)

  it("reads a large result", function()
    local rows = assert(cluster:query "select g as id, repeat('x', 100) as v from generate_series(1, 50000) g")
    assert.equal(50000, #rows)
    assert.equal(50000, rows[50000].id)
  end)

  it("judges functions by what the operator says, and by the catalog once it has been of use", function()
    pg.primary:psql [[create or replace function lua_reads() returns text language plpgsql as
      $$ begin return current_setting('port'); end $$]]
    pg:wait_for_replay()
    local function port_of(c) return tonumber(c:query("select lua_reads() as port")[1].port) end
    local options = {
      primary = pg.primary.url,
      replicas = { pg.replicas[1].url, pg.replicas[2].url },
      functions = { read = { "lua_reads" } },
      policy = require "moongate.policies.read_write_split",
    }
    do
      local told <close> = moongate.cluster(options)
      assert.equal("healthy", told:health().status)
      wait.until_true("a replica to be fresh enough", function() return port_of(told) ~= pg.primary.port end)
    end
    options.functions = nil
    local looks <close> = moongate.cluster(options)
    assert.equal(pg.primary.port, port_of(looks)) -- nothing is known yet, and now it is wanted
    wait.until_true("the catalog to be read as the loop turns", function()
      looks:health()
      return port_of(looks) ~= pg.primary.port
    end)
  end)

  it("gives a query up after its route's timeout", function()
    local own <close> = moongate.cluster {
      primary = pg.primary.url,
      policy = function(c)
        local short = moongate.timeout(c:route { to = "primary" }, 0.2)
        return function() return short end
      end,
    }
    local rows, message, code = own:query "select count(*) from generate_series(1, 1000000000)"
    assert.is_nil(rows)
    assert.equal("57014", code)
    assert.truthy(message:find("timeout of the policy's route", 1, true), message)
    assert.equal(1, own:query("select 1 as one")[1].one)
  end)
end)
