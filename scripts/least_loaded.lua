-- Reads go where the fewest queries are under way.
--
-- The environment is that of read_write_split.lua.
-- SPDX-License-Identifier: MIT
local moongate = require "moongate"

local options = moongate.from_env()
options.policy = require "moongate.policies.least_loaded"

local admin = os.getenv "MOONGATE_ADMIN"

return moongate.router {
  listen = os.getenv("MOONGATE_LISTEN") or "127.0.0.1:6432",
  admin = admin ~= "" and admin or nil,
  cluster = moongate.cluster(options),
}
