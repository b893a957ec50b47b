--- One model test from its options to its verdict; for the spec and for `make test-model`.
-- SPDX-License-Identifier: MIT

local check = require "tests.router.model.check"
local generator = require "tests.router.model.generator"
local minimise = require "tests.router.model.minimise"
local process = require "moongate.process"
local router = require "tests.support.router"
local throwaway = require "moongate.throwaway"
local world = require "tests.router.model.world"

local M = {}

-- Fewer servers than clients, so that servers change hands all the time.
local POOL_SIZE = 3

-- Probes in quick succession make replicas fresh again soon after each write. Clients with a pin may
-- keep all servers for as long as the plan lasts.
local SCRIPT_OPTIONS = [[
    pool = { size = %d, acquire_timeout = 60, notice_after = 0 },
    health = { interval = 0.01, timeout = 1 },
]]

---@return moongate.throwaway.Cluster
function M.start_cluster()
  return throwaway.start {
    replicas = 1,
    settings = { autovacuum = "off", hot_standby_feedback = "on", lock_timeout = "20s" },
  }
end

---@param pg moongate.throwaway.Cluster
---@return tests.Router
function M.start_router(pg)
  local text = router.script(pg, { extra = SCRIPT_OPTIONS:format(POOL_SIZE) })
  -- Without a role of their own the probes would be let in nowhere, and no replica would be fresh again.
  return router.start { pg = pg, text = text:gsub("postgres://127", "postgres://postgres@127") .. "" }
end

---@param pg moongate.throwaway.Cluster
---@param port integer  of what is tested
---@return tests.model.Check
function M.new_check(pg, port)
  return check.new(world.new(pg), port)
end

---@class tests.model.Options: tests.model.PlanOptions
---@field shrink number?  seconds to spend on a shorter plan; default 20

---Generates a plan and runs it. What it returns first says how to see the mismatch again.
---@param the_check tests.model.Check
---@param options tests.model.Options
---@return string? report, tests.model.Plan plan, string[][] direct
function M.seed(the_check, options)
  local plan = generator.plan(options)
  local mismatch, direct = the_check:run(plan)
  if not mismatch then return nil, plan, direct end
  local first = check.describe({ plan[mismatch.index] },
    { index = 1, direct = mismatch.direct, routed = mismatch.routed })
  local short, its = minimise.run(the_check, plan, mismatch, options.shrink or 20)
  return ("seed %d, step %d of %d:\n%s\nshortened to %d steps:\n%s"):format(options.seed,
    mismatch.index, #plan, first, #short, check.describe(short, its)), short, direct
end

---Where a plan is kept for `REPLAY=FILE`.
---@param plan tests.model.Plan
---@param path string
function M.save(plan, path)
  local file = assert(io.open(path, "w"))
  file:write(check.dump(plan))
  file:close()
end

---How many answers were errors, by feature: a generator that mostly fails tests little.
---@param plan tests.model.Plan
---@param answers string[][]
---@return table<string, { steps: integer, errors: integer }>
function M.statistics(plan, answers)
  local of = {}
  for i, step in ipairs(plan) do
    local one = of[step.feature] or { steps = 0, errors = 0 }
    of[step.feature] = one
    one.steps = one.steps + 1
    for _, line in ipairs(answers[i]) do
      if line:find("^E ") then
        one.errors = one.errors + 1
        break
      end
    end
  end
  return of
end

---Signals end a run as they should.
function M.trap()
  process.trap { "sigint", "sigterm" }
end

return M
