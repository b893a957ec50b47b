-- An application whose endpoints are Patroni's members: they are found while its calls wait.

local cjson = require "cjson"
local moongate = require "moongate"
local process = require "moongate.process"
local shared = require "tests.support.cluster"
local uv = require "luv"
local wait = require "tests.support.wait"

describe("a cluster by Patroni", function()
  local pg, api, url, file

  local function say(...)
    local list = {}
    for i, node in ipairs { ... } do
      list[i] = { name = node.name, role = i == 1 and "leader" or "replica", state = "running",
        host = "127.0.0.1", port = node.port }
    end
    local out = assert(io.open(file .. ".new", "w"))
    out:write("200 0\n", cjson.encode { members = list })
    out:close()
    assert(os.rename(file .. ".new", file))
  end

  setup(function()
    pg = shared.shared()
    file = assert(uv.fs_mkdtemp(pg.dir .. "/patroni-XXXXXX")) .. "/answer"
    say(pg.primary, pg.replicas[1])
    api = process.spawn({ "lua5.4", "tests/support/patroni_api.lua", file }, { input = true })
    pg:guard(api)
    url = "http://127.0.0.1:" .. api:take("\n", 5)
  end)
  teardown(function()
    api:close_input()
    api:wait(5)
  end)

  local function names(cluster)
    local list = {}
    for i, e in ipairs(cluster.endpoints) do list[i] = e.name end
    return table.concat(list, " ")
  end

  it("its first query waits until the members are known, and they come and go between calls", function()
    local cluster <close> = moongate.cluster {
      patroni = moongate.patroni { url = url, connect = "postgres://postgres@/postgres", interval = 0.01 },
      health = { interval = 0.05 },
    }
    assert.equal("", names(cluster))
    local rows = assert(cluster:query "select current_setting('port')::int as port, pg_is_in_recovery() as replica")
    assert.is_not_nil(rows[1].port)
    assert.equal("primary replica1", names(cluster))
    assert.equal("primary", cluster.primary.name)
    local left <const> = cluster.endpoints[2]
    say(pg.primary, pg.replicas[2])
    wait.until_true("the other to come", function()
      assert(cluster:query "select pg_sleep(0.02)")
      return names(cluster) == "primary replica2"
    end)
    assert.is_true(left.draining)
    assert.is_false(left.up)
    assert.equal("unknown", left.role)
    assert.equal("healthy", cluster:health().status)
  end)
end)
