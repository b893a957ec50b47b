-- The default routing script with pools of the size that the benchmark gives to everyone.
-- SPDX-License-Identifier: MIT
local moongate = require "moongate"

local options = moongate.from_env()
if os.getenv "BENCH_POLICY" ~= "none" then options.policy = require "moongate.policies.read_write_split" end
options.pool = { size = tonumber(os.getenv "BENCH_POOL_SIZE"), mode = os.getenv "BENCH_POOL_MODE" }

return moongate.router { listen = os.getenv "MOONGATE_LISTEN", cluster = moongate.cluster(options) }
