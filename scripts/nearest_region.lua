-- Reads stay in the region where the router runs while a replica there will do.
--
--   MOONGATE_REGION           where the router and the primary are
--   DATABASE_REPLICA_REGIONS  where the replicas are, in the order of DATABASE_REPLICA_URL: "eu us";
--                             those that it does not tell are where the router is
--
-- Beside these the environment is that of read_write_split.lua.
-- SPDX-License-Identifier: MIT
local moongate = require "moongate"

local options = moongate.from_env()
local i = 0
for region in (os.getenv "DATABASE_REPLICA_REGIONS" or ""):gmatch "%S+" do
  i = i + 1
  if options.replicas[i] then options.replicas[i].region = region end
end
options.policy = require "moongate.policies.nearest_region"

local admin = os.getenv "MOONGATE_ADMIN"

return moongate.router {
  listen = os.getenv("MOONGATE_LISTEN") or "127.0.0.1:6432",
  admin = admin ~= "" and admin or nil,
  cluster = moongate.cluster(options),
}
