-- What clients ask for themselves: SET moongate.consistency and its like, tags, causal tokens.

local cluster = require "tests.support.cluster"
local router = require "tests.support.router"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

describe("moongate's own settings:", function()
  local pg, moongate, other
  local open = {}

  local function start()
    return router.start { pg = pg,
      text = router.script(pg, { extra = "health = { interval = 60, timeout = 20 }" }) }
  end

  setup(function()
    pg = cluster.shared()
    pg.primary:psql [[
      drop table if exists override; create table override (n int); insert into override values (0)]]
    pg:wait_for_replay()
    moongate, other = start(), start()
  end)

  teardown(function()
    moongate:stop()
    other:stop()
  end)

  local function client(params, port)
    params = params or {}
    params.user, params.database = "postgres", "postgres"
    local c = wire.open(port or moongate.port, params)
    open[#open + 1] = c
    return c
  end

  local function pause_all()
    for _, node in ipairs(pg.replicas) do
      node:psql "select pg_wal_replay_pause()"
      wait.until_true("replay stands still", function()
        return node:psql "select pg_get_wal_replay_pause_state()" == "paused"
      end)
    end
  end

  local function resume()
    for _, node in ipairs(pg.replicas) do node:psql "select pg_wal_replay_resume()" end
    pg:wait_for_replay()
  end

  after_each(function()
    for _, c in ipairs(open) do c:close() end
    open = {}
  end)

  local function on_primary(c, tags)
    local port = c:value("select current_setting('port') " .. (tags and "/* moongate: " .. tags .. " */" or ""))
    return tonumber(port) == pg.primary.port
  end

  local function set(c, sql)
    local result = c:query(sql)
    assert.is_nil(result.error, result.error and result.error.M)
    return result
  end

  -- As drivers send it.
  local function extended(c, sql)
    c:send(wire.extended(sql) .. wire.sync())
    return c:result()
  end

  local function refused(c, code, pattern, sql)
    local result = c:query(sql)
    assert.equal(code, result.error and result.error.C, sql)
    assert.truthy(result.error.M:find(pattern), result.error.M)
    return result
  end

  it("SET decides for the session, RESET gives it back to the policy", function()
    local c = client()
    assert.is_false(on_primary(c))
    assert.same({ "SET" }, set(c, "set moongate.consistency = 'strong'").tags)
    assert.is_true(on_primary(c))
    assert.equal("strong", c:value "show moongate.consistency")
    assert.is_false(on_primary(client()))
    assert.same({ "RESET" }, set(c, "reset moongate.consistency").tags)
    assert.is_false(on_primary(c))
    assert.equal("default", c:value "show moongate.consistency")
  end)

  for _, sql in ipairs { "SET SESSION moongate.consistency TO strong",
    "/* a */ set moongate . Consistency = 'strong';", "set \"moongate\".consistency to \"strong\"",
    "set moongate.consistency = E'strong' -- so" } do
    it("understands " .. sql, function()
      local c = client()
      set(c, sql)
      assert.is_true(on_primary(c))
      set(c, "set moongate.consistency to default")
      assert.is_false(on_primary(c))
    end)
  end

  it("PostgreSQL never sees them", function()
    local c = client()
    set(c, "set moongate.consistency = 'strong'")
    set(c, "begin")
    set(c, "insert into override values (1)")
    set(c, "set moongate.max_staleness = '2s'")
    set(c, "set local moongate.consistency = 'eventual'")
    assert.equal("", c:value "select coalesce(current_setting('moongate.consistency', true), '')")
    assert.equal("", c:value "select coalesce(current_setting('moongate.max_staleness', true), '')")
    set(c, "rollback")
  end)

  it("wrong values and names are refused, and say what would be right", function()
    local c = client()
    refused(c, "22023", "eventual, bounded, read_your_writes, session or strong, not \"stong\"",
      "set moongate.consistency = 'stong'")
    refused(c, "22023", "seconds, such as 0.5", "set moongate.max_staleness = 'soon'")
    refused(c, "22023", "SHOW moongate.token", "set moongate.after = '0/3000148'")
    local result = refused(c, "42704", "moongate.konsistency", "set moongate.konsistency = 'strong'")
    assert.truthy(result.error.H:find "moongate.consistency")
    refused(c, "42704", "moongate.x", "show moongate.x")
    refused(c, "55P02", "cannot be changed", "set moongate.token = '1/0/0'")
    refused(c, "42601", "syntax", "set moongate.consistency 'strong'")
    refused(c, "0A000", "of their own", "set moongate.consistency = 'strong'; select 1")
    refused(c, "0A000", "of their own", "select 1; set local moongate.consistency = 'strong'")
    refused(c, "0A000", "of their own", "select set_config('moongate.consistency', 'strong', false)")
    refused(c, "22023", "stong", "select 1 /* moongate: consistency=stong */")
    assert.is_false(on_primary(c))
  end)

  it("the extended protocol has them, too, in one piece and prepared", function()
    local c = client()
    local result = extended(c, "set moongate.consistency = 'strong'")
    assert.same({ "SET" }, result.tags)
    assert.is_true(on_primary(c))
    result = extended(c, "show moongate.consistency")
    assert.same({ { "strong" } }, result.rows)
    assert.same({ "SHOW" }, result.tags)
    c:send(wire.parse("s", "reset moongate.consistency") .. wire.describe("S", "s") .. wire.sync())
    assert.equal("1tnZ", c:result().types)
    assert.is_true(on_primary(c))
    c:send(wire.bind("", "s", {}) .. wire.execute "" .. wire.sync())
    assert.equal("2CZ", c:result().types)
    assert.is_false(on_primary(c))
    c:send(wire.parse("t", "show moongate.token") .. wire.describe("S", "t") .. wire.sync())
    assert.equal("1tTZ", c:result().types)
    c:send(wire.bind("", "t", {}) .. wire.describe("P", "") .. wire.execute "" .. wire.sync())
    assert.equal("2TDCZ", c:result().types)
    result = extended(c, "set moongate.consistency = 'no'")
    assert.equal("22023", result.error.C)
    assert.equal("Z", result.types:sub(-1))
    assert.is_false(on_primary(c))
  end)

  it("a pipeline keeps its order", function()
    local c = client()
    local read = "select current_setting('port')"
    c:send(wire.query(read) .. wire.query "set moongate.consistency = 'strong'" .. wire.query(read)
      .. wire.extended "reset moongate.consistency" .. wire.sync() .. wire.query(read))
    assert.not_equal(pg.primary.port, tonumber(c:result().rows[1][1]))
    assert.same({ "SET" }, c:result().tags)
    assert.equal(pg.primary.port, tonumber(c:result().rows[1][1]))
    assert.same({ "RESET" }, c:result().tags)
    assert.not_equal(pg.primary.port, tonumber(c:result().rows[1][1]))
  end)

  it("the startup packet sets them, and RESET goes back to that", function()
    for _, params in ipairs { { options = "-c moongate.consistency=strong" },
      { ["moongate.consistency"] = "strong" } } do
      local c = client(params)
      assert.is_true(on_primary(c))
      set(c, "set moongate.consistency = 'eventual'")
      assert.is_false(on_primary(c))
      set(c, "reset moongate.consistency")
      assert.is_true(on_primary(c))
      set(c, "set moongate.consistency = 'eventual'")
      set(c, "reset all")
      assert.is_true(on_primary(c))
      set(c, "set moongate.consistency = 'eventual'")
      set(c, "discard all")
      assert.is_true(on_primary(c))
      assert.equal("", c:value "select coalesce(current_setting('moongate.consistency', true), '')")
    end
    for _, wrong in ipairs { "moongate.consistency=stong", "moongate.x=1", "moongate.token=1/0/0" } do
      local c = wire.connect(moongate.port)
      local result = c:start { user = "postgres", database = "postgres", options = "-c " .. wrong }
      assert.equal("FATAL", result.error.S)
      assert.equal("22023", result.error.C)
    end
  end)

  it("SET LOCAL ends with its block, and decides where it goes", function()
    local c = client()
    set(c, "begin read only")
    set(c, "set local moongate.consistency = 'strong'")
    assert.is_true(on_primary(c, "consistency=eventual"))
    assert.equal("strong", c:value "show moongate.consistency")
    set(c, "commit")
    assert.is_false(on_primary(c))
    set(c, "set local moongate.consistency = 'strong'") -- outside of a block: nothing
    assert.is_false(on_primary(c))
    set(c, "begin read only")
    assert.is_false(on_primary(c))
    set(c, "commit")
  end)

  it("what is SET in a block goes with ROLLBACK, and stays with COMMIT", function()
    local c = client()
    -- Answered here as a whole; and with a server under way, which ends it.
    for _, inside in ipairs { "", "select 1", "insert into override values (2)" } do
      for _, ends in ipairs { "rollback", "commit" } do
        set(c, "begin")
        if inside ~= "" then set(c, inside) end
        set(c, "set moongate.consistency = 'strong'")
        set(c, ends)
        assert.equal(ends == "commit", on_primary(c, nil), inside .. " " .. ends)
        set(c, "reset moongate.consistency")
        if inside:find "insert" then
          wait.until_true("replicas caught up", function() return not on_primary(c) end)
        end
      end
    end
  end)

  it("in a failed block they are refused like all else", function()
    local c = client()
    set(c, "begin")
    c:query "select 1/0"
    refused(c, "25P02", "aborted", "set moongate.consistency = 'strong'")
    set(c, "rollback")
    assert.is_false(on_primary(c))
  end)

  it("transaction over statement over session over policy", function()
    local c = client()
    assert.is_true(on_primary(c, "consistency=strong"))
    assert.is_false(on_primary(c))
    set(c, "set moongate.consistency = 'strong'")
    assert.is_false(on_primary(c, "consistency=eventual"))
    assert.is_true(on_primary(c))
    set(c, "begin read only /* moongate: consistency=eventual */")
    assert.is_false(on_primary(c, "consistency=strong"))
    set(c, "commit")
    set(c, "begin read only")
    assert.is_false(on_primary(c, "consistency=eventual"))
    set(c, "commit")
  end)

  it("read_your_writes and eventual by the session's own word", function()
    local c = client()
    set(c, "set moongate.consistency = 'eventual'")
    pause_all()
    set(c, "update override set n = n + 1")
    assert.is_false(on_primary(c))
    assert.is_true(on_primary(c, "consistency=read_your_writes"))
    set(c, "set moongate.consistency = 'bounded'")
    set(c, "set moongate.max_staleness = '1h'")
    assert.is_false(on_primary(c))
    set(c, "set moongate.max_staleness = '1us'")
    assert.is_true(on_primary(c))
    assert.equal("1e-06", c:value "show moongate.max_staleness")
    resume()
  end)

  it("a token makes another session wait for a write, through another router, too", function()
    local writer = client()
    assert.equal("", writer:value "show moongate.token")
    pause_all()
    set(writer, "update override set n = 4711")
    local token = writer:value "show moongate.token"
    assert.truthy(token:find "^%d+/%x+/%x+$", token)
    local position = pg.primary:psql "select pg_current_wal_lsn()"
    assert.equal("t", pg.primary:psql(("select pg_lsn '%s' <= '%s'"):format(token:match "/(.*)", position)))
    local readers = { client(), client(nil, other.port) }
    for _, reader in ipairs(readers) do
      assert.is_false(on_primary(reader))
      assert.is_true(on_primary(reader, "after=" .. token))
      set(reader, ("set moongate.after = '%s'"):format(token))
      assert.equal(token, reader:value "show moongate.after")
      assert.equal("4711", reader:value "select max(n) from override")
      assert.is_true(on_primary(reader))
    end
    resume()
    for _, reader in ipairs(readers) do
      set(client(nil, other.port), "update override set n = n + 1") -- hurries its probes
      wait.until_true("replicas have it", function() return not on_primary(reader) end)
      set(reader, "set moongate.after = ''")
      assert.equal("", reader:value "show moongate.after")
      assert.is_false(on_primary(reader))
    end
  end)

  it("a token is never below the write that it stands for", function()
    local writer = client()
    for _ = 1, 30 do
      local written = writer:value "update override set n = n + 1 returning pg_current_wal_insert_lsn()"
      local token = writer:value "show moongate.token"
      -- The record of the commit comes behind that, and has more than its head of 24 bytes.
      assert.equal("t", pg.primary:psql(("select pg_lsn '%s' > pg_lsn '%s' + 24"):format(
        token:match "/(.*)", written)))
    end
  end)

  it("a token of a timeline to come is nobody's but the primary's", function()
    local c = client()
    set(c, "set moongate.after = '999/0/0'")
    assert.is_true(on_primary(c))
  end)
end)
