--- The demo's acts. What they say, they have asked of PostgreSQL; what is not as it should be is
-- said, and counted.
-- SPDX-License-Identifier: MIT

local process = require "moongate.process"
local screens = require "moongate.demo.screen"
local stages = require "moongate.demo.stage"
local uv = require "luv"

local M = {}

-- As in scripts/demo.lua.
local WEIGHTS = { 2, 1 }

-- Readers and writers have sessions of their own, so that the readers' shares show the weights:
-- after a write, a session's reads may have to wait for a replica that holds it.
local READERS, READS = 6, 400
local WRITERS, WRITES = 2, 150

-- More than five standard deviations of a replica's share.
local TOLERANCE = 0.05

local SCHEMA = [[
create table accounts (id int primary key, owner text, balance int);
insert into accounts select i, 'owner ' || i, 100 from generate_series(1, 100) as i;
create table payments (id serial primary key, amount int);
create view served as select current_setting('port') as port;
]]

-- Each in a session of its own; `before` has run in it already.
local STATEMENTS = {
  { sql = "select owner, port from accounts, served where id = 7", to = "replica" },
  { sql = "select 'delete from accounts', port from served -- for update", to = "replica" },
  { sql = "select owner, port from accounts, served where id = 7 for update of accounts",
    to = "primary" },
  { sql = "update accounts set balance = 0 where id = 7 returning (table served)", to = "primary" },
  { sql = "with gone as (delete from accounts where id = 100) table served", to = "primary" },
  { sql = "select nextval('payments_id_seq'), port from served", to = "primary" },
  { sql = "select port from served", to = "primary", before = "begin", note = "after begin" },
  { sql = "select owner, port from accounts, served", to = "primary",
    before = "create temp table accounts as select 'nobody' as owner",
    note = "after create temp table accounts" },
}

---@class moongate.demo.Tour
---@field stage moongate.demo.Stage
---@field screen moongate.demo.Screen
---@field failures integer  what was not as it should be
---@field written integer   rows of the load
---@field over boolean?      all acts have been played
local methods = {}
local mt = { __name = "moongate.demo.tour", __index = methods }

function methods:unexpected(format, ...)
  self.failures = self.failures + 1
  self.screen:line(self.screen:paint("red", "NOT AS IT SHOULD BE: " .. format:format(...)))
end

function methods:presentation()
  local screen, pg = self.screen, self.stage.pg
  local version = pg.primary:psql("show server_version"):match("^%S+")
  screen:title("moongate demo", ("PostgreSQL %s in %s"):format(version, pg.dir))
  for i, node in ipairs(pg:nodes()) do
    screen:line(screen:paint("cyan", node.name, 10), ("port %-7d"):format(node.port),
      i > 1 and ("weight %d"):format(WEIGHTS[i - 1]) or "")
  end
  screen:line(screen:paint("cyan", "moongate", 10), ("port %-7d"):format(self.stage.port),
    "runs ", self.stage.script)
end

function methods:statement(step, intent)
  local screen = self.screen
  local session = self.stage:session()
  if step.before then stages.ask(session, step.before) end
  local port = stages.ask(session, step.sql):match("(%d+)%s*$")
  stages.leave(session)
  local server = self.stage:name_of(port) or "nobody"
  screen:line(screen:paint(intent == "read" and "green" or "yellow", intent, 7),
    screen:paint("cyan", server, 10), step.sql,
    step.note and screen:paint("dim", "   " .. step.note) or "")
  if not server:find("^" .. step.to) then
    self:unexpected("this belongs to the %s %s", step.to, session.errors)
  end
end

function methods:statements()
  self.screen:title("Where statements go", "intent by moongate, server by PostgreSQL")
  local texts = {}
  for i, step in ipairs(STATEMENTS) do texts[i] = step.sql end
  local intents = self.stage:intents(texts)
  for i, step in ipairs(STATEMENTS) do self:statement(step, intents[i] or "?") end
end

local function load_text(reads)
  local lines = {}
  for i = 1, reads and READS or WRITES do
    lines[i] = reads
      and ("select port from accounts, served where id = %d;\n"):format(i % 99 + 1)
      or ("insert into payments (amount) values (%d) returning (table served);\n"):format(i)
  end
  return table.concat(lines) .. "\\q\n"
end

-- The sessions of a load; each ends by itself.
function methods:start_load()
  local sessions = {}
  for i = 1, READERS + WRITERS do
    sessions[i] = self.stage:session()
    sessions[i].reads = i <= READERS
    sessions[i]:write(load_text(sessions[i].reads))
  end
  return sessions
end

local function answers(sessions)
  local count = 0
  for _, session in ipairs(sessions) do count = count + select(2, session.output:gsub("\n", "")) end
  return count
end

---@class moongate.demo.Load
---@field answers integer
---@field reads table<string, integer>   by endpoint
---@field writes table<string, integer>  by endpoint
---@field errors string[]

