--- What the demo plays on: throwaway PostgreSQL, the router in front of it, sessions of psql.
-- SPDX-License-Identifier: MIT

local process = require "moongate.process"
local throwaway = require "moongate.throwaway"

local M = {}

local FIRST_PORT = 6432

---@class moongate.demo.Stage
---@field pg moongate.throwaway.Cluster
---@field port integer   the router's
---@field url string     the same, as psql takes it
---@field log_file string  the router's
local methods = {}
local mt = { __name = "moongate.demo.stage", __index = methods }

-- Runs (or spawns) the router's program with the environment that its script reads.
local function moongate(self, how, args, options)
  local replicas = {}
  for i, replica in ipairs(self.pg.replicas) do replicas[i] = replica.url end
  options.env = {
    PATH = os.getenv("PATH"),
    DATABASE_URL = self.pg.primary.url,
    DATABASE_REPLICA_URL = table.concat(replicas, " "),
  }
  return how(table.move(args, 1, #args, 2, { self.executable }), options)
end

local function start_router(self)
  self.port = FIRST_PORT
  while not process.port_is_free(self.port) do self.port = self.port + 1 end
  self.url = ("postgres://postgres@127.0.0.1:%d/postgres"):format(self.port)
  self.log_file = self.pg.dir .. "/router.log"
  self.router = moongate(self, process.spawn,
    { "run", self.script, "--listen", "127.0.0.1:" .. self.port },
    { log = self.log_file, detached = true })
  self.pg:guard(self.router)
  process.wait_until(function()
    if self.router.status then error("the router did not start:\n" .. self:log(), 0) end
    return process.port_answers(self.port)
  end, 10, "the router to listen")
end

---@param options { executable: string, script: string, replicas: integer, schema: string }
---@return moongate.demo.Stage  to be closed
function M.set(options)
  local self = setmetatable({ executable = options.executable, script = options.script }, mt)
  self.pg = throwaway.start { replicas = options.replicas }
  local ok, err = pcall(function()
    self.pg.primary:psql(options.schema)
    self.pg:wait_for_replay()
    start_router(self)
  end)
  if ok then return self end
  self.pg:stop()
  error(err, 0)
end

-- The cluster's watchdog ends the router, too.
mt.__close = function(self) self.pg:stop() end

---@return string  all that the router has logged so far
function methods:log()
  local file = io.open(self.log_file)
  local text = file and file:read("a") or ""
  if file then file:close() end
  return text
end

---@param port string|integer|nil
---@return string?  the name of the endpoint that listens there
function methods:name_of(port)
  for _, node in ipairs(self.pg:nodes()) do
    if node.port == tonumber(port) then return node.name end
  end
end

---What `moongate explain` says of statements.
---@param statements string[]
---@return string[] intents
function methods:intents(statements)
  local status, output, errors = moongate(self, process.run,
    { "explain", self.script, "--json", "-f", "-" },
    { text = table.concat(statements, "\n;\n") })
  if status ~= 0 then error("moongate explain failed: " .. errors, 0) end
  local intents = {}
  for intent in output:gmatch('"intent"%s*:%s*"(%a+)"') do intents[#intents + 1] = intent end
  return intents
end

---A session of psql through the router, kept open until its input is closed.
---@return moongate.Process
function methods:session()
  return process.spawn({ self.pg.bindir .. "/psql", "-XAtq", "-d", self.url },
    { input = true, env = self.pg.env, cwd = self.pg.dir, detached = true })
end

---@param session moongate.Process
---@param sql string
---@return string output
function M.ask(session, sql)
  session:write(sql .. "\n;\n\\echo --done--\n")
  return session:take("%-%-done%-%-\n", 20)
end

---@param session moongate.Process
function M.leave(session)
  session:close_input()
  session:wait(10)
end

return M
