-- Which server a statement goes to, as PostgreSQL itself tells it.

local cluster = require "tests.support.cluster"
local router = require "tests.support.router"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

-- current_setting('port') tells the server without naming the node: it may run anywhere.
local PORT = "current_setting('port')"

describe("routing", function()
  local pg, moongate, client

  setup(function()
    pg = cluster.shared()
    pg.primary:psql [[
      drop table if exists routing, routing_locked;
      drop sequence if exists routing_seq;
      create table routing (port text);
      create table routing_locked as select 1 as id;
      create sequence routing_seq;
    ]]
    pg:wait_for_replay()
  end)

  local function start(options)
    moongate = router.start(options)
    client = wire.open(moongate.port)
  end

  local function stop()
    client:quit()
    moongate:stop()
  end

  local function is_primary(port) return tonumber(port) == pg.primary.port end

  -- How often each server answered the read.
  local function counts(times)
    local list = {}
    for _ = 1, times do
      local port = client:served_by()
      list[port] = (list[port] or 0) + 1
    end
    return list
  end

  describe("by the default script", function()
    setup(function() start { pg = pg } end)
    teardown(stop)

    before_each(function() client = wire.open(moongate.port) end)
    after_each(function() client:quit() end)

    it("sends lone reads to the replicas", function()
      local list = counts(50)
      assert.is_nil(list[pg.primary.port])
      assert.truthy(list[pg.replicas[1].port])
      assert.truthy(list[pg.replicas[2].port])
    end)

    local reads = {
      "select port from (select " .. PORT .. ") as p(port), routing_locked",
      "values (" .. PORT .. ")",
      "with x as (select " .. PORT .. " as port) select * from x",
      "select " .. PORT .. " /* insert into routing */ -- for update",
      "select " .. PORT .. ", 'delete from routing', $$ for update $$",
      'select ' .. PORT .. ' as "insert into"',
      "select " .. PORT .. " from (select 1) as \"for update\"",
      "(select " .. PORT .. ") union (select " .. PORT .. ")",
      "  ;; select " .. PORT,
      "select " .. PORT .. "; select 1",
    }
    for _, sql in ipairs(reads) do
      it("calls a read: " .. sql, function()
        local result = client:query(sql)
        assert.is_nil(result.error)
        assert.is_false(is_primary(result.rows[1][1]))
      end)
    end

    local writes = {
      "insert into routing values (" .. PORT .. ") returning port",
      "update routing_locked set id = 1 returning " .. PORT,
      "delete from routing where false or true returning " .. PORT,
      "select " .. PORT .. " from routing_locked for update",
      "select " .. PORT .. " from routing_locked for key share",
      "select * from (select " .. PORT .. " from routing_locked for share) as x",
      "with w as (insert into routing values ('x') returning 1) select " .. PORT .. " from w",
      "select " .. PORT .. ", nextval('routing_seq')",
      "select " .. PORT .. ", NextVal ( 'routing_seq' )",
      "select " .. PORT .. ", pg_catalog.nextval('routing_seq')",
      "select " .. PORT .. ", setval('routing_seq', 10)",
      "select " .. PORT .. ", txid_current()",
      "select " .. PORT .. ", pg_advisory_xact_lock(1)",
      "select " .. PORT .. ", pg_is_in_recovery()",
      "select " .. PORT .. ", pg_backend_pid()",
      "select " .. PORT .. " from pg_stat_activity",
      "select " .. PORT .. "; insert into routing values ('x')",
      "begin; select " .. PORT .. "; commit",
    }
    for _, sql in ipairs(writes) do
      it("calls a write: " .. sql, function()
        pg.primary:psql "insert into routing values ('deleted by one of these')"
        local result = client:query(sql)
        assert.is_nil(result.error)
        assert.is_true(is_primary(result.rows[1][1]))
      end)
    end

    it("runs what no replica accepts without an error", function()
      for _, sql in ipairs {
        "create table routing_ddl (a int)", "select * into routing_into from routing",
        "create index on routing_ddl (a)", "vacuum routing_ddl", "analyze routing_ddl",
        "truncate routing_ddl", "lock table routing_ddl", "drop table routing_ddl, routing_into",
        "do $$ begin insert into routing values ('do'); end $$", "checkpoint",
        "explain analyze insert into routing values ('explained')",
        "create materialized view routing_view as select 1", "refresh materialized view routing_view",
        "drop materialized view routing_view",
      } do
        if sql:find "^lock" then sql = "begin; " .. sql .. "; commit" end
        local result = client:query(sql)
        assert.is_nil(result.error, sql .. ": " .. (result.error or { M = "" }).M)
      end
    end)

    it("copies out of a replica and into the primary", function()
      client:send(wire.query("copy (select " .. PORT .. ") to stdout"))
      assert.equal("H", client:read().type)
      assert.is_false(is_primary(client:read().body))
      client:result()
      client:send(wire.query("copy routing from stdin"))
      assert.equal("G", client:read().type)
      client:send(wire.copy_data("copied\n") .. wire.copy_done())
      assert.same({ "COPY 1" }, client:result().tags)
      assert.equal("1", pg.primary:psql "select count(*) from routing where port = 'copied'")
    end)

    it("sends parameters along", function()
      client:send(wire.extended("select " .. PORT .. ", $1::int + 1", { "41" }) .. wire.sync())
      local read = client:result()
      assert.is_false(is_primary(read.rows[1][1]))
      assert.equal("42", read.rows[1][2])
      client:send(wire.extended("insert into routing values ($1) returning " .. PORT, { "é" })
        .. wire.sync())
      assert.is_true(is_primary(client:result().rows[1][1]))
      assert.equal("1", pg.primary:psql "select count(*) from routing where port = 'é'")
    end)

    it("shows a session its own writes", function()
      client:query("truncate routing")
      for i = 1, 100 do
        client:query("insert into routing values ('mine')")
        assert.equal(tostring(i), client:value("select count(*) from routing"))
      end
    end)

    it("keeps a session with temporary tables on the primary, and no other", function()
      local other = wire.open(moongate.port)
      client:query("create temp table routing (port text)")
      client:query("insert into routing values ('temporary')")
      for _ = 1, 20 do
        assert.equal("temporary", client:value("select port from routing"))
        assert.is_true(is_primary(client:served_by()))
        assert.is_false(is_primary(other:served_by()))
      end
      other:quit()
    end)

    it("lets the session go again after DISCARD ALL", function()
      client:query("create temp table routing_gone (a int)")
      assert.is_true(is_primary(client:served_by()))
      assert.is_nil(client:query("discard all").error)
      pg:wait_for_replay()
      wait.until_true("a read on a replica", function()
        return not is_primary(client:served_by())
      end)
    end)

    it("knows temporary tables made by SELECT INTO, too", function()
      client:query("select 1 as a into temporary routing_tmp")
      for _ = 1, 10 do assert.equal("1", client:value("select a from routing_tmp")) end
    end)
  end)

  it("spreads reads by the replicas' weights", function()
    start { pg = pg, text = router.script(pg, { weights = { 2, 1 } }) }
    local list = counts(600)
    stop()
    assert.is_nil(list[pg.primary.port])
    -- 400 of 600 are expected; 5 standard deviations are 58.
    assert.is_true(math.abs(list[pg.replicas[1].port] - 400) < 58, list[pg.replicas[1].port])
  end)

  it("gives nothing to a replica of weight 0 while another is up", function()
    start { pg = pg, text = router.script(pg, { weights = { 0, 1 } }) }
    local list = counts(50)
    stop()
    assert.same({ [pg.replicas[2].port] = 50 }, list)
  end)

  it("needs no replica", function()
    start { pg = pg, env = { DATABASE_URL = "postgres://127.0.0.1:" .. pg.primary.port } }
    assert.same({ [pg.primary.port] = 10 }, counts(10))
    assert.is_nil(client:query("insert into routing values ('single')").error)
    client:query("begin")
    assert.is_true(is_primary(client:served_by()))
    client:query("commit")
    stop()
  end)

  describe("by a policy that", function()
    local function start_policy(source)
      start { pg = pg, text = router.script(pg, { policy = source }) }
    end

    it("fails is logged, and the default takes over", function()
      start_policy [[function() return function() error("policy has a bug") end end]]
      for _ = 1, 20 do assert.is_false(is_primary(client:served_by())) end
      assert.is_nil(client:query("insert into routing values ('x')").error)
      local log = moongate:log()
      stop()
      assert.matches("policy has a bug", log)
      assert.matches("level=%a+ [^\n]*policy", log)
    end)

    it("never ends is stopped, and the default takes over", function()
      start_policy [[function() return function() while true do pcall(function()
        while true do end end) end end end]]
      for _ = 1, 5 do assert.is_false(is_primary(client:served_by())) end
      stop()
    end)

    it("returns nonsense is logged, and the default takes over", function()
      start_policy [[function() return function() return 42 end end]]
      assert.is_false(is_primary(client:served_by()))
      assert.is_nil(client:query("insert into routing values ('x')").error)
      local log = moongate:log()
      stop()
      assert.matches("level=%a+ [^\n]*policy", log)
    end)

    it("has no opinion leaves it to the default", function()
      start_policy [[function() return function() end end]]
      assert.is_false(is_primary(client:served_by()))
      assert.is_nil(client:query("insert into routing values ('x')").error)
      stop()
    end)

    it("rejects gives the client an error, and the session goes on", function()
      start_policy [[function() return function(query)
        if query.kind == "delete" then return moongate.reject("nothing is deleted here") end
        if query.kind == "update" then return moongate.reject("read only", "25006") end
      end end]]
      local result = client:query("delete from routing")
      assert.equal("42501", result.error.C)
      assert.equal("nothing is deleted here", result.error.M)
      assert.equal("I", result.status)
      client:send(wire.extended("update routing set port = 'x'") .. wire.sync()
        .. wire.query("select 1"))
      assert.equal("25006", client:result().error.C)
      assert.equal("1", client:result().rows[1][1])
      stop()
    end)

    it("names an endpoint is obeyed", function()
      start_policy(([[function(cluster)
        local one = cluster:route { to = { "127.0.0.1:%d" } }
        return function(query) if query.tags.pick == "two" then return one end end
      end]]):format(pg.replicas[2].port))
      for _ = 1, 20 do
        assert.equal(tostring(pg.replicas[2].port),
          client:value("/* moongate: pick=two */ select " .. PORT))
      end
      stop()
    end)

    it("goes by who asks sees the session", function()
      start_policy [[function(cluster)
        local primary = cluster:route { to = "primary" }
        return function(query)
          local session = query.session
          if session.application_name == "billing" and session.user == "postgres"
            and session.database == "postgres" then return primary end
        end
      end]]
      assert.is_false(is_primary(client:served_by()))
      local billing = wire.open(moongate.port,
        { user = "postgres", database = "postgres", application_name = "billing" })
      for _ = 1, 10 do assert.is_true(is_primary(billing:served_by())) end
      billing:quit()
      stop()
    end)
  end)
end)
