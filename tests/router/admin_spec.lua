-- What the router tells over HTTP, and how it bears those who ask badly.

local cluster = require "tests.support.cluster"
local http = require "tests.support.http"
local process = require "moongate.process"
local router = require "tests.support.router"
local throwaway = require "moongate.throwaway"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

local HEALTH = [[
  health = { interval = 0.1, timeout = 5, fall = 2, rise = 1 },
  backoff = { initial = 0.1, max = 0.3 },
]]

local function health_becomes(moongate, status, path)
  return wait.until_true("/health to be " .. status, function()
    local answer = moongate:ask(path or "/health")
    return answer.status == status and answer
  end)
end

-- The value of a sample, by its name and some of its labels.
local function sample(text, name, ...)
  for line in text:gmatch("[^\n]+") do
    local labels, value = line:match("^moongate_" .. name .. "(%b{}) (%S+)$")
    if not labels then labels, value = "", line:match("^moongate_" .. name .. " (%S+)$") end
    local found = value ~= nil
    for _, label in ipairs { ... } do found = found and labels:find(label, 1, true) ~= nil end
    if found then return tonumber((value:gsub("^%+Inf$", "inf"))) or value end
  end
end

describe("the admin address", function()
  local pg, moongate

  setup(function()
    pg = cluster.shared()
    moongate = router.start { pg = pg, admin = true, text = router.script(pg, { extra = HEALTH }) }
    health_becomes(moongate, "healthy")
  end)
  teardown(function() moongate:stop() end)

  it("says that all is well, the seed's four words first", function()
    local status, body, headers = moongate:http("/health")
    assert.equal(200, status)
    assert.equal("application/json", headers["content-type"])
    local version = router.command({ "--version" }) == 0
      and select(2, router.command { "--version" }):match("^moongate (%S+)\n$")
    assert.truthy(version)
    assert.equal(version, require "moongate".version)
    local expected = ('{"status":"healthy","version":"%s","db_primary":"connected","db_replica":"connected",')
      :format(version)
    assert.equal(expected, body:sub(1, #expected))
  end)

  it("tells of each endpoint", function()
    local answer = moongate:ask "/health"
    assert.equal(3, #answer.endpoints)
    local first = answer.endpoints[1]
    assert.equal("127.0.0.1:" .. pg.primary.port, first.name)
    assert.equal("primary", first.role)
    assert.equal("connected", first.status)
    assert.equal("up", first.state)
    assert.equal("replica", answer.endpoints[2].role)
  end)

  it("answers for one cluster, and knows no other", function()
    local _, status = moongate:ask "/health?cluster=*"
    assert.equal(200, status)
    local answer
    answer, status = moongate:ask "/health?cluster=nowhere"
    assert.equal(404, status)
    assert.matches("no such cluster", answer.error)
  end)

  it("is alive, and ready", function()
    local live, status = moongate:ask "/live"
    assert.is_true(live.live)
    assert.equal(200, status)
    local ready
    ready, status = moongate:ask "/ready"
    assert.is_true(ready.ready)
    assert.equal(200, status)
  end)

  it("answers HEAD as GET, without a body", function()
    local status, body, headers = moongate:http("/health", { method = "HEAD" })
    assert.equal(200, status)
    assert.equal("", body)
    assert.is_true(tonumber(headers["content-length"]) > 0)
  end)

  it("lists its pages to who asks for another", function()
    local answer, status = moongate:ask "/healthz"
    assert.equal(404, status)
    assert.equal("/healthz", answer.path)
    assert.same({ "GET /health", "GET /ready", "GET /live", "GET /metrics" },
      table.move(answer.pages, 1, 4, 1, {}))
  end)

  it("says which method a page takes", function()
    local status, _, headers = moongate:http("/health", { method = "POST", body = "x=1" })
    assert.equal(405, status)
    assert.equal("GET, HEAD", headers.allow)
  end)

  it("counts in /metrics what clients do", function()
    local client = wire.open(moongate.port)
    client:query "begin"
    client:query "select 1 for update"
    local status, text, headers = moongate:http "/metrics"
    assert.equal(200, status)
    assert.matches("^text/plain; version=0%.0%.4", headers["content-type"])
    local primary = 'endpoint="127.0.0.1:' .. pg.primary.port .. '"'
    assert.equal(1, sample(text, "clients"))
    assert.equal(1, sample(text, "clients_active"))
    assert.equal(1, sample(text, "endpoint_up", primary))
    assert.equal(1, sample(text, "endpoint_primary", primary))
    assert.equal(1, sample(text, "endpoint_in_flight", primary))
    assert.equal(1, sample(text, "pool_lent", primary, 'user="postgres"', 'database="postgres"'))
    assert.equal(10, sample(text, "pool_size", primary))
    assert.is_true(sample(text, "policy_calls_total", 'cluster="*"') >= 1)
    client:query "rollback"
    client:query "listen nobody"
    text = select(2, moongate:http "/metrics")
    assert.equal(1, sample(text, "clients_pinned", 'reason="listen"'))
    client:quit()
    wait.until_true("the client to be gone", function()
      return sample(select(2, moongate:http "/metrics"), "clients") == 0
    end)
  end)

  it("writes metrics as Prometheus reads them: each name once, with its type, and its samples together", function()
    local text = select(2, moongate:http "/metrics")
    local seen, current = {}, nil
    for line in text:gmatch("[^\n]+") do
      local name, kind = line:match("^# TYPE (%S+) (%S+)$")
      if name then
        assert.is_nil(seen[name], name)
        seen[name], current = kind, name
        assert.is_true(kind == "gauge" or kind == "counter" or kind == "summary")
        assert.equal(kind == "counter", name:find("_total$") ~= nil, name)
      elseif not line:find("^# HELP ") then
        local of = line:match("^([%w_]+)")
        if seen[current] == "summary" then of = of:gsub("_sum$", ""):gsub("_count$", "") end
        assert.equal(current, of)
        assert.matches("^[%w_]+%s%S+$", (line:gsub("%b{}", "")))
      end
    end
  end)

  it("bears a request that never ends, and one that is too long", function()
    local slow = {}
    for i = 1, 40 do
      slow[i] = http.connect(moongate.admin_port)
      assert(slow[i]:send "GET /health HTT")
    end
    for i = 1, 40 do slow[i]:close() end
    local status = http.raw(moongate.admin_port,
      "GET /" .. ("x"):rep(100000) .. " HTTP/1.1\r\nHost: x\r\n\r\n")
    assert.is_true(status == nil or status >= 400, status)
    assert.equal(200, (moongate:http "/live"))
  end)

  it("reads no large body", function()
    local ok, status = pcall(http.request, moongate.admin_port, "/live",
      { method = "GET", body = ("x"):rep(1000000) })
    assert.is_true(not ok or status >= 400)
    assert.equal(200, (moongate:http "/live"))
  end)

  it("has those wait that are too many, and serves them then", function()
    -- A connection that waits in the kernel's queue has no inode yet.
    local function accepted()
      local count, port = 0, (":%04X"):format(moongate.admin_port)
      for line in io.lines "/proc/net/tcp" do
        local here, state, inode = line:match "^%s*%d+: %x+(:%x+) %S+ (%x%x) %S+ %S+ %S+%s+%d+%s+%d+ (%d+)"
        if here == port and state == "01" and inode ~= "0" then count = count + 1 end
      end
      return count
    end
    wait.until_true("nobody to be there", function() return accepted() == 0 end)
    local held = {}
    for i = 1, 16 do held[i] = http.connect(moongate.admin_port) end
    wait.until_true("all to be accepted", function() return accepted() == 16 end)
    local last = http.connect(moongate.admin_port)
    assert(last:send "GET /live HTTP/1.0\r\n\r\n")
    last:settimeout(0.2)
    assert.equal("timeout", (select(2, last:receive "*l")))
    last:settimeout(20)
    for i = 1, 16 do held[i]:close() end
    assert.matches("^HTTP/1.%d 200", (last:receive "*l"))
    last:close()
  end)

  it("routes on while somebody asks", function()
    local client = wire.open(moongate.port)
    for _ = 1, 50 do
      assert.equal(200, (moongate:http "/metrics"))
      assert.equal("1", client:query "select 1".rows[1][1])
    end
    client:quit()
  end)
end)

describe("the admin address of several clusters", function()
  local pg, moongate

  setup(function()
    pg = cluster.shared()
    moongate = router.start { pg = pg, admin = true, text = ([[
      local moongate = require "moongate"
      local health = { interval = 0.1, fall = 2 }
      return moongate.router {
        admin = os.getenv "MOONGATE_ADMIN",
        clusters = {
          postgres = moongate.cluster { primary = "postgres://127.0.0.1:%d", health = health },
          ['odd "name"'] = moongate.cluster { primary = "postgres://someone:s3cret@127.0.0.1:%d", health = health },
        },
      }]]):format(pg.primary.port, process.free_port()) }
  end)
  teardown(function() moongate:stop() end)

  it("is as ill as the worst of them, and tells of one by name", function()
    local all = health_becomes(moongate, "unhealthy")
    assert.equal("disconnected", all.db_primary)
    assert.equal(2, #all.endpoints)
    local one = health_becomes(moongate, "healthy", "/health?cluster=postgres")
    assert.equal("connected", one.db_primary)
    assert.equal(1, #one.endpoints)
    assert.equal("postgres", one.endpoints[1].cluster)
    local ready, status = moongate:ask "/ready"
    assert.equal(503, status)
    assert.equal('odd "name"', ready.cluster)
    assert.equal("no primary is up", ready.reason)
  end)

  it("quotes names in metrics, and tells no password", function()
    local text = select(2, moongate:http "/metrics")
    assert.equal(1, sample(text, "endpoint_up", 'cluster="postgres"'))
    assert.equal(0, sample(text, "endpoint_up", [[cluster="odd \"name\""]]))
    wait.until_true("an error to be told", function()
      local body = select(2, moongate:http "/health?cluster=odd%20%22name%22")
      assert.not_matches("s3cret", body)
      return body:match "refused"
    end)
  end)
end)

describe("the admin address, as configured", function()
  local pg
  setup(function() pg = cluster.shared() end)

  it("is nowhere unless asked for", function()
    local moongate = router.start { pg = pg }
    assert.not_matches("admin", moongate:log())
    moongate:stop()
  end)

  it("is the default script's MOONGATE_ADMIN", function()
    local moongate = router.start { pg = pg, admin = true }
    assert.equal(200, (moongate:http "/live"))
    assert.not_matches("nobody is asked who they are", moongate:log())
    moongate:stop()
  end)

  it("warns where others reach it", function()
    local env = router.environment(pg)
    env.MOONGATE_ADMIN = "0.0.0.0:" .. process.free_port()
    local moongate = router.start { pg = pg, env = env }
    wait.until_true("the warning", function() return moongate:log():find "nobody is asked who they are" end)
    moongate:stop()
  end)

  it("that is taken is an error at the start", function()
    local env = router.environment(pg)
    env.MOONGATE_ADMIN = "127.0.0.1:" .. pg.primary.port
    env.MOONGATE_LISTEN = "127.0.0.1:" .. process.free_port()
    local status, _, errors = router.command({ "run", "scripts/read_write_split.lua" }, { env = env })
    assert.equal(1, status)
    assert.matches("cannot listen on .-" .. pg.primary.port, errors)
  end)

  it("is shown by check, and must be an address", function()
    local env = router.environment(pg)
    env.MOONGATE_ADMIN = "127.0.0.1:9187"
    local status, output = router.command({ "check", "scripts/read_write_split.lua" }, { env = env })
    assert.equal(0, status)
    assert.matches("admin%s+127%.0%.0%.1:9187", output)
    env.MOONGATE_ADMIN = "nonsense"
    local again, _, errors = router.command({ "check", "scripts/read_write_split.lua" }, { env = env })
    assert.equal(1, again)
    assert.matches('admin must be an address such as "127.0.0.1:6432"', errors)
  end)
end)

describe("the admin address, without descriptors", function()
  it("waits for some instead of spinning", function()
    local pg = throwaway.start {}
    local moongate = router.start { pg = pg, admin = true, wrapper = { "prlimit", "--nofile=64" } }
    local held = {}
    for i = 1, 40 do held[i] = http.connect(moongate.port) end
    assert.equal(200, (moongate:http "/live"))
    for i = 1, 40 do held[i]:close() end
    moongate:stop()
    pg:stop()
  end)
end)
