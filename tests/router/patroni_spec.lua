-- The endpoints are Patroni's members, as they come and go: its REST API is a server of the test's.

local cjson = require "cjson"
local process = require "moongate.process"
local router = require "tests.support.router"
local throwaway = require "moongate.throwaway"
local uv = require "luv"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

-- No probe that nobody asks for, once the first ones have been.
local SELDOM = "health = { interval = 600, timeout = 5, fall = 3, rise = 1, slow_start = 0 },"
local OFTEN = "health = { interval = 0.1, timeout = 5, fall = 3, rise = 1, slow_start = 0 },"
local SCRIPT = [[
local moongate = require "moongate"
return moongate.router {
  admin = os.getenv "MOONGATE_ADMIN",
  cluster = moongate.cluster {
    patroni = moongate.patroni {
      url = { %s },
      interval = %g, timeout = %g,
      members = { n2 = { region = "eu" }, n3 = { weight = 3 } },
    },
    policy = %s,
    %s
  },
}
]]
local POLICY = [[function(cluster)
  local writes = cluster:route { to = "primary", hold = 50 }
  local reads = cluster:route { to = "replicas", consistency = "eventual", fallback = "primary" }
  local named = cluster:route { to = "n3", consistency = "eventual" }
  local eu = cluster:route { to = { region = "eu" }, consistency = "eventual" }
  return function(query)
    if query.tags.to then return query.tags.to == "n3" and named or eu end
    return query.intent == "read" and reads or writes
  end
end]]
local PORT = "select current_setting('port')"

