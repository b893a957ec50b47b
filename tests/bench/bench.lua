--- `pgbench -S` through moongate, through PgBouncer and directly, side by side.
--
--   lua5.4 tests/bench/bench.lua [--rounds N] [--seconds S] [--only simple|extended] [--clients N]
--                                [--peers A,B] [--markdown FILE]
--
-- Runs are interleaved: every round measures every peer once in each setting, in an order that is
-- rotated from round to round, and the table shows medians. So what changes in the machine during the
-- benchmark hits all peers alike.
-- SPDX-License-Identifier: MIT

package.path = "lua/?.lua;lua/?/init.lua;tests/bench/?.lua;" .. package.path

local argparse = require "argparse"
local peers = require "peers"
local process = require "moongate.process"
local report = require "report"
local throwaway = require "moongate.throwaway"

local SCALE = 10           -- pgbench_accounts: a million rows, 150 MB
local WARM_UP_SECONDS = 1  -- opens the pools and fills the caches

local function parse_arguments()
  local parser = argparse("bench", "pgbench -S through moongate, PgBouncer and directly.")
  parser:option("--rounds", "How often each peer is measured in each setting."):default("3"):convert(tonumber)
  parser:option("--seconds", "How long one measurement takes."):default("5"):convert(tonumber)
  parser:option("--only", "One query mode."):choices { "simple", "extended", "prepared" }
  parser:option("--clients", "One number of clients."):convert(tonumber)
  parser:option("--peers", "Some of " .. table.concat(peers.names, ",") .. "."):default(table.concat(peers.names, ","))
  parser:option("--markdown", "Write the table to a file, too."):argname("FILE")
  return parser:parse()
end

---@class bench.Setting
---@field mode "simple" | "extended" | "prepared"
---@field clients integer

local function settings_of(arguments)
  local settings = {}
  for _, mode in ipairs(arguments.only and { arguments.only } or { "simple", "extended", "prepared" }) do
    for _, clients in ipairs(arguments.clients and { arguments.clients } or { 1, 16 }) do
      settings[#settings + 1] = { mode = mode, clients = clients }
    end
  end
  return settings
end

local function say(...)
  io.stderr:write(string.format(...), "\n")
end

---@class bench.Result
---@field tps number
---@field latency number       milliseconds, on average
---@field cpu number?          microseconds of the proxy's per query

---Runs pgbench once; whatever is not a clean run raises.
---@return bench.Result
local function measure(pg, peer, setting, seconds)
  local before = peer:cpu_seconds()
  local status, output, errors = process.run({
    pg.bindir .. "/pgbench", "--select-only", "--no-vacuum",
    "--protocol=" .. setting.mode, "--client=" .. setting.clients,
    "--jobs=" .. math.min(setting.clients, 2), "--time=" .. seconds, peer:conninfo(setting.mode),
  }, { seconds = seconds + 60 })
  local after = peer:cpu_seconds()
  local count = tonumber(output:match("transactions actually processed: (%d+)"))
  local failed = tonumber(output:match("number of failed transactions: (%d+)")) or 0
  if status ~= 0 or failed > 0 or not count then
    error(("pgbench through %s failed (%d):\n%s%s"):format(peer.name, status, output, errors), 0)
  end
  return {
    tps = tonumber(output:match("tps = ([%d.]+)")),
    latency = tonumber(output:match("latency average = ([%d.]+) ms")),
    cpu = before and (after - before) / count * 1e6,
  }
end

---Measures everyone `rounds` times; `samples[setting][peer.name]` is a list of results.
local function measure_all(pg, running, settings, arguments)
  local samples = {}
  for _, setting in ipairs(settings) do
    samples[setting] = {}
    for _, peer in ipairs(running) do samples[setting][peer.name] = {} end
  end
  for round = 1, arguments.rounds do
    for _, setting in ipairs(settings) do
      for i = 1, #running do
        local peer = running[(i + round) % #running + 1]
        if not peer.only or peer.only == setting.mode then
          local result = measure(pg, peer, setting, arguments.seconds)
          table.insert(samples[setting][peer.name], result)
          say("round %d  %-8s %2d clients  %-17s %8.0f tps  %s", round, setting.mode, setting.clients,
            peer.name, result.tps, result.cpu and ("%5.1f us CPU per query"):format(result.cpu) or "")
        end
      end
    end
  end
  return samples
end

local function start_peers(pg, names)
  local running = setmetatable({}, {
    __close = function(self)
      for _, peer in ipairs(self) do peer:stop() end
    end,
  })
  local ok, err = pcall(function()
    for name in names:gmatch("[^,]+") do running[#running + 1] = peers.start(pg, name) end
  end)
  if ok then return running end
  getmetatable(running).__close(running)
  error(err, 0)
end

local function check_names(names)
  local known = {}
  for _, name in ipairs(peers.names) do known[name] = true end
  for name in names:gmatch("[^,]+") do
    if not known[name] then error(('there is no peer "%s"'):format(name), 0) end
  end
end

local function initialize(pg)
  say("filling pgbench's tables, scale %d", SCALE)
  local status, _, errors = process.run({
    pg.bindir .. "/pgbench", "--initialize", "--quiet", "--scale=" .. SCALE,
    pg.primary.url,
  }, { seconds = 300 })
  if status ~= 0 then error("pgbench --initialize failed: " .. errors, 0) end
  pg.primary:psql("checkpoint")
  pg:wait_for_replay(120)
end

local function run(arguments)
  local settings = settings_of(arguments)
  local pg <close> = throwaway.start {
    replicas = 1,
    settings = { shared_buffers = "256MB", autovacuum = "off", checkpoint_timeout = "1h" },
  }
  initialize(pg)
  local running <close> = start_peers(pg, arguments.peers)
  for _, peer in ipairs(running) do
    measure(pg, peer, { mode = "simple", clients = 16 }, WARM_UP_SECONDS)
  end
  local samples = measure_all(pg, running, settings, arguments)
  return report.new(settings, running, samples), peers.versions(pg)
end

local function main()
  local arguments = parse_arguments()
  check_names(arguments.peers)
  process.trap { "sigint", "sigterm" }
  local rows, versions = run(arguments)
  local heading = report.heading(arguments, versions)
  print(heading .. "\n\n" .. report.plain(rows))
  if arguments.markdown then
    local file = assert(io.open(arguments.markdown, "w"))
    file:write(heading, "\n\n", report.markdown(rows))
    file:close()
  end
end

report.main(main)
