-- Writes are refused, reads go on: to be loaded for as long as something is being done.
--
--   MOONGATE_MESSAGE  what clients are told whose writes are refused
--   MOONGATE_EXCEPT   users who may write all the same, separated by spaces
--
-- Beside these the environment is that of read_write_split.lua.
-- SPDX-License-Identifier: MIT
local moongate = require "moongate"

-- What is set to nothing counts as not set.
local message = os.getenv "MOONGATE_MESSAGE"
if message == "" then message = nil end

local except = {}
for user in (os.getenv "MOONGATE_EXCEPT" or ""):gmatch "%S+" do except[#except + 1] = user end

local options = moongate.from_env()
options.policy = require "moongate.policies.maintenance" { message = message, except = except }

local admin = os.getenv "MOONGATE_ADMIN"

return moongate.router {
  listen = os.getenv("MOONGATE_LISTEN") or "127.0.0.1:6432",
  admin = admin ~= "" and admin or nil,
  cluster = moongate.cluster(options),
}
