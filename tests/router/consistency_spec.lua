-- What reads on replicas promise: levels and scopes, shown with replicas whose replay stands still.

local cluster = require "tests.support.cluster"
local router = require "tests.support.router"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

-- The tag `via` picks the route.
local POLICY = [[function(cluster)
  local function route(options)
    options.to, options.fallback = options.to or "replicas", "primary"
    return cluster:route(options)
  end
  local routes = {
    eventual = route { consistency = "eventual" },
    bounded = route { consistency = "bounded", max_staleness = 0.3 },
    own = route { consistency = "read_your_writes" },
    user = route { scope = "user" },
    table = route { scope = "table" },
    cluster = route { scope = "cluster" },
    key = route { scope = "key" },
    session = route { consistency = "session" },
    strong = route { consistency = "strong" },
    patient = route { wait_fresh = 20000 },
    hasty = route { wait_fresh = 20 },
  }
  local writes = cluster:route { to = "primary" }
  return function(query)
    query.key = query.tags.tenant
    if query.intent == "write" then return writes end
    return routes[query.tags.via or "own"]
  end
end]]

describe("consistency:", function()
  local pg, moongate
  local open = {}

  -- Probes of their own accord come once a minute: what is seen of a write is due to it.
  setup(function()
    pg = cluster.shared()
    pg.primary:psql [[
      drop table if exists fresh_a, fresh_b;
      create table fresh_a (n int); create table fresh_b (n int);
      insert into fresh_a values (0); insert into fresh_b values (0);
      do $$ begin create role fresh_other login; exception when duplicate_object then null; end $$;
      grant all on fresh_a, fresh_b to fresh_other;
    ]]
    pg:wait_for_replay()
    moongate = router.start { pg = pg,
      text = router.script(pg, { policy = POLICY, extra = "health = { interval = 60, timeout = 20 }" }) }
  end)

  teardown(function() moongate:stop() end)

  local function client(user, port)
    local c = wire.open(port or moongate.port, { user = user or "postgres", database = "postgres" })
    open[#open + 1] = c
    return c
  end

  local function pause(node)
    node:psql "select pg_wal_replay_pause()"
    wait.until_true("replay stands still", function()
      return node:psql "select pg_get_wal_replay_pause_state()" == "paused"
    end)
  end

  local function resume()
    for _, node in ipairs(pg.replicas) do node:psql "select pg_wal_replay_resume()" end
  end

  after_each(function()
    resume()
    pg:wait_for_replay()
    for _, c in ipairs(open) do c:close() end
    open = {}
  end)

  -- The port of the server that a read through this route ran on.
  local function served(c, via, tags, from)
    return tonumber(c:value(("select current_setting('port') from %s limit 1 /* moongate: via=%s %s */")
      :format(from or "fresh_a", via, tags or "")))
  end

  local function on_primary(...) return served(...) == pg.primary.port end

  -- Replicas are as far as the router knows fresh for this read.
  local function settle(c, via, ...)
    local rest = { ... }
    wait.until_true("reads go to replicas", function() return not on_primary(c, via, table.unpack(rest)) end)
  end

  local function pause_all()
    for _, node in ipairs(pg.replicas) do pause(node) end
  end

  it("a session reads its own writes, and soon from replicas again", function()
    local mine, other = client(), client()
    pause_all()
    mine:value "update fresh_a set n = n + 1"
    for _ = 1, 20 do assert.is_true(on_primary(mine, "own")) end
    assert.is_false(on_primary(other, "own"))
    assert.is_false(on_primary(mine, "eventual"))
    resume()
    settle(mine, "own")
  end)

  it("a write in a block counts, and so does what a function wrote", function()
    for _, write in ipairs { "begin; insert into fresh_b values (1); commit",
      "do $$ begin insert into fresh_b values (2); end $$" } do
      local mine = client()
      pause_all()
      mine:value(write)
      assert.is_true(on_primary(mine, "own"))
      resume()
      settle(mine, "own")
    end
  end)

  it("scope user: sessions of one user see each other's writes", function()
    local writer, same, other = client "fresh_other", client "fresh_other", client()
    settle(same, "user")
    pause_all()
    writer:value "update fresh_a set n = n + 1"
    assert.is_true(on_primary(same, "user"))
    assert.is_false(on_primary(other, "user"))
    assert.is_false(on_primary(same, "own"))
    resume()
    settle(same, "user")
  end)

  it("scope table: a table's writes are seen by all who read it, and by nobody else", function()
    local writer, reader = client(), client()
    settle(reader, "table")
    settle(reader, "table", "", "fresh_b")
    pause_all()
    writer:value "update public.fresh_a set n = n + 1"
    assert.is_true(on_primary(reader, "table"))
    assert.is_true(on_primary(reader, "table", "", "PUBLIC.Fresh_A"))
    assert.is_true(on_primary(reader, "table", "", "fresh_b, fresh_a"))
    assert.is_false(on_primary(reader, "table", "", "fresh_b"))
    resume()
    settle(reader, "table")
  end)

  it("scope table: in a block all that it wrote counts when it commits", function()
    local writer, reader = client(), client()
    settle(reader, "table")
    writer:query "begin"
    writer:value "update fresh_a set n = n + 1"
    writer:value "update fresh_b set n = n + 1"
    settle(reader, "table") -- not committed, not to be seen
    settle(reader, "table", "", "fresh_b")
    pause_all()
    writer:value "commit"
    assert.is_true(on_primary(reader, "table"))
    assert.is_true(on_primary(reader, "table", "", "fresh_b"))
    resume()
    settle(reader, "table")
  end)

  it("scope table: a write that does not tell its tables counts for all, prepared ones for theirs", function()
    local writer, reader = client(), client()
    for _, write in ipairs {
      wire.query "do $$ begin update fresh_a set n = n + 1; end $$",
      wire.parse("w", "update fresh_a set n = $1") .. wire.sync(),
      wire.bind("", "w", { "7" }) .. wire.execute "" .. wire.sync(),
    } do
      settle(reader, "table")
      pause_all()
      writer:send(write)
      local result = writer:result()
      assert.is_nil(result.error)
      local runs = not result.types:find "^1"
      assert.equal(runs, on_primary(reader, "table"))
      resume()
    end
  end)

  it("scope cluster: any write is seen by all", function()
    local writer, reader = client "fresh_other", client()
    settle(reader, "cluster")
    pause_all()
    writer:value "insert into fresh_b values (3)"
    assert.is_true(on_primary(reader, "cluster"))
    assert.is_false(on_primary(reader, "own"))
    resume()
    settle(reader, "cluster")
  end)

  it("scope key: writes of one key are seen by reads of that key", function()
    local writer, reader = client(), client()
    settle(reader, "key", "tenant=a")
    settle(reader, "key", "tenant=b")
    pause_all()
    writer:value "update fresh_a set n = n + 1 /* moongate: tenant=a */"
    assert.is_true(on_primary(reader, "key", "tenant=a"))
    assert.is_false(on_primary(reader, "key", "tenant=b"))
    assert.is_true(on_primary(reader, "key")) -- no key: any write
    writer:value "update fresh_a set n = n + 1"
    assert.is_true(on_primary(reader, "key", "tenant=b")) -- a write without one counts for all
    resume()
    settle(reader, "key", "tenant=b")
  end)

  it("scope key: a block writes under the key of its first statement", function()
    local writer, reader = client(), client()
    settle(reader, "key", "tenant=c")
    settle(reader, "key", "tenant=d")
    writer:query "begin"
    writer:value "update fresh_a set n = n + 1 /* moongate: tenant=c */"
    writer:value "update fresh_b set n = n + 1"
    pause_all()
    writer:query "commit"
    assert.is_true(on_primary(reader, "key", "tenant=c"))
    assert.is_false(on_primary(reader, "key", "tenant=d"))
    resume()
    settle(reader, "key", "tenant=c")
  end)

  it("another script forgets no write", function()
    local text = router.script(pg, { policy = POLICY, extra = "health = { interval = 60, timeout = 20 }" })
    local reloaded = router.start { pg = pg, text = text, admin = true }
    local writer, reader = client(nil, reloaded.port), client(nil, reloaded.port)
    settle(reader, "cluster")
    pause_all()
    writer:value "update fresh_a set n = n + 1"
    assert.equal(200, (select(2, reloaded:reload(text))))
    assert.is_true(on_primary(reader, "cluster"))
    assert.is_true(on_primary(writer, "own"))
    assert.is_false(on_primary(reader, "own"))
    resume()
    settle(reader, "cluster")
    for _, c in ipairs { writer, reader } do c:quit() end
    open = {}
    reloaded:stop()
  end)

  it("strong is the primary, always", function()
    local c = client()
    for _ = 1, 5 do assert.is_true(on_primary(c, "strong")) end
  end)

  -- Whether the value of a counter ever went back in the eyes of one session.
  local function steps_back(via)
    local reader = client()
    local function read()
      return tonumber(reader:value(("select max(n) from fresh_a /* moongate: via=%s */"):format(via)))
    end
    local newest, back = 0, false
    for _ = 1, 60 do
      local value = read()
      back = back or value < newest
      newest = math.max(newest, value)
    end
    return back
  end

  it("session never goes back behind what it has read", function()
    pg.primary:psql "update fresh_a set n = 1000"
    pg:wait_for_replay()
    pause(pg.replicas[2])
    pg.primary:psql "update fresh_a set n = 1001"
    wait.until_true("one replica is ahead", function()
      return pg.replicas[1]:psql "select max(n) from fresh_a" == "1001"
    end)
    assert.is_true(steps_back "own")
    for _ = 1, 5 do assert.is_false(steps_back "session") end
  end)

  it("session counts what was read on the primary, too", function()
    local reader = client()
    settle(reader, "session")
    pause_all()
    pg.primary:psql "update fresh_a set n = n + 1"
    assert.is_true(on_primary(reader, "strong"))
    for _ = 1, 10 do assert.is_true(on_primary(reader, "session")) end
    resume()
    client():value "update fresh_b set n = n + 1" -- the probes that it hurries tell
    settle(reader, "session")
  end)

  it("a session that only reads stays with its replica, or goes on to a fresh one", function()
    local reader = client()
    local first
    wait.until_true("a replica", function()
      first = served(reader, "session")
      return first ~= pg.primary.port
    end)
    for _ = 1, 20 do assert.equal(first, served(reader, "session")) end
  end)

  it("wait_fresh: a read waits for a replica to catch up", function()
    local c = client()
    pause_all()
    c:value "update fresh_a set n = 2000"
    c:send(wire.query "select n, current_setting('port') from fresh_a /* moongate: via=patient */")
    c.socket:settimeout(0.2)
    assert.is_nil((c.socket:receive(1)))
    c.socket:settimeout(30)
    resume()
    local row = c:result().rows[1]
    assert.equal("2000", row[1])
    assert.not_equal(pg.primary.port, tonumber(row[2]))
  end)

  it("wait_fresh: it goes to the primary when that takes too long", function()
    local c = client()
    pause_all()
    c:value "update fresh_a set n = n + 1"
    assert.is_true(on_primary(c, "hasty"))
  end)

  it("reads of whoever does not write are spread by weight, while others write", function()
    local weighted = router.start { pg = pg, text = router.script(pg, { weights = { 3, 1 },
      policy = [[function(cluster)
        local reads = cluster:route { to = "replicas", fallback = "primary" }
        local writes = cluster:route { to = "primary" }
        return function(query) return query.intent == "read" and reads or writes end
      end]] }) }
    local c, writer = client(nil, weighted.port), client(nil, weighted.port)
    local counts = {}
    for i = 1, 400 do
      if i % 20 == 0 then writer:value "update fresh_b set n = n + 1" end
      local port = c:served_by()
      counts[port] = (counts[port] or 0) + 1
    end
    assert.is_nil(counts[pg.primary.port])
    local share = counts[pg.replicas[1].port] / 400
    assert.is_true(share > 0.63 and share < 0.87, "share is " .. share)
    for _, each in ipairs { c, writer } do each:quit() end
    open = {}
    weighted:stop()
  end)

  it("bounded goes by the age of what replicas are known to have", function()
    local probing = router.start { pg = pg,
      text = router.script(pg, { policy = POLICY, extra = "health = { interval = 0.05 }" }) }
    local c = client(nil, probing.port)
    settle(c, "bounded")
    pause_all()
    pg.primary:psql "update fresh_a set n = n + 1"
    wait.until_true("replicas are too old", function() return on_primary(c, "bounded") end)
    resume()
    settle(c, "bounded")
    c:quit()
    open = {}
    probing:stop()
  end)
end)
