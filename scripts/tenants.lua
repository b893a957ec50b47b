-- Tenants, told by a tag of their statements, read from replicas of their own.
--
--   MOONGATE_TENANTS     which: "acme=replica-1 globex=replica-2"; others have all replicas, which are
--                        called replica-1, replica-2 ... in the order of DATABASE_REPLICA_URL
--   MOONGATE_TENANT_TAG  the tag, tenant unless set: /* moongate: tenant=acme */
--
-- Beside these the environment is that of read_write_split.lua.
-- SPDX-License-Identifier: MIT
local moongate = require "moongate"

local options = moongate.from_env()
for i, replica in ipairs(options.replicas) do replica.name = "replica-" .. i end
local to = {}
for tenant, replica in (os.getenv "MOONGATE_TENANTS" or ""):gmatch "(%S-)=(%S+)" do to[tenant] = replica end
options.policy = require "moongate.policies.tenant" {
  by = "tag:" .. (os.getenv "MOONGATE_TENANT_TAG" or "tenant"),
  to = to,
}

local admin = os.getenv "MOONGATE_ADMIN"

return moongate.router {
  listen = os.getenv("MOONGATE_LISTEN") or "127.0.0.1:6432",
  admin = admin ~= "" and admin or nil,
  cluster = moongate.cluster(options),
}
