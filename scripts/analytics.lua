-- Statements that have turned out slow go to the last replica, the others stay away from it.
--
--   MOONGATE_ANALYTICS_MEAN  seconds that a statement takes on average from which it is slow, 1 unless set
--
-- Beside these the environment is that of read_write_split.lua.
-- SPDX-License-Identifier: MIT
local moongate = require "moongate"

local options = moongate.from_env()
for i, replica in ipairs(options.replicas) do replica.name = "replica-" .. i end
local pool = options.replicas[#options.replicas]
-- Without a replica there is nothing to part.
options.policy = not pool and require "moongate.policies.primary_only"
  or require "moongate.policies.analytics_pool" {
    to = pool.name,
    mean = tonumber(os.getenv "MOONGATE_ANALYTICS_MEAN") or 1,
  }

local admin = os.getenv "MOONGATE_ADMIN"

return moongate.router {
  listen = os.getenv("MOONGATE_LISTEN") or "127.0.0.1:6432",
  admin = admin ~= "" and admin or nil,
  cluster = moongate.cluster(options),
}
