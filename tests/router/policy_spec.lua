-- What a policy sees of sessions, blocks and endpoints, and what it may do beside choosing a route.

local cluster = require "tests.support.cluster"
local router = require "tests.support.router"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

describe("a policy in the router", function()
  local pg, moongate
  local open = {}

  setup(function()
    pg = cluster.shared()
    pg.primary:psql "drop table if exists seen; create table seen (n int); insert into seen values (0)"
    pg:wait_for_replay()
  end)

  after_each(function()
    for _, c in ipairs(open) do c:close() end
    open = {}
    if moongate then moongate:stop() end
    moongate = nil
  end)

  -- Routes by `policy`, the text of a factory.
  local function start(policy, extra)
    moongate = router.start { pg = pg, admin = true, text = router.script(pg, { policy = policy, extra = extra }) }
    moongate:psql "select 1" -- the primary is known
    return moongate
  end

  local function client(params)
    params = params or {}
    params.user, params.database = "postgres", "postgres"
    local c = wire.open(moongate.port, params)
    open[#open + 1] = c
    return c
  end

  local function code(result) return result.error and result.error.C end

  describe("inside of a block", function()
    local REJECTS = [[function(cluster)
      local primary = cluster:route { to = "primary" }
      return function(query)
        if query.kind == "truncate" then return require "moongate".reject("no " .. query.kind, "0A000") end
        if query.tags.writes then return require "moongate".reject(query.intent .. " " .. tostring(query.writes)) end
        if query.kind == "delete" and query.bound then return cluster.replicas[1] end
        if query.transaction and query.tags.tell then
          local t = query.transaction
          return require "moongate".reject(("%s %s %s %s %s"):format(
            t.read_only, t.deferrable, t.isolation, t.endpoint and t.endpoint.role, query.bound))
        end
        return primary
      end
    end]]

    it("rejects a statement, and the block fails with it", function()
      start(REJECTS)
      local c = client()
      c:query "begin"
      assert.is_nil(code(c:query "insert into seen values (1)"))
      local result = c:query "truncate seen"
      assert.equal("0A000", code(result))
      assert.equal("no truncate", result.error.M)
      assert.equal("E", result.status)
      assert.equal("25P02", code(c:query "select 1"))
      c:query "rollback"
      assert.equal("0", c:value "select count(*) from seen where n = 1")
    end)

    it("rejects a statement that is prepared, pipelined or behind a flush", function()
      start(REJECTS)
      local c = client()
      c:query "begin"
      c:query "select 1"
      c:send(wire.extended "insert into seen values (2)" .. wire.sync()
        .. wire.extended "truncate seen" .. wire.sync() .. wire.extended "select 1" .. wire.sync())
      assert.is_nil(code(c:result()))
      assert.equal("0A000", code(c:result()))
      assert.equal("25P02", code(c:result()))
      c:query "rollback"
      c:query "begin"
      c:query "select 1"
      c:send(wire.parse("", "select 1") .. wire.flush() .. wire.extended "truncate seen" .. wire.sync())
      assert.equal("0A000", code(c:result()))
      c:query "rollback"
      assert.equal("1", c:value "select count(*) from seen")
    end)

    it("does not move a statement", function()
      start(REJECTS)
      local c = client()
      c:query "begin"
      assert.is_nil(code(c:query "insert into seen values (3)"))
      assert.is_nil(code(c:query "delete from seen where n = 3"))
      assert.is_nil(code(c:query "commit"))
    end)

    it("cannot keep a client from ending it", function()
      start [[function(cluster)
        return function(query)
          if query.kind ~= "select" then return require "moongate".reject("no") end
        end
      end]]
      local c = client()
      for _, last in ipairs { "commit", "rollback" } do
        c:query "begin"
        assert.is_nil(code(c:query "select 1"))
        assert.is_nil(code(c:query "savepoint a"))
        assert.equal("I", c:query(last).status)
      end
    end)

    it("knows its modes and its place", function()
      start(REJECTS)
      local c = client()
      local function tell() return c:query("select 1 /* moongate: tell=yes */").error.M end
      c:query "begin isolation level repeatable read read only deferrable"
      assert.equal("true true repeatable read nil false", tell())
      c:query "rollback"
      c:query "begin isolation level serializable"
      c:query "select 1"
      assert.equal("false false serializable primary true", tell())
      c:query "rollback"
      c:query "listen here"
      c:query "begin isolation level repeatable read read only"
      assert.equal("true false repeatable read primary true", tell())
      c:query "rollback"
    end)

    it("tells what writes itself from what stands beside writes", function()
      start(REJECTS)
      local c = client()
      local function tell(sql)
        local result = c:query(sql .. " /* moongate: writes=? */")
        c:query "rollback"
        return result.error.M
      end
      assert.equal("read false", tell "select 1")
      assert.equal("write true", tell "delete from seen where n = 1000")
      c:query "begin"
      assert.equal("write false", tell "select 1")
      c:query "begin"
      c:query "select 1"
      assert.equal("read false", tell "select 1")
    end)

    it("sees what a pinned session says, too", function()
      start(REJECTS)
      local c = client()
      c:query "listen here"
      assert.equal("0A000", code(c:query "truncate seen"))
      assert.equal("1", c:value "select 1")
    end)
  end)

  describe("with a timeout", function()
    it("cancels a query that takes longer, and no other", function()
      start [[function(cluster)
        local moongate = require "moongate"
        local patient = cluster:route { to = "primary" }
        local short = moongate.timeout(patient, 0.6)
        return function(query) return query.tags.short and short or patient end
      end]]
      local c = client()
      local result = c:query "select pg_sleep(30) /* moongate: short=1 */"
      assert.equal("57014", code(result))
      assert.equal("canceling statement due to the timeout of the policy's route", result.error.M)
      assert.is_nil(code(c:query "select pg_sleep(0.8)"))
      assert.is_nil(code(c:query "select 1 /* moongate: short=1 */"))
    end)
  end)

  describe("with a mirror", function()
    local MIRRORS = [[function(cluster)
      local primary = cluster:route { to = "primary" }
      local both = require "moongate".mirror(primary, cluster.replicas[1])
      return function() return both end
    end]]

    local function mirrored()
      local _, page = moongate:http "/metrics"
      local counts = {}
      for result, count in page:gmatch 'moongate_mirrored_total{cluster="%*",result="(%w+)"} (%d+)' do
        counts[result] = tonumber(count)
      end
      return counts
    end

    local function until_mirrored(result, count)
      wait.until_true(("%d copies are %s"):format(count, result), function() return mirrored()[result] >= count end)
    end

    -- What the first replica has run of late, by what stands in the text.
    local function runs_there(word)
      return tonumber(pg.replicas[1]:psql(([[
        select count(*) from pg_stat_activity where query like '%%%s%%' and pid <> pg_backend_pid()]]):format(word)))
    end

    it("copies a read to another endpoint, whose answer is dropped", function()
      start(MIRRORS)
      local c = client()
      local before = mirrored().done
      assert.equal(tostring(pg.primary.port), c:value "select current_setting('port') as lone_copy")
      until_mirrored("done", before + 1)
      assert.equal(1, runs_there "lone_copy")
    end)

    it("copies what is prepared, with its values and under its client's settings", function()
      start(MIRRORS)
      local c = client()
      c:query "set search_path = pg_catalog"
      local before = mirrored().done
      c:send(wire.parse("p1", "select $1::int + 1 as prepared_copy") .. wire.sync())
      c:result()
      for i = 1, 3 do
        c:send(wire.bind("", "p1", { tostring(i) }) .. wire.describe("P", "") .. wire.execute "" .. wire.sync())
        assert.equal(tostring(i + 1), c:result().rows[1][1])
      end
      c:send(wire.extended("select $1::text || 'x' as unnamed_copy", { "v" }) .. wire.sync())
      assert.equal("vx", c:result().rows[1][1])
      until_mirrored("done", before + 4)
      assert.equal(0, mirrored().failed)
      assert.equal(1, runs_there "unnamed_copy")
    end)

    it("copies no write, and nothing in a block", function()
      start(MIRRORS)
      until_mirrored("done", 1) -- of what start() has asked
      local c = client()
      local before = mirrored()
      c:query "insert into seen values (9)"
      c:query "begin"
      c:query "select 1"
      c:query "delete from seen where n = 9"
      c:query "commit"
      c:query "select 'last' as last_copy"
      until_mirrored("done", before.done + 1)
      assert.same({ done = before.done + 1, failed = before.failed, dropped = before.dropped }, mirrored())
    end)

    it("drops the errors of copies, and counts them", function()
      start(MIRRORS)
      pg.replicas[1]:psql "select pg_wal_replay_pause()"
      finally(function()
        pg.replicas[1]:psql "select pg_wal_replay_resume()"
        pg.primary:psql "drop table if exists not_there_yet"
        pg:wait_for_replay()
      end)
      pg.primary:psql "create table not_there_yet (n int)"
      local c = client()
      assert.is_nil(code(c:query "select * from not_there_yet"))
      until_mirrored("failed", 1)
      assert.equal("1", c:value "select 1")
    end)
  end)

  describe("with hooks,", function()
    local function logged(words)
      wait.until_true("the log says: " .. words, function() return moongate:log():find(words, 1, true) end)
    end

    it("hears of sessions that begin, gives them notes, and refuses some", function()
      start [[function()
        local moongate = require "moongate"
        return {
          on_connect = function(session)
            local name = session.application_name
            if name == "bad" then return moongate.reject("not " .. name, "28000") end
            session.vars.greeted = session.user .. "@" .. session.database
          end,
          route = function(query)
            if query.tags.tell then return moongate.reject(query.session.vars.greeted or "nobody") end
          end,
        }
      end]]
      assert.equal("postgres@postgres", client():query("select 1 /* moongate: tell=1 */").error.M)
      local c = wire.connect(moongate.port)
      open[#open + 1] = c
      c:send(wire.startup { user = "postgres", database = "postgres", application_name = "bad" })
      local result = c:result()
      assert.same({ "FATAL", "28000", "not bad" }, { result.error.S, result.error.C, result.error.M })
    end)

    it("sends a session to another cluster, where it stays over a reload", function()
      local text = ([[
        local moongate = require "moongate"
        local hook = { on_connect = function(session)
          if session.application_name == "lost" then return "nowhere" end
          return session.application_name == "report" and "reports" or nil
        end, route = function() end }
        return moongate.router { admin = os.getenv "MOONGATE_ADMIN", clusters = {
          ["*"] = moongate.cluster { primary = %q, policy = function() return hook end },
          reports = moongate.cluster { primary = %q },
        } }]]):format(pg.primary.url, pg.replicas[1].url)
      moongate = router.start { pg = pg, admin = true, text = text }
      local here, there = client(), client { application_name = "report" }
      local port = "select current_setting('port')"
      for _ = 1, 2 do
        assert.equal(tostring(pg.primary.port), here:value(port))
        assert.equal(tostring(pg.replicas[1].port), there:value(port))
        moongate:reload(text)
      end
      local c = wire.connect(moongate.port)
      open[#open + 1] = c
      c:send(wire.startup { user = "postgres", database = "postgres", application_name = "lost" })
      assert.equal("3D000", code(c:result()))
    end)

    it("hears of errors, with the query that they answer", function()
      start [[function()
        return {
          route = function() end,
          on_error = function(query, e)
            local role = e.endpoint and e.endpoint.role
            print(("%s|%s|%s|%s|%s|%d"):format(e.sqlstate, e.message, query.kind, query.sql, role, query.parameters))
          end,
        }
      end]]
      local c = client()
      c:query "select 1/0"
      logged "22012|division by zero|select|select 1/0|"
      c:send(wire.extended "insert into seen values (1/(1-1))" .. wire.sync()
        .. wire.extended "delete from nowhere" .. wire.sync())
      c:result()
      c:result()
      logged "22012|division by zero|insert|insert into seen values (1/(1-1))|primary"
      logged "42P01"
      c:send(wire.extended("select 1 / $1::int", { "0" }) .. wire.sync())
      c:result()
      logged "22012|division by zero|select|select 1 / $1::int|primary|1"
      assert.equal("1", c:value "select 1")
    end)

    it("hears of endpoints that change", function()
      start [[function(cluster)
        return {
          route = function(query)
            if query.tags.drain then cluster.replicas[1]:drain() end
          end,
          on_endpoint_change = function(e)
            print(("%s %s up=%s draining=%s"):format(e.name, e.role, e.up, e.draining))
          end,
        }
      end]]
      client():query "select 1 /* moongate: drain=1 */"
      logged(("127.0.0.1:%d replica up=true draining=true"):format(pg.replicas[1].port))
    end)

    it("is called by the clock", function()
      start [[function(cluster)
        local moongate = require "moongate"
        local count, timer = 0, nil
        timer = moongate.every(0.02, function()
          count = count + 1
          if count == 3 then timer:stop() end
          print("tick " .. count)
        end)
        moongate.every(0.01, function() error "no clock" end)
        moongate.every(0.01, function() cluster:route { to = "primary" } end)
        return function(query) if query.tags.tell then return moongate.reject("ticks: " .. count) end end
      end]]
      logged "tick 3"
      logged "hook taken out"
      logged "make them when the policy is built"
      assert.equal("ticks: 3", client():query("select 1 /* moongate: tell=1 */").error.M)
      assert.is_nil(moongate:log():find("tick 4", 1, true))
    end)

    it("goes on without a hook that keeps failing or never ends", function()
      start [[function()
        return {
          route = function() end,
          on_error = function(query) error({}) end,
          on_connect = function() while true do pcall(error) end end,
        }
      end]]
      local c = client()
      logged "on_connect"
      for _ = 1, 101 do c:query "select 1/0" end
      logged "hook taken out"
      assert.equal("1", c:value "select 1")
    end)
  end)

  it("is told of by SHOW moongate.last_route", function()
    start [[function(cluster)
      local moongate, core = require "moongate", require "moongate.core"
      local rule = core.rule "first come"
      local reads = cluster:route { to = "replicas", name = "reads", consistency = "eventual" }
      local primary = cluster:route { to = "primary" }
      return function(query)
        if query.kind == "truncate" then return moongate.reject "no" end
        if query.tags.fail then error "oops" end
        if query.intent == "read" then rule:hit() return reads end
        return primary
      end
    end]]
    local c = client()
    local function last() return c:value "show moongate.last_route" end
    assert.equal("", last())
    local port = c:value "select current_setting('port')"
    assert.equal(('route=reads endpoint=127.0.0.1:%s rule="first come"'):format(port), last())
    c:query "create temporary table one (n int)"
    local primary = ("endpoint=127.0.0.1:%d"):format(pg.primary.port)
    assert.equal("route=primary " .. primary, last())
    c:query "select 1"
    assert.equal("route=primary " .. primary .. " bound=yes", last())
    c:query "discard all"
    c:query "truncate seen"
    assert.equal("rejected", last())
    c:query "insert into seen values (1) /* moongate: fail=1 */"
    assert.equal("route=primary " .. primary .. " policy=failed", last())
    local refused = c:query "set moongate.last_route = 'x'"
    assert.equal("55P02", code(refused))
    assert.matches("tells where the last query went", refused.error.M)
  end)

  it("is compared with a shadow, which is never obeyed", function()
    moongate = router.start { pg = pg, admin = true, text = ([[
      local moongate = require "moongate"
      return moongate.router {
        admin = os.getenv "MOONGATE_ADMIN",
        cluster = moongate.cluster { primary = %q, replicas = { %q } },
        policy = function(cluster)
          local primary = cluster:route { to = "primary" }
          return function(query)
            if query.tags.count then return moongate.reject(tostring(query.session.vars.n)) end
            return primary
          end
        end,
        shadow = function(cluster)
          local reads = cluster:route { to = "replicas", name = "reads" }
          return { route = function(query)
            query.session.vars.n = (query.session.vars.n or 0) + 1
            query.key = "another"
            if query.tags.fail then error "no" end
            if query.kind == "delete" then return moongate.reject "no deletes" end
            if query.intent == "read" then return reads end
          end }
        end,
      }]]):format(pg.primary.url, pg.replicas[1].url) }
    local c = client()
    assert.equal(tostring(pg.primary.port), c:value "select current_setting('port')")
    c:query "insert into seen values (4)"
    assert.is_nil(code(c:query "delete from seen where n = 4"))
    c:query "insert into seen values (5) /* moongate: fail=1 */"
    assert.equal("nil", c:query("select 1 /* moongate: count=1 */").error.M)
    local shadow = moongate:ask("/policy").clusters[1].shadow
    local pairs_seen = {}
    for _, each in ipairs(shadow.differences) do
      pairs_seen[("%s %s -> %s"):format(each.kind, each.current, each.candidate)] = each.count
      assert.matches("^%x+$", each.fingerprint)
    end
    assert.same({
      ["select primary -> reads"] = 1,
      ["delete primary -> reject: no deletes"] = 1,
      ["select reject: nil -> reads"] = 1,
    }, pairs_seen)
    assert.same({ 1, 3, 1 }, { shadow.same, shadow.different, shadow.failed })
    local _, page = moongate:http "/metrics"
    assert.matches('moongate_shadow_verdicts_total{cluster="%*",result="different"} 3', page)
    assert.truthy(moongate:log():find("shadow policy differs", 1, true))
  end)
end)
