-- The command line: what it prints, and its exit status: 0, 1 (it failed), 2 (usage).

local cjson = require "cjson"
local cluster = require "tests.support.cluster"
local router = require "tests.support.router"
local socket = require "socket"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

local DEFAULT = "scripts/read_write_split.lua"
local ENV = {
  DATABASE_URL = "postgres://127.0.0.1:1/nowhere",
  DATABASE_REPLICA_URL = "postgres://127.0.0.1:2/nowhere",
}

local function moongate(args, text)
  return router.command(args, { env = ENV, text = text })
end

-- Runs `fn` with the path of a file that holds `text`.
local function with_file(text, fn)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  local ok, err = pcall(fn, path)
  os.remove(path)
  if not ok then error(err, 0) end
end

local function lines(text)
  local list = {}
  for line in text:gmatch("[^\n]+") do list[#list + 1] = line end
  return list
end

describe("moongate", function()
  it("says how it is used", function()
    local status, output = moongate { "--help" }
    assert.equal(0, status)
    for _, command in ipairs { "run", "check", "explain", "demo" } do
      assert.matches(command, output)
    end
  end)

  local misuses = {
    {}, { "dance" }, { "check" }, { "run" }, { "explain" }, { "check", "--no-such-option", DEFAULT },
    { "explain", DEFAULT, "-c" }, { "explain", DEFAULT, "--input", "xml", "-c", "select 1" },
    { "check", DEFAULT, "too", "many" },
  }
  for _, args in ipairs(misuses) do
    it("ends with status 2 for misuse: " .. table.concat(args, " "), function()
      local status, output, errors = moongate(args)
      assert.equal(2, status)
      assert.equal("", output)
      assert.not_equal("", errors)
    end)
  end
end)

describe("moongate check", function()
  it("accepts the default script", function()
    local status, _, errors = moongate { "check", DEFAULT }
    assert.equal(0, status, errors)
  end)

  local wrongs = {
    ["a file that does not exist"] = { nil, "no such file" },
    ["a syntax error"] = { "return moongate.router {\n  cluster = \n}", ":%d+:" },
    ["an error at load"] = { "\nerror 'not today'", ":2: not today" },
    ["no router returned"] = { "return 42", "moongate%.router" },
    ["an unknown option"] = { [[return require("moongate").router {
      cluster = require("moongate").cluster {
        primary = "postgres://127.0.0.1:1", replica = { "postgres://127.0.0.1:2" } } }]],
      'unknown option "replica".*replicas' },
    ["a cluster without a primary"] = { [[return require("moongate").router {
      cluster = require("moongate").cluster { } }]], "primary" },
    ["what the sandbox does not have"] = { "io.open('/etc/passwd')", ":1:" },
    ["a script that never ends"] = { "while true do end", ":1:" },
  }
  for what, case in pairs(wrongs) do
    it("fails for " .. what, function()
      if not case[1] then
        local status, _, errors = moongate { "check", "/no/such/file.lua" }
        assert.equal(1, status)
        assert.matches("/no/such/file%.lua", errors)
        return
      end
      with_file(case[1], function(path)
        local status, output, errors = moongate { "check", path }
        assert.equal(1, status)
        assert.equal("", output)
        assert.matches(case[2], errors)
        assert.matches(path, errors, 1, true)
      end)
    end)
  end
end)

describe("moongate explain", function()
  it("shows a statement's intent, facts and verdict", function()
    local status, output = moongate { "explain", DEFAULT, "-c", "select * from accounts" }
    assert.equal(0, status)
    assert.matches("read", output)
    assert.matches("accounts", output)
    assert.matches("replicas", output)
  end)

  it("gives one JSON object a line", function()
    local status, output = moongate { "explain", DEFAULT, "--json", "-c",
      "insert into public.t select lower(a) from u; select pg_advisory_lock(1)" }
    assert.equal(0, status)
    local objects = {}
    for i, line in ipairs(lines(output)) do objects[i] = cjson.decode(line) end
    assert.equal("insert into public.t select lower(a) from u", objects[1].sql)
    assert.equal("write", objects[1].intent)
    assert.equal("insert", objects[1].kind)
    assert.same({ "public.t", "u" }, objects[1].tables)
    assert.same({ "lower" }, objects[1].functions)
    assert.same({}, objects[1].pins)
    assert.matches("primary", objects[1].verdict)
    assert.equal("select pg_advisory_lock(1)", objects[2].sql)
    assert.same({ "advisory_lock" }, objects[2].pins)
    assert.equal(2, #objects)
    -- An empty list is [] and not {}.
    assert.matches('"pins":%[%]', (output:gsub("%s", "")))
  end)

  it("names the settings that a statement changes, where there are any", function()
    local sql = "select set_config('App.Tenant', '7', false); set local a = 1"
    local status, output = moongate { "explain", DEFAULT, "--json", "-c", sql }
    assert.equal(0, status)
    local first, second = table.unpack(lines(output))
    assert.matches('"verdict":"[^"]*","settings":%["app%.tenant"%]}$', first)
    assert.same({}, cjson.decode(first).pins)
    assert.is_nil(cjson.decode(second).settings)
    local _, text = moongate { "explain", DEFAULT, "-c", sql }
    assert.matches("\n  settings  app%.tenant\n", text)
  end)

  local SCRIPT = [[
-- a script
select 'a;b', $$;$$; /* ; */
insert into t values (1);
create function f() returns int begin atomic select 1; select 2; end;
select 3]]

  it("splits a file into statements, also from standard input", function()
    with_file(SCRIPT, function(path)
      local status, output = moongate { "explain", DEFAULT, "--json", "-f", path }
      assert.equal(0, status)
      local kinds = {}
      for i, line in ipairs(lines(output)) do kinds[i] = cjson.decode(line).kind end
      assert.same({ "select", "insert", "create", "select" }, kinds)
      local piped_status, piped = moongate({ "explain", DEFAULT, "--json", "-f", "-" }, SCRIPT)
      assert.equal(0, piped_status)
      assert.equal(output, piped)
    end)
  end)

  it("takes one JSON object a line, each as one Query message", function()
    local input = cjson.encode { sql = "select 1; select 2" } .. "\n"
      .. cjson.encode { sql = 'select "é\n\\"' } .. "\n"
    local status, output = moongate(
      { "explain", DEFAULT, "--json", "--input", "json", "-f", "-" }, input)
    assert.equal(0, status)
    local first, second = table.unpack(lines(output))
    assert.equal("select 1; select 2", cjson.decode(first).sql)
    assert.equal("multi", cjson.decode(first).kind)
    assert.equal("read", cjson.decode(first).intent)
    assert.equal('select "é\n\\"', cjson.decode(second).sql)
  end)

  it("fails for input that is no JSON, and for a file that is not there", function()
    assert.equal(1, (moongate({ "explain", DEFAULT, "--input", "json", "-f", "-" }, "not json\n")))
    assert.equal(1, (moongate { "explain", DEFAULT, "-f", "/no/such/file.sql" }))
    assert.equal(1, (moongate { "explain", "/no/such/file.lua", "-c", "select 1" }))
  end)

  it("asks the script's own policy", function()
    with_file([[
      local moongate = require "moongate"
      return moongate.router { cluster = moongate.cluster {
        primary = "postgres://127.0.0.1:1", replicas = { "postgres://127.0.0.1:2" },
        policy = function(cluster)
          local far = cluster:route { to = "primary", name = "far away" }
          return function(query)
            if query.kind == "truncate" then return moongate.reject("never", "42501") end
            if query.tags.where == "far" then return far end
            if query.kind == "show" then error("broken") end
          end
        end } }
    ]], function(path)
      local status, output = moongate({ "explain", path, "--json", "-f", "-" },
        "truncate t; select 1 /* moongate: where=far */; select 2; show work_mem")
      assert.equal(0, status)
      local verdicts = {}
      for i, line in ipairs(lines(output)) do verdicts[i] = cjson.decode(line).verdict end
      assert.matches("never", verdicts[1])
      assert.matches("far away", verdicts[2])
      assert.matches("replicas", verdicts[3])
      assert.truthy(verdicts[4])
    end)
  end)
end)

describe("moongate run", function()
  local pg

  setup(function() pg = cluster.shared() end)

  it("ends with status 0 on SIGTERM, telling its clients", function()
    local running = router.start { pg = pg }
    local idle, busy = wire.open(running.port), wire.open(running.port)
    busy:query("begin")
    busy:query("select 1")
    running:stop()
    for _, client in ipairs { idle, busy } do
      local result = client:result("E")
      assert.equal("57P01", result.error and result.error.C)
      client:close()
    end
  end)

  it("ends with status 0 on a SIGTERM that comes as soon as it listens", function()
    for _ = 1, 20 do
      local running = router.start { pg = pg, wait = false }
      wait.until_true("it to listen", function()
        local tcp = socket.tcp() -- at once: process.port_answers() lets some time pass
        local connected = tcp:connect("127.0.0.1", running.port)
        tcp:close()
        return connected
      end)
      running:stop()
    end
  end)

  it("ends with status 0 on SIGINT", function()
    local running = router.start { pg = pg }
    running.process:kill("sigint")
    assert.equal(0, (running.process:wait(10)))
    running.release()
  end)

  it("fails where its port is taken, and says so", function()
    local running = router.start { pg = pg }
    local status, _, errors = router.command(
      { "run", DEFAULT, "--listen", "127.0.0.1:" .. running.port },
      { env = router.environment(pg) })
    running:stop()
    assert.equal(1, status)
    assert.matches("in use", errors)
  end)

  it("fails for a script that fails", function()
    with_file("error 'not today'", function(path)
      local status, _, errors = moongate { "run", path }
      assert.equal(1, status)
      assert.matches(":1: not today", errors)
    end)
  end)
end)
