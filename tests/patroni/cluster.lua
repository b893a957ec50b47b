--- A real Patroni cluster: etcd, and three nodes of PostgreSQL under Patroni, on free ports of 127.0.0.1, in
-- a throwaway folder whose watchdog ends all of them.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local http = require "tests.support.http"
local process = require "moongate.process"
local throwaway = require "moongate.throwaway"
local uv = require "luv"
local wire = require "tests.support.wire"

local M = {}

local SECONDS = 90 -- for what Patroni does in its own time
local SCOPE = "moongate"
local NEAR = 1 << 20 -- bytes that a replica may be behind while there is load

---@class patroni.Cluster
---@field pg moongate.throwaway.Cluster  the folder, and the nodes: which is the primary changes
---@field nodes table<string, patroni.Node>
local methods = {}
local mt = { __name = "patroni.cluster", __index = methods }

---@class patroni.Node
---@field name string
---@field node moongate.throwaway.Node
---@field rest_port integer
---@field process moongate.Process?  Patroni

-- YAML is a superset of JSON. Commits wait for a standby, which alone may be promoted then.
local function config(self, each)
  local pg, node = self.pg, each.node
  local here = "127.0.0.1:"
  return cjson.encode {
    scope = SCOPE,
    name = each.name,
    restapi = { listen = here .. each.rest_port, connect_address = here .. each.rest_port },
    etcd3 = { host = here .. self.etcd_port },
    bootstrap = {
      dcs = { ttl = 8, loop_wait = 1, retry_timeout = 3, synchronous_mode = true, postgresql = {
        use_pg_rewind = true,
        parameters = { wal_log_hints = "on", max_connections = 200, wal_keep_size = "256MB" } } },
      initdb = { { encoding = "UTF8" }, "no-sync", { auth = "trust" }, { locale = "C" } },
    },
    postgresql = {
      listen = here .. node.port,
      connect_address = here .. node.port,
      data_dir = node.data,
      bin_dir = pg.bindir,
      pgpass = pg.dir .. "/" .. each.name .. ".pgpass",
      pg_hba = { "local all all trust", "host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust" },
      authentication = { superuser = { username = "postgres" }, replication = { username = "postgres" },
        rewind = { username = "postgres" } },
      parameters = { unix_socket_directories = pg.dir, shared_buffers = "32MB", fsync = "off" },
      basebackup = { "no-sync", { checkpoint = "fast" } },
    },
    watchdog = { mode = "off" },
  }
end

local function spawn(self, command, log)
  local pg = self.pg
  local child = process.spawn(command, { env = pg.env, cwd = pg.dir, uid = pg.account.uid, gid = pg.account.gid,
    log = pg.dir .. "/" .. log })
  pg:guard(child)
  return child
end

local function start_etcd(self)
  self.etcd_port = process.free_port()
  local client, peer = "http://127.0.0.1:" .. self.etcd_port, "http://127.0.0.1:" .. process.free_port()
  self.etcd = spawn(self, { "etcd", "--data-dir", self.pg.dir .. "/etcd",
    "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
    "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=" .. peer }, "etcd.log")
  process.wait_until(function() return process.port_answers(self.etcd_port) end, SECONDS, "etcd to answer")
end

local function config_file(self, each) return self.pg.dir .. "/" .. each.name .. ".yml" end

---Starts Patroni on a node.
function methods:start_node(each)
  each.process = spawn(self, { "patroni", config_file(self, each) }, each.name .. ".patroni.log")
end

-- The first line of its postmaster.pid.
local function postmaster(each)
  local file = io.open(each.node.data .. "/postmaster.pid")
  local pid = file and file:read "n"
  if file then file:close() end
  return math.tointeger(pid)
end

---SIGKILL of Patroni and of PostgreSQL.
function M.kill(each)
  local pid = postmaster(each)
  each.process:kill "sigkill"
  if pid then uv.kill(pid, "sigkill") end
  each.process:wait(10)
end

