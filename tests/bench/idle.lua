--- Crowds: what an idle client costs the proxy in memory, and how evenly busy ones are served.
--
--   lua5.4 tests/bench/idle.lua [--idle N] [--active N] [--seconds S] [--peers A,B]
--
-- Prints figures and asserts nothing; `make bench-idle` raises the limit of descriptors first.
-- SPDX-License-Identifier: MIT

package.path = "lua/?.lua;lua/?/init.lua;tests/bench/?.lua;./?.lua;" .. package.path

local argparse = require "argparse"
local peers = require "peers"
local process = require "moongate.process"
local report = require "report"
local throwaway = require "moongate.throwaway"
local wire = require "tests.support.wire"

local WARM_UP_CLIENTS = 1000 -- what grows in steps, as tables of clients do, has grown by then
local SPARE_DESCRIPTORS = 500

local function parse_arguments()
  local parser = argparse("idle", "Many clients of moongate and PgBouncer: memory and fairness.")
  parser:option("--idle", "How many clients do nothing."):default("10000"):convert(tonumber)
  parser:option("--active", "How many clients query without pause."):default("1000"):convert(tonumber)
  parser:option("--seconds", "How long they do."):default("10"):convert(tonumber)
  parser:option("--peers", "Some of pgbouncer,moongate."):default("pgbouncer,moongate")
  return parser:parse()
end

local function say(...)
  io.stderr:write(string.format(...), "\n")
end

local function read_file(path)
  local file = assert(io.open(path))
  local text = file:read("a")
  file:close()
  return text
end

-- Memory of a process in proportion to how many share it: what would be free without it.
local function pss(pid)
  return tonumber(read_file(("/proc/%d/smaps_rollup"):format(pid)):match "Pss:%s+(%d+)") * 1024
end

local function check_descriptors(needed)
  local soft = read_file("/proc/self/limits"):match "Max open files +(%d+)"
  if soft and tonumber(soft) < needed then
    error(("%d descriptors are needed, and ulimit -n is %s"):format(needed, soft), 0)
  end
end

-- A client that was greeted, and has been served once.
local function open_client(port)
  local client = wire.open(port)
  assert(client:value "select 1" == "1")
  return client
end

---Bytes that each of so many clients adds to the proxy.
local function cost_of_idle(peer, count)
  local clients = setmetatable({}, {
    __close = function(self)
      for _, client in ipairs(self) do client:close() end
    end,
  })
  local held <close> = clients
  for i = 1, WARM_UP_CLIENTS do held[i] = open_client(peer.port) end
  local before = pss(peer.process.pid)
  for i = 1, count do held[WARM_UP_CLIENTS + i] = open_client(peer.port) end
  return (pss(peer.process.pid) - before) / count
end

-- Transactions of each client, by pgbench's log of them: a line each, that begins with the client.
local function completed(prefix)
  local counts = {}
  for name in assert(io.popen(("ls %s.*"):format(prefix))):lines() do
    for line in io.lines(name) do
      local client = name .. " " .. line:match "^%d+"
      counts[client] = (counts[client] or 0) + 1
    end
  end
  return counts
end

-- pgbench of its own script: what is measured is the waiting for servers, not PostgreSQL.
local function serve_active(pg, peer, count, seconds)
  local prefix = ("%s/crowd_%s"):format(pg.dir, peer.name:gsub("%W", "_"))
  local script = assert(io.open(pg.dir .. "/one.sql", "w"))
  script:write("select 1;\n")
  script:close()
  local status, output, errors = process.run({
    pg.bindir .. "/pgbench", "--no-vacuum", "--log", "--log-prefix=" .. prefix,
    "--file=" .. pg.dir .. "/one.sql", "--client=" .. count, "--jobs=2", "--time=" .. seconds, peer:conninfo(),
  }, { seconds = seconds + 120 })
  if status ~= 0 then error(("pgbench through %s failed: %s"):format(peer.name, errors), 0) end
  local clients, least, most = 0, math.huge, 0
  for _, done in pairs(completed(prefix)) do
    clients, least, most = clients + 1, math.min(least, done), math.max(most, done)
  end
  if clients < count then least = 0 end
  return { least = least, most = most, tps = tonumber(output:match("tps = ([%d.]+)")) }
end

local function measure(pg, name, arguments)
  local peer = peers.start(pg, name)
  local _ <close> = setmetatable({}, { __close = function() peer:stop() end })
  say("%s: %d idle clients", name, arguments.idle)
  local bytes = cost_of_idle(peer, arguments.idle)
  say("%s: %d active clients", name, arguments.active)
  local active = serve_active(pg, peer, arguments.active, arguments.seconds)
  return { name = name, bytes = bytes, active = active }
end

local function print_table(arguments, results)
  print(("%d idle clients; %d active clients over %d servers for %d s\n"):format(arguments.idle,
    arguments.active, peers.POOL_SIZE, arguments.seconds))
  print("| through   | bytes per idle client | queries per active client | most / least |   tps |")
  print("| --------- | --------------------: | ------------------------: | -----------: | ----: |")
  for _, result in ipairs(results) do
    local active = result.active
    print(("| %-9s | %21.0f | %25s | %12.2f | %5.0f |"):format(result.name, result.bytes,
      active.least .. "-" .. active.most, active.most / active.least, active.tps))
  end
end

local function run(arguments)
  check_descriptors(arguments.idle + WARM_UP_CLIENTS + SPARE_DESCRIPTORS)
  peers.MAX_CLIENTS = math.max(arguments.idle + WARM_UP_CLIENTS, arguments.active) + SPARE_DESCRIPTORS
  local pg <close> = throwaway.start {}
  local results = {}
  for name in arguments.peers:gmatch("[^,]+") do results[#results + 1] = measure(pg, name, arguments) end
  return results
end

local function main()
  local arguments = parse_arguments()
  process.trap { "sigint", "sigterm" }
  print_table(arguments, run(arguments))
end

report.main(main)
