--- What the benchmark compares: PostgreSQL itself, and proxies in front of it with pools of one size.
-- SPDX-License-Identifier: MIT

local process = require "moongate.process"

local M = {}

M.POOL_SIZE = 20
M.MAX_CLIENTS = 200

local START_SECONDS, STOP_SECONDS = 10, 15

---@class bench.Peer
---@field name string
---@field port integer               where pgbench connects to
---@field process moongate.Process?  the proxy; nil: there is none
---@field only string?               the one query mode that it is measured in; nil: all
local methods = {}
local mt = { __name = "bench.peer", __index = methods }

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

local ticks_per_second

local function clock_ticks()
  if not ticks_per_second then
    local _, output = process.run { "getconf", "CLK_TCK" }
    ticks_per_second = assert(tonumber(output))
  end
  return ticks_per_second
end

---CPU seconds that the proxy has used so far, in its own code and in the kernel's, all threads; in
---steps of a clock tick (10 ms on Debian).
---@return number?  nil where there is no proxy
function methods:cpu_seconds()
  if not self.process then return nil end
  local stat = read_file(("/proc/%d/stat"):format(self.process.pid))
  -- proc(5): utime and stime are fields 14 and 15; the name, field 2, may hold anything.
  local utime, stime = stat:match("^.*%) %a" .. (" %-?%d+"):rep(10) .. " (%d+) (%d+)")
  return (tonumber(utime) + tonumber(stime)) / clock_ticks()
end

---Where pgbench connects to, as libpq takes it.
---@param mode string  its query mode
---@return string
function methods:conninfo(mode)
  local database = mode == "prepared" and self.prepared_database or "postgres"
  return ("host=127.0.0.1 port=%d user=postgres dbname=%s"):format(self.port, database)
end

function methods:stop()
  if not self.process then return end
  self.process:kill("sigterm")
  if not pcall(self.process.wait, self.process, STOP_SECONDS) then
    self.process:kill("sigkill")
    self.process:wait(STOP_SECONDS)
  end
  self.release()
end

-- Spawns a proxy that logs to a file, and waits until it listens.
local function start_proxy(pg, name, port, command, options)
  options.log = ("%s/%s.log"):format(pg.dir, name:gsub("%W", "_"))
  local self = setmetatable({ name = name, port = port }, mt)
  self.process = process.spawn(command, options)
  self.release = pg:guard(self.process)
  process.wait_until(function()
    if self.process.status then
      error(("%s has ended with status %d: %s"):format(name, self.process.status,
        read_file(options.log)), 0)
    end
    return process.port_answers(port)
  end, START_SECONDS, name .. " to listen")
  return self
end

local function start_direct(pg, name)
  return setmetatable({ name = name, port = pg.primary.port }, mt)
end

local PGBOUNCER_INI = [[
[databases]
postgres = host=127.0.0.1 port=%d
session = host=127.0.0.1 port=%d dbname=postgres pool_mode=session
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = trust
auth_file = %s/pgbouncer.users
pool_mode = transaction
default_pool_size = %d
max_client_conn = %d
ignore_startup_parameters = extra_float_digits
]]

-- PgBouncer refuses to run as root: it gets PostgreSQL's account. Before version 1.21 it knows nothing
-- of prepared statements: they are measured in a pool of sessions, which costs it least.
local function start_pgbouncer(pg, name)
  local port = process.free_port()
  local ini = pg.dir .. "/pgbouncer.ini"
  write_file(ini, PGBOUNCER_INI:format(pg.primary.port, pg.primary.port, port, pg.dir, M.POOL_SIZE, M.MAX_CLIENTS))
  write_file(pg.dir .. "/pgbouncer.users", '"postgres" ""\n')
  local path = (os.getenv("PATH") or "") .. ":/usr/sbin"
  local self = start_proxy(pg, name, port, { "pgbouncer", ini },
    { env = { PATH = path }, uid = pg.account.uid, gid = pg.account.gid })
  self.prepared_database = "session"
  return self
end

---@param options { replica: boolean?, mode: string?, policy: string? }  mode: the pool's; policy: "none"
local function start_moongate(pg, name, options)
  local port = process.free_port()
  local address = ("127.0.0.1:%d"):format(port)
  local binary = os.getenv "MOONGATE_BIN" or "build/moongate"
  return start_proxy(pg, name, port,
    { binary, "run", "tests/bench/read_write_split.lua", "--listen", address },
    { env = {
      PATH = os.getenv("PATH"),
      DATABASE_URL = pg.primary.url,
      DATABASE_REPLICA_URL = options.replica and pg.replicas[1].url or nil,
      MOONGATE_LISTEN = address,
      MOONGATE_LOG = "info",
      BENCH_POOL_SIZE = tostring(M.POOL_SIZE),
      BENCH_POOL_MODE = options.mode,
      BENCH_POLICY = options.policy,
    } })
end

local starters = {
  direct = start_direct,
  pgbouncer = start_pgbouncer,
  moongate = function(pg, name) return start_moongate(pg, name, {}) end,
  -- What asking a policy about every query costs: here the default routes decide.
  ["moongate-policy"] = function(pg, name) return start_moongate(pg, name, { policy = "none" }) end,
  ["moongate+replica"] = function(pg, name) return start_moongate(pg, name, { replica = true }) end,
  -- What an old PgBouncer does with prepared statements, done alike.
  ["moongate+sessions"] = function(pg, name)
    local self = start_moongate(pg, name, { mode = "session" })
    self.only = "prepared"
    return self
  end,
}

---In the order of the table.
M.names = { "direct", "pgbouncer", "moongate", "moongate-policy", "moongate+replica", "moongate+sessions" }

---Which PostgreSQL and which PgBouncer.
---@return string[]
function M.versions(pg)
  local _, postgres = process.run { pg.bindir .. "/postgres", "--version" }
  local _, pgbouncer = process.run({ "pgbouncer", "--version" },
    { env = { PATH = (os.getenv("PATH") or "") .. ":/usr/sbin" } })
  return { postgres:match("[^\n]+"), pgbouncer:match("[^\n]+") }
end

---@param pg moongate.throwaway.Cluster
---@param name string  one of M.names
---@return bench.Peer
function M.start(pg, name)
  return starters[name](pg, name)
end

return M
