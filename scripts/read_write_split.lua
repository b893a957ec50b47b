-- The default routing script: one primary, any number of replicas, all from the environment.
--
--   DATABASE_URL          the primary: postgres://user@host:5432/database
--   DATABASE_REPLICA_URL  replicas, separated by spaces; none: the primary serves everything
--   MOONGATE_LISTEN       where applications connect to, 127.0.0.1:6432 unless set
--   MOONGATE_ADMIN        where health, metrics and orders are to be had over HTTP; unless set, nowhere
--   MOONGATE_REGION       the region of all of these
--
-- SPDX-License-Identifier: MIT
local moongate = require "moongate"

local options = moongate.from_env()
options.policy = require "moongate.policies.read_write_split"

local admin = os.getenv "MOONGATE_ADMIN"

return moongate.router {
  listen = os.getenv("MOONGATE_LISTEN") or "127.0.0.1:6432",
  admin = admin ~= "" and admin or nil,
  cluster = moongate.cluster(options),
}
