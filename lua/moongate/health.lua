---cluster:health(): what is there now, asked of all endpoints at once.
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
core.own()

---@class moongate.Health
---@field status "healthy"|"degraded"|"unhealthy"  all is there; the primary and not all replicas; no primary
---@field db_primary "connected"|"disconnected"
---@field db_replica "connected"|"disconnected"|"not configured"  connected: at least one is
---@field endpoints table[]  name, role, status, state, draining, read_only, breaker, error, latency, lag

local function describe(endpoint)
  local connected = endpoint.state == "up" and endpoint.failures == 0
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

---@param cluster moongate.Cluster
---@return moongate.Health
return function(cluster)
  core.probe(cluster)
  local primary, replicas, connected, endpoints = false, 0, 0, {}
  for i, endpoint in ipairs(cluster.endpoints) do
    local e = describe(endpoint)
    endpoints[i] = e
    if endpoint == cluster.primary then
      primary = e.status == "connected"
    elseif e.role ~= "primary" then
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
