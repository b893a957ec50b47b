-- Every routing script in scripts/ loads, with replicas and without any.

local process = require "moongate.process"
local uv = require "luv"

local BINARY = os.getenv "MOONGATE_BIN" or "build/moongate"

local function run(additions, ...)
  local env = uv.os_environ()
  env.DATABASE_URL, env.DATABASE_REPLICA_URL = "postgres://db1/app", nil
  for key, value in pairs(additions) do env[key] = value end
  return process.run({ BINARY, ... }, { env = env })
end

local function check(name, additions)
  return run(additions, "check", "scripts/" .. name)
end

-- What the router itself would do.
local function verdict(name, sql, additions)
  local status, output, errors = run(additions, "explain", "scripts/" .. name, "-c", sql)
  assert.equal(0, status, errors)
  return output:match "verdict%s+([^\n]+)"
end

describe("the script", function()
  for name in uv.fs_scandir_next, uv.fs_scandir "scripts" do
    it(name .. " passes `moongate check`", function()
      local status, output, errors = check(name, { DATABASE_REPLICA_URL = "postgres://db2/app postgres://db3/app" })
      assert.equal(0, status, errors)
      assert.matches("db1.*replica.*replica", output)
      local alone, _, why = check(name, {})
      assert.equal(0, alone, why)
    end)
  end

  it("nearest_region.lua tells replicas their regions", function()
    local _, output = check("nearest_region.lua", {
      DATABASE_REPLICA_URL = "postgres://db2/app postgres://db3/app",
      MOONGATE_REGION = "eu",
      DATABASE_REPLICA_REGIONS = "eu us",
    })
    assert.matches("db1:%d+ weight 1 region eu.*db2:%d+ weight 1 region eu.*db3:%d+ weight 1 region us", output)
  end)

  it("tenants.lua refuses a replica that is not there", function()
    local status, _, errors = check("tenants.lua", { MOONGATE_TENANTS = "acme=replica-1" })
    assert.equal(1, status)
    assert.matches('no endpoint is called "replica%-1"', errors)
  end)

  it("maintenance.lua refuses writes in the router", function()
    local given = { MOONGATE_MESSAGE = "back at seven" }
    assert.equal("reject: back at seven", verdict("maintenance.lua", "delete from t", given))
    assert.equal("replicas", verdict("maintenance.lua", "select 1", given))
    assert.equal("primary", verdict("maintenance.lua", "begin", given))
  end)

  it("canary.lua parts sessions in the router", function()
    local replicas = "postgres://db2/app postgres://db3/app"
    for percent, expected in pairs { ["0"] = "replicas", ["100"] = "canary" } do
      local given = { DATABASE_REPLICA_URL = replicas, MOONGATE_CANARY_PERCENT = percent }
      assert.equal(expected, verdict("canary.lua", "select 1", given))
      assert.equal("primary", verdict("canary.lua", "delete from t", given))
    end
  end)

  it("tenants.lua pins a tenant in the router", function()
    local given = { DATABASE_REPLICA_URL = "postgres://db2/app", MOONGATE_TENANTS = "acme=replica-1" }
    assert.equal("tenant acme", verdict("tenants.lua", "select 1 /* moongate: tenant=acme */", given))
    assert.equal("replicas", verdict("tenants.lua", "select 1", given))
  end)
end)