---What the first REST API that answers says.
---@return table? members  by name
function methods:members()
  for _, each in pairs(self.nodes) do
    local ok, status, body = pcall(http.request, each.rest_port, "/cluster")
    local answer = ok and status == 200 and cjson.decode(body)
    if answer then
      local members = {}
      for _, member in ipairs(answer.members) do members[member.name] = member end
      return members
    end
  end
end

---@return patroni.Node?
function methods:leader()
  for name, member in pairs(self:members() or {}) do
    if member.role == "leader" and member.state == "running" then return self.nodes[name] end
  end
end

---Waits for a leader, other than `before`, that takes writes.
---@return patroni.Node
function methods:wait_for_leader(before)
  return process.wait_until(function()
    local leader = self:leader()
    if not leader or leader == before then return nil end
    local ok, primary = pcall(function()
      local client <close> = setmetatable({ wire = wire.open(leader.node.port) },
        { __close = function(c) c.wire:close() end })
      return client.wire:value "select not pg_is_in_recovery()" == "t"
    end)
    return ok and primary and leader
  end, SECONDS, "a leader")
end

---Waits until all are there, and a standby is synchronous: then no commit can be lost.
function methods:wait_until_whole()
  process.wait_until(function()
    local members, count, synchronous = self:members(), 0, false
    for _, member in pairs(members or {}) do
      local fine = member.role == "leader" and member.state == "running"
        or member.role ~= "leader" and (member.state == "streaming" or member.state == "running")
          and math.type(member.lag) and member.lag < NEAR
      count = count + (fine and 1 or 0)
      synchronous = synchronous or member.role == "sync_standby"
    end
    return count == 3 and synchronous
  end, SECONDS, "all members to stream")
end

---`pg.primary` is the leader from now on.
function methods:follow(leader)
  local pg = self.pg
  pg.replicas = {}
  for _, each in pairs(self.nodes) do
    if each ~= leader then pg.replicas[#pg.replicas + 1] = each.node end
  end
  pg.primary = leader.node
end

---`patronictl switchover` to the synchronous standby.
---@param leader patroni.Node
---@return patroni.Node candidate
function methods:switchover(leader)
  local candidate
  for name, member in pairs(self:members()) do
    if member.role == "sync_standby" then candidate = self.nodes[name] end
  end
  local status, output, errors = process.run({ "patronictl", "-c", config_file(self, leader), "switchover",
    "--leader", leader.name, "--candidate", candidate.name, "--force", SCOPE }, { env = self.pg.env })
  if status ~= 0 then error("patronictl: " .. output .. errors, 2) end
  return candidate
end

---@return string[]  of the REST APIs
function methods:urls()
  local urls = {}
  for _, each in pairs(self.nodes) do urls[#urls + 1] = "http://127.0.0.1:" .. each.rest_port end
  table.sort(urls)
  return urls
end

---The ends of what all have logged.
---@return string
function methods:logs()
  local text = {}
  for name in pairs(self.nodes) do
    local file = io.open(("%s/%s.patroni.log"):format(self.pg.dir, name))
    text[#text + 1] = name .. ":\n" .. (file and file:read "a":sub(-3000) or "")
    if file then file:close() end
  end
  return table.concat(text, "\n")
end

function methods:stop()
  for _, each in pairs(self.nodes) do
    if each.process then each.process:kill "sigkill" end -- PostgreSQL is the watchdog's
  end
  self.pg:stop()
end

---@return patroni.Cluster
function M.start()
  local pg = throwaway.start { replicas = 2, bare = true }
  local self = setmetatable({ pg = pg, nodes = {} }, mt)
  local ok, err = pcall(function()
    start_etcd(self)
    for i, node in ipairs(pg:nodes()) do
      local each = { name = "n" .. i, node = node, rest_port = process.free_port() }
      self.nodes[each.name] = each
      local file = assert(io.open(config_file(self, each), "w"))
      file:write(config(self, each))
      file:close()
      self:start_node(each)
    end
    self:follow(self:wait_for_leader())
    self:wait_until_whole()
  end)
  if ok then return self end
  local logs = self:logs()
  self:stop()
  error(("%s\n%s"):format(err, logs), 0)
end

return M
