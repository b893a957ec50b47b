-- What is left behind without being closed: its server comes back before anybody waits in vain for it.
-- luacheck: ignore 512 (loops are left at once)

local moongate = require "moongate"
local shared = require "tests.support.cluster"

describe("servers of what was abandoned", function()
  local cluster

  setup(function()
    cluster = moongate.cluster {
      primary = shared.shared().primary.url,
      pool = { size = 2, acquire_timeout = 4 },
    }
  end)
  teardown(function() cluster:close() end)
  before_each(function() collectgarbage "stop" end) -- it comes late, as it does in a program with much memory
  after_each(function()
    collectgarbage "restart"
    collectgarbage()
    assert.equal(0, cluster:pool("write"):stats().lent)
  end)

  local ways = {
    ["rows by hand"] = function() assert(cluster:rows "select generate_series(1, 100000)"()) end,
    ["connections"] = function() assert(cluster:pool("write"):acquire()) end,
    ["coroutines in a loop over rows"] = function()
      assert(coroutine.wrap(function()
        for row in cluster:rows "select generate_series(1, 100000)" do coroutine.yield(row) end
      end)())
    end,
    ["coroutines in a transaction"] = function()
      coroutine.wrap(function() cluster:transaction(function() coroutine.yield() end) end)()
    end,
  }

  for name, abandon in pairs(ways) do
    it("are had again after any number of " .. name, function()
      for _ = 1, 7 do abandon() end
      assert.equal(1, cluster:value "select 1")
      moongate.run(function()
        for _ = 1, 5 do abandon() end
        assert.equal(1, cluster:value "select 1")
      end)
    end)
  end

  it("are had also by those that wait for them already", function()
    moongate.run(function()
      local kept = { cluster:pool("write"):acquire(), cluster:pool("write"):acquire() }
      local waits = moongate.spawn(function() return cluster:value "select 1" end)
      moongate.sleep(0.05)
      assert.equal(2, #kept)
      kept[1], kept[2] = nil, nil
      assert.equal(1, waits:wait())
    end)
  end)

  it("are had by a finalizer that asks, too", function()
    local asked
    setmetatable({}, { __gc = function() asked = cluster:value "select 1" end })
    for _ = 1, 3 do ways["rows by hand"]() end
    assert.equal(1, cluster:value "select 1")
    assert.equal(1, asked)
  end)

  it("are not looked for where somebody holds them", function()
    local collected = false
    local first <close> = cluster:pool("write"):acquire()
    local second <close> = cluster:pool("write"):acquire()
    setmetatable({}, { __gc = function() collected = true end })
    local _, _, code = cluster:pool("write"):acquire(0.05)
    assert.equal("53300", code)
    assert.is_true(collected)
    collected = false
    setmetatable({}, { __gc = function() collected = true end })
    for _ = 1, 3 do cluster:pool("write"):acquire(0.05) end
    assert.is_false(collected) -- once is enough for a while
    assert(first and second)
  end)
end)
