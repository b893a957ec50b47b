-- The default routing script with pools of the size that the benchmark gives to everyone.
-- SPDX-License-Identifier: MIT
local moongate = require "moongate"

local options = moongate.from_env()
options.policy = require "moongate.policies.read_write_split"
options.pool = { size = tonumber(os.getenv "BENCH_POOL_SIZE"), mode = os.getenv "BENCH_POOL_MODE" }

return moongate.router { listen = os.getenv "MOONGATE_LISTEN", cluster = moongate.cluster(options) }