describe("a cluster by Patroni", function()
  local pg, moongate, client, api, dir, nodes

  setup(function()
    pg = throwaway.start { replicas = 2 }
    pg.primary:psql "create table members (id serial primary key, port int)"
    pg:wait_for_replay()
    dir = assert(uv.fs_mkdtemp(pg.dir .. "/patroni-XXXXXX"))
  end)
  teardown(function() pg:stop() end)
  before_each(function()
    nodes = { n1 = pg.primary, n2 = pg.replicas[1], n3 = pg.replicas[2] }
  end)
  after_each(function()
    if client then client:close() end
    if moongate then moongate:stop() end
    if api then
      api:close_input()
      api:wait(5)
    end
    client, moongate, api = nil, nil, nil
  end)

  local function say(text, status, seconds)
    local file = assert(io.open(dir .. "/new", "w"))
    file:write(("%d %g\n"):format(status or 200, seconds or 0), text)
    file:close()
    assert(os.rename(dir .. "/new", dir .. "/answer"))
  end

  -- What Patroni would say of these members; `leader` is a name, `more` has fields by name.
  local function members(names, leader, more)
    local list = {}
    for i, name in ipairs(names) do
      list[i] = { name = name, role = name == leader and "leader" or "replica", host = "127.0.0.1",
        state = name == leader and "running" or "streaming", port = nodes[name].port, timeline = 1, lag = 0 }
      for key, value in pairs(more and more[name] or {}) do list[i][key] = value end
    end
    return cjson.encode { members = list, scope = "test" }
  end

  local function start_api(port)
    api = process.spawn({ "lua5.4", "tests/support/patroni_api.lua", dir .. "/answer", port and tostring(port) },
      { input = true })
    pg:guard(api)
    return tonumber(api:take("\n", 5))
  end

  local function script(options, ...)
    local urls = {}
    for i, port in ipairs { ... } do urls[i] = ("'http://127.0.0.1:%d'"):format(port) end
    return SCRIPT:format(table.concat(urls, ", "), options.interval or 0.05, options.timeout or 0.5,
      options.policy or POLICY, options.extra or OFTEN)
  end

  local function start(options, ...)
    options = options or {}
    moongate = router.start { pg = pg, admin = true, text = script(options, ...) }
  end

  local function open()
    client = wire.open(moongate.port)
    return client
  end

  local function endpoints()
    local names = {}
    for _, e in ipairs(moongate:ask("/health").endpoints) do names[#names + 1] = e.name end
    table.sort(names)
    return table.concat(names, " ")
  end

  local function until_endpoints(names)
    wait.until_true("the endpoints to be " .. names, function() return endpoints() == names end)
  end

  local function until_ready()
    wait.until_true("it to be ready", function() return moongate:http "/ready" == 200 end)
  end

  local function logged(text)
    wait.until_true("the log to say " .. text, function() return moongate:log():find(text, 1, true) end)
  end

  local function times_logged(text)
    local _, count = moongate:log():gsub(text, "")
    return count
  end

  local function write()
    return tonumber(client:value "insert into members (port) values (current_setting('port')::int) returning port")
  end

  local function asked()
    local _, count = api.output:gsub("/cluster", "")
    return count
  end

  -- Two rounds more: whatever the API says now has been heard.
  local function heard()
    local before = asked()
    wait.until_true("two more rounds", function() return asked() >= before + 2 end)
  end

  it("has its members as endpoints: writes go to the leader, reads to the others, by name and region", function()
    say(members({ "n1", "n2", "n3" }, "n1"))
    start({}, start_api())
    until_ready()
    open()
    assert.equal("n1 n2 n3", endpoints())
    assert.equal(pg.primary.port, write())
    assert.equal(pg.replicas[2].port, tonumber(client:value(PORT .. " /* moongate: to=n3 */")))
    assert.equal(pg.replicas[1].port, tonumber(client:value(PORT .. " /* moongate: to=eu */")))
    local seen = {}
    for _ = 1, 40 do seen[client:served_by()] = true end
    assert.same({ [pg.replicas[1].port] = true, [pg.replicas[2].port] = true }, seen)
    logged 'msg="Patroni answers"'
    logged 'msg="endpoint added" endpoint=n2 host=127.0.0.1'
    assert.matches('moongate_patroni_up{cluster="*"} 1', (select(2, moongate:http "/metrics")), 1, true)
  end)

  it("a member joins and is used, and leaves again, and nobody at another one notices", function()
    say(members({ "n1", "n2" }, "n1"))
    start({}, start_api())
    until_ready()
    open()
    client:query "begin"
    client:query "insert into members (port) values (1)"
    local other <close> = setmetatable({ c = wire.open(moongate.port) }, { __close = function(o) o.c:close() end })
    other.c:query "begin read only"
    assert.equal(pg.replicas[1].port, tonumber(other.c:value(PORT)))

    say(members({ "n1", "n2", "n3" }, "n1"))
    until_endpoints "n1 n2 n3"
    local third = wire.open(moongate.port)
    wait.until_true("the joiner to be used", function()
      return tonumber(third:value(PORT .. " /* moongate: to=n3 */")) == pg.replicas[2].port
    end)

    -- n2 goes while a client is in a transaction there: that goes on to its end.
    say(members({ "n1", "n3" }, "n1"))
    until_endpoints "n1 n3"
    assert.equal(pg.replicas[1].port, tonumber(other.c:value(PORT)))
    assert.equal("I", other.c:query("commit").status)
    for _ = 1, 20 do assert.equal(pg.replicas[2].port, other.c:served_by()) end
    assert.equal("I", client:query("commit").status)

    -- And it is back as it was.
    say(members({ "n1", "n2", "n3" }, "n1"))
    until_endpoints "n1 n2 n3"
    wait.until_true("n2 to be used again", function() return third:served_by() == pg.replicas[1].port end)
    third:close()
    assert.equal(0, times_logged 'msg="endpoint down"')
  end)

  it("a member that has moved is another endpoint of the same name", function()
    say(members({ "n1", "n3" }, "n1"))
    start({}, start_api())
    until_ready()
    open()
    assert.equal(pg.replicas[2].port, tonumber(client:value(PORT .. " /* moongate: to=n3 */")))
    nodes.n3 = pg.replicas[1]
    say(members({ "n1", "n3" }, "n1"))
    wait.until_true("n3 to be the other node", function()
      return tonumber(client:value(PORT .. " /* moongate: to=n3 */")) == pg.replicas[1].port
    end)
    assert.equal("n1 n3", endpoints())
  end)

  it("tags and the script's weights count: noloadbalance takes no reads", function()
    say(members({ "n1", "n2", "n3" }, "n1", { n3 = { tags = { noloadbalance = true } } }))
    start({}, start_api())
    until_ready()
    open()
    for _ = 1, 20 do assert.equal(pg.replicas[1].port, client:served_by()) end
    say(members({ "n1", "n2", "n3" }, "n1"))
    wait.until_true("n3 to be read", function() return client:served_by() == pg.replicas[2].port end)
  end)

  it("starts without an answer, holds what comes, and serves it when there is one", function()
    say("", 503)
    start({}, start_api())
    logged "Patroni does not answer: no endpoint is known"
    assert.matches("it answered with HTTP status 503", moongate:log(), 1, true)
    assert.equal(503, (moongate:http "/ready"))
    assert.matches('moongate_patroni_up{cluster="*"} 0', (select(2, moongate:http "/metrics")), 1, true)
    local held = wire.connect(moongate.port)
    held:send(wire.startup { user = "postgres", database = "postgres" })
    heard()
    say(members({ "n1", "n2", "n3" }, "n1"))
    until_ready()
    wait.until_true("the client to be let in", function() return held:read().type == "Z" end)
    held:close()
    assert.equal(1, times_logged "Patroni does not answer")
  end)

  it("nothing changes while it is down or talks nonsense, which is logged once each", function()
    say(members({ "n1", "n2", "n3" }, "n1"))
    local port = start_api()
    start({}, port)
    until_ready()
    open()
    local nonsense = {
      { "{", "its answer is no JSON" },
      { "[]", 'its answer has no list \\"members\\"' },
      { '{"members": [{"host": "127.0.0.1"}]}', 'member 1 has no \\"name\\"' },
      { '{"members": []}', 'it knows no member that has a \\"host\\"' },
      { '{"members": [{"name": "n1", "host": "h", "port": "x"}]}', 'the \\"port\\" of member n1 is none' },
      { members({ "n1", "n1" }, "n1"), "two members are called n1" },
      { ("x"):rep((1 << 20) + 1), "its answer has more than 1048576 bytes" },
    }
    for _, each in ipairs(nonsense) do
      say(each[1])
      logged(each[2])
      heard()
      assert.equal("n1 n2 n3", endpoints())
      assert.equal(pg.primary.port, write())
      say(members({ "n1", "n2", "n3" }, "n1"))
      heard()
    end
    assert.equal(#nonsense, times_logged "Patroni does not answer")
    assert.equal(#nonsense + 1, times_logged "Patroni answers")

    api:close_input()
    api:wait(5)
    wait.until_true("it to be missed", function() return times_logged "Patroni does not answer" == #nonsense + 1 end)
    assert.equal("n1 n2 n3", endpoints())
    assert.equal(pg.primary.port, write())
    say(members({ "n1", "n2" }, "n1"))
    start_api(port)
    until_endpoints "n1 n2"
  end)

  it("one that takes its time keeps no query waiting, and is given up", function()
    say(members({ "n1", "n2", "n3" }, "n1"))
    start({ timeout = 2 }, start_api())
    until_ready()
    open()
    say(members({ "n1" }, "n1"), 200, 30)
    local slowest = 0
    wait.until_true("it to be given up", function()
      local began = uv.hrtime()
      client:value "select 1"
      slowest = math.max(slowest, uv.hrtime() - began)
      return moongate:log():find("no answer within 2 s", 1, true)
    end)
    assert.is_true(slowest < 1.5e9, slowest / 1e9)
    assert.equal("n1 n2 n3", endpoints())
  end)

  it("another URL is asked where one fails, and what members say of themselves", function()
    local dead <const> = process.free_port()
    say(members({ "n1", "n2" }, "n1"))
    start({}, dead, start_api())
    until_ready()
    assert.equal("n1 n2", endpoints())
    assert.equal(0, times_logged "Patroni does not answer")

    -- The API of n2 goes on elsewhere, and those of the script are gone.
    local second = process.free_port()
    say(members({ "n1", "n2" }, "n1", { n2 = { api_url = ("http://127.0.0.1:%d/patroni"):format(second) } }))
    heard()
    api:close_input()
    api:wait(5)
    say(members({ "n1", "n2", "n3" }, "n1"))
    start_api(second)
    until_endpoints "n1 n2 n3"
  end)

  it("a reload keeps the members, and what they have under way", function()
    say(members({ "n1", "n2", "n3" }, "n1"))
    local port = start_api()
    start({}, port)
    until_ready()
    open()
    client:query "begin"
    local pid = client:value "select pg_backend_pid()"
    say("", 500)
    wait.until_true("it to be missed", function() return times_logged "Patroni does not answer" == 1 end)
    local answer, status = moongate:reload(script({ policy = POLICY:gsub("hold = 50", "hold = 51") }, port))
    assert.equal(200, status, answer.error)
    assert.same({ kept = 3, added = 0, removed = 0 }, answer.endpoints)
    assert.equal(pid, client:value "select pg_backend_pid()")
    assert.equal("I", client:query("commit").status)
    assert.equal(pg.primary.port, write())
    -- The same ones, of a script without Patroni, and back.
    answer = moongate:reload(router.script(pg, { policy = 'require "moongate.policies.read_write_split"' }))
    assert.same({ kept = 3, added = 0, removed = 0 }, answer.endpoints)
    assert.equal(pg.primary.port, write())
    say(members({ "n1", "n2" }, "n1"))
    moongate:reload(script({}, port))
    until_endpoints "n1 n2"
    assert.equal(pg.primary.port, write())
  end)

  -- Last: the nodes have other roles afterwards.
  it("another leader is looked for as soon as Patroni tells, though nobody waits", function()
    say(members({ "n1", "n2", "n3" }, "n1"))
    start({ extra = SELDOM }, start_api())
    until_ready()
    open()
    assert.equal(pg.primary.port, write())
    -- n1 and its probes are fine as far as anybody knows: it is stopped behind our back.
    pg.replicas[1]:promote()
    assert.equal(pg.primary.port, write())
    say(members({ "n1", "n2", "n3" }, "n2", { n2 = { timeline = 2 } }))
    logged 'writes go to another primary" endpoint=n2 timeline=2'
    assert.equal(pg.replicas[1].port, write())
    assert.is_true(times_logged "an old primary, on a timeline that was left" == 1)
  end)
end)
