-- lua/moongate/meta.lua, the types for editors, has all that there is, and nothing else; and
-- docs/scripting.md names it. The code itself is asked what it has: it says so of a field or an
-- option that does not exist.

local core = require "moongate.core"
local moongate = require "moongate"
local rules = require "moongate.rules"
local testing = require "moongate.testing"

local URL <const> = "postgres://localhost:1/d"

-- Each class's fields, by name: whether they are needed is no part of it.
local function classes_of(path)
  local classes, fields, parents = {}, nil, {}
  for line in io.lines(path) do
    local name, parent = line:match "^%-%-%-@class ([%w_.]+):? ?([%w_.]*)"
    local field = line:match "^%-%-%-@field ([%w_]+)" or line:match '^%-%-%-@field %["([%w_]+)"%]'
    if name then
      fields = {}
      classes[name], parents[name] = fields, parent
    elseif field then
      assert(fields and not fields[field], line)
      fields[field] = true
    end
  end
  for name, parent in pairs(parents) do
    for field in pairs(classes[parent] or {}) do classes[name][field] = true end
  end
  return classes
end

local classes = classes_of "lua/moongate/meta.lua"

local function sorted(set)
  local list = {}
  for name in pairs(set) do list[#list + 1] = name end
  table.sort(list)
  return list
end

-- "... it has a, b, c", "...; there are a, b, c"
local function listed(fn)
  local fine, message = pcall(fn)
  assert.is_false(fine)
  local names = message:match "; it has ([%w_, ]+)" or message:match "; there are ([%w_, ]+)"
  local set = {}
  for name in assert(names, message):gmatch "[%w_]+" do set[name] = true end
  return set
end

local NONE <const> = "none_such_of_that_name"

local function fields_of(object)
  return listed(function() return object[NONE] end)
end

-- What a policy sees that is asked of a statement in a block, and its cluster.
local function seen()
  local found, at
  testing.expect(function(cluster)
    at = cluster
    return function(query)
      found = {
        ["moongate.Query"] = fields_of(query),
        ["moongate.Session"] = fields_of(query.session),
        ["moongate.Block"] = fields_of(query.transaction),
        ["moongate.Stats"] = fields_of(query.stats),
        ["moongate.Endpoint"] = fields_of(cluster.primary),
      }
    end
  end):as({ in_transaction = true }):sends "select 1"
  return found, at
end

-- The options of a table inside of moongate.cluster's.
local function inside(options)
  options.primary = options.primary or URL
  return listed(function() return (moongate.cluster(options)) end)
end

describe("lua/moongate/meta.lua", function()
  local bindings, cluster = seen()

  local function is_the_same(name, set)
    assert.same(sorted(set), sorted(classes[name] or {}), name)
  end

  it("has the fields of what policies are given", function()
    for name, set in pairs(bindings) do is_the_same(name, set) end
  end)

  it("has the fields and methods of clusters, timers and backoffs", function()
    local methods = { primary = true, replicas = true, endpoints = true }
    for name in pairs(core.cluster_methods) do methods[name] = true end
    is_the_same("moongate.Cluster", methods)
    for name in pairs(classes["moongate.Cluster"]) do assert(pcall(function() return cluster[name] end), name) end
    local backoff = fields_of(moongate.backoff {})
    for _, name in ipairs { "delay", "fail", "succeed", "delays" } do
      assert.equal("function", type(moongate.backoff {}[name]))
      backoff[name] = true
    end
    is_the_same("moongate.Backoff", backoff)
    local timer = moongate.every(1000, function() end)
    assert.equal("function", type(timer.stop))
    timer:stop()
    is_the_same("moongate.Timer", { stop = true })
  end)

  it("has all of moongate, and what classify() tells", function()
    is_the_same("moongate", moongate)
    local facts = moongate.classify "insert into t values (1)" -- a write, which has a reason
    is_the_same("moongate.Facts", facts)
  end)

  it("has the options of all tables", function()
    local in_cluster = {
      EndpointOptions = { primary = { [NONE] = 1 } },
      PoolOptions = { pool = { [NONE] = 1 } },
      TimeoutOptions = { timeouts = { [NONE] = 1 } },
      OverrideOptions = { users = { app = { [NONE] = 1 } } },
      HoldLimitOptions = { hold_limit = { [NONE] = 1 } },
      FunctionOptions = { functions = { [NONE] = 1 } },
      HealthOptions = { health = { [NONE] = 1 } },
      BackoffOptions = { backoff = { [NONE] = 1 } },
      BreakerOptions = { breaker = { [NONE] = 1 } },
      ClusterOptions = { [NONE] = 1 },
    }
    for name, options in pairs(in_cluster) do is_the_same("moongate." .. name, inside(options)) end
    for name, fn in pairs {
      RouteOptions = function() return (cluster:route { [NONE] = 1 }) end,
      TransactionOptions = function() cluster:transaction(print, { [NONE] = 1 }) end,
      RouterOptions = function() return (moongate.router { [NONE] = 1 }) end,
      PatroniOptions = function() return (moongate.patroni { [NONE] = 1 }) end,
      MemberOptions = function() return (moongate.patroni { members = { a = { [NONE] = 1 } } }) end,
      OwnPoolOptions = function() return (moongate.pool { [NONE] = 1 }) end,
      HealthChecksOptions = function() return (moongate.health { [NONE] = 1 }) end,
      ["rules.When"] = function() return (rules.when { [NONE] = 1 }) end,
      ["rules.LimitOptions"] = function() return (rules.limit { [NONE] = 1 }) end,
      Example = function()
        testing.run(function() return { route = function() end, tests = { { [NONE] = 1 } } } end)
      end,
    } do
      is_the_same("moongate." .. name, listed(fn))
    end
  end)
end)

describe("docs/scripting.md", function()
  -- Words in code, by themselves or as a part of it: `lag`, `drain()`, `weights = { ... }`.
  local named = {}
  -- What only applications have is in docs/module.md.
  for _, path in ipairs { "docs/scripting.md", "docs/module.md" } do
    for code in assert(io.open(path)):read("a"):gmatch "`([^`\n]+)`" do
      for word in code:gmatch "[%w_]+" do named[word] = true end
    end
  end

  it("names every field, method and option that policies and scripts have", function()
    for _, class in ipairs { "Query", "Session", "Block", "Stats", "Endpoint", "Cluster", "Facts", "Policy", "Example",
      "QueryError", "Timer", "Backoff", "RouterOptions", "EndpointOptions", "RouteOptions", "rules.When",
      "rules.LimitOptions" } do
      for name in pairs(classes["moongate." .. class]) do assert.is_true(named[name], class .. "." .. name) end
    end
    for name in pairs(moongate) do assert.is_true(named[name], name) end
    for name in pairs(rules) do assert.is_true(named[name], name) end
    for _, kind in ipairs(core.kinds) do assert.is_true(named[kind], kind) end
  end)
end)
