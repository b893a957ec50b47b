-- The script is loaded anew again and again under load, all that a policy may have in it: no query is
-- lost, and nothing is left behind.

local cluster = require "tests.support.cluster"
local load = require "tests.chaos.load"
local process = require "moongate.process"
local router = require "tests.support.router"
local wait = require "tests.support.wait"

local RELOADS = load.long and 10000 or 150
local GROWTH = 2 << 20 -- bytes

-- Rules, hooks, a timer, examples, a shadow and copies; `number` makes each text another one.
local function script(pg, number)
  return ([[
local moongate = require "moongate"
local rules = require "moongate.rules"

local function policy(cluster)
  local reads = cluster:route { to = "replicas", name = "reads", fallback = "primary" }
  local copied = moongate.mirror(reads, cluster.replicas[1])
  local patient = moongate.timeout(cluster:route { to = "primary", name = "writes" }, 60 + %d)
  moongate.every(0.05, function() end)
  return {
    route = rules.first {
      rules.when { tables = { "nowhere" } }, rules.reject "no",
      rules.when { intent = "read", test = function(query) return query.session.vars.odd end }, rules.to(copied),
      rules.when { intent = "read" }, rules.to(reads),
      function(query) query.session.vars.odd = not query.session.vars.odd end,
      rules.to(patient),
    },
    on_connect = function(session) session.vars.greeted = true end,
    on_error = function() end,
    on_endpoint_change = function() end,
    tests = { { sql = "select 1", expect = "reads" }, { sql = "delete from t", expect = "writes" } },
  }
end

return moongate.router {
  admin = os.getenv "MOONGATE_ADMIN",
  policy = policy,
  shadow = %d %% 2 == 0 and policy or nil,
  cluster = moongate.cluster { primary = %q, replicas = { %q, %q }, pool = { size = %d } },
}]]):format(number % 7, number, pg.primary.url, pg.replicas[1].url, pg.replicas[2].url, 8 + number % 3)
end

describe("a script is loaded anew,", function()
  local pg, moongate

  setup(function()
    pg = cluster.shared()
    process.run { pg.bindir .. "/pgbench", "-i", "-q", pg.primary.url }
    pg:wait_for_replay()
  end)
  teardown(function()
    if moongate then moongate:stop() end
  end)

  local function reload(from, to)
    for i = from, to do
      local answer, status = moongate:reload(script(pg, i))
      assert.equal(200, status, answer.error)
    end
  end

  it(("%d times, without losing a query or keeping anything"):format(RELOADS), function()
    moongate = router.start { pg = pg, admin = true, text = script(pg, 0) }
    wait.until_true("it to be ready", function() return moongate:http "/ready" == 200 end)
    local pgbench = process.spawn({
      pg.bindir .. "/pgbench", "-n", "-c", "4", "-j", "1", "-T", "3600", "-M", "prepared", "-b", "select-only@9",
      "-b", "simple-update@1", moongate:url(),
    }, { env = router.environment_for_programs() })
    local warm = RELOADS // 5
    reload(1, warm)
    local before = moongate:rss()
    reload(warm + 1, RELOADS)
    local grown = moongate:rss() - before
    assert.is_nil(pgbench.status, pgbench.errors)
    local _, page = moongate:http "/metrics"
    assert.matches(("moongate_reloads_total %d\n"):format(RELOADS), page)
    pgbench:kill "sigint"
    pgbench:wait(30)
    assert.not_matches("rror", pgbench.errors)
    assert.not_matches("level=error", moongate:log())
    assert.is_true(grown < GROWTH, ("grown by %d bytes"):format(grown))
  end)
end)
