---cluster:health(), moongate.health { ... }: what is there, asked of all endpoints at once.
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
core.own()

local M = {}

---@class moongate.Health
---@field status "healthy"|"degraded"|"unhealthy"  all is there; the primary and not all others; no primary
---@field db_primary "connected"|"disconnected"
---@field db_replica "connected"|"disconnected"|"not configured"  connected: at least one is
---@field endpoints table[]  name, role, status, state, draining, read_only, breaker, error, latency, lag

local function describe(endpoint)
  local connected = endpoint.state == "up" and endpoint.failures == 0 and not core.refused(endpoint)
  return {
    name = endpoint.name,
    role = endpoint.role,
    region = endpoint.region,
    state = endpoint.state,
    draining = endpoint.draining,
    read_only = endpoint.read_only,
    breaker = endpoint.breaker,
    status = connected and "connected" or "disconnected",
    error = not connected and endpoint.error or nil,
    latency = endpoint.latency,
    lag = endpoint.lag,
  }
end

---What is known now.
---@param cluster moongate.Cluster
---@return moongate.Health
local function known(cluster)
  local primary, replicas, connected, endpoints = false, 0, 0, {}
  for i, endpoint in ipairs(cluster.endpoints) do
    local e = describe(endpoint)
    endpoints[i] = e
    if endpoint == cluster.primary then
      primary = e.status == "connected"
    elseif e.role ~= "primary" or cluster.primary and e.status ~= "connected" then
      -- Of those that are lost, and have been replaced, also the last primary.
      replicas = replicas + 1
      connected = connected + (e.status == "connected" and 1 or 0)
    end
  end
  return {
    status = not primary and "unhealthy" or connected < replicas and "degraded" or "healthy",
    db_primary = primary and "connected" or "disconnected",
    db_replica = replicas == 0 and "not configured" or connected > 0 and "connected" or "disconnected",
    endpoints = endpoints,
  }
end

---cluster:health(): probes what is believed to be there, and waits for what comes of it.
---@param cluster moongate.Cluster
---@return moongate.Health
function M.of_cluster(cluster)
  core.probe(cluster)
  return known(cluster)
end

---moongate.health { ... }: health checks on their own.
---@class moongate.HealthChecks
local methods = {}
-- Beside them: `cluster`, of which nothing but the probes is used; `closed`.

local function check(self, what)
  if type(self) ~= "table" or not self.cluster then core.misuse(("%s: call it as %s()"):format(what, what)) end
  if self.closed then core.misuse(what .. ": it is closed") end
end

---Probes all endpoints now, also those that are down, and waits for what comes of it.
---@return moongate.Health
function methods:check()
  check(self, "health:check")
  core.probe(self.cluster, true)
  return known(self.cluster)
end

---What is known, without waiting: as of the last time that the loop ran.
---@return moongate.Health
function methods:status()
  check(self, "health:status")
  return known(self.cluster)
end

function methods:close()
  if type(self) ~= "table" or not self.cluster then check(self, "health:close") end
  if self.closed then return end
  self.closed = true
  self.cluster:close()
end

local mt = { __name = "moongate.health", __index = methods, __close = methods.close, __metatable = false }

---@param cluster moongate.Cluster
---@return moongate.HealthChecks
function M.own(cluster) return setmetatable({ cluster = cluster }, mt) end

return M
