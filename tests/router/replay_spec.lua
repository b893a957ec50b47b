-- `moongate replay`: where the statements of PostgreSQL's logs, and of the router's own, would go;
-- and `moongate reload`.

local cjson = require "cjson"
local cluster = require "tests.support.cluster"
local router = require "tests.support.router"
local throwaway = require "moongate.throwaway"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

-- Its reads are of `to`; tables called secret are refused.
local function script_text(to)
  return ([[
    local moongate = require "moongate"
    return moongate.router { cluster = moongate.cluster {
      primary = "postgres://127.0.0.1:1", replicas = { "postgres://127.0.0.1:2" },
      policy = function(cluster)
        local reads = cluster:route { to = "%s", name = "reads" }
        local writes = cluster:route { to = "primary", name = "writes" }
        return function(query)
          if query.tables[1] == "secret" then return moongate.reject("secret") end
          if query.session.user == "boss" then return writes end
          return query.intent == "read" and reads or writes
        end
      end } }
  ]]):format(to)
end

local files = {}

local function file_of(text)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  files[#files + 1] = path
  return path
end

local function replay(log, ...)
  return router.command { "replay", file_of(script_text "replicas"), "--log", log, ... }
end

local function report(log, ...)
  local status, output, errors = replay(log, "--json", ...)
  assert.equal(0, status, errors)
  return cjson.decode(output)
end

local function counts(found)
  local by_verdict = {}
  for _, each in ipairs(found.distribution) do by_verdict[each.verdict] = each.count end
  return by_verdict
end

local function csv(user, message)
  return ('2026-11-28 12:34:00.596 UTC,"%s","app",7,"[local]",6b.4b,1,"idle",2026-11-28 12:34:00 UTC,'
    .. '3/4,0,LOG,00000,"%s",,,,,,,,,"psql","client backend",,0\n'):format(user, message:gsub('"', '""'))
end

describe("moongate replay", function()
  after_each(function()
    for _, path in ipairs(files) do os.remove(path) end
    files = {}
  end)

  local LOG = csv("bob", "statement: select *\n from \"t\"\n where a = 1")
    .. csv("bob", "duration: 0.1 ms  execute <unnamed>: select * from t where a = $1")
    .. csv("bob", "statement: insert into t values ('a\n\nb')") .. csv("bob", "duration: 7 ms")
    .. csv("boss", "statement: select 1") .. csv("bob", "statement: select * from secret")

  it("counts where statements go, and what else there was", function()
    local status, output = replay(file_of(LOG .. "nonsense\n"))
    assert.equal(0, status)
    assert.equal(table.concat({
      "5 statements, 1 records of something else, 1 lines that could not be read",
      "          2   40.0 %  reads",
      "          2   40.0 %  writes",
      "          1   20.0 %  reject: secret",
      "" }, "\n"), output)
  end)

  it("tells which would go elsewhere by another script", function()
    local other = file_of(script_text "primary")
    local found = report(file_of(LOG), "--against", other)
    assert.equal(2, found.differing)
    local sample = {}
    for i, each in ipairs(found.differences) do
      assert.same({ "select", "reads", "reads", 1 }, { each.kind, each.from, each.to, each.count })
      assert.equal(16, #each.fingerprint)
      sample[i] = each.sample
    end
    table.sort(sample)
    assert.same({ 'select * from "t" where a = 1', "select * from t where a = $1" }, sample)
    local _, text = replay(file_of(LOG), "--against", other)
    assert.matches("\n2 %(40%.0 %%%) would go elsewhere: ", text)
  end)

  it("takes a situation", function()
    assert.same({ writes = 4, ["reject: secret"] = 1 }, counts(report(file_of(LOG), "--user", "boss")))
  end)

  it("goes on behind a record that was torn", function()
    local torn = csv("bob", "statement: select 1"):sub(1, -40):gsub('"[^"]*$', "")
    local found = report(file_of(torn .. "\n" .. LOG))
    assert.equal(5, found.statements)
    assert.equal(1, found.unparsable)
  end)

  it("reads a log from standard input", function()
    local status, output = router.command(
      { "replay", file_of(script_text "replicas"), "--log", "-" }, { text = LOG })
    assert.equal(0, status)
    assert.matches("^5 statements", output)
  end)

  local wrongs = {
    { 2, "needs %-%-log FILE", function() return router.command { "replay", file_of(script_text "any") } end },
    { 2, "csv, json or moongate, not xml", function() return replay(file_of(LOG), "--format", "xml") end },
    { 2, "looks like none of", function() return replay(file_of "LOG:  statement: select 1\n") end },
    { 1, "no statement was found in 1 records", function() return replay(file_of(csv("bob", "hello"))) end },
    { 1, "no statement was found", function() return replay(file_of "") end },
    { 1, "1 lines could not be read as json", function() return replay(file_of "x\n", "--format", "json") end },
    { 1, "/no/such/log: No such file", function() return replay "/no/such/log" end },
    { 1, "no%.lua", function() return replay(file_of(LOG), "--against", "/no/such/no.lua") end },
    { 2, "no such endpoint", function() return replay(file_of(LOG), "--endpoint", "x:down") end },
  }
  for _, each in ipairs(wrongs) do
    it("ends with status " .. each[1] .. " where " .. each[2], function()
      local status, output, errors = each[3]()
      assert.equal(each[1], status)
      assert.equal("", output)
      assert.matches(each[2], errors)
    end)
  end

  it("reads what PostgreSQL itself writes as csvlog and as jsonlog", function()
    local pg = throwaway.start { settings = { logging_collector = "on", log_statement = "all",
      log_destination = "csvlog,jsonlog", log_filename = "queries.log" } }
    finally(function() pg:stop() end)
    local client = wire.open(pg.primary.port)
    client:query "create table t (note text)"
    client:query "insert into t values ('it''s \"quoted\",\n\n and longer')"
    client:send(wire.parse("mine", "select $1::text -- a\n") .. wire.bind("", "mine", { "x" })
      .. wire.execute "" .. wire.sync())
    client:result()
    client:query "select * from nowhere"
    client:quit()
    for _, name in ipairs { "csv", "json" } do
      local log = pg.primary.data .. "/log/queries." .. name
      local found
      wait.until_true(name .. " to be written", function()
        local status, output = replay(log, "--json")
        found = status == 0 and cjson.decode(output) or nil
        return found and found.statements == 4
      end)
      assert.same({ reads = 2, writes = 2 }, counts(found))
      assert.equal(0, found.unparsable)
    end
  end)
end)

describe("a router with log_queries", function()
  local pg, moongate

  setup(function() pg = cluster.shared() end)
  after_each(function()
    if moongate then moongate:stop() end
    moongate = nil
    for _, path in ipairs(files) do os.remove(path) end
    files = {}
  end)

  local POLICY = [[function(cluster)
    local reads = cluster:route { to = "primary", name = "all" }
    return function(query)
      if query.kind == "truncate" then return moongate.reject("never") end
      return reads
    end
  end]]

  local function start(logged)
    local text = router.script({ primary = pg.primary, replicas = {} }, { policy = POLICY })
    moongate = router.start { pg = pg, admin = true,
      text = text:gsub("router {", "router { log_queries = " .. tostring(logged) .. ",", 1) }
    return wire.open(moongate.port, { user = "postgres", database = "postgres", application_name = "my app" })
  end

  it("logs each batch, for replay to read", function()
    local client = start(true)
    client:query "select 'a\n\"b\"', 1"
    client:query "truncate nothing"
    client:query "begin; select 2"
    client:query "select 3"
    client:send(wire.parse("", "select $1::int") .. wire.bind("", "", { "4" }) .. wire.execute "" .. wire.sync())
    client:result()
    client:quit()
    local log = moongate:log()
    assert.matches(' msg=query user=postgres database=postgres application="my app" address=127.0.0.1:', log, 1, true)
    assert.matches((' verdict=all rule="" endpoint=127.0.0.1:%d '):format(pg.primary.port)
      .. [[sql="select 'a\n\"b\"', 1"]] .. "\n", log, 1, true)
    assert.matches('verdict="reject: never" rule="" endpoint="" sql="truncate nothing"\n', log, 1, true)
    local found = report(moongate.log_file)
    assert.equal(5, found.statements)
    assert.equal(0, found.unparsable)
  end)

  it("logs none unless asked", function()
    local client = start(false)
    client:query "select 1"
    client:quit()
    assert.not_matches("msg=query", moongate:log())
  end)

  it("is reloaded by moongate reload, which says why it is not", function()
    start(false):quit()
    local admin = "127.0.0.1:" .. moongate.admin_port
    local status, output = router.command { "reload", "--admin", admin }
    assert.equal(0, status)
    assert.equal("reloaded: 1 endpoints kept, 0 added, 0 removed\n", output)
    local file = assert(io.open(moongate.script, "w"))
    file:write "error 'no luck'"
    file:close()
    local errors
    status, output, errors = router.command({ "reload" }, { env = { MOONGATE_ADMIN = admin } })
    assert.equal(1, status)
    assert.equal("", output)
    assert.matches("not reloaded; the old script stays: [^\n]*script.lua:1: no luck", errors)
  end)

  it("cannot be reloaded where it is not", function()
    local status, _, errors = router.command { "reload" }
    assert.equal(2, status)
    assert.matches("Neither --admin nor MOONGATE_ADMIN", errors, 1, true)
    assert.equal(2, (router.command { "reload", "--admin", "nowhere" }))
    status, _, errors = router.command { "reload", "--admin", "127.0.0.1:1" }
    assert.equal(1, status)
    assert.matches("the router at 127.0.0.1:1 cannot be asked", errors, 1, true)
  end)
end)
