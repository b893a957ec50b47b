--- The model test at length: `make test-model`, with these variables.
--
--   SEED      the first seed (1)                  RUNS   how many seeds (10)
--   CLIENTS   (8)                                 STEPS  per client (300)
--   FEATURES  such as "plain,block" or "all,-ddl" (all)
--   SHRINK    seconds to spend on making a mismatch shorter (120)
--   REPLAY    a file that a mismatch has left: only that
--   DIRECT    1: PostgreSQL against itself        VERBOSE  1: the share of errors by feature
--
-- A mismatch ends it; the shortened plan is left in $BUILD/model-SEED.lua for REPLAY.
-- SPDX-License-Identifier: MIT

local check = require "tests.router.model.check"
local generator = require "tests.router.model.generator"
local run = require "tests.router.model.run"

local function number(name, default)
  local text = os.getenv(name)
  if not text or text == "" then return default end
  return math.tointeger(tonumber(text)) or error(("%s must be a whole number, not %q"):format(name, text), 0)
end

local function given(name)
  local text = os.getenv(name)
  return text ~= "" and text or nil
end

local function print_statistics(plan, answers)
  local names, of = {}, run.statistics(plan, answers)
  for name in pairs(of) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    print(("  %-18s %5d steps, %5d with an error"):format(name, of[name].steps, of[name].errors))
  end
end

local function replay(the_check, path)
  local plan = check.load(path)
  local mismatch = the_check:run(plan)
  if not mismatch then
    print(("%s: %d steps, no mismatch"):format(path, #plan))
    return true
  end
  print(check.describe(plan, mismatch))
  return false
end

local function one_seed(the_check, options)
  local report, plan, direct = run.seed(the_check, options)
  if report then
    local path = ("%s/model-%d.lua"):format(os.getenv "BUILD" or "build", options.seed)
    run.save(plan, path)
    print(("%s\nsee it again: make test-model REPLAY=%s"):format(report, path))
    return false
  end
  print(("seed %d: %d steps, no mismatch"):format(options.seed, #plan))
  if given "VERBOSE" then print_statistics(plan, direct) end
  return true
end

local function all_seeds(the_check)
  local first = number("SEED", 1)
  local features = generator.select(given "FEATURES" or "all")
  for seed = first, first + number("RUNS", 10) - 1 do
    if not one_seed(the_check, { seed = seed, clients = number("CLIENTS", 8), steps = number("STEPS", 300),
      features = features, shrink = number("SHRINK", 120) }) then return false end
  end
  return true
end

-- What broke off the test, and how to see it again.
local function failure(err, the_check, router)
  local lines = { type(err) == "table" and err.signal and "interrupted by " .. err.signal or tostring(err) }
  if the_check.plan then
    local path = (os.getenv "BUILD" or "build") .. "/model-broken.lua"
    run.save(the_check.plan, path)
    lines[#lines + 1] = "see it again: make test-model REPLAY=" .. path
  end
  if router and not router:is_running() then
    lines[#lines + 1] = ("the router has ended with signal %d, its log ends with"):format(router.process.signal)
    lines[#lines + 1] = router:log():sub(-1000)
  end
  return table.concat(lines, "\n")
end

local function main()
  run.trap()
  local pg <close> = run.start_cluster()
  local router = not given "DIRECT" and run.start_router(pg) or nil
  local the_check = run.new_check(pg, router and router.port or pg.primary.port)
  local path = given "REPLAY"
  local ok, result = pcall(path and replay or all_seeds, the_check, path)
  if not ok then error(failure(result, the_check, router), 0) end
  for name, count in pairs(the_check.accepted) do
    print(("known difference met %d times: %s"):format(count, name))
  end
  the_check.world:close()
  if router then router:stop() end
  return result
end

io.stdout:setvbuf("line")
local ok, result = pcall(main)
if not ok then io.stderr:write("model: ", tostring(result), "\n") end
os.exit(ok and result and 0 or 1, true)
