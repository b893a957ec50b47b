-- Every file in examples/, run as its own words say; and one policy, in both of its homes.

local cjson = require "cjson"
local moongate = require "moongate"
local process = require "moongate.process"
local shared = require "tests.support.cluster"
local uv = require "luv"

local BINARY = os.getenv "MOONGATE_BIN" or "build/moongate"

-- Our environment, with these additions.
local function environment(additions)
  local env = uv.os_environ()
  env.LUA_PATH, env.LUA_CPATH = package.path, package.cpath
  for name, value in pairs(additions) do env[name] = value end
  return env
end

describe("the example", function()
  local pg

  setup(function()
    pg = shared.shared()
    pg.primary:psql "drop table if exists accounts"
    pg:wait_for_replay()
  end)

  local function run(name)
    local status, output, errors = process.run({ "lua5.4", "examples/" .. name }, {
      env = environment {
        DATABASE_URL = pg.primary.url,
        DATABASE_REPLICA_URL = pg.replicas[1].url .. " " .. pg.replicas[2].url,
      },
    })
    assert.equal(0, status, errors)
    return output
  end

  it("hello.lua connects, asks and prints", function()
    assert.matches("^hello from PostgreSQL", run "hello.lua")
  end)

  it("hello.lua says what is missing", function()
    local status, _, errors = process.run({ "lua5.4", "examples/hello.lua" }, {
      env = { PATH = os.getenv "PATH", LUA_PATH = package.path, LUA_CPATH = package.cpath },
    })
    assert.equal(1, status)
    assert.matches("examples/hello%.lua:%d+: moongate%.from_env: DATABASE_URL is not set", errors)
  end)

  it("transfer.lua moves money once", function()
    local output = run "transfer.lua"
    assert.matches("^a second transfer: refused, SQLSTATE 23514: .*violates check constraint", output)
    assert.matches("\nalice has 40\nbob has 60\nhealth: healthy\n$", output)
  end)

  it("opens with one sentence that says what it shows", function()
    for entry in uv.fs_scandir_next, uv.fs_scandir "examples" do
      local file = assert(io.open("examples/" .. entry))
      assert.matches("^%-%- Shows ", file:read "l", entry)
      file:close()
    end
  end)
end)

describe("one policy", function()
  local statements = {
    "select 1",
    "select * from accounts where name = 'alice'",
    "select count(*) from orders /* moongate: report=yes */",
    "select count(*) from accounts /* moongate: report=yes */",
    "select * from orders for update",
    "insert into orders values (1)",
    "truncate orders",
    "with gone as (delete from orders returning *) select * from gone",
    "begin",
    "explain select * from orders",
    "explain analyze delete from orders",
    "show server_version",
    "selec",
    "",
  }

  -- What the router says of each statement, its script having the same policy.
  local function router_verdicts(policy)
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write(([[
      local moongate = require "moongate"
      return moongate.router {
        listen = "127.0.0.1:1",
        cluster = moongate.cluster {
          primary = "postgres://localhost:1/d",
          replicas = { "postgres://localhost:2/d" },
          policy = %s,
        },
      }]]):format(policy))
    file:close()
    local lines = {}
    for i, sql in ipairs(statements) do lines[i] = cjson.encode { sql = sql } end
    local status, output, errors = process.run(
      { BINARY, "explain", path, "--input", "json", "--json", "-f", "-" },
      { text = table.concat(lines, "\n") .. "\n", env = environment { MOONGATE_LOG = "warn" } })
    os.remove(path)
    assert.equal(0, status, errors)
    local verdicts = {}
    for line in output:gmatch "[^\n]+" do verdicts[#verdicts + 1] = cjson.decode(line).verdict end
    return verdicts
  end

  local function module_verdicts(policy)
    local cluster <close> = moongate.cluster {
      primary = "postgres://localhost:1/d", replicas = { "postgres://localhost:2/d" }, policy = policy,
    }
    local verdicts = {}
    for i, sql in ipairs(statements) do
      local failed
      verdicts[i], failed = cluster:verdict(sql)
      assert.is_false(failed)
    end
    return verdicts
  end

  it("of a file of one's own says the same in the router and in the module", function()
    local file = assert(io.open "examples/custom_policy.lua")
    local text = file:read "a"
    file:close()
    local in_module = module_verdicts(assert(load(text))())
    assert.same(in_module, router_verdicts(("(function() %s end)()"):format(text)))
    assert.same({ "replicas", "primary", "reports", "primary", "primary", "primary" },
      { table.unpack(in_module, 1, 6) })
    assert.equal("reject: TRUNCATE is not allowed here", in_module[7])
  end)

  it("that comes with moongate says the same in the router and in the module", function()
    local in_module = module_verdicts(require "moongate.policies.read_write_split")
    assert.same(in_module, router_verdicts "require 'moongate.policies.read_write_split'")
    assert.same({ "replicas", "replicas" }, { table.unpack(in_module, 1, 2) })
  end)
end)
