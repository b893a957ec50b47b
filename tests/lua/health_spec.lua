-- moongate.health { ... } and moongate.backoff { ... } on their own, and cluster:reconnect().

local moongate = require "moongate"
local process = require "moongate.process"
local shared = require "tests.support.cluster"
local wait = require "tests.support.wait"

-- A node behind an address that comes and goes.
local function doorway(node)
  local door = { port = process.free_port() }
  door.url = node.url:gsub(":" .. node.port .. "/", ":" .. door.port .. "/")

  function door.open()
    door.process = process.spawn({
      "lua5.4", "tests/support/forward.lua", "127.0.0.1", tostring(door.port), tostring(node.port),
    }, { input = true })
    door.process:take("ready\n", 5)
  end

  function door.shut()
    door.process:kill "sigkill"
    door.process:wait(5)
  end

  door.open()
  return door
end

describe("health checks", function()
  local pg, health

  setup(function() pg = shared.shared() end)
  after_each(function()
    if health then health:close() end
    health = nil
  end)

  it("are of use in a script that has nothing else", function()
    local status, output, errors = process.run { "lua5.4", "-e", ([[
      local moongate = require "moongate"
      local health <close> = moongate.health { endpoints = { %q, %q } }
      local before, after = health:status().status, health:check()
      print(before, after.status, after.db_primary, after.db_replica)
      for _, endpoint in ipairs(after.endpoints) do print(endpoint.role, endpoint.status) end
    ]]):format(pg.primary.url, pg.replicas[1].url) }
    assert.equal("unhealthy\thealthy\tconnected\tconnected\nprimary\tconnected\nreplica\tconnected\n", output)
    assert.equal("", errors)
    assert.equal(0, status)
  end)

  it("find out roles, and tell the same as a cluster", function()
    health = moongate.health { endpoints = { pg.replicas[1].url, { url = pg.primary.url, name = "main" } } }
    local found = health:check()
    assert.equal("healthy", found.status)
    assert.equal("replica", found.endpoints[1].role)
    assert.equal("primary", found.endpoints[2].role)
    assert.equal("main", found.endpoints[2].name)
    local cluster <close> = moongate.cluster { primary = pg.primary.url, replicas = { pg.replicas[1].url } }
    local theirs = cluster:health()
    for name, value in pairs(theirs.endpoints[2]) do
      assert.equal(type(value), type(found.endpoints[1][name]), name)
    end
  end)

  it("see an endpoint go and come when they are asked, and tell of it", function()
    local door, told = doorway(pg.replicas[1]), {}
    health = moongate.health {
      endpoints = { { url = door.url, name = "door" } },
      interval = 30, timeout = 1, fall = 2, rise = 1, -- only when they are asked
      backoff = { initial = 30, max = 30 },
      on_change = function(endpoint) told[#told + 1] = endpoint.name .. " " .. endpoint.state end,
    }
    local function check() return health:check().endpoints[1] end
    assert.equal("connected", check().status)
    door.shut()
    assert.equal("disconnected", check().status) -- its connection has ended, or a new one is refused
    local gone = check()
    assert.equal("down", gone.state)
    assert.matches("refused", gone.error)
    assert.equal("down", check().state)
    door.open()
    assert.equal("up", check().state)
    assert.equal("connected", health:status().endpoints[1].status)
    moongate.sleep(0)
    assert.same({ "door up", "door down", "door up" }, told)
    door.shut()
  end)

  it("go on while something else waits, and let tasks go on while they wait", function()
    local door, order = doorway(pg.replicas[1]), {}
    health = moongate.health {
      endpoints = { door.url }, interval = 0.02, timeout = 2, fall = 2, rise = 1, backoff = { initial = 0.02 },
    }
    moongate.run(function()
      local task = moongate.spawn(function()
        health:check()
        order[#order + 1] = "checked"
      end)
      moongate.sleep(0)
      order[#order + 1] = "went on"
      task:wait()
      door.shut()
      wait.until_true("it to be seen gone", function()
        moongate.sleep(0.01)
        return health:status().endpoints[1].state == "down"
      end)
      door.open()
      wait.until_true("it to be seen back", function()
        moongate.sleep(0.01)
        return health:status().endpoints[1].state == "up"
      end)
    end)
    assert.same({ "went on", "checked" }, order)
    door.shut()
  end)

  it("have mistakes blamed on the line that made them", function()
    for message, fn in pairs {
      ["it takes either primary and replicas, or endpoints"] = function() moongate.health {} end,
      ["unknown option \"intervall\" %(did you mean \"interval\"%?%)"] = function()
        moongate.health { intervall = 1 }
      end,
      ["endpoints names none"] = function() moongate.health { endpoints = {} } end,
      ["on_change must be a function%(endpoint%), not 7"] = function()
        moongate.health { primary = pg.primary.url, on_change = 7 }
      end,
      ["health:check: it is closed"] = function()
        local closed = moongate.health { primary = pg.primary.url }
        closed:close()
        closed:close()
        closed:check()
      end,
    } do
      local ok, why = pcall(fn)
      assert.is_false(ok)
      assert.matches("^tests/lua/health_spec.lua:%d+: .*" .. message, why)
    end
  end)
end)

describe("a backoff", function()
  it("is of use in a script that has nothing else: 2 to 32 seconds, 5 attempts, a fifth of chance", function()
    local status, output, errors = process.run { "lua5.4", "-e", [[
      local backoff = require("moongate").backoff()
      assert(backoff:delay() == 0)
      for i = 1, 5 do
        assert(not backoff.spent)
        local delay = backoff:fail()
        assert(delay >= 0.8 * 2 ^ i and delay <= 1.2 * 2 ^ i, delay)
        assert(backoff.failures == i)
      end
      assert(backoff.spent)
      assert(backoff:fail() <= 1.2 * 32)
      backoff:succeed()
      assert(backoff.failures == 0 and not backoff.spent and backoff:fail() <= 1.2 * 2)
      backoff:succeed()
      local sum, count = 0, 0
      for delay in backoff:delays() do sum, count = sum + delay, count + 1 end
      assert(count == 5 and sum >= 0.8 * 62 and sum <= 1.2 * 62, sum)
      print(backoff.spent)
    ]] }
    assert.equal("", errors)
    assert.equal("true\n", output)
    assert.equal(0, status)
  end)
end)

describe("classify", function()
  it("is of use in a script that has nothing else", function()
    local status, output = process.run { "lua5.4", "-e", [[
      local facts = require("moongate").classify "insert into t values (1)"
      print(facts.intent, facts.kind, facts.tables[1])
    ]] }
    assert.equal("write\tinsert\tt\n", output)
    assert.equal(0, status)
  end)
end)

describe("cluster:reconnect", function()
  local pg, door, cluster

  setup(function() pg = shared.shared() end)
  before_each(function()
    door = doorway(pg.replicas[1])
    cluster = moongate.cluster {
      primary = pg.primary.url,
      replicas = { { url = door.url, name = "door" } },
      health = { interval = 30, timeout = 1, fall = 1, rise = 2 },
      backoff = { initial = 0.02, max = 0.05, attempts = 5 },
    }
    assert.equal("healthy", cluster:health().status)
  end)
  after_each(function()
    cluster:close()
    door.shut()
  end)

  it("finds what is up to be so at once", function()
    assert.is_true(cluster:reconnect "door")
    assert.is_true(cluster:reconnect(cluster.primary))
  end)

  it("gives up when the attempts are spent, and says why", function()
    door.shut()
    local up, message, code, fields = cluster:reconnect "door"
    assert.is_nil(up)
    assert.matches("^gave up after 5 attempts: connecting to door: .*refused", message)
    assert.equal("57P03", code)
    assert.same({ message = message, sqlstate = code }, fields)
    assert.is_false(cluster.replicas[1].up)
    door.open()
    assert.is_true(cluster:reconnect(cluster.replicas[1]))
    assert.is_true(cluster.replicas[1].up)
  end)

  it("goes on with tries until it is there, lets tasks go on, and replaces dead connections", function()
    local reads = cluster:pool "read"
    local function pid()
      return reads:with(function(connection) return connection:value "select pg_backend_pid()" end)
    end
    local before, worked = pid(), 0
    door.shut()
    moongate.run(function()
      local task = moongate.spawn(cluster.reconnect, cluster, "door")
      wait.until_true("it to be seen down", function()
        moongate.sleep(0.005)
        worked = worked + 1
        return not cluster.replicas[1].up
      end)
      door.open()
      assert.is_true(task:wait())
    end)
    assert.is_true(worked > 0)
    local after = pid()
    assert.is_true(after ~= nil and after ~= before)
    assert.equal(1, reads:stats().idle)
  end)

  it("ends with its cluster, and its task", function()
    door.shut()
    moongate.run(function()
      local first = moongate.spawn(cluster.reconnect, cluster, "door")
      moongate.sleep(0.01)
      assert.is_true(first:cancel())
      local second = moongate.spawn(cluster.reconnect, cluster, "door")
      moongate.sleep(0.01) -- it waits between two attempts, or for one
      cluster:close()
      assert.equal("the cluster was closed", (select(2, second:wait())))
    end)
    door.open()
  end)

  it("is not up, nor healthy, as long as it lets nobody in", function()
    local url = pg.primary.url:gsub("postgres@", "app:wrong-s3cret@")
    local refused <close> = moongate.cluster { primary = url, backoff = { initial = 0.01, attempts = 2 } }
    local health = refused:health()
    assert.same({ "unhealthy", "disconnected" }, { health.status, health.db_primary })
    assert.matches("password authentication failed", health.endpoints[1].error)
    local up, message, code = refused:reconnect(refused.endpoints[1])
    assert.is_nil(up)
    assert.matches("^gave up after 2 attempts: connecting to .*: password authentication failed", message)
    assert.equal("57P03", code)
  end)

  it("knows no other endpoints", function()
    for message, fn in pairs {
      ["the cluster has no endpoint \"doors\""] = function() cluster:reconnect "doors" end,
      ["an endpoint or its name expected, got nil"] = function() cluster:reconnect() end,
      ["the endpoint is none of this cluster's"] = function()
        local other <close> = moongate.cluster { primary = pg.primary.url }
        cluster:reconnect(other.primary)
      end,
    } do
      local ok, why = pcall(fn)
      assert.is_false(ok)
      assert.matches("^tests/lua/health_spec.lua:%d+: cluster:reconnect: " .. message, why)
    end
  end)
end)
