--- The Lua module beside LuaSQL's PostgreSQL driver: single rows one at a time and by 16 tasks, and
--- a quarter of a million rows into tables.
--
--   lua5.4 tests/bench/module.lua [--rounds N] [--queries N] [--rows N]
--
-- Every measurement is a process of its own. Rounds measure everyone once; the table shows medians,
-- and of the ratios to LuaSQL in the same round.
-- SPDX-License-Identifier: MIT

package.path = "lua/?.lua;lua/?/init.lua;tests/bench/?.lua;" .. package.path

local argparse = require "argparse"
local process = require "moongate.process"
local report = require "report"
local throwaway = require "moongate.throwaway"

local COUNTER = (os.getenv "BUILD" or "build") .. "/tests/count_allocations.so"

-- What is measured; `than` is LuaSQL's case that it is compared with, `want` the least ratio.
local CASES = {
  { client = "luasql", case = "one", title = "one row by key, one at a time", unit = "queries" },
  { client = "moongate", case = "one", title = "the same", unit = "queries", than = "one", want = 1 },
  { client = "moongate", case = "prepared", title = "the same, prepared", unit = "queries", than = "one" },
  { client = "moongate", case = "tasks", title = "the same, by 16 tasks", unit = "queries", than = "one", want = 4 },
  { client = "luasql", case = "rows", title = "many rows into tables", unit = "rows" },
  { client = "moongate", case = "rows", title = "the same", unit = "rows", than = "rows", want = 1.5 },
  { client = "moongate", case = "stream", title = "the same, streamed", unit = "rows", than = "rows" },
}

local function parse_arguments()
  local parser = argparse("module", "The Lua module beside LuaSQL.")
  parser:option("--rounds", "How often each is measured."):default("5"):convert(tonumber)
  parser:option("--queries", "How many single rows are asked for."):default("20000"):convert(tonumber)
  parser:option("--rows", "How many rows are fetched."):default("250000"):convert(tonumber)
  return parser:parse()
end

local function run_client(pg, case, count, env)
  local status, output, errors = process.run(
    { "lua5.4", "tests/bench/module_client.lua", case.client, case.case, pg.primary.url, tostring(count) },
    { seconds = 300, env = env })
  local seconds, cpu = output:match "^(%S+)%s+(%S+)"
  if status ~= 0 or not seconds then
    error(("%s, %s failed (%d):\n%s%s"):format(case.client, case.case, status, output, errors), 0)
  end
  return tonumber(seconds), tonumber(cpu), errors
end

---One measurement: a second's queries or rows, and the client's CPU for each.
local function measure(pg, case, arguments)
  local count = arguments[case.unit]
  local seconds, cpu = run_client(pg, case, count)
  return { rate = count / seconds, cpu = cpu / count * 1e6 }
end

---How often the client asks for memory for each: many against few, so that its start does not count.
local function allocations(pg, case, arguments)
  local env = {}
  for name, value in pairs(require("luv").os_environ()) do env[name] = value end
  env.LD_PRELOAD = COUNTER
  local function asked(count)
    local _, _, errors = run_client(pg, case, count, env)
    return tonumber(errors:match "allocations (%d+)")
  end
  local many = arguments[case.unit]
  local few = many // 10
  return (asked(many) - asked(few)) / (many - few)
end

local function fill(pg, arguments)
  local status, _, errors = process.run(
    { pg.bindir .. "/pgbench", "--initialize", "--quiet", "--scale=1", pg.primary.url }, { seconds = 300 })
  if status ~= 0 then error("pgbench --initialize failed: " .. errors, 0) end
  pg.primary:psql(([[
    create table pgbench_many as select g as aid, g %% 10 as bid, g * 2 as abalance from generate_series(1, %d) g;
    vacuum analyze]]):format(arguments.rows))
  pg.primary:psql "checkpoint"
end

local function measure_all(pg, arguments)
  for _, case in ipairs(CASES) do
    case.results, case.allocations = {}, allocations(pg, case, arguments)
  end
  for round = 1, arguments.rounds do
    for i = 1, #CASES do
      local case = CASES[(i + round) % #CASES + 1]
      case.results[round] = measure(pg, case, arguments)
      io.stderr:write(("round %d  %-8s %-9s %9.0f %s/s\n"):format(
        round, case.client, case.case, case.results[round].rate, case.unit))
    end
  end
end

local function baseline(case)
  for _, other in ipairs(CASES) do
    if other.client == "luasql" and other.case == case.than then return other.results end
  end
end

local function row_of(case)
  local median, values = report.median, report.values_of
  local ratio = case.than and median(report.ratios(case.results, baseline(case), "rate"))
  return {
    case.client,
    case.title,
    ("%.0f %s/s"):format(median(values(case.results, "rate")), case.unit),
    report.range(values(case.results, "rate")),
    ("%.2f"):format(median(values(case.results, "cpu"))),
    ("%.1f"):format(case.allocations),
    ratio and ("%.2f"):format(ratio) or "-",
    case.want and (">= %.1f"):format(case.want) or "-",
  }
end

local COLUMNS = {
  { title = "client", left = true },
  { title = "what", left = true },
  { title = "median" },
  { title = "least to most" },
  { title = "CPU us each" },
  { title = "allocations each" },
  { title = "x LuaSQL" },
  { title = "wanted" },
}

local function main()
  local arguments = parse_arguments()
  process.trap { "sigint", "sigterm" }
  local pg <close> = throwaway.start {
    replicas = 0,
    settings = { shared_buffers = "256MB", autovacuum = "off", checkpoint_timeout = "1h" },
  }
  fill(pg, arguments)
  measure_all(pg, arguments)
  local rows = {}
  for i, case in ipairs(CASES) do rows[i] = row_of(case) end
  print(("The Lua module beside LuaSQL, medians of %d rounds, on %s."):format(arguments.rounds, report.machine()))
  print("\n" .. report.plain(rows, COLUMNS))
end

report.main(main)
