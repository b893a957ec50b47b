---Reads stay in the router's own region, with the replica that answers soonest; they leave it when
---all replicas there are down, too stale, or have more to do than they can.
---
---Options: region (default: MOONGATE_REGION; without either the latency alone decides),
---max_waiting (how many queries may wait at a replica before it counts as saturated; default 0),
---max_in_flight (the same for queries under way; default: no limit), consistency, max_staleness,
---max_lag, wait_fresh.
-- SPDX-License-Identifier: MIT
local options = require "moongate.options"
local policy = require "moongate.policy"
require "moongate.core".own()

local HUGE = math.huge

local schema = {
  region = options.checks.region,
  max_waiting = options.checks.integer(0, 1000000),
  max_in_flight = options.checks.integer(1, 1000000),
}

local function region_of(opts)
  local region = opts.region or os.getenv "MOONGATE_REGION"
  return region ~= "" and region or nil
end

return policy.define("nearest_region", schema, function(cluster, opts)
  local region = region_of(opts)
  local anywhere = policy.reads(cluster, opts, { name = "any region", balance = "latency" })
  if not region then return policy.split(cluster, function() return anywhere end) end
  local near = policy.reads(cluster, opts, { name = "region " .. region, balance = "latency", prefer = region })
  local max_waiting, max_in_flight = opts.max_waiting or 0, opts.max_in_flight or HUGE

  local function has_room(replica)
    return replica.region == region and replica.waiting <= max_waiting and replica.in_flight < max_in_flight
      and replica.up
  end

  return policy.split(cluster, function()
    for _, replica in ipairs(cluster.replicas) do
      if has_room(replica) then return near end
    end
    return anywhere
  end)
end)
