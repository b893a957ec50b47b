-- Patroni's members come and go under load, more of them than a cluster has places: nobody notices.

local cjson = require "cjson"
local load = require "tests.chaos.load"
local process = require "moongate.process"
local router = require "tests.support.router"
local throwaway = require "moongate.throwaway"
local uv = require "luv"
local wait = require "tests.support.wait"

local ROUNDS = load.long and 400 or 60 -- with two new names each; a cluster has 64 places
local SECONDS = 20
local SCRIPT = [[
local moongate = require "moongate"
return moongate.router {
  admin = os.getenv "MOONGATE_ADMIN",
  cluster = moongate.cluster {
    patroni = moongate.patroni { url = "http://127.0.0.1:%d", interval = 0.01 },
    policy = require "moongate.policies.read_write_split",
  },
}
]]

describe("members come and go under load:", function()
  local pg, api, moongate, file, dice

  setup(function()
    dice = math.random
    pg = throwaway.start { replicas = 2 }
    load.create_tables(pg)
    file = assert(uv.fs_mkdtemp(pg.dir .. "/patroni-XXXXXX")) .. "/answer"
  end)
  teardown(function()
    if moongate then moongate:stop() end
    if api then api:close_input() end
    pg:stop()
  end)

  local function say(members)
    local list = {}
    for i, member in ipairs(members) do
      list[i] = { name = member.name, host = "127.0.0.1", port = member.node.port, state = "running",
        role = member.node == pg.primary and "leader" or "replica", timeline = 1 }
    end
    local out = assert(io.open(file .. ".new", "w"))
    out:write("200 0\n", cjson.encode { members = list })
    out:close()
    assert(os.rename(file .. ".new", file))
  end

  local function endpoints()
    local names = {}
    for _, e in ipairs(moongate:ask("/health").endpoints) do names[#names + 1] = e.name end
    table.sort(names)
    return table.concat(names, " ")
  end

  -- One or both replicas under new names, and sometimes the primary.
  local function members(round)
    local list = { { name = dice(10) == 1 and "p" .. round or "p", node = pg.primary } }
    local which = dice(3)
    if which ~= 1 then list[#list + 1] = { name = "a" .. round, node = pg.replicas[1] } end
    if which ~= 2 then list[#list + 1] = { name = "b" .. round, node = pg.replicas[2] } end
    return list
  end

  it("no error, nothing lost, nothing done twice", function()
    say(members(0))
    api = process.spawn({ "lua5.4", "tests/support/patroni_api.lua", file }, { input = true })
    pg:guard(api)
    moongate = router.start { pg = pg, admin = true, text = SCRIPT:format(tonumber(api:take("\n", 5))) }
    wait.until_true("it to be ready", function() return moongate:http "/ready" == 200 end)
    local path = pg.dir .. "/outcomes"
    local run = load.start { pg = pg, url = moongate:url(), readers = 4, writers = 4, mixed = 3,
      promise = "own", read_pause = 0.001, write_pause = 0.002, blocks = 0.3, outcomes = path }
    for round = 1, ROUNDS do
      local list, names = members(round), {}
      say(list)
      for i, member in ipairs(list) do names[i] = member.name end
      table.sort(names)
      wait.until_true("the endpoints to be those of round " .. round, function()
        return endpoints() == table.concat(names, " ")
      end, SECONDS)
      process.pause(dice() * 0.04)
    end
    local totals = run:stop()
    local audit = load.audit(pg.primary, load.read_outcomes(path))
    load.say("%d rounds: %d writes acknowledged, %d failed, %d unknown; %d reads, %d errors; slowest %.2f s", ROUNDS,
      totals.acknowledged, totals.failed, totals.unknown, totals.reads, totals.read_errors, totals.slowest_read)
    assert.same({ lost = {}, twice = {}, denied = {}, foreign = {}, kept = 0 }, audit)
    assert.equal(0, totals.failed + totals.unknown + totals.silent + totals.hanging, totals.complaints)
    assert.equal(0, totals.read_errors + totals.violations, totals.complaints)
  end)
end)
