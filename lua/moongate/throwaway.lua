--- Throwaway PostgreSQL: a primary and its streaming replicas in a temporary folder, for the demo,
-- the tests and the benchmark.
--
-- Nothing stays behind: a watchdog (a small shell) waits at the end of a pipe whose other end this
-- process holds. When the pipe closes, by stop() or because this process has died of whatever,
-- the watchdog ends all that was started here and removes the folder.
-- SPDX-License-Identifier: MIT

local process = require "moongate.process"
local uv = require "luv"

local M = {}

-- `kill -QUIT` of a postmaster shuts down at once; one that was suspended has to go on first.
local WATCHDOG = [[
trap '' HUP INT TERM
cd "$1" || exit
exec 2>/dev/null
signal_guarded() {
  for file in guarded/*; do [ -e "$file" ] && kill "-$1" "${file#guarded/}"; done
}
signal_postmasters() {
  for file in */postmaster.pid; do [ -e "$file" ] && read -r pid < "$file" && kill "-$1" "$pid"; done
}
some_are_left() {
  for file in guarded/*; do [ -e "$file" ] && kill -0 "${file#guarded/}" && return 0; done
  for file in */postmaster.pid; do # one that was killed has left its own behind
    [ -e "$file" ] && read -r pid < "$file" && kill -0 "$pid" && return 0
  done
  return 1
}
read -r nothing
signal_guarded TERM
signal_postmasters CONT
signal_postmasters QUIT
tries=0
while [ "$tries" -lt 200 ] && some_are_left; do
  sleep 0.05
  tries=$((tries + 1))
done
signal_guarded KILL
signal_postmasters KILL
cd / && rm -rf "$1"
]]

local SETTINGS = {
  listen_addresses = "127.0.0.1",
  max_connections = "300",
  shared_buffers = "32MB",
  fsync = "off",
  full_page_writes = "off",
  wal_level = "replica",
  max_wal_senders = "10",
  -- A replica that was down for a while must still find the WAL that it lacks.
  wal_keep_size = "512MB",
  wal_retrieve_retry_interval = "100ms",
  log_line_prefix = "%m [%p] %u@%d ",
}

local START_SECONDS = 30

---@class moongate.throwaway.Node
---@field name string        "primary", "replica1" ...
---@field port integer
---@field url string         postgres://postgres@127.0.0.1:PORT/postgres
---@field socket_dir string  the folder of its Unix socket
---@field data string        its data directory
---@field log string         the file that it logs to
local node_methods = {}
local node_mt = { __name = "moongate.throwaway.node", __index = node_methods }

---@class moongate.throwaway.Cluster
---@field primary moongate.throwaway.Node
---@field replicas moongate.throwaway.Node[]
---@field dir string  everything is in here
---@field bindir string  PostgreSQL's programs
local cluster_methods = {}
local cluster_mt = { __name = "moongate.throwaway.cluster", __index = cluster_methods }

local function read_file(path)
  local file = io.open(path)
  if not file then return nil end
  local text = file:read("a")
  file:close()
  return text
end

local function write_file(path, text, mode)
  local file = assert(io.open(path, mode or "w"))
  file:write(text)
  file:close()
end

-- The newest server programs: those that pg_config names, or where Debian puts them.
local function find_bindir()
  local ok, status, output = pcall(process.run, { "pg_config", "--bindir" })
  if type(status) == "table" then error(status, 0) end -- a signal, see process.trap()
  local named = ok and status == 0 and output:match("%S+")
  if named and uv.fs_stat(named .. "/initdb") then return named end
  local newest = 0
  for name in uv.fs_scandir_next, uv.fs_scandir("/usr/lib/postgresql") or nil do
    newest = math.max(newest, tonumber(name) or 0)
  end
  local bindir = ("/usr/lib/postgresql/%d/bin"):format(newest)
  if uv.fs_stat(bindir .. "/initdb") then return bindir end
  error("PostgreSQL's server programs (initdb, postgres) were not found: "
    .. "neither by pg_config --bindir nor under /usr/lib/postgresql", 0)
end

-- PostgreSQL refuses to run as root: then it runs as an account without rights.
local function find_account()
  if uv.getuid() ~= 0 then return nil end
  for _, name in ipairs { "postgres", "nobody" } do
    local uid, gid = (read_file("/etc/passwd") or ""):match("\n" .. name .. ":[^:]*:(%d+):(%d+):")
    if uid then return { uid = tonumber(uid), gid = tonumber(gid) } end
  end
  error("PostgreSQL cannot run as root, and there is no account postgres or nobody", 0)
end

