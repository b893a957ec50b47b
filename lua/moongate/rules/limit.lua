---`limit { ... }`: so many queries a second for each key, and something else beyond that.
-- SPDX-License-Identifier: MIT
local clock = require "moongate.clock"
local core = require "moongate.core"
local keys = require "moongate.rules.keys"
local options = require "moongate.options"
core.own()

local checks = options.checks

---How many keys are told apart; those asked for longest ago are forgotten, and begin anew.
local KEYS = 10000

local function is_verdict(value, where)
  if type(value) == "userdata" then return value end
  return checks.must_be("a route, an endpoint or a rejection")(value, where)
end

local check = checks.options_of({
  key = function(value) return value end,
  rate = checks.number(0.001, math.huge, "a number of queries per second of at least 0.001"),
  burst = checks.number(1, math.huge, "a number of queries of at least 1"),
  ["else"] = is_verdict,
  otherwise = is_verdict,
}, { "key", "rate" })

---A function(key) that says whether one more is within the limit. Each key's bucket is one number:
---when it will be full again. There are two generations of them: who is not asked for while the
---younger one fills up is forgotten, which for a full bucket makes no difference.
local function buckets(rate, burst)
  local each, deep = 1 / rate, burst / rate
  local young, old, count = {}, {}, 0
  return function(key)
    local now = clock.now()
    local full = young[key]
    if not full then
      if count >= KEYS // 2 then young, old, count = {}, young, 0 end
      count = count + 1
      full = old[key] or now
      young[key] = full
    end
    full = (full > now and full or now) + each
    -- What is rounded must not cost the last one of a burst.
    if full - now > deep + each * 1e-6 then return false end
    young[key] = full
    return true
  end
end

local function refuse(rate, key, value)
  local message = "rate limit: more than %g queries per second for %s %s"
  return core.reject(message:format(rate, key, tostring(value)), "53400")
end

---@param opts any  as in rules.limit
---@return (fun(query: moongate.Query): any)? act  the verdict beyond the limit, nil within it
---@return string? text                          or what is wrong
return function(opts)
  local checked, why = check(opts)
  if not checked then return nil, why end
  if checked["else"] and checked.otherwise then
    return nil, "it has both [\"else\"] and its other name, otherwise: set one of them"
  end
  local read, text = keys.reader(checked.key, "key")
  if not read then return nil, text end
  local rate, beyond = checked.rate, checked["else"] or checked.otherwise
  local may = buckets(rate, checked.burst or math.max(1, rate))
  return function(query)
    local key = read(query)
    if key == nil or may(key) then return nil end
    return beyond or refuse(rate, text, key)
  end, ("limit %g/s per %s"):format(rate, text), beyond
end
