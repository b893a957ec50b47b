--- Waiting for a condition, never for a time.
-- SPDX-License-Identifier: MIT

local process = require "moongate.process"

local M = {}

---Raises when `condition` does not return something true in time.
---@param what string  ends the sentence "not within N s: ..."
---@param condition fun(): any
---@param seconds number?  default 30
---@return any value  what `condition` returned
function M.until_true(what, condition, seconds)
  seconds = seconds or 30
  local value = process.poll(condition, seconds)
  if not value then error(("not within %g s: %s"):format(seconds, what), 2) end
  return value
end

return M
