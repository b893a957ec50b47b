-- What all methods have in common: how they are called, and how many values they return.

local core = require "moongate.core"
local moongate = require "moongate"
local shared = require "tests.support.cluster"

describe("methods", function()
  local cluster, pool, connection, listener, health, backoff

  setup(function()
    local url = shared.shared().primary.url
    cluster = moongate.cluster { primary = url }
    pool = moongate.pool { url = url, size = 2 }
    connection = assert(pool:acquire())
    listener = assert(cluster:listen "lua_methods")
    health = moongate.health { primary = url }
    backoff = moongate.backoff()
  end)
  teardown(function()
    health:close()
    listener:close()
    pool:close()
    cluster:close()
  end)

  local function names(methods)
    local list = {}
    for name in pairs(methods) do list[#list + 1] = name end
    return list
  end

  -- Each of them, called with a dot, by what users then give it.
  local function ask_for_a_colon(who, object, list)
    for _, name in ipairs(list) do
      for _, argument in ipairs { false, "select 1", function() end, {} } do
        local ok, why = pcall(function() object[name](argument or nil) end)
        assert.is_false(ok)
        assert.matches("^tests/lua/methods_spec.lua:%d+: ", why)
        if not why:find("call.* as %l+:[%l_]+%(") then error(who .. "." .. name .. ": " .. why) end
      end
    end
  end

  it("say how they are called where that was done with a dot", function()
    local queries = { "query", "exec", "one", "value", "assert_query" }
    local more = { "rows", "copy_in", "copy_out", "notify", "pipeline", "prepare", "transaction" }
    ask_for_a_colon("cluster", cluster, names(core.cluster_methods))
    ask_for_a_colon("connection", connection, names(core.connection_methods))
    ask_for_a_colon("pool", pool, { "acquire", "release", "with", "stats", "resize", "drain", "close" })
    ask_for_a_colon("listener", listener, { "wait", "each", "listen", "unlisten", "close" })
    ask_for_a_colon("health", health, { "check", "status", "close" })
    ask_for_a_colon("backoff", backoff, { "delay", "fail", "succeed", "delays" })
    ask_for_a_colon("statement", cluster:prepare "select 1", queries)
    ask_for_a_colon("a connection's statement", connection:prepare "select 1", queries)
    cluster:pipeline(function(p) ask_for_a_colon("p", p, { "query", "exec", "one", "value" }) end)
    assert(cluster:transaction(function(tx)
      ask_for_a_colon("tx", tx, queries)
      ask_for_a_colon("tx", tx, more)
      ask_for_a_colon("a transaction's statement", tx:prepare "select 1", queries)
    end))
    moongate.run(function()
      ask_for_a_colon("task", moongate.spawn(function() end), { "wait", "cancel" })
    end)
  end)

  it("return no nils behind what they return", function()
    local calls = {
      function() return cluster:query "select 1" end,
      function() return cluster:one "select 1" end,
      function() return cluster:value "select 1" end,
      function() return cluster:exec "select 1" end,
      function() return cluster:assert_query "select 1" end,
      function() return cluster:pipeline(function(p) p:query "select 1" end) end,
      function() return cluster:transaction(function() end) end,
      function() return cluster:notify "lua_methods" end,
      function() return cluster:load_types() end,
      function() return cluster:health() end,
      function() return cluster:reconnect(cluster.primary) end,
      function() return cluster:pool "write" end,
      function() return cluster:token() end,
      function() return pool:stats() end,
      function() return pool:with(function() return 1 end) end,
      function() return listener:listen "lua_more" end,
      function() return listener:unlisten "lua_more" end,
      function() return listener:wait() end,
      function() return health:check() end,
      function() return health:status() end,
      function() return backoff:fail() end,
    }
    for i, call in ipairs(calls) do
      local results = table.pack(call())
      assert.same({ i, 1 }, { i, results.n })
      assert.is_truthy(results[1])
    end
  end)

  it("of a pool take back no connection of another", function()
    local url = shared.shared().primary.url
    local other <close> = moongate.pool { url = url, size = 1 }
    local theirs <close> = assert(other:acquire())
    for _, mistaken in ipairs { pool, cluster:pool "write" } do
      local ok, why = pcall(function() mistaken:release(theirs) end)
      assert.is_false(ok)
      assert.matches("^tests/lua/methods_spec.lua:%d+: pool:release: the connection is another pool's", why)
    end
    assert.equal(1, theirs:value "select 1")
    other:release(theirs)
    assert.equal(1, other:stats().idle)
    local ours = assert(cluster:pool("read"):acquire())
    cluster:pool("write"):release(ours) -- one cluster's pools are of the same servers
    assert.error_matches(function() ours:query "select 1" end, "the connection was released")
  end)
end)
