---Dates, times and intervals as PostgreSQL writes them (DateStyle ISO, IntervalStyle postgres: the
---defaults), to numbers and back.
---
---Results have them as strings, which lose nothing; here is what an application may want of those.
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
core.own()

local M = {}

---What is there of them; the year 0 is 1 BC, the offset is in seconds east of Greenwich.
---@class moongate.DateTime
---@field year integer?
---@field month integer?
---@field day integer?
---@field hour integer?
---@field min integer?
---@field sec integer?
---@field microsecond integer?
---@field offset integer?

local DAY <const> = 86400 -- s

---The days from 1970-01-01 to a date of the Gregorian calendar, before it too. The year 0 is 1 BC.
---Source: Howard Hinnant, chrono-Compatible Low-Level Date Algorithms, days_from_civil.
local function days_from_date(year, month, day)
  if month <= 2 then year = year - 1 end
  local era = year // 400
  local of_era = year - era * 400
  local of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
  return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
end

---The other way round: civil_from_days of the same source.
local function date_from_days(days)
  days = days + 719468
  local era = days // 146097
  local of_era = days - era * 146097
  local year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
  local of_year = of_era - (365 * year + year // 4 - year // 100)
  local shifted = (5 * of_year + 2) // 153
  local month = shifted < 10 and shifted + 3 or shifted - 9
  year = year + era * 400
  return month <= 2 and year + 1 or year, month, of_year - (153 * shifted + 2) // 5 + 1
end

---".25" is 250000
local function microseconds(fraction)
  if fraction == "" then return 0 end
  return math.tointeger((fraction:sub(2) .. "000000"):sub(1, 6))
end

---"-05:30" is -19800 seconds east of Greenwich.
local function offset_of(text)
  local sign, hours, minutes, seconds = text:match "^([+-])(%d%d):?(%d?%d?):?(%d?%d?)$"
  if not sign then return nil end
  local size = hours * 3600 + (tonumber(minutes) or 0) * 60 + (tonumber(seconds) or 0)
  return math.tointeger(sign == "-" and -size or size)
end

local function integers(...)
  local all = table.pack(...)
  for i = 1, all.n do all[i] = math.tointeger(all[i]) end
  return table.unpack(all, 1, all.n)
end

---Adds what a time of day says to `parts`; false: it is none.
local function take_time(text, parts)
  local hour, min, sec, fraction, zone = text:match "^(%d%d):(%d%d):(%d%d)(%.?%d*)(.*)$"
  if not hour then return false end
  parts.hour, parts.min, parts.sec = integers(hour, min, sec)
  parts.microsecond = microseconds(fraction)
  if zone == "" then return true end
  parts.offset = offset_of(zone)
  return parts.offset ~= nil
end

local function check_text(text, what)
  if type(text) ~= "string" then core.misuse(("%s: string expected, got %s"):format(what, type(text))) end
end

local function refuse(text, what)
  return nil, ("%s as PostgreSQL writes it expected (DateStyle ISO), not %q"):format(what, text)
end

---What a `date`, `time`, `timetz`, `timestamp` or `timestamptz` says.
---@param text string
---@return moongate.DateTime? parts, string? message  nil: it is none, or "infinity"
function M.parse(text)
  check_text(text, "datetime.parse")
  local parts = {}
  if take_time(text, parts) then return parts end
  local year, month, day, rest = text:gsub(" BC$", ""):match "^(%d%d%d%d+)%-(%d%d)%-(%d%d)(.*)$"
  if not year then return refuse(text, "a date or time") end
  parts.year, parts.month, parts.day = integers(year, month, day)
  if text:find " BC$" then parts.year = 1 - parts.year end
  local time = rest:match "^[ T](.*)$"
  if rest ~= "" and not (time and take_time(time, parts)) then return refuse(text, "a date or time") end
  return parts
end

---Seconds since 1970-01-01 00:00:00 UTC of a `timestamptz`, or of a `timestamp` or `date` that is
---meant to be UTC: an integer, or a float where there are fractions. "infinity" is math.huge.
---@param text string
---@return number? seconds, string? message
function M.epoch(text)
  check_text(text, "datetime.epoch")
  if text == "infinity" then return math.huge end
  if text == "-infinity" then return -math.huge end
  local parts, why = M.parse(text)
  if not parts then return nil, why end
  if not parts.year then return refuse(text, "a date or timestamp") end
  local seconds = days_from_date(parts.year, parts.month, parts.day) * DAY - (parts.offset or 0)
    + (parts.hour or 0) * 3600 + (parts.min or 0) * 60 + (parts.sec or 0)
  local fraction = parts.microsecond or 0
  return fraction == 0 and seconds or seconds + fraction / 1e6
end

---The timestamp of so many seconds since 1970, in UTC, as a parameter takes it: os.time(),
---"2026-11-28 15:30:00+00". Microseconds are rounded to.
---@param seconds number
---@return string
function M.timestamp(seconds)
  if type(seconds) ~= "number" or seconds ~= seconds then
    core.misuse("datetime.timestamp: a number of seconds since 1970 expected")
  end
  if seconds == math.huge then return "infinity" end
  if seconds == -math.huge then return "-infinity" end
  local whole = math.floor(seconds)
  local fraction = math.floor((seconds - whole) * 1e6 + 0.5)
  if fraction == 1000000 then whole, fraction = whole + 1, 0 end
  local year, month, day = date_from_days(whole // DAY)
  local of_day = whole % DAY
  local text = ("%04d-%02d-%02d %02d:%02d:%02d"):format(
    year > 0 and year or 1 - year, month, day, of_day // 3600, of_day // 60 % 60, of_day % 60)
  return text .. (fraction > 0 and (".%06d"):format(fraction) or "") .. "+00" .. (year > 0 and "" or " BC")
end

local UNITS = {
  year = { "months", 12 },
  mon = { "months", 1 },
  day = { "days", 1 },
}

---Adds "-04:05:06.789" to `parts`; false: it is none.
local function take_clock(word, parts)
  local sign, hours, minutes, seconds = word:match "^([+-]?)(%d+):(%d%d):(%d%d%.?%d*)$"
  if not sign then return false end
  local size = hours * 3600 + minutes * 60 + tonumber(seconds)
  parts.seconds = sign == "-" and -size or size
  return true
end

---What an `interval` says: its months, days and seconds are apart, since a month has no fixed length.
---@param text string
---@return { months: integer, days: integer, seconds: number }? parts, string? message
function M.interval(text)
  check_text(text, "datetime.interval")
  local parts, number = { months = 0, days = 0, seconds = 0 }, nil
  for word in text:gmatch "%S+" do
    local unit = UNITS[word:gsub("s$", "")]
    if number and unit then
      parts[unit[1]] = parts[unit[1]] + number * unit[2]
      number = nil
    elseif not number and word:find "^[+-]?%d+$" then
      number = math.tointeger(tonumber(word))
    elseif number or not take_clock(word, parts) then
      return nil, ("an interval as PostgreSQL writes it expected (IntervalStyle postgres), not %q"):format(text)
    end
  end
  if number or text == "" then
    return nil, ("an interval as PostgreSQL writes it expected (IntervalStyle postgres), not %q"):format(text)
  end
  parts.seconds = math.tointeger(parts.seconds) or parts.seconds
  return parts
end

return M
