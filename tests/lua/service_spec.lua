-- examples/transactions_service.lua: what it answers, and what its clients see of databases that die.

local cjson = require "cjson"
local failover = require "tests.chaos.failover"
local http = require "tests.support.http"
local process = require "moongate.process"
local throwaway = require "moongate.throwaway"
local uv = require "luv"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

-- Debian 12 has lua-http for older Luas only; of its Lua code that is all the same.
local LUA_PATH = package.path .. ";/usr/share/lua/5.3/?.lua;/usr/share/lua/5.1/?.lua"

describe("the transactions service", function()
  local pg, service

  -- Starts it with these variables.
  local function start(variables)
    local env = uv.os_environ()
    env.LUA_PATH, env.LUA_CPATH = LUA_PATH, package.cpath
    for name, value in pairs(variables) do env[name] = value end
    local port = process.free_port()
    env.LISTEN = "127.0.0.1:" .. port
    local started = process.spawn({ "lua5.4", "examples/transactions_service.lua" }, { env = env })
    started:take("listening on http://127.0.0.1:" .. port .. "\n", 20)
    started.port, started.release = port, pg:guard(started)
    return started
  end

  local function stop(started)
    started:kill "sigterm"
    local status = started:wait(20)
    started.release()
    assert.equal(0, status, started.errors)
  end

  local function request(path, options, port)
    options = options or {}
    options.headers = options.headers or {}
    options.headers.Connection = "close"
    local status, body, headers = http.request(port or service.port, path, options)
    assert.equal("application/json", headers["content-type"])
    return status, body ~= "" and cjson.decode(body) or nil, headers
  end

  local function post(body, headers, port)
    if type(body) == "table" then body = cjson.encode(body) end
    return request("/transactions", { method = "POST", headers = headers, body = body }, port)
  end

  local function count(where)
    return tonumber(pg.primary:psql("select count(*) from transactions " .. (where or "")))
  end

  setup(function()
    pg = throwaway.start { replicas = 2, settings = failover.SETTINGS }
    failover.prepare(pg)
    service = start {
      DATABASE_URL = pg.primary.url,
      DATABASE_REPLICA_URL = pg.replicas[1].url .. " " .. pg.replicas[2].url,
      PATIENCE = "2",
    }
    wait.until_true("the table to be there", function() return request "/transactions" == 200 end)
    pg:wait_for_replay() -- on all of them
  end)
  teardown(function()
    stop(service)
    pg:stop()
  end)

  it("answers a POST with the transaction, which is there", function()
    local status, made, headers = post { account = "alice", amount = "12345678901234567890.10" }
    assert.equal(201, status)
    assert.equal("alice", made.account)
    assert.equal("12345678901234567890.10", made.amount)
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d+Z$", made.created_at)
    assert.equal(("/transactions/%d"):format(made.id), headers.location)
    local found, same = request(headers.location)
    assert.equal(200, found)
    assert.same(made, same)
    local _, list = request("/transactions?limit=1",
      { headers = { ["X-Moongate-Token"] = headers["x-moongate-token"] } })
    assert.same({ made }, list)
  end)

  it("lists the newest first, 50 unless it is told how many", function()
    pg.primary:psql [[insert into transactions (idempotency_key, account, amount)
      select 'many ' || n, 'many', n from generate_series(1, 60) n]]
    pg:wait_for_replay()
    local status, list = request "/transactions"
    assert.equal(200, status)
    assert.equal(50, #list)
    assert.equal("60", list[1].amount)
    assert.equal("11", list[50].amount)
    assert.equal(3, #select(2, request "/transactions?limit=3"))
    assert.equal(count(), #select(2, request "/transactions?limit=1000"))
  end)

  it("does what has one key once", function()
    local sockets, key = {}, { "POST /transactions HTTP/1.1", "Host: x", "Connection: close",
      "Idempotency-Key: once", "Content-Length: 37", "", '{"account": "once", "amount": "1.50"}' }
    for i = 1, 8 do
      sockets[i] = http.connect(service.port)
      sockets[i]:send(table.concat(key, "\r\n"))
    end
    local ids = {}
    for _, socket in ipairs(sockets) do
      local status, body = http.parse(socket:receive "*a")
      assert.equal(201, status)
      ids[cjson.decode(body).id] = true
      socket:close()
    end
    assert.is_nil(next(ids, (next(ids))))
    assert.equal(1, count "where account = 'once'")
    assert.equal(201, (post({ account = "once", amount = "1.5" }, { ["Idempotency-Key"] = "once" })))
    local status, body = post({ account = "once", amount = "2" }, { ["Idempotency-Key"] = "once" })
    assert.equal(422, status)
    assert.matches("another transaction", body.error)
    assert.equal(1, count "where account = 'once'")
  end)

  it("says what is wrong with a body", function()
    local good = '{"account": "a", "amount": "1"}'
    for _, case in ipairs {
      { 400, "no JSON object", "" },
      { 400, "no JSON object", "{" },
      { 400, "no JSON object", "17" },
      { 422, "no others", "[1]" },
      { 422, "no others", '{"account": "a", "amount": "1", "amonut": "1"}' },
      { 422, "account must be", '{"amount": "1"}' },
      { 422, "account must be", '{"account": "a b", "amount": "1"}' },
      { 422, "account must be", '{"account": "", "amount": "1"}' },
      { 422, "amount must be a string", '{"account": "a"}' },
      { 422, "amount must be a string", '{"account": "a", "amount": 1.5}' },
      { 422, "amount must be a string", '{"account": "a", "amount": null}' },
      { 422, "amount must be a string", '{"account": "a", "amount": "1e5"}' },
      { 422, "amount must be a string", '{"account": "a", "amount": "NaN"}' },
      { 422, "not be zero", '{"account": "a", "amount": "-0.00"}' },
      { 413, "larger than", good .. (" "):rep(20000) },
    } do
      local status, body = post(case[3])
      assert.equal(case[1], status, case[3])
      assert.matches(case[2], body.error)
    end
    local status, body = post(good, { ["Idempotency-Key"] = "two words" })
    assert.equal(400, status)
    assert.matches("Idempotency%-Key must be", body.error)
    assert.equal(411, (post(nil, { ["Transfer-Encoding"] = "chunked" })))
    assert.equal(0, count "where account = 'a'")
  end)

  it("says what is not there, and how else to ask", function()
    for path, expected in pairs {
      ["/transactions/999999"] = 404,
      ["/transactions/99999999999999999999"] = 404,
      ["/transactions/x"] = 404,
      ["/transactions/1/2"] = 404,
      ["/nothing"] = 404,
      ["/transactions?limit=0"] = 400,
      ["/transactions?limit=1001"] = 400,
      ["/transactions?limit=x"] = 400,
      ["/transactions?limit="] = 400,
    } do
      local status, body = request(path)
      assert.equal(expected, status, path)
      assert.is_string(body.error)
    end
    for _, token in ipairs { "1/0/1 */; drop table", "1/0/123456789", "1/123456789/0", "9999999999/0/1", "1/0/" } do
      local status = request("/transactions", { headers = { ["X-Moongate-Token"] = token } })
      assert.equal(400, status, token)
    end
    for path, allowed in pairs { ["/transactions"] = "GET, HEAD, POST", ["/health"] = "GET, HEAD" } do
      local status, _, headers = request(path, { method = "DELETE" })
      assert.equal(405, status)
      assert.equal(allowed, headers.allow)
    end
    local status, body = request("/health", { method = "HEAD" })
    assert.equal(200, status)
    assert.is_nil(body)
  end)

  it("tells the health of its databases", function()
    local status, health = request "/health"
    assert.equal(200, status)
    assert.equal("healthy", health.status)
    assert.equal("connected", health.db_primary)
    assert.equal("connected", health.db_replica)
    assert.equal(3, #health.endpoints)
  end)

  local function replay(what)
    for _, node in ipairs(pg.replicas) do
      node:psql(("select pg_wal_replay_%s()"):format(what))
      wait.until_true("replay to " .. what, function()
        return (node:psql "select pg_get_wal_replay_pause_state()" == "paused") == (what == "pause")
      end)
    end
  end

  it("reads from replicas, and from the primary what they lack if it has to be there", function()
    replay "pause"
    local _, made, headers = post { account = "late", amount = "1" }
    local function lists(fields)
      local _, list = request("/transactions", { headers = fields })
      return #list > 0 and list[1].id == made.id
    end
    assert.is_false(lists())
    assert.is_true(lists { ["X-Moongate-Token"] = headers["x-moongate-token"] })
    assert.equal(200, (request(headers.location)))
    replay "resume"
    pg:wait_for_replay()
    assert.is_true(lists())
  end)

  it("keeps to itself what PostgreSQL says of its defects", function()
    pg.primary:psql "alter table transactions rename to hidden"
    local status, body = post { account = "a", amount = "1" }
    pg.primary:psql "alter table hidden rename to transactions"
    assert.equal(500, status)
    assert.same({ error = "internal error" }, body)
    assert.matches('relation "transactions" does not exist 42P01', service.errors)
  end)

  it("is not kept busy by clients that go before the end of their request", function()
    for _, text in ipairs {
      "POST /transactions HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc",
      "GET /transactions HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc",
      "POST /transactions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
      "GET /health HTTP/1.1\r\n\r\n\r\n",
      "GET /health HTTP/1.1\r\nHo",
      "no HTTP\r\n\r\n",
    } do
      local socket = http.connect(service.port)
      socket:send(text)
      socket:close()
      assert.equal(200, (request "/health"))
    end
  end)

  it("is content with one database", function()
    local alone = start { DATABASE_URL = pg.primary.url, DATABASE_REPLICA_URL = "" }
    local status, made, headers = post({ account = "alone", amount = "1" }, nil, alone.port)
    assert.equal(201, status)
    assert.same(made, select(2, request(headers.location, nil, alone.port)))
    local healthy, health = request("/health", nil, alone.port)
    assert.equal(200, healthy)
    assert.equal("not configured", health.db_replica)
    stop(alone)
  end)

  it("says that there is no database, and when to ask again", function()
    local lost = start {
      DATABASE_URL = ("postgres://postgres:secret@127.0.0.1:%d/postgres"):format(process.free_port()),
      DATABASE_REPLICA_URL = "", PATIENCE = "0.2",
    }
    for _, method in ipairs { "GET", "POST" } do
      local status, body, headers = request("/transactions",
        { method = method, body = method == "POST" and '{"account": "a", "amount": "1"}' or nil }, lost.port)
      assert.equal(503, status)
      assert.same({ error = "no database has answered in time" }, body)
      assert.equal("1", headers["retry-after"])
    end
    local status, health = request("/health", nil, lost.port)
    assert.equal(503, status)
    assert.equal("unhealthy", health.status)
    assert.equal("disconnected", health.db_primary)
    stop(lost)
    assert.not_matches("secret", lost.errors)
  end)

  it("ends at SIGTERM, once it has finished what is under way, and meanwhile others go on", function()
    local ending = start { DATABASE_URL = pg.primary.url, DATABASE_REPLICA_URL = pg.replicas[1].url }
    local holder, waiting = wire.open(pg.primary.port), http.connect(ending.port)
    holder:query "begin"
    holder:query "lock table transactions in share mode"
    waiting:send('POST /transactions HTTP/1.1\r\nContent-Length: 35\r\n\r\n{"account": "last", "amount": "1"}\n')
    wait.until_true("the POST to wait for the lock", function()
      return pg.primary:psql "select count(*) from pg_locks where not granted" == "1"
    end)
    assert.equal(200, (request("/transactions", nil, ending.port)))
    ending:kill "sigterm"
    wait.until_true("the port to refuse", function() return not process.port_answers(ending.port) end)
    assert.is_nil(ending.status)
    holder:query "rollback"
    holder:quit()
    local status, _, headers = http.parse(waiting:receive "*a")
    assert.equal(201, status)
    assert.equal("close", headers.connection)
    waiting:close()
    stop(ending)
    assert.equal("", ending.errors)
    assert.equal(1, count "where account = 'last'")
  end)

  -- The servers whose commit waits for a replica to have it.
  local function committing()
    return pg.primary:psql "select pid from pg_stat_activity where wait_event = 'SyncRep'"
  end

  local function terminate_committing()
    return pg.primary:psql [[select pid, pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'SyncRep']]
  end

  local function wait_for_replicas(names)
    pg.primary:psql(("alter system set synchronous_standby_names = '%s'"):format(names))
    pg.primary:psql "select pg_reload_conf()"
  end

  it("tries again when it can't know whether it was done, and does it once", function()
    wait_for_replicas "nobody"
    wait.until_true("commits to wait", function()
      local probe = wire.open(pg.primary.port)
      probe:send(wire.query "insert into direct_writes values (3)")
      local pids = committing()
      probe:close()
      return pids ~= ""
    end)
    wait.until_true("none to wait", function() return terminate_committing() == "" end)
    local client = http.connect(service.port)
    client:send('POST /transactions HTTP/1.1\r\nConnection: close\r\nContent-Length: 38\r\n\r\n'
      .. '{"account": "unknown", "amount": "17"}')
    local first = wait.until_true("it to be committed", function() return committing():match "%d+" end)
    terminate_committing()
    wait.until_true("it to be tried again", function()
      local pid = committing()
      return pid ~= "" and pid ~= first
    end)
    wait_for_replicas(failover.SETTINGS.synchronous_standby_names)
    local status, body = http.parse(client:receive "*a")
    client:close()
    assert.equal(201, status, body)
    assert.equal("17", cjson.decode(body).amount)
    assert.equal(1, count "where account = 'unknown'")
  end)

  local function start_load()
    local env = uv.os_environ()
    env.LUA_PATH, env.LUA_CPATH = LUA_PATH .. ";./?.lua", package.cpath
    local load = process.spawn({ "lua5.4", "tests/support/service_load.lua", tostring(service.port), "4", "3" },
      { env = env })
    load.release = pg:guard(load)
    return load
  end

  -- What its clients were told; none of it was lost, and nothing was done twice.
  local function end_of(load)
    load:kill "sigterm"
    local status = load:wait(30)
    load.release()
    assert.equal(0, status, load.errors)
    local told = cjson.decode(load.output)
    local kept, acknowledged = {}, 0
    for key, id in pg.primary:psql "select idempotency_key, id from transactions where account = 'load'"
      :gmatch "([^|\n]+)|(%d+)" do
      assert.is_nil(kept[key], key)
      kept[key] = tonumber(id)
    end
    for key, id in pairs(told.acknowledged) do
      assert.equal(id, kept[key], key)
      acknowledged = acknowledged + 1
    end
    -- A writer may have been stopped in front of an answer.
    assert.is_true(count "where account = 'load'" <= acknowledged + 4)
    return told, acknowledged
  end

  local function wait_for_health(expected)
    wait.until_true("the service to be " .. expected, function()
      return select(2, request "/health").status == expected
    end, 30)
  end

  local function wait_for_more(what)
    local before = count "where account = 'load'"
    wait.until_true("more transactions " .. what, function()
      return count "where account = 'load'" > before + 20
    end, 30)
  end

  it("loses nothing, and does nothing twice, when a replica and then the primary die #slow", function()
    local load = start_load()
    wait_for_more "at first"
    pg.replicas[2]:kill()
    wait_for_health "degraded"
    wait_for_more "without a replica"
    pg.replicas[2]:start()
    wait_for_health "healthy"

    pg.primary:kill()
    wait_for_health "unhealthy"
    assert.equal(503, (request "/health"))
    assert.equal(200, (request "/transactions"))
    local status, _, headers = post { account = "a", amount = "1" }
    assert.equal(503, status)
    assert.equal("1", headers["retry-after"])
    assert.equal(200, (request "/transactions"))
    failover.promote(pg)
    wait_for_health "degraded"
    wait_for_more "after the failover"

    local told = end_of(load)
    assert.same({}, told.unseen)
    told.statuses["POST 201"], told.statuses["POST 503"], told.statuses["GET 200"] = nil, nil, nil
    assert.same({}, told.statuses)
    assert.is_true(told.slowest_read < 4, told.slowest_read)
  end)
end)
