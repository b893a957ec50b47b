--- Failover as an operator's tool does it: the most advanced replica is promoted, the other one follows
-- it, and the old primary comes back as a replica. The router is told nothing.
-- SPDX-License-Identifier: MIT

local process = require "moongate.process"
local uv = require "luv"
local wire = require "tests.support.wire"

local M = {}

local SECONDS = 30

---Settings that a cluster needs for this; commits wait until one replica has them on disk.
M.SETTINGS = {
  synchronous_standby_names = "ANY 1 (*)",
  wal_log_hints = "on",      -- pg_rewind
  full_page_writes = "on",   -- likewise
  wal_receiver_status_interval = "1s",
}

---Seconds, CLOCK_MONOTONIC: the same clock as the load's.
function M.now() return uv.hrtime() / 1e9 end

local function received(node)
  return tonumber(node:psql [[select coalesce(pg_last_wal_receive_lsn(), '0/0')
    - '0/0'::pg_lsn]])
end

local function conninfo(node)
  return ("host=127.0.0.1 port=%d user=postgres application_name=follower"):format(node.port)
end

---Makes a running replica stream from another node.
function M.follow(node, upstream)
  node:psql(("alter system set primary_conninfo = '%s'"):format(conninfo(upstream)))
  node:psql "select pg_reload_conf()"
end

local function streams_to(upstream, count)
  return function()
    return upstream:psql "select count(*) from pg_stat_replication where state = 'streaming'" == tostring(count)
  end
end

-- Asks without a pause: that is how we know when.
local function wait_for_promotion(node)
  local client = wire.open(node.port)
  local deadline = M.now() + SECONDS
  while client:value "select pg_is_in_recovery()" ~= "f" do
    if M.now() > deadline then error(node.name .. " was not promoted", 0) end
    uv.sleep(1)
  end
  client:quit()
  return M.now()
end

-- The first write that PostgreSQL itself takes, without a router between.
local function wait_for_write(node)
  local client = wire.open(node.port)
  local result = client:query "insert into direct_writes values (1)"
  client:quit()
  if result.error then error(result.error.M, 0) end
  return M.now()
end

---Promotes the replica that has received most; the others follow it. The primary is dead.
---@param pg moongate.throwaway.Cluster  its `primary` and `replicas` are the new ones afterwards
---@return { promoted: number, written: number } when it had, and took its first write
function M.promote(pg)
  table.sort(pg.replicas, function(a, b) return received(a) > received(b) end)
  local new, old = table.remove(pg.replicas, 1), pg.primary
  for _, replica in ipairs(pg.replicas) do M.follow(replica, new) end
  pg:run_checked("pg_ctl", { "promote", "-D", new.data, "-W" })
  local times = { promoted = wait_for_promotion(new) }
  times.written = wait_for_write(new)
  pg.primary = new
  table.insert(pg.replicas, old)
  return times
end

local function remove(path)
  local status, _, errors = process.run { "rm", "-rf", path }
  if status ~= 0 then error(errors, 0) end
end

local function copy_anew(pg, node)
  remove(node.data)
  pg:run_checked("pg_basebackup", { "-D", node.data, "-d", conninfo(pg.primary), "-R", "-X", "stream",
    "-c", "fast", "--no-sync" })
end

-- A primary that was killed recovers first; pg_rewind does that by itself.
local function rewind(pg, node)
  -- The source's own checkpoint must be on its new timeline.
  pg.primary:psql "checkpoint"
  return pg:run("pg_rewind", { "--target-pgdata", node.data, "--source-server",
    conninfo(pg.primary) .. " dbname=postgres", "--write-recovery-conf", "--no-sync" }) == 0
end

---Brings a dead node back as a replica, by pg_rewind or by a fresh copy.
---@param how "rewind"|"copy"
---@return string how it was done
function M.rejoin(pg, node, how)
  if how == "rewind" and not rewind(pg, node) then how = "copy" end
  if how == "copy" then copy_anew(pg, node) end
  node:start()
  process.wait_until(streams_to(pg.primary, #pg.replicas), SECONDS, "all replicas to stream")
  pg:wait_for_replay()
  return how
end

---@param pg moongate.throwaway.Cluster  with tables of a load
function M.prepare(pg)
  pg.primary:psql "create table direct_writes (n integer)"
  process.wait_until(streams_to(pg.primary, #pg.replicas), SECONDS, "all replicas to stream")
end

return M