-- Runs one of PostgreSQL's programs as its account, without the PG* variables of our environment.
function cluster_methods:run(program, args, options)
  local command = table.move(args, 1, #args, 2, { self.bindir .. "/" .. program })
  local all = { env = self.env, cwd = self.dir, uid = self.account.uid, gid = self.account.gid,
    guard = function(child) return self:guard(child) end }
  for key, value in pairs(options or {}) do all[key] = value end
  return process.run(command, all)
end

function cluster_methods:run_checked(program, args)
  local status, output, errors = self:run(program, args)
  if status ~= 0 then
    error(("%s failed (%d): %s%s"):format(program, status, output, errors), 0)
  end
end

local function conf_lines(settings)
  local lines = {}
  for name, value in pairs(settings) do
    lines[#lines + 1] = ("%s = '%s'\n"):format(name, tostring(value):gsub("'", "''"))
  end
  return table.concat(lines)
end

local function hba(options)
  local lines = { "local all all trust\n" }
  for user in pairs(options.passwords or {}) do
    lines[#lines + 1] = ("host all %s 127.0.0.1/32 scram-sha-256\n"):format(user)
  end
  lines[#lines + 1] = "host all all 127.0.0.1/32 trust\n"
  lines[#lines + 1] = "host replication all 127.0.0.1/32 trust\n"
  return table.concat(lines)
end

local function new_node(cluster, name)
  local port = process.free_port()
  return setmetatable({
    cluster = cluster,
    name = name,
    port = port,
    url = ("postgres://postgres@127.0.0.1:%d/postgres"):format(port),
    socket_dir = cluster.dir,
    data = cluster.dir .. "/" .. name,
    log = cluster.dir .. "/" .. name .. ".log",
  }, node_mt)
end

local function last_log_lines(node)
  local text = read_file(node.log) or ""
  return text:sub(-2000)
end

-- The postmaster writes its process id to the first line of postmaster.pid, its state to the eighth:
-- what pg_ctl waits for, too.
local function is_ready(node)
  local text = read_file(node.data .. "/postmaster.pid")
  local pid = text and text:match("^(%d+)" .. ("[^\n]*\n"):rep(7) .. "ready")
  return tonumber(pid) == node.postmaster.pid
end

---Starts it, and waits until it accepts connections.
function node_methods:start()
  local cluster = self.cluster
  self.postmaster = process.spawn({
    cluster.bindir .. "/postgres", "-D", self.data, "-c", "port=" .. self.port,
  }, {
    env = cluster.env, cwd = cluster.dir, uid = cluster.account.uid, gid = cluster.account.gid,
    log = self.log, detached = true,
  })
  process.wait_until(function()
    if self.postmaster.status then
      error(("%s did not start: %s"):format(self.name, last_log_lines(self)), 0)
    end
    return is_ready(self)
  end, START_SECONDS, self.name .. " to accept connections")
end

-- The processes of the server: the postmaster first, then its children.
local function pids(node)
  local list = { node.postmaster.pid }
  local path = ("/proc/%d/task/%d/children"):format(list[1], list[1])
  for pid in (read_file(path) or ""):gmatch("%d+") do list[#list + 1] = tonumber(pid) end
  return list
end

local function signal_all(list, signal)
  for _, pid in ipairs(list) do uv.kill(pid, signal) end
end

-- Orphans belong to process 1 now, which may take its time to reap them: zombies count as gone.
local function all_gone(list)
  for _, pid in ipairs(list) do
    local stat = read_file(("/proc/%d/stat"):format(pid))
    if stat and not stat:match("%) Z ") then return false end
  end
  return true
end

---`kill -9` of the postmaster: its children end as they notice, and are made to if they don't.
---Returns when the port refuses and no process is left.
function node_methods:kill()
  local list = pids(self)
  uv.kill(list[1], "sigkill")
  self.postmaster:wait(5)
  if not process.poll(function() return all_gone(list) end, 0.5) then
    signal_all(list, "sigkill")
    process.wait_until(function() return all_gone(list) end, 5, self.name .. " to die")
  end
  process.wait_until(function() return not process.port_answers(self.port) end, 5,
    self.name .. "'s port to refuse")
end

---Shuts it down, cutting off its clients (pg_ctl stop -m fast).
function node_methods:stop()
  self.postmaster:kill("sigint")
  self.postmaster:wait(START_SECONDS)
end

---@return boolean
function node_methods:is_running()
  return self.postmaster ~= nil and self.postmaster.status == nil
end

---SIGSTOP of all its processes: connections stay open, and nobody answers.
function node_methods:suspend()
  signal_all(pids(self), "sigstop")
end

function node_methods:resume()
  signal_all(pids(self), "sigcont")
end

---Runs SQL over a connection of its own; an error raises.
---@param sql string
---@return string output  rows by line, columns parted by "|", without the last newline
function node_methods:psql(sql)
  local status, output, errors = self.cluster:run("psql",
    { "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.url, "-f", "-" }, { text = sql })
  if status ~= 0 then error("psql: " .. errors, 2) end
  return (output:gsub("\n$", ""))
end

---Makes a replica a primary. The other replicas keep following the old one.
function node_methods:promote()
  self:psql("select pg_promote()")
end

local function wait_for(node, position, seconds)
  process.wait_until(function()
    return node:psql(("select pg_last_wal_replay_lsn() >= '%s'"):format(position)) == "t"
  end, seconds, node.name .. " to replay " .. position)
end

---Waits until all running replicas show what is committed on the primary now.
---@param seconds number?  default 30
function cluster_methods:wait_for_replay(seconds)
  -- Not the insert position: at the border of a page it lies ahead of what there is to replay.
  local position = self.primary:psql("select pg_current_wal_lsn()")
  for _, replica in ipairs(self.replicas) do
    if replica:is_running() then wait_for(replica, position, seconds or 30) end
  end
end

---All nodes, the primary first.
---@return moongate.throwaway.Node[]
function cluster_methods:nodes()
  return table.move(self.replicas, 1, #self.replicas, 2, { self.primary })
end

---A process that must not outlive this cluster: the watchdog ends it (SIGTERM, then SIGKILL).
---@param child moongate.Process
---@return fun() release  to be called once the process has ended
function cluster_methods:guard(child)
  local path = ("%s/guarded/%d"):format(self.dir, child.pid)
  write_file(path, "")
  return function() os.remove(path) end
end

---Ends all servers and removes everything. Safe to run twice.
function cluster_methods:stop()
  if self.stopped then return end
  self.stopped = true
  for _, node in ipairs(self:nodes()) do
    if node:is_running() then node:resume() end
  end
  self.watchdog:close_input()
  self.watchdog:wait(30)
  for _, node in ipairs(self:nodes()) do
    if node.postmaster then node.postmaster:wait(5) end
  end
end

cluster_mt.__close = cluster_methods.stop

local function own(cluster, path)
  if cluster.account.uid then
    assert(uv.fs_chown(path, cluster.account.uid, cluster.account.gid))
  end
end

local function make_certificate(cluster)
  local status, _, errors = process.run {
    "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
    "-nodes", "-days", "2", "-subj", "/CN=localhost",
    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
    "-keyout", cluster.dir .. "/server.key", "-out", cluster.dir .. "/server.crt",
  }
  if status ~= 0 then error("openssl failed: " .. errors, 0) end
  assert(uv.fs_chmod(cluster.dir .. "/server.key", tonumber("600", 8)))
  own(cluster, cluster.dir .. "/server.key")
end

local function settings_of(cluster, options)
  local settings = { unix_socket_directories = cluster.dir }
  if options.tls then
    settings.ssl = "on"
    settings.ssl_cert_file = cluster.dir .. "/server.crt"
    settings.ssl_key_file = cluster.dir .. "/server.key"
  end
  for _, source in ipairs { SETTINGS, options.settings or {} } do
    for name, value in pairs(source) do settings[name] = value end
  end
  return settings
end

local function create_primary(cluster, options)
  local primary = cluster.primary
  cluster:run_checked("initdb", {
    "-D", primary.data, "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8", "--no-locale",
    "--no-instructions",
  })
  if options.tls then make_certificate(cluster) end
  write_file(primary.data .. "/postgresql.conf", conf_lines(settings_of(cluster, options)), "a")
  write_file(primary.data .. "/pg_hba.conf", hba(options))
  primary:start()
  for user, password in pairs(options.passwords or {}) do
    primary:psql(("create role %s login password '%s'"):format(user, password))
  end
end

local function create_replicas(cluster)
  for _, replica in ipairs(cluster.replicas) do
    cluster:run_checked("pg_basebackup", {
      "-D", replica.data, "-d", cluster.primary.url .. "?application_name=" .. replica.name,
      "-R", "-X", "stream", "-c", "fast", "--no-sync",
    })
    replica:start()
  end
end

local function new_cluster(options)
  local dir = assert(uv.fs_mkdtemp((os.getenv("TMPDIR") or "/tmp") .. "/moongate-XXXXXX"))
  assert(uv.fs_mkdir(dir .. "/guarded", tonumber("700", 8)))
  local cluster = setmetatable({
    dir = dir,
    account = {},
    env = { PATH = os.getenv("PATH"), HOME = dir, LC_ALL = "C", TZ = "UTC" },
    watchdog = process.spawn({ "/bin/sh", "-c", WATCHDOG, "sh", dir },
      { input = true, detached = true }),
    replicas = {},
  }, cluster_mt)
  cluster.primary = new_node(cluster, "primary")
  for i = 1, options.replicas or 0 do cluster.replicas[i] = new_node(cluster, "replica" .. i) end
  return cluster
end

---@class moongate.throwaway.Options
---@field replicas integer?  how many streaming replicas; default 0
---@field tls boolean?       with a certificate of its own signing (DIR/server.crt)
---@field passwords table<string, string>?  roles that must log in by SCRAM, over TCP
---@field settings table<string, string|number|boolean>?  for postgresql.conf
---@field bare boolean?      no server: others make them, in the nodes' data directories and at their ports

---Makes and starts a cluster. Superuser `postgres`, no password. Failures raise, and leave nothing.
---@param options moongate.throwaway.Options?
---@return moongate.throwaway.Cluster
function M.start(options)
  options = options or {}
  local cluster = new_cluster(options)
  local ok, err = pcall(function()
    cluster.bindir = find_bindir()
    cluster.account = find_account() or {}
    own(cluster, cluster.dir)
    if options.bare then return end
    create_primary(cluster, options)
    create_replicas(cluster)
  end)
  if ok then return cluster end
  cluster:stop()
  error(err, 0)
end

return M
