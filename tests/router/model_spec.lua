-- The router against a model: whatever clients send, the answers are those of PostgreSQL itself.
--
-- Random sequences of messages, by a fixed seed; `make test-model` runs longer ones, see
-- model/main.lua.

local generator = require "tests.router.model.generator"
local run = require "tests.router.model.run"

local CLIENTS, STEPS = 8, 200

describe("the router answers as PostgreSQL does", function()
  local pg, moongate, the_check

  setup(function()
    pg = run.start_cluster()
    moongate = run.start_router(pg)
  end)
  teardown(function()
    moongate:stop()
    pg:stop()
  end)
  after_each(function()
    the_check.world:close()
  end)

  local function seed_through(port, seed, features)
    the_check = run.new_check(pg, port)
    return (run.seed(the_check, { seed = seed, clients = CLIENTS, steps = STEPS, shrink = 20,
      features = generator.select(features) }))
  end

  it("and PostgreSQL answers the same each time", function()
    assert.is_nil(seed_through(pg.primary.port, 1, "all"))
  end)

  for seed = 1, 3 do
    it(("whatever %d clients send: seed %d"):format(CLIENTS, seed), function()
      assert.is_nil(seed_through(moongate.port, seed, "all"))
    end)
  end
end)
