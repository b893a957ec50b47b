-- `moongate explain`: what decided, and why each endpoint was taken or passed over, in situations
-- that are made up. No database is needed.

local cjson = require "cjson"
local router = require "tests.support.router"

local SCRIPT = [[
local moongate = require "moongate"
local function cluster(name)
  return moongate.cluster {
    primary = { url = "postgres://127.0.0.1:1", name = name .. "1" },
    replicas = { { url = "postgres://127.0.0.1:2", name = name .. "2", region = "eu", weight = 3 },
                 { url = "postgres://127.0.0.1:3", name = name .. "3", region = "us" } },
    policy = function(cluster)
      local reads = cluster:route { to = "replicas", name = "reads", fallback = "primary", max_lag = 5 }
      local writes = cluster:route { to = "primary", name = "writes" }
      local eu = cluster:route { to = { region = "eu" }, name = "eu" }
      return function(query)
        if query.kind == "truncate" then
          return moongate.reject("never")
        end
        if query.kind == "show" then error("broken") end
        if query.session.user == "euro" or query.session.address == "10.0.0.1" then
          return eu
        end
        if query.tags.to == "third" or query.session.application_name == "report" then
          return cluster.replicas[2]
        end
        return query.intent == "read" and reads or writes
      end
    end,
  }
end
return moongate.router { clusters = { app = cluster "a", ["*"] = cluster "db" } }
]]

