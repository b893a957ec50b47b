---The time that rules go by: of day, for `hour`, and one that never goes back, for rates. A table of
---its own, so that moongate.testing can set both.
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
core.own()

return {
  ---Seconds since 1970, as os.time().
  ---@type fun(): integer
  time = os.time,
  ---Seconds, with fractions, of a clock that never goes back.
  ---@type fun(): number
  now = core.now,
}