-- Waits for the sessions' end.
function methods:finish_load(sessions)
  local load = { answers = 0, reads = {}, writes = {}, errors = {} }
  for _, session in ipairs(sessions) do
    session:wait(60)
    local counts = session.reads and load.reads or load.writes
    for port in session.output:gmatch("%d+") do
      local name = self.stage:name_of(port)
      counts[name] = (counts[name] or 0) + 1
    end
    for line in session.errors:gmatch("[^\n]+") do load.errors[#load.errors + 1] = line end
  end
  load.answers = answers(sessions)
  return load
end

-- The share of the reads that a node should have, by the weights.
function methods:weighed(node)
  local sum, own = 0, 0
  for i, replica in ipairs(self.stage.pg.replicas) do
    sum = sum + WEIGHTS[i]
    if replica == node then own = WEIGHTS[i] end
  end
  return own / sum
end

function methods:show_load(load, with_weights)
  local screen = self.screen
  for i, node in ipairs(self.stage.pg:nodes()) do
    local reads, writes = load.reads[node.name] or 0, load.writes[node.name] or 0
    local share = reads / (READERS * READS)
    local text = i > 1 and ("%3.0f %% of the reads"):format(share * 100) or ""
    if i > 1 and with_weights then
      text = text .. (", %.0f %% by weight"):format(self:weighed(node) * 100)
    end
    screen:line(screen:paint("cyan", node.name, 10), ("%5d reads %5d writes  "):format(reads, writes),
      screen:paint("green", screen:bar(share, 24), 26), text)
  end
  screen:line(screen:paint(#load.errors == 0 and "green" or "red",
    ("%-10s%5d"):format("errors", #load.errors)))
end

-- What holds for every load: no error, one answer to each statement, all writes on the primary, once.
function methods:check_load(load)
  if #load.errors > 0 then self:unexpected("the first error: %s", load.errors[1]) end
  local wanted = READERS * READS + WRITERS * WRITES
  if load.answers ~= wanted then
    self:unexpected("%d answers to %d statements", load.answers, wanted)
  end
  self.written = self.written + WRITERS * WRITES
  local written = tonumber(self.stage.pg.primary:psql "select count(*) from payments")
  if written ~= self.written then
    self:unexpected("%d rows were written, not %d", written, self.written)
  end
end

function methods:mixed_load()
  self.screen:title(("%d reads and %d writes in %d sessions"):format(READERS * READS,
    WRITERS * WRITES, READERS + WRITERS))
  local load = self:finish_load(self:start_load())
  self:show_load(load, true)
  self:check_load(load)
  for _, replica in ipairs(self.stage.pg.replicas) do
    local share = (load.reads[replica.name] or 0) / (READERS * READS)
    if math.abs(share - self:weighed(replica)) > TOLERANCE then
      self:unexpected("%s is far from its weight", replica.name)
    end
  end
end

function methods:killed_replica()
  local victim = self.stage.pg.replicas[1]
  self.screen:title("The same again, and kill -9 of " .. victim.name .. " in its midst")
  local sessions = self:start_load()
  process.wait_until(function() return answers(sessions) > READERS * READS / 4 end, 30,
    "a quarter of the load to be done")
  victim:kill()
  local load = self:finish_load(sessions)
  self:show_load(load, false)
  self:check_load(load)
end

function methods:return_of_replica()
  local replica = self.stage.pg.replicas[1]
  replica:start()
  local since = uv.hrtime()
  local session = self.stage:session()
  local back = process.poll(function()
    return self.stage:name_of(stages.ask(session, "table served"):match("%d+")) == replica.name
  end, 15)
  stages.leave(session)
  self.screen:title(replica.name .. " is started again", back
    and ("it serves reads after %.1f s"):format((uv.hrtime() - since) / 1e9))
  if not back then self:unexpected("it does not come back into the rotation") end
end

-- Until a signal comes, or the router ends; both raise.
function methods:stay_up()
  local screen = self.screen
  screen:title("Your turn", "until Ctrl-C, which removes everything")
  screen:line(("psql '%s'"):format(self.stage.url))
  screen:line("table served;", screen:paint("dim", "   tells which server answers"))
  screen:line("tail -f ", self.stage.log_file, screen:paint("dim", "   what the router says"))
  while not process.poll(function() return self.stage.router.status end, 3600) do end
  error("it did not stay up", 0)
end

function methods:status()
  return self.failures == 0 and 0 or 1
end

function methods:acts(stays)
  self:presentation()
  self:statements()
  self:mixed_load()
  self:killed_replica()
  self:return_of_replica()
  if self.failures == 0 then
    self.screen:title(self.screen:paint("green", "All of it was as it should be."))
  else
    io.stderr:write("the last that the router has said:\n", self.stage:log():sub(-3000))
  end
  self.over = true
  if stays then self:stay_up() end
end

---Sets the stage, plays, and clears it away, whatever happens.
---@param options { executable: string, script: string, is_terminal: boolean, stays: boolean }
---@return integer status  0, or 1 if anything was not as it should be
function M.play(options)
  local stage <close> = stages.set {
    executable = options.executable,
    script = options.script,
    replicas = #WEIGHTS,
    schema = SCHEMA,
  }
  local self = setmetatable({
    stage = stage, screen = screens.new(options.is_terminal), failures = 0, written = 0,
  }, mt)
  local played, err = pcall(self.acts, self, options.stays)
  if played then return self:status() end
  local router = stage.router
  if type(err) == "table" then
    err.status = self.over and self:status() or nil
  elseif router.status then
    err = ("the router has ended with status %d, signal %d:\n%s"):format(router.status,
      router.signal, stage:log():sub(-3000))
  end
  error(err, 0)
end

return M
