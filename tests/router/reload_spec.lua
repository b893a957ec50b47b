-- Another script takes over while clients work: nobody notices but by what it changes.

local cluster = require "tests.support.cluster"
local gate = require "tests.support.gate"
local process = require "moongate.process"
local router = require "tests.support.router"
local throwaway = require "moongate.throwaway"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

local QUICK = [[
  health = { interval = 0.1, timeout = 5, fall = 2, rise = 1 },
  backoff = { initial = 0.1, max = 0.3 },
]]
-- All to the primary, or reads to a replica whatever is fresh.
local TO_PRIMARY = [[function(cluster)
  local all = cluster:route { to = "primary" }
  return function() return all end
end]]
local TO_REPLICAS = [[function(cluster)
  local reads = cluster:route { to = "replicas", consistency = "eventual", fallback = "primary" }
  local writes = cluster:route { to = "primary" }
  return function(query) return query.intent == "read" and reads or writes end
end]]

describe("reload", function()
  local pg, other, moongate
  local opened = {}

  setup(function()
    pg = cluster.shared()
    other = throwaway.start {}
    pg.primary:psql "create table reloads (id serial primary key, note text)"
    pg:wait_for_replay()
  end)
  teardown(function() other:stop() end)
  after_each(function()
    for _, client in ipairs(opened) do client:close() end
    opened = {}
    if moongate then moongate:stop() end
    moongate = nil
  end)

  -- A script over these nodes, the primary first.
  local function script(nodes, options)
    options = options or {}
    return router.script({ primary = nodes[1], replicas = { table.unpack(nodes, 2) } },
      { policy = options.policy or TO_REPLICAS, extra = QUICK .. (options.extra or "") })
  end

  local function start(text, options)
    options = options or {}
    options.pg, options.text, options.admin = pg, text, true
    moongate = router.start(options)
    wait.until_true("it to be ready", function() return moongate:http "/ready" == 200 end)
    return moongate
  end

  local function open(params)
    local client = wire.open(moongate.port, params)
    opened[#opened + 1] = client
    return client
  end

  local function reload(text)
    local answer, status = moongate:reload(text)
    assert.equal(200, status, answer.error)
    return answer
  end

  -- Connections of others than this one to the node.
  local function connections(node)
    return tonumber(node:psql [[select count(*) from pg_stat_activity
      where backend_type = 'client backend' and pid <> pg_backend_pid()]])
  end

  local primary, first, second
  before_each(function() primary, first, second = pg.primary, pg.replicas[1], pg.replicas[2] end)

  it("another policy decides from then on, for clients that were there before", function()
    start(script({ primary, first }))
    local client = open()
    assert.equal(first.port, client:served_by())
    local answer = reload(script({ primary, first }, { policy = TO_PRIMARY }))
    assert.same({ kept = 2, added = 0, removed = 0 }, answer.endpoints)
    assert.equal(primary.port, client:served_by())
  end)

  it("comes with SIGHUP, too", function()
    start(script({ primary, first }))
    local client = open()
    assert.equal(first.port, client:served_by())
    local file = assert(io.open(moongate.script, "w"))
    file:write(script({ primary, first }, { policy = TO_PRIMARY }))
    file:close()
    moongate.process:kill "sighup"
    wait.until_true("the log to tell", function() return moongate:log():match 'msg=reloaded' end)
    assert.equal(primary.port, client:served_by())
  end)

  local wrong = {
    { "does not parse", "return return", "script%.lua:1: unexpected symbol" },
    { "raises", "\n\nerror 'no luck'", "script%.lua:3: no luck" },
    { "has an unknown option", [[local m = require "moongate"
      return m.router { cluster = m.cluster { primary = "postgres://db", replica = {} } }]],
      'script%.lua:2: .-unknown option "replica"' },
    { "returns no router", "return 7", "it returned a number" },
    { "wants a port that is taken", [[local m = require "moongate"
      return m.router { admin = "127.0.0.1:%d", cluster = m.cluster { primary = "postgres://db" } }]],
      "cannot listen on" },
  }
  for _, each in ipairs(wrong) do
    it("keeps the old script where the new one " .. each[1], function()
      start(script({ primary, first }))
      local client = open()
      assert.equal(first.port, client:served_by())
      local answer, status = moongate:reload((each[2]:gsub("%%d", primary.port)))
      assert.equal(422, status)
      assert.matches(each[3], answer.error)
      assert.matches("not reloaded; the old script stays[^\n]*" .. each[3]:gsub('"', '\\"'), moongate:log())
      assert.equal(first.port, client:served_by())
      assert.equal(primary.port, tonumber(client:query(
        "insert into reloads (note) values ('x') returning current_setting('port')").rows[1][1]))
      assert.equal(200, (moongate:http "/ready"))
    end)
  end

  it("servers, settings and prepared statements stay", function()
    start(script({ primary, first }, { policy = TO_PRIMARY, extra = "pool = { size = 1 }," }))
    local client = open()
    client:query "set work_mem = '3MB'"
    client:send(wire.parse("mine", "select $1::int + 1, pg_backend_pid()") .. wire.sync())
    client:result()
    local function run()
      client:send(wire.bind("", "mine", { "41" }) .. wire.execute "" .. wire.sync())
      local row = client:result().rows[1]
      assert.equal("42", row[1])
      return row[2]
    end
    local before = run()
    reload(script({ primary, first }, { policy = TO_PRIMARY, extra = "pool = { size = 2 }," }))
    assert.equal(before, run())
    assert.equal("3MB", client:value "show work_mem")
  end)

  it("what the policy has noted of a session stays", function()
    local noting = [[function(cluster)
      local reads = cluster:route { to = "replicas", consistency = "eventual" }
      local writes = cluster:route { to = "primary" }
      return function(query)
        local vars = query.session.vars
        if query.tags.note then
          vars.where, vars.count, vars.sure, vars[1.5], vars.more = query.tags.note, 7, true, "x", { 1 }
        end
        if vars.where == "primary" and vars.count == 7 and math.type(vars.count) == "integer" and vars.sure == true
          and vars[1.5] == "x" and (query.tags.note or vars.more == nil or query.tags.first) then
          return writes
        end
        return reads
      end
    end]]
    start(script({ primary, first }, { policy = noting }))
    local noted, plain = open(), open()
    noted:query "select 1 /* note='primary' */"
    assert.equal("" .. primary.port, noted:value "select current_setting('port') /* first='yes' */")
    for _ = 1, 3 do
      reload(script({ primary, first }, { policy = noting }))
      assert.equal(primary.port, noted:served_by())
      assert.equal(first.port, plain:served_by())
    end
    noted:quit()
    assert.equal(first.port, open():served_by())
  end)

  it("new clients are greeted without a server, as before, where the endpoints are the same", function()
    start(script({ primary }, { extra = "pool = { size = 1, acquire_timeout = 1 }," }))
    local busy = open()
    busy:query "begin"
    busy:query "select 1"
    reload(script({ primary }, { extra = "pool = { size = 1, acquire_timeout = 1 }," }))
    open()
    busy:query "commit"
  end)

  it("a replica that is added serves reads", function()
    start(script({ primary, first }))
    local client = open()
    assert.equal(first.port, client:served_by())
    local answer = reload(script({ primary, first, second }))
    assert.same({ kept = 2, added = 1, removed = 0 }, answer.endpoints)
    wait.until_true("it to serve", function() return client:served_by() == second.port end)
  end)

  it("a replica that is removed finishes what it has begun, and gets no more", function()
    start(script({ primary, first }))
    local busy, idle = open(), open()
    assert.equal(first.port, idle:served_by())
    busy:query "begin read only"
    assert.equal(first.port, busy:served_by())
    reload(script({ primary, second }))
    assert.equal(second.port, idle:served_by())
    assert.equal(first.port, busy:served_by())
    assert.matches("\nmoongate_endpoints_retired 1\n", (select(2, moongate:http "/metrics")))
    assert.is_nil(busy:query "commit".error)
    assert.equal(second.port, busy:served_by())
    wait.until_true("its connections to be closed", function() return connections(first) == 0 end)
    wait.until_true("it to be forgotten", function()
      return select(2, moongate:http "/metrics"):find("\nmoongate_endpoints_retired 0\n", 1, true)
    end)
  end)

  -- Returns once the first replica is at it, until the gate is opened; the answer is its port.
  local function read_slowly(client)
    local shut = gate.shut(pg)
    client:send(wire.query "select current_setting('port') from gate")
    shut:await { first }
    return shut
  end

  it("a statement that runs on it is not disturbed", function()
    start(script({ primary, first }))
    local client = open()
    local shut <close> = read_slowly(client)
    reload(script({ primary, second }))
    shut:open()
    assert.equal(tostring(first.port), client:result().rows[1][1])
    assert.equal(second.port, client:served_by())
  end)

  it("batches in a pipeline do not follow the others to an endpoint that is removed", function()
    start(script({ primary, first }))
    local client = open()
    local shut <close> = read_slowly(client)
    reload(script({ primary, second }))
    client:send(wire.query "select current_setting('port')")
    shut:open()
    assert.equal(tostring(first.port), client:result().rows[1][1])
    assert.equal(tostring(second.port), client:result().rows[1][1])
  end)

  it("an endpoint that lets no probe in has the role that the script gives it", function()
    start(script({ primary, first }))
    local before = moongate:ask "/health"
    assert.equal("127.0.0.1:" .. primary.port, before.endpoints[1].name)
    assert.equal("primary", before.endpoints[1].role)
    reload(script({ first, primary }))
    local after = moongate:ask "/health"
    assert.equal("127.0.0.1:" .. first.port, after.endpoints[1].name)
    assert.equal("primary", after.endpoints[1].role)
    assert.equal("replica", after.endpoints[2].role)
  end)

  it("a client with a pin keeps its server until the pin ends", function()
    start(script({ primary }))
    local client = open()
    client:query "listen somebody"
    reload(script({ other.primary }))
    primary:psql "notify somebody, 'still there'"
    assert.equal(primary.port, client:served_by())
    local fresh = open()
    assert.equal(other.primary.port, fresh:served_by())
    client:query "unlisten *"
    assert.equal(other.primary.port, client:served_by())
  end)

  it("a client of pool mode session keeps its server until it goes", function()
    start(script({ primary }, { extra = "pool = { mode = 'session' }," }))
    local client = open()
    assert.equal(primary.port, client:served_by())
    reload(script({ other.primary }, { extra = "pool = { mode = 'session' }," }))
    assert.equal(primary.port, client:served_by())
    client:quit()
    assert.equal(other.primary.port, open():served_by())
    wait.until_true("its server to be closed", function() return connections(primary) == 0 end)
  end)

  it("who waits for a server gets one where the pool has become larger, in turn", function()
    local text = function(size)
      return script({ primary }, { extra = ("pool = { size = %d, acquire_timeout = 60 },"):format(size) })
    end
    start(text(1))
    local clients, waiters = { open(), open(), open(), open() }, {}
    local holder = clients[4]
    holder:query "begin"
    holder:query "select 1"
    for i, k in ipairs { 3, 1, 2 } do -- not in the order in which they came
      waiters[i] = clients[k]
      waiters[i]:send(wire.query(("insert into reloads (note) values ('waiter %d') returning id"):format(i)))
      wait.until_true("it to wait", function()
        return select(2, moongate:http "/metrics"):match("\nmoongate_pool_waiting(%b{}) " .. i .. "\n")
      end)
    end
    reload(text(2))
    local ids = {}
    for i = 1, 3 do ids[i] = tonumber(waiters[i]:result().rows[1][1]) end
    assert.is_true(ids[1] < ids[2] and ids[2] < ids[3])
    holder:query "rollback"
  end)

  it("who waits for an endpoint finds the one that the new script has", function()
    local nowhere = { port = process.free_port() }
    moongate = router.start { pg = pg, admin = true, text = router.script({ primary = nowhere, replicas = {} },
      { policy = TO_PRIMARY, extra = QUICK .. "pool = { acquire_timeout = 60 }," }) }
    local client = wire.connect(moongate.port)
    opened[1] = client
    client:send(wire.startup { user = "postgres", database = "postgres" })
    wait.until_true("it to wait", function()
      return select(2, moongate:http "/metrics"):match("\nmoongate_queries_parked%b{} 1\n")
    end)
    reload(script({ primary }))
    repeat local message = client:read() until message.type == "Z"
    assert.equal(primary.port, client:served_by())
  end)

  it("a pool that has become smaller closes what it has too many of", function()
    local text = function(size) return script({ primary }, { extra = ("pool = { size = %d },"):format(size) }) end
    start(text(4))
    local clients = {}
    for i = 1, 4 do
      clients[i] = open()
      clients[i]:query "begin"
      clients[i]:query "select 1"
    end
    local function open_servers()
      return primary:psql [[select count(*) from pg_stat_activity
        where backend_type = 'client backend' and query not like '%pg_is_in_recovery%' and pid <> pg_backend_pid()]]
    end
    clients[4]:query "commit"
    wait.until_true("the look at the catalog to be over", function() return open_servers() == "4" end)
    reload(text(2))
    wait.until_true("the idle one to be closed", function() return open_servers() == "3" end)
    for i = 1, 3 do clients[i]:query "commit" end
    wait.until_true("two to be left", function() return open_servers() == "2" end)
  end)

  it("limits that are shared hold anew, and count what is there", function()
    local text = function(limit, timeout)
      return script({ primary },
        { extra = ("pool = { max_per_user = %d, acquire_timeout = %g },"):format(limit, timeout) })
    end
    start(text(0, 20))
    local clients = {}
    for i = 1, 3 do
      clients[i] = open()
      clients[i]:query "begin"
      clients[i]:query "select 1"
    end
    local late = open()
    reload(text(2, 0.3))
    local refused = late:query "insert into reloads (note) values ('late')"
    assert.equal("53300", refused.error.C)
    assert.matches("max_per_user", refused.error.M)
    clients[1]:query "commit"
    clients[2]:query "commit"
    reload(text(2, 20))
    assert.is_nil(late:query "insert into reloads (note) values ('late')".error)
  end)

  it("a client sees its own writes, reload or not", function()
    start(script({ primary, first }, { policy = 'require "moongate.policies.read_write_split"' }))
    local client = open()
    wait.until_true("the replica to be read", function() return client:served_by() == first.port end)
    first:psql "select pg_wal_replay_pause()"
    finally(function() first:psql "select pg_wal_replay_resume()" end)
    client:query "insert into reloads (note) values ('mine')"
    reload(script({ primary, first }, { policy = 'require "moongate.policies.read_write_split"' }))
    assert.equal("1", client:value "select count(*) from reloads where note = 'mine'")
    assert.equal(primary.port, client:served_by())
  end)

  -- A policy whose reads have these options.
  local function reading(options)
    return ([[function(cluster)
      local reads = cluster:route { to = "replicas", fallback = "primary", %s }
      local writes = cluster:route { to = "primary" }
      return function(query)
        return query.intent == "read" and reads or writes
      end
    end]]):format(options)
  end

  local function pause_replay(node)
    node:psql "select pg_wal_replay_pause()"
    finally(function() node:psql "select pg_wal_replay_resume()" end)
    wait.until_true("replay to be paused", function()
      return node:psql "select pg_get_wal_replay_pause_state()" == "paused"
    end)
  end

  it("a scope that the new script has holds for what was written before", function()
    start(script({ primary, first }, { policy = reading 'consistency = "eventual"' }))
    local writer, reader = open(), open()
    pause_replay(first)
    writer:query "insert into reloads (note) values ('of another')"
    assert.equal("0", reader:value "select count(*) from reloads where note = 'of another'")
    reload(script({ primary, first }, { policy = reading 'scope = "cluster"' }))
    assert.equal("1", reader:value "select count(*) from reloads where note = 'of another'")
  end)

  it("a block that began by the old script tells the new scopes of all that it has written", function()
    start(script({ primary, first }, { policy = reading 'consistency = "eventual"' }))
    local writer, reader = open(), open()
    writer:query "create table if not exists reloads_too (id int)"
    pg:wait_for_replay()
    writer:query "begin"
    writer:query "insert into reloads (note) values ('in a block')"
    reload(script({ primary, first }, { policy = reading 'scope = "table"' }))
    primary:psql "insert into reloads (note) values ('flushes what the block has written')"
    wait.until_true("the replica to be fresh enough", function() return reader:served_by() == first.port end)
    pause_replay(first)
    writer:query "insert into reloads_too values (1)"
    writer:query "commit"
    assert.equal("1", reader:value "select count(*) from reloads where note = 'in a block'")
  end)

  it("a session does not take another endpoint for the one that it has read from", function()
    start(script({ primary, first }, { policy = reading 'consistency = "session"' }))
    local client = open()
    pause_replay(second)
    primary:psql "insert into reloads (note) values ('seen')"
    wait.until_true("it to be seen", function()
      return first:psql "select count(*) from reloads where note = 'seen'" == "1"
    end)
    assert.equal("1", client:value "select count(*) from reloads where note = 'seen'")
    assert.equal(first.port, client:served_by())
    reload(script({ primary, second, first }, { policy = reading 'consistency = "session"' }))
    assert.equal("1", client:value "select count(*) from reloads where note = 'seen'")
  end)

  it("another address is listened on, and clients of the old one stay", function()
    local here, there = process.free_port(), process.free_port()
    local text = function(port)
      return (script({ primary }):gsub("moongate%.router {", ('%%0 listen = "127.0.0.1:%d",'):format(port)))
    end
    start(text(here), { port = here })
    local client = open()
    reload(text(there))
    assert.equal(primary.port, client:served_by())
    assert.is_false(process.port_answers(here))
    moongate.port = there
    assert.equal(primary.port, open():served_by())
  end)

  it("admin's address may change, and go", function()
    start(script({ primary }))
    local here, there = moongate.admin_port, process.free_port()
    reload((script({ primary }):gsub('os.getenv "MOONGATE_ADMIN"', ('"127.0.0.1:%d"'):format(there))))
    moongate.admin_port = there
    assert.equal(200, (moongate:http "/live"))
    assert.is_false(process.port_answers(here))
    reload((script({ primary }):gsub('admin = os.getenv "MOONGATE_ADMIN",', "")))
    assert.is_false(process.port_answers(there))
    assert.equal(primary.port, open():served_by())
  end)

  it("clients of a database that is not served any more are told, at the end of what they do", function()
    local text = function(names)
      local list = {}
      for i, name in ipairs(names) do
        list[i] = ('%s = moongate.cluster { primary = "postgres://127.0.0.1:%d" }'):format(name, primary.port)
      end
      return ('local moongate = require "moongate"\nreturn moongate.router { admin = os.getenv "MOONGATE_ADMIN", '
        .. "clusters = { %s } }"):format(table.concat(list, ", "))
    end
    start(text { "postgres", "template1" })
    local idle, busy, stays = open(), open(), open { user = "postgres", database = "template1" }
    idle:query "select 1"
    busy:query "begin"
    busy:query "select 1"
    reload(text { "template1" })
    assert.equal("57P01", wire.fields(idle:read().body).C)
    assert.is_true(idle:ends())
    assert.equal("1", busy:value "select 1")
    assert.is_nil(busy:query "commit".error)
    assert.equal("57P01", wire.fields(busy:read().body).C)
    assert.equal("1", stays:value "select 1")
    local late = wire.connect(moongate.port)
    late:send(wire.startup { user = "postgres", database = "postgres" })
    assert.equal("3D000", wire.fields(late:read().body).C)
    late:close()
  end)

  it("replication goes on", function()
    start(script({ primary }))
    local client = open { user = "postgres", database = "postgres", replication = "database" }
    assert.equal(1, #client:query "IDENTIFY_SYSTEM".rows)
    reload(script({ other.primary }))
    assert.equal(1, #client:query "IDENTIFY_SYSTEM".rows)
    client:quit()
    wait.until_true("its server to be closed", function() return connections(primary) == 0 end)
  end)

  it("the health of an endpoint that stays is known at once", function()
    start(script({ primary, first }))
    wait.until_true("all to be well", function() return moongate:http "/health" == 200 end)
    for _ = 1, 20 do
      reload(script({ primary, first }))
      assert.equal(200, (moongate:http "/health"))
    end
  end)

  -- pgbench's own statements, half of them reads, while the script changes again and again.
  it("loses no query under load", function()
    process.run { pg.bindir .. "/pgbench", "-i", "-q", primary.url }
    pg:wait_for_replay()
    start(script({ primary, first, second }))
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write [[
\set aid random(1, 100000)
select abalance from pgbench_accounts where aid = :aid;
begin;
update pgbench_accounts set abalance = abalance + 1 where aid = :aid;
insert into reloads (note) values ('load');
commit;
select count(*) from reloads where id < :aid;
]]
    file:close()
    finally(function() os.remove(path) end)
    local load = process.spawn({
      pg.bindir .. "/pgbench", "-n", "-c", "8", "-j", "1", "-T", "5", "-M", "prepared", "-f", path, moongate:url(),
    }, { env = router.environment_for_programs() })
    local texts = {
      script({ primary, first }), script({ primary, second }), script({ primary }),
      script({ primary, second, first }, { extra = "pool = { size = 2 }," }),
      script({ primary, first, second }, { policy = TO_PRIMARY }),
    }
    local count = 0
    while not load.status do
      count = count + 1
      reload(texts[count % #texts + 1])
      process.poll(function() return load.status end, 0.02)
    end
    local status = load:wait(30)
    assert.equal(0, status, load.errors)
    assert.matches("number of failed transactions: 0 ", load.output)
    assert.not_matches("rror", load.errors)
    assert.is_true(count > 10, count)
  end)

  local function reload_often(times)
    local texts = {
      script({ primary, first }), script({ primary, second, first }),
      script({ primary }, { policy = TO_PRIMARY }), "error 'wrong'",
    }
    local client = open()
    for i = 1, times do
      local _, status = moongate:reload(texts[i % #texts + 1])
      assert.equal(i % #texts + 1 == #texts and 422 or 200, status)
      if i % 10 == 0 then client:query "select 1" end
    end
  end

  it("leaves nothing behind, 200 times over", function()
    start(script({ primary }))
    reload_often(200)
    wait.until_true("what was removed to be gone", function()
      return select(2, moongate:http "/metrics"):find("\nmoongate_endpoints_retired 0\n", 1, true)
    end)
  end)

  it("grows by nothing, however often it is done #release", function()
    start(script({ primary }))
    reload_often(400)
    local before = moongate:rss()
    reload_often(2000)
    local grown = moongate:rss() - before
    assert.is_true(grown < 1 << 20, ("grown by %d bytes"):format(grown))
  end)
end)