describe("moongate explain", function()
  local path

  setup(function()
    path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write(SCRIPT)
    file:close()
  end)
  teardown(function() os.remove(path) end)

  local function explain(...)
    return router.command { "explain", path, ... }
  end

  -- The one object, and its candidates by name.
  local function object(sql, ...)
    local status, output, errors = explain("--json", "-c", sql, ...)
    assert.equal(0, status, errors)
    local found, by_name = cjson.decode(output), {}
    for _, each in ipairs(found.candidates) do by_name[each.endpoint] = each end
    return found, by_name
  end

  it("tells the line that decided, the endpoint, and why each one was taken or not", function()
    local status, output = explain("-c", "select 1", "--endpoint", "db3:down")
    assert.equal(0, status)
    assert.equal(table.concat({
      "select 1",
      "  intent    read",
      "  kind      select",
      "  verdict   reads",
      "  line      " .. path .. ":22",
      "  endpoint  db2",
      "    db1  a primary, and the route leads to replicas",
      "    db2  taken: the only one that will do",
      "    db3  down: simulated",
      "" }, "\n"), output)
  end)

  it("has all of that in its objects, beside what has always been there", function()
    local found, candidates = object "select * from t"
    assert.equal("reads", found.verdict)
    assert.same({ "t" }, found.tables)
    assert.equal(path .. ":22", found.line)
    assert.equal(cjson.null, found.rule)
    assert.equal(cjson.null, found.error)
    assert.is_true(candidates[found.endpoint].taken)
    assert.is_false(candidates.db1.taken)
    assert.matches("weight 3 of 4, 75 %%", candidates.db2.why)
    assert.equal(3, #found.candidates)
  end)

  it("tells of no endpoint where the statement is rejected", function()
    local found = object "truncate t"
    assert.equal("reject: never", found.verdict)
    assert.equal(path .. ":13", found.line)
    assert.equal(cjson.null, found.endpoint)
    assert.same({}, found.candidates)
  end)

  it("tells why the policy failed, and that the default route decides", function()
    local found = object "show work_mem"
    assert.matches(":15: broken$", found.error)
    assert.equal(cjson.null, found.line)
    local _, output = explain("-c", "show work_mem")
    assert.matches("\n  error     [^\n]*:15: broken; the default route decides\n", output)
  end)

  it("takes the situation into account", function()
    local function endpoint_of(...) return (object("select 1", ...)).endpoint end
    assert.equal("db1", endpoint_of("--endpoint", "db2:lag=6", "--endpoint", "db3:drained,lag=1"))
    assert.equal("db2", endpoint_of("--user", "euro"))
    assert.equal("db2", endpoint_of("--address", "10.0.0.1"))
    assert.equal("db3", endpoint_of("--application", "report"))
    assert.equal("db3", endpoint_of("--tag", "to=third"))
    assert.equal("db1", endpoint_of("--tag", "consistency=strong"))
    assert.equal("a1", endpoint_of("--database", "app", "--in-transaction"))
    local _, candidates = object("select 1", "--wrote", "1", "--endpoint", "db2:lag=3")
    assert.equal("stale: 2 s behind what the session wrote", candidates.db2.why)
    assert.is_true(candidates.db3.taken)
  end)

  it("follows a primary that is another", function()
    local found, candidates = object("delete from t", "--endpoint", "db2:primary")
    assert.equal("db2", found.endpoint)
    assert.equal("on a timeline that was left", candidates.db1.why)
  end)

  it("says where what pins its session goes, whatever the policy says", function()
    local found = object("select pg_advisory_lock(1)", "--user", "euro")
    assert.equal("eu", found.verdict)
    assert.equal("db1", found.endpoint)
  end)

  local wrongs = {
    [{ "--endpoint", "db9:down" }] = 'there is no such endpoint; there are db1, db2, db3\n',
    [{ "--endpoint", "db2:dwn" }] = '"dwn" is none of: up, down',
    [{ "--endpoint", "db2:lag=x" }] = '"lag=x" is none of',
    [{ "--endpoint", "db2" }] = "takes NAME:down",
    [{ "--tag", "tenant" }] = "takes key=value",
    [{ "--tag", "a=*/" }] = "cannot hold",
    [{ "--wrote", "now" }] = "takes a number of seconds",
  }
  for args, what in pairs(wrongs) do
    it("refuses " .. table.concat(args, " "), function()
      local status, output, errors = explain("-c", "select 1", table.unpack(args))
      assert.equal(2, status)
      assert.equal("", output)
      assert.matches(what, errors, 1, true)
    end)
  end

  it("knows which databases there are", function()
    local only = SCRIPT:gsub(', %["%*"%] = cluster "db"', "")
    local file = assert(io.open(path .. ".lua", "w"))
    file:write(only)
    file:close()
    local status, _, errors = router.command { "explain", path .. ".lua", "-c", "select 1", "--database", "x" }
    os.remove(path .. ".lua")
    assert.equal(2, status)
    assert.matches('no cluster serves the database "x"; there are app', errors)
  end)
end)

describe("a policy's examples", function()
  local function script(expected)
    return ([[
      local moongate = require "moongate"
      return moongate.router { admin = os.getenv "MOONGATE_ADMIN", cluster = moongate.cluster {
        primary = "postgres://127.0.0.1:1",
        policy = function(cluster)
          local writes = cluster:route { to = "primary", name = "writes" }
          return { route = function() return writes end, tests = { { sql = "select 1", expect = "%s" } } }
        end } }
    ]]):format(expected)
  end

  local function with_script(expected, fn)
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write(script(expected))
    file:close()
    local ok, err = pcall(fn, path)
    os.remove(path)
    if not ok then error(err, 0) end
  end

  it("are counted by moongate check", function()
    with_script("writes", function(path)
      local status, output = router.command { "check", path }
      assert.equal(0, status)
      assert.matches("\n    examples  1 passed\n", output)
    end)
  end)

  for _, command in ipairs { "check", "explain", "run" } do
    it("that fail keep moongate " .. command .. " from working", function()
      with_script("reads", function(path)
        local status, output, errors = router.command({ command, path }, { text = "select 1" })
        assert.equal(1, status)
        assert.equal("", output)
        assert.matches(path .. ': example 1 ("select 1"): expected "reads", got "writes"', errors, 1, true)
      end)
    end)
  end

  it("are tried by the embedded module, too", function()
    local moongate = require "moongate"
    local function make(expected)
      local made = moongate.cluster {
        primary = "postgres://127.0.0.1:1",
        policy = function(cluster)
          local writes = cluster:route { to = "primary", name = "writes" }
          return { route = function() return writes end, tests = { { sql = "select 1", expect = expected } } }
        end,
      }
      return made
    end
    make("writes"):close()
    local fine, wrong = pcall(make, "reads")
    assert.is_false(fine)
    local line = debug.getinfo(make, "S").linedefined + 1
    assert.matches(("explain_spec.lua:%d: moongate.cluster: "):format(line)
      .. 'example 1 ("select 1"): expected "reads", got "writes"', wrong, 1, true)
  end)
end)
