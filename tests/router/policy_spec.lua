-- What a policy sees of sessions, blocks and endpoints, and what it may do beside choosing a route.

local cluster = require "tests.support.cluster"
local router = require "tests.support.router"
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
    moongate = router.start { pg = pg, text = router.script(pg, { policy = policy, extra = extra }) }
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
    end)

    it("sees what a pinned session says, too", function()
      start(REJECTS)
      local c = client()
      c:query "listen here"
      assert.equal("0A000", code(c:query "truncate seen"))
      assert.equal("1", c:value "select 1")
    end)
  end)
end)
