--- Load with a checker (load.c), as an object; and what the ledger says of its writes afterwards.
-- SPDX-License-Identifier: MIT

local assert = require "luassert"
local process = require "moongate.process"
local router = require "tests.support.router"

local M = {}

-- How long it may take to end: a write may be held for 30 s, and a session that hangs is given 60.
local END_SECONDS = 100

---Whether `make test-chaos` runs: everything at length.
M.long = os.getenv "MOONGATE_CHAOS" == "long"

---@class chaos.Load
local methods = {}
local mt = { __name = "chaos.load", __index = methods }

---@class chaos.Totals
---@field reads integer       that were answered, each checked
---@field violations integer  of what the level promises
---@field read_errors integer
---@field acknowledged integer  writes
---@field failed integer      writes that were said not to be done
---@field unknown integer     writes that were said to have an unknown outcome
---@field silent integer      writes whose connection ended without a word
---@field hanging integer     sessions that did not end in time
---@field slowest_read number s
---@field slowest_reader number s, of sessions that only read
---@field complaints string   the first errors and violations in words

---Makes the tables of a load, `register` and `ledger` unless named.
---@param pg moongate.throwaway.Cluster
---@param options { table: string?, ledger: string?, keys: integer? }?
function M.create_tables(pg, options)
  options = options or {}
  local register, ledger = options.table or "register", options.ledger or "ledger"
  -- No constraint on the token: what runs twice must leave two rows.
  pg.primary:psql(([[
    create table %s (key integer primary key, value bigint not null) with (fillfactor = 50);
    insert into %s select key, 0 from generate_series(0, %d) key;
    create table %s (token text not null, value bigint not null);
  ]]):format(register, register, (options.keys or 64) - 1, ledger))
  pg:wait_for_replay()
end

---@class chaos.LoadOptions  numbers and strings are options of chaos_load by name, "_" for "-"; true: a flag
---@field url string  through the router
---@field pg moongate.throwaway.Cluster  guard of its process

local RESERVED = { url = true, pg = true }

---@param options chaos.LoadOptions | table<string, string|number|boolean>
---@return chaos.Load
function M.start(options)
  local binary = (os.getenv "BUILD" or "build") .. "/tests/chaos_load"
  local command = { binary, "--conninfo", options.url .. "?connect_timeout=20" }
  for name, value in pairs(options) do
    if not RESERVED[name] then
      command[#command + 1] = "--" .. name:gsub("_", "-")
      if value ~= true then command[#command + 1] = tostring(value) end
    end
  end
  local self = setmetatable({}, mt)
  self.process = process.spawn(command, { input = true, env = router.environment_for_programs() })
  self.release = options.pg:guard(self.process)
  return self
end

---Replicas are held back from now on, or are not.
function methods:lagging(yes) self.process:write(yes and "lagging\n" or "caught-up\n") end

---Waits for its end (which --reads N brings about).
---@param seconds number?
---@return chaos.Totals
function methods:wait(seconds)
  self.process:wait(seconds or END_SECONDS)
  self.release()
  local totals = { complaints = self.process.errors }
  for name, value in self.process.output:gmatch("([%w_]+) ([%d.]+)\n") do totals[name] = tonumber(value) end
  if not totals.reads then error("chaos_load: " .. self.process.errors, 2) end
  return totals
end

---Ends it.
---@return chaos.Totals
function methods:stop()
  if not self.process.status then self.process:write("stop\n") end
  return self:wait()
end

---@return boolean
function methods:is_running() return self.process.status == nil end

---@class chaos.Write
---@field outcome "acknowledged"|"failed"|"unknown"|"silent"
---@field sqlstate string
---@field began number  s, CLOCK_MONOTONIC
---@field ended number

---The file that --outcomes has left, by token.
---@return table<string, chaos.Write>
function M.read_outcomes(path)
  local writes = {}
  for line in io.lines(path) do
    local token, outcome, sqlstate, began, ended = line:match("^(.-)\t(.-)\t(.-)\t(.-)\t(.-)$")
    writes[token] = { outcome = outcome, sqlstate = sqlstate, began = tonumber(began), ended = tonumber(ended) }
  end
  return writes
end

---What the ledger on `node` holds against what the sessions were told.
---@param node moongate.throwaway.Node
---@param writes table<string, chaos.Write>
---@param ledger string?
---@return { lost: string[], twice: string[], denied: string[], foreign: string[], kept: integer }
---  lost: acknowledged and not there; denied: there, though said not to be done
function M.audit(node, writes, ledger)
  local rows, result = {}, { lost = {}, twice = {}, denied = {}, foreign = {}, kept = 0 }
  local text = node:psql(("select token, count(*) from %s group by token"):format(ledger or "ledger"))
  for token, count in text:gmatch("([^|\n]+)|(%d+)") do
    rows[token] = tonumber(count)
    if rows[token] > 1 then table.insert(result.twice, token) end
    if not writes[token] then table.insert(result.foreign, token) end
    if writes[token] and writes[token].outcome == "unknown" then result.kept = result.kept + 1 end
  end
  for token, write in pairs(writes) do
    local there = rows[token] ~= nil
    if write.outcome == "acknowledged" and not there then table.insert(result.lost, token) end
    if write.outcome == "failed" and there then table.insert(result.denied, token .. " " .. write.sqlstate) end
  end
  return result
end

---A line of results, for docs/reliability.md; shown where `make test-chaos` runs.
function M.say(format, ...)
  if M.long or os.getenv "MOONGATE_CHAOS_SAY" then print("        " .. format:format(...)) end
end

---Fails where a promise was broken: to writers, by the ledger, or to readers.
---@param totals chaos.Totals
---@param audit table  of M.audit()
function M.assert_kept(totals, audit)
  assert.same({}, audit.lost, "acknowledged, and lost")
  assert.same({}, audit.twice, "done twice")
  assert.same({}, audit.denied, "done, and said not to be")
  assert.same({}, audit.foreign)
  assert.equal(0, totals.silent, totals.complaints)
  assert.equal(0, totals.hanging)
  assert.equal(0, totals.read_errors, totals.complaints)
  assert.equal(0, totals.violations, totals.complaints)
end

return M
