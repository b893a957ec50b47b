-- What `moongate demo` runs: a primary and two replicas, of which the first takes two reads in three.
-- SPDX-License-Identifier: MIT
local moongate = require "moongate"

local WEIGHTS = { 2, 1 }

local options = moongate.from_env()
for i, replica in ipairs(options.replicas) do
  replica.name = "replica" .. i
  replica.weight = WEIGHTS[i]
end
options.policy = require "moongate.policies.read_write_split"
-- Back in the rotation within a second: the show must go on.
options.health = { interval = 0.2, timeout = 1, fall = 2, rise = 2 }
options.backoff = { initial = 0.2, max = 0.5 }

return moongate.router {
  listen = os.getenv("MOONGATE_LISTEN") or "127.0.0.1:6432",
  cluster = moongate.cluster(options),
}
