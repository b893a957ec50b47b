--- PostgreSQL's own regression suite, directly and through the router in two pool modes.
--
--   lua5.4 tests/regress.lua [--sources DIR] [--out DIR] [--modes session,transaction] [--again]
--
-- What a test prints through the router is compared with what it prints directly, on the same
-- machine and the same server: not with the suite's expectations, which want a server of their own
-- kind. A difference that tests/regress_differences.txt does not name fails the run.
-- SPDX-License-Identifier: MIT

package.path = "lua/?.lua;lua/?/init.lua;tests/?.lua;" .. package.path

local argparse = require "argparse"
local process = require "moongate.process"
local router = require "support.router"
local throwaway = require "moongate.throwaway"
local uv = require "luv"

local KNOWN = "tests/regress_differences.txt"
local SUITE_SECONDS = 1200
local SKIPPED = 3 -- fetch_regress.sh's status where the sources can't be had
local CONNECTIONS = 4

local function parse_arguments()
  local parser = argparse("regress", "PostgreSQL's regression suite, directly and through the router.")
  parser:option("--sources", "Where the suite is, or is put."):default "build/regress"
  parser:option("--out", "Where the outputs go."):default "build/regress"
  parser:option("--modes", "Pool modes, parted by commas."):default "session,transaction"
  parser:flag("--again", "Keep the direct run's outputs of last time.")
  return parser:parse()
end

local function say(...)
  print(string.format(...))
  io.stdout:flush()
end

local function read_file(path)
  local file = assert(io.open(path))
  local text = file:read("a")
  file:close()
  return text
end

local function write_file(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

local function checked(command)
  local status, output, errors = process.run(command)
  if status ~= 0 then error(("%s failed (%d): %s%s"):format(command[1], status, output, errors), 0) end
  return output
end

-- The names of the tests, from the files that end with `suffix`.
local function files_in(dir, suffix)
  local names = {}
  for name in uv.fs_scandir_next, assert(uv.fs_scandir(dir)) do
    if name:sub(-#suffix) == suffix then names[#names + 1] = name:sub(1, -#suffix - 1) end
  end
  table.sort(names)
  return names
end

---@class regress.Known
---@field most integer   lines of a diff
---@field reason string

---What is known to differ, by mode and test.
---@return table<string, table<string, regress.Known>>
local function read_known()
  local known = {}
  for line in io.lines(KNOWN) do
    local mode, test, most, reason = line:match("^([%w*]+)%s+([%w_]+)%s+(%d+)%s+(.+)$")
    if mode then
      known[mode] = known[mode] or {}
      known[mode][test] = { most = tonumber(most), reason = reason }
    elseif line:match("%S") and not line:match("^#") then
      error(("%s: not \"mode test lines reason\": %s"):format(KNOWN, line), 0)
    end
  end
  return known
end

-- Two tests write files of the server's there, so the folder is PostgreSQL's.
local function prepare(pg, suite)
  local dir = pg.dir .. "/suite"
  checked { "cp", "-r", suite, dir }
  checked { "chmod", "-R", "a+rwX", dir }
  return dir
end

-- The folder's name is in some outputs, and is another each time.
local function keep_outputs(pg, dir, out)
  checked { "rm", "-rf", out }
  checked { "mkdir", "-p", out }
  local place = pg.dir:gsub("%p", "%%%0")
  for _, test in ipairs(files_in(dir .. "/results", ".out")) do
    local text = read_file(("%s/results/%s.out"):format(dir, test))
    write_file(("%s/%s.out"):format(out, test), (text:gsub(place, "DIR")))
  end
end

---Runs the suite on a throwaway primary.
---@param mode string  "direct", or a pool mode
---@param out string   the folder for its outputs
---@return string summary  pg_regress's own
local function run_suite(mode, suite, out)
  local pg <close> = throwaway.start { settings = { max_prepared_transactions = 10 } }
  local dir = prepare(pg, suite)
  local port, proxy = pg.primary.port, nil
  if mode ~= "direct" then
    proxy = router.start { pg = pg,
      text = router.script(pg, { extra = ("pool = { mode = %q, size = 60 },"):format(mode) }) }
    port = proxy.port
  end
  local _, output, errors = pg:run("../lib/pgxs/src/test/regress/pg_regress", {
    "--host=127.0.0.1", "--port=" .. port, "--user=postgres", "--bindir=" .. pg.bindir,
    "--dlpath=" .. dir .. "/lib", "--inputdir=" .. dir, "--outputdir=" .. dir,
    "--schedule=" .. dir .. "/parallel_schedule", "--max-connections=" .. CONNECTIONS,
  }, { seconds = SUITE_SECONDS })
  keep_outputs(pg, dir, out)
  write_file(out .. "/pg_regress.log", output .. errors)
  if proxy then
    proxy:stop()
    write_file(out .. "/router.log", proxy:log())
  end
  return output:match("\n=+\n (.-)%s*\n=+\n") or errors
end

-- How many lines differ; the diff is kept beside the output.
local function count_differences(direct, through)
  local status, diff = process.run { "diff", "-U3", direct, through }
  if status == 0 then return 0 end
  if status ~= 1 then return math.huge end -- a test has printed nothing at all
  write_file((through:gsub("%.out$", ".diff")), diff)
  local _, lines = diff:gsub("\n[-+]", "")
  return lines - 1 -- the second line names a file
end

-- Whether `lines` of difference are as known.
local function judge(test, lines, known)
  if known and lines <= known.most then
    say("  %-16s %s lines differ, as known: %s", test, lines, known.reason)
    return true
  end
  say("  %-16s %s lines DIFFER%s", test, lines, known and ", known are " .. known.most or "")
  return false
end

---Prints what differs from the direct run.
---@return boolean ok  all of it is known
local function compare(mode, out, known)
  local same, ok = 0, true
  local tests = files_in(out .. "/direct", ".out")
  for _, test in ipairs(tests) do
    local lines = count_differences(("%s/direct/%s.out"):format(out, test),
      ("%s/%s/%s.out"):format(out, mode, test))
    if lines == 0 then
      same = same + 1
    else
      ok = judge(test, lines, (known[mode] or {})[test] or (known["*"] or {})[test]) and ok
    end
  end
  say("%s: %d of %d tests print the same as directly", mode, same, #tests)
  return ok and #tests > 0
end

local function main()
  local arguments = parse_arguments()
  local status, _, errors = process.run({ "sh", "tests/support/fetch_regress.sh", arguments.sources },
    { seconds = 600 })
  if status == SKIPPED then return print((errors:gsub("%s+$", ""))) end
  if status ~= 0 then error(errors, 0) end
  local suite, out, known = arguments.sources .. "/suite", arguments.out, read_known()
  say("the suite of PostgreSQL %s", (read_file(suite .. "/VERSION"):gsub("%s", "")))
  if not (arguments.again and uv.fs_stat(out .. "/direct")) then
    say("direct: %s", run_suite("direct", suite, out .. "/direct"))
  end
  local ok = true
  for mode in arguments.modes:gmatch("[^,]+") do
    local summary = run_suite(mode, suite, out .. "/" .. mode)
    ok = compare(mode, out, known) and ok
    say("%s: by the suite's own expectations: %s", mode, summary)
  end
  return ok
end

if main() == false then os.exit(1, true) end
