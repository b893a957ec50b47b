-- A few sessions read from the last replica, which runs something new; the others never do.
--
--   MOONGATE_CANARY_PERCENT  how many sessions of a hundred, 5 unless set
--
-- Beside these the environment is that of read_write_split.lua.
-- SPDX-License-Identifier: MIT
local moongate = require "moongate"
local rules = require "moongate.rules"
local first, when, percent, to = rules.first, rules.when, rules.percent, rules.to

local options = moongate.from_env()
for i, replica in ipairs(options.replicas) do replica.name = "replica-" .. i end
local canary = options.replicas[#options.replicas]
local share = tonumber(os.getenv "MOONGATE_CANARY_PERCENT") or 5

function options.policy(cluster)
  local primary = cluster:route { name = "primary", to = "primary", hold = 30 }
  if not canary then return first { to(primary) } end
  local tried = cluster:route { name = "canary", to = canary.name, fallback = "primary" }
  local reads = cluster:route {
    name = "replicas", to = "replicas", weights = { [canary.name] = 0 }, fallback = "primary",
  }
  return first {
    when { name = "canary", intent = "read" }, percent(share, "session"), to(tried),
    when { name = "reads", intent = "read" }, to(reads),
    when { name = "writes", intent = "write" }, to(primary),
  }
end

local admin = os.getenv "MOONGATE_ADMIN"

return moongate.router {
  listen = os.getenv("MOONGATE_LISTEN") or "127.0.0.1:6432",
  admin = admin ~= "" and admin or nil,
  cluster = moongate.cluster(options),
}
