-- The embedded module's levels, scopes and tokens: the router's, by the same code.

local moongate = require "moongate"
local shared = require "tests.support.cluster"
local wait = require "tests.support.wait"

describe("in the module", function()
  local pg

  setup(function()
    pg = shared.shared()
    pg.primary:psql [[
      drop table if exists lua_fresh_a, lua_fresh_b;
      create table lua_fresh_a (n int); create table lua_fresh_b (n int);
      insert into lua_fresh_a values (0); insert into lua_fresh_b values (0)]]
    pg:wait_for_replay()
  end)

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

  after_each(resume)

  -- A cluster, which is one session; reads go by a route with these options.
  local function open(options)
    options.to, options.fallback = "replicas", "primary"
    return moongate.cluster {
      primary = pg.primary.url, replicas = { pg.replicas[1].url, pg.replicas[2].url },
      health = { interval = 60 },
      policy = function(cluster)
        local reads, writes = cluster:route(options), cluster:route { to = "primary" }
        return function(query)
          query.key = query.tags.tenant
          return query.intent == "read" and reads or writes
        end
      end,
    }
  end

  local function on_primary(c, from, tags)
    local rows = assert(c:query(("select current_setting('port') as port from %s limit 1 /* moongate: %s */")
      :format(from or "lua_fresh_a", tags or "x=y")))
    return tonumber(rows[1].port) == pg.primary.port
  end

  local function settle(c, ...)
    local rest = { ... }
    wait.until_true("reads go to replicas", function() return not on_primary(c, table.unpack(rest)) end)
  end

  it("a handle reads its own writes, and soon from replicas again", function()
    local c <close> = open {}
    settle(c)
    pause_all()
    assert(c:query "update lua_fresh_a set n = n + 1")
    assert.is_true(on_primary(c))
    assert.is_false(on_primary(c, nil, "consistency=eventual"))
    resume()
    settle(c)
    assert.is_true(on_primary(c, nil, "consistency=strong"))
    assert.equal("22023", (select(3, c:query "select 1 /* moongate: consistency=stong */")))
  end)

  it("a transaction's writes count when it commits", function()
    local c <close> = open {}
    settle(c)
    pause_all()
    assert(c:transaction(function(tx) return tx:query "update lua_fresh_a set n = n + 1" end))
    assert.is_true(on_primary(c))
  end)

  it("wait_fresh waits for a replica", function()
    local c <close> = open { wait_fresh = 20000 }
    for _ = 1, 5 do
      assert(c:query "update lua_fresh_a set n = n + 1")
      assert.is_false(on_primary(c))
    end
  end)

  it("session stays with its replica", function()
    local c <close> = open { consistency = "session" }
    settle(c)
    local function port() return assert(c:query "select current_setting('port') as port")[1].port end
    local first = port()
    for _ = 1, 20 do assert.equal(first, port()) end
  end)

  it("query.key narrows what a read has to see", function()
    local c <close> = open { scope = "key", consistency = "read_your_writes" }
    settle(c, nil, "tenant=b")
    pause_all()
    assert(c:query "update lua_fresh_a set n = n + 1 /* moongate: tenant=a */")
    assert.is_true(on_primary(c, nil, "tenant=a"))
    assert.is_false(on_primary(c, nil, "tenant=b"))
  end)

  it("a token makes another handle see a write", function()
    local writer <close> = open {}
    local reader <close> = open {}
    assert.equal("", writer:token())
    assert.is_false(on_primary(reader))
    pause_all()
    assert(writer:query "update lua_fresh_a set n = 4711")
    local token = assert(writer:token())
    assert.matches("^%d+/%x+/%x+$", token)
    assert.is_true(reader:after(token))
    assert.equal(4711, assert(reader:query "select max(n) as n from lua_fresh_a")[1].n)
    assert.is_true(reader:after(nil))
    assert.is_false(on_primary(reader))
    assert.is_true(on_primary(reader, nil, "after=" .. token))
    local _, message, code = reader:after "0/1"
    assert.equal("22023", code)
    assert.matches("timeline/LSN", message)
  end)
end)
