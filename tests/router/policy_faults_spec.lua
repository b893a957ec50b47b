-- Policies, hooks and copies where something else gets in their way: a reload in the middle of a
-- block, pipelines, endpoints that go.

local cluster = require "tests.support.cluster"
local router = require "tests.support.router"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

describe("a policy in the router, when things get in its way,", function()
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

  local function start_script(text)
    moongate = router.start { pg = pg, admin = true, text = text }
    moongate:psql "select 1" -- the primary is known
    return moongate
  end

  -- Routes by `policy`, the text of a factory.
  local function start(policy, extra)
    return start_script(router.script(pg, { policy = policy, extra = extra }))
  end

  -- The same with the primary alone.
  local function without_replicas(policy)
    return router.script({ primary = pg.primary, replicas = {} }, { policy = policy })
  end

  local function client(params)
    params = params or {}
    params.user, params.database = "postgres", "postgres"
    local c = wire.open(moongate.port, params)
    open[#open + 1] = c
    return c
  end

  local function code(result) return result.error and result.error.C end

  local function logged(words)
    wait.until_true("the log says: " .. words, function() return moongate:log():find(words, 1, true) end)
  end

  it("takes no endpoint that a reload has removed for one of its own", function()
    local policy = [[function(cluster)
      return {
        route = function(query)
          local t = query.transaction
          if query.tags.tell then return require "moongate".reject("at " .. tostring(t.endpoint)) end
          return query.tags.first and cluster.replicas[2] or nil
        end,
        on_error = function(_, e) print(("failed: %s at %s"):format(e.sqlstate, tostring(e.endpoint))) end,
      }
    end]]
    start(policy)
    local told, failing = client(), client()
    for _, c in ipairs { told, failing } do
      c:query "begin read only"
      assert.is_nil(code(c:query "select 1 /* moongate: first=1 */"))
    end
    moongate:reload(without_replicas(policy))
    assert.equal("at nil", told:query("select 1 /* moongate: tell=1 */").error.M)
    assert.equal("22012", code(failing:query "select 1/0"))
    logged "failed: 22012 at nil"
    told:query "rollback"
    assert.equal("bound=yes", told:value "show moongate.last_route")
  end)

  it("keeps the notes of a session that it sends to another cluster", function()
    local text = ([[
      local moongate = require "moongate"
      local function policy()
        return {
          on_connect = function(session)
            session.vars.name, session.vars.list = session.application_name, {}
            return "reports"
          end,
          route = function(query)
            local vars = query.session.vars
            if query.tags.tell then return moongate.reject(("%%s %%s"):format(vars.name, vars.list)) end
          end,
        }
      end
      return moongate.router { admin = os.getenv "MOONGATE_ADMIN", clusters = {
        ["*"] = moongate.cluster { primary = %q, policy = policy },
        reports = moongate.cluster { primary = %q, policy = policy },
      } }]]):format(pg.primary.url, pg.replicas[1].url)
    start_script(text)
    local c = client { application_name = "mine" }
    for _ = 1, 2 do
      assert.equal("mine nil", c:query("select 1 /* moongate: tell=1 */").error.M)
      assert.equal(tostring(pg.replicas[1].port), c:value "select current_setting('port')")
      moongate:reload(text)
    end
  end)

  it("times each query by its own route, in pipelines and where it is bound", function()
    start [[function(cluster)
      local patient = cluster:route { to = "primary" }
      local short = require "moongate".timeout(patient, 0.5)
      return function(query) return query.tags.short and short or patient end
    end]]
    local c = client()
    c:send(wire.query "select pg_sleep(0.7)" .. wire.query "select 1 /* moongate: short=1 */")
    assert.same({}, { code(c:result()), code(c:result()) })
    c:query "begin"
    c:query "select 1"
    assert.equal("57014", code(c:query "select pg_sleep(9) /* moongate: short=1 */"))
    c:query "rollback"
    c:query "listen here /* moongate: short=1 */"
    assert.is_nil(code(c:query "select pg_sleep(0.7)"))
  end)

  it("is seen in SHOW moongate.last_route to have rejected what is bound", function()
    start [[function()
      return function(query)
        if query.kind == "truncate" then return require "moongate".reject "no" end
      end
    end]]
    local c = client()
    c:query "listen here"
    c:query "truncate seen"
    assert.equal("rejected", c:value "show moongate.last_route")
    c:query "select 1"
    assert.equal(("endpoint=127.0.0.1:%d bound=yes"):format(pg.primary.port), c:value "show moongate.last_route")
  end)

  it("rejects what follows a flush in pool mode session, too", function()
    start([[function()
      return function(query)
        if query.kind == "truncate" then return require "moongate".reject("no", "0A000") end
      end
    end]], "pool = { mode = 'session' },")
    local c = client()
    c:query "begin"
    c:send(wire.parse("kept", "select 41 + 1") .. wire.bind("", "kept", {}) .. wire.execute "" .. wire.flush()
      .. wire.extended "truncate seen" .. wire.sync())
    assert.equal("0A000", code(c:result()))
    c:query "rollback"
    c:send(wire.bind("", "kept", {}) .. wire.execute "" .. wire.sync())
    assert.equal("42", c:result().rows[1][1])
  end)

  it("may drain and undrain in its hook for just that, without keeping the router busy", function()
    start [[function(cluster)
      local calls = 0
      return {
        route = function(query)
          if query.tags.begin then cluster.replicas[1]:drain() end
          if query.tags.tell then return require "moongate".reject(tostring(calls)) end
        end,
        on_endpoint_change = function(e)
          calls = calls + 1
          if e.draining then e:undrain() else e:drain() end
        end,
      }
    end]]
    local c = client()
    c:query "select 1 /* moongate: begin=1 */"
    c:query "select pg_sleep(0.3)"
    assert.is_true(tonumber(c:query("select 1 /* moongate: tell=1 */").error.M) < 20)
  end)

  it("does nothing to its endpoints by being tried on examples", function()
    start [[function(cluster)
      local primary = cluster:route { to = "primary" }
      return {
        tests = { { sql = "select 1", tags = { drain = "1" }, expect = "primary" } },
        route = function(query)
          if query.tags.drain then cluster.replicas[1]:drain() end
          if query.tags.tell then return require "moongate".reject(tostring(cluster.replicas[1].draining)) end
          return primary
        end,
      }
    end]]
    assert.equal("false", client():query("select 1 /* moongate: tell=1 */").error.M)
  end)

  it("has copies wait for their endpoint without taking the place of queries in hold_limit", function()
    start([[function(cluster)
      local both = require "moongate".mirror(cluster:route { to = "primary" }, cluster.replicas[1])
      return function(query)
        if query.tags.drain then cluster.replicas[1]:drain() end
        return both
      end
    end]], "hold_limit = { queries = 1 },")
    local function page() return select(2, moongate:http "/metrics") end
    local c = client()
    c:query "select 1 /* moongate: drain=1 */"
    c:query "select 2"
    assert.matches('moongate_queries_held{cluster="%*"} 0', page())
    wait.until_true("copies to be dropped", function()
      return page():find 'moongate_mirrored_total{cluster="%*",result="dropped"} [1-9]'
    end)
    assert.matches('moongate_failures_total{cluster="%*",kind="held_timeouts"} 0', page())
  end)

  it("makes no rules and takes no shadow while it is asked, for nothing would keep them", function()
    start [[function(cluster)
      local moongate, core = require "moongate", require "moongate.core"
      local late = { rule = function() core.rule "late" end,
        shadow = function() core.set_policy(cluster, nil, function() return print end) end }
      return function(query)
        if late[query.tags.make] then return moongate.reject(select(2, pcall(late[query.tags.make])):match ": (.*)") end
      end
    end]]
    local c = client()
    local function made(what) return c:query(("select 1 /* moongate: make=%s */"):format(what)).error.M end
    assert.equal("core.rule: rules are made when the script is loaded, not for each query", made "rule")
    assert.equal("moongate.router: a router is made when the script is loaded, and never again", made "shadow")
  end)

  it("is told of the errors that its clients get, with the queries that have failed", function()
    start [[function()
      return {
        route = function(query)
          if query.kind == "truncate" then return require "moongate".reject("no", "0A000") end
        end,
        on_error = function(query, e) print(("failed: %s by %s, %s"):format(e.sqlstate, query.sql, e.message)) end,
      }
    end]]
    local c = client()
    c:query "begin"
    for i = 1, 64 do c:query("select " .. i) end -- each place for a batch is used
    assert.equal("0A000", code(c:query "truncate seen"))
    c:query "rollback"
    c:send(wire.extended "select 1/0" .. wire.sync())
    c:result()
    logged "failed: 22012 by select 1/0, division by zero"
    assert.is_nil(moongate:log():find("failed: 42601", 1, true))
  end)
end)
