--- A router under test: build/moongate (or $MOONGATE_BIN) on a free port, its log in a file.
--
-- With MOONGATE_TEST_DIRECT=1 in the environment "the router" is the primary itself: shows what
-- PostgreSQL does where a spec and the router disagree.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local http = require "tests.support.http"
local process = require "moongate.process"
local uv = require "luv"

local M = {}

M.binary = os.getenv "MOONGATE_BIN" or "build/moongate"
M.direct = os.getenv "MOONGATE_TEST_DIRECT" == "1"

local START_SECONDS, STOP_SECONDS = 15, 15

---@class tests.Router
---@field port integer
---@field pid integer
local methods = {}
local mt = { __name = "tests.router", __index = methods }

-- Ours, without what would change the router's or libpq's behaviour.
local function environment(additions)
  local env = {}
  for name, value in pairs(uv.os_environ()) do
    if not name:match("^PG") and not name:match("^DATABASE_") and not name:match("^MOONGATE_") then
      env[name] = value
    end
  end
  for name, value in pairs(additions or {}) do env[name] = value end
  return env
end

local function write_file(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

local function urls(nodes)
  local list = {}
  for i, node in ipairs(nodes) do list[i] = ("postgres://127.0.0.1:%d"):format(node.port) end
  return table.concat(list, " ")
end

---The text of a script over a throwaway cluster.
---@param pg moongate.throwaway.Cluster
---@param options { weights: number[]?, policy: string?, extra: string? }?
---  `policy` is a Lua expression, `extra` more fields of moongate.cluster{}
---@return string
function M.script(pg, options)
  options = options or {}
  local replicas = {}
  for i, node in ipairs(pg.replicas) do
    replicas[i] = ("{ url = %q, weight = %g }"):format(urls { node },
      options.weights and options.weights[i] or 1)
  end
  return ([[
local moongate = require "moongate"
return moongate.router {
  admin = os.getenv "MOONGATE_ADMIN",
  cluster = moongate.cluster {
    primary = %q,
    replicas = { %s },
    policy = %s,
    %s
  },
}
]]):format(urls { pg.primary }, table.concat(replicas, ", "),
    options.policy or 'require "moongate.policies.read_write_split"', options.extra or "")
end

---Runs the program to its end.
---@param args string[]
---@param options { env: table<string, string>?, text: string? }?
---@return integer status, string output, string errors
function M.command(args, options)
  options = options or {}
  return process.run(table.move(args, 1, #args, 2, { M.binary }),
    { env = environment(options.env), text = options.text, seconds = 30 })
end

---The environment of the default script for a throwaway cluster.
---@param pg moongate.throwaway.Cluster
---@return table<string, string>
function M.environment(pg)
  local replicas = urls(pg.replicas)
  return {
    DATABASE_URL = urls { pg.primary },
    DATABASE_REPLICA_URL = replicas ~= "" and replicas or nil,
  }
end

---@class tests.RouterOptions
---@field pg moongate.throwaway.Cluster  in front of which; also the guard of its process
---@field text string?    a script; default: scripts/read_write_split.lua over `env`
---@field env table<string, string>?  for the default script; default: that of `pg`
---@field wait boolean?   false: don't wait until it listens
---@field admin boolean?  over HTTP: see methods:http(); the default script and M.script() have it
---@field port integer?  that the script itself listens on; else `--listen` says
---@field wrapper string[]?  a command that runs the program in its own place, such as prlimit

---@param options tests.RouterOptions
---@return tests.Router
function M.start(options)
  if M.direct then
    return setmetatable({ port = options.pg.primary.port, pid = options.pg.primary.postmaster.pid },
      mt)
  end
  local dir = assert(uv.fs_mkdtemp(options.pg.dir .. "/router-XXXXXX"))
  local script = "scripts/read_write_split.lua"
  if options.text then
    script = dir .. "/script.lua"
    write_file(script, options.text)
  end
  local self = setmetatable({ port = options.port or process.free_port(), log_file = dir .. "/log",
    script = script }, mt)
  local env = options.env or M.environment(options.pg)
  if options.admin then
    self.admin_port = process.free_port()
    env.MOONGATE_ADMIN = "127.0.0.1:" .. self.admin_port
  end
  local command = { M.binary, "run", script }
  if not options.port then table.move({ "--listen", "127.0.0.1:" .. self.port }, 1, 2, 4, command) end
  local wrapper = options.wrapper or {}
  self.process = process.spawn(table.move(command, 1, #command, #wrapper + 1, { table.unpack(wrapper) }),
    { env = environment(env), log = self.log_file })
  self.pid = self.process.pid
  self.release = options.pg:guard(self.process)
  if options.wait ~= false then self:wait_until_listening() end
  return self
end

function methods:wait_until_listening()
  process.wait_until(function()
    if self.process.status then
      error(("the router has ended with status %d:\n%s"):format(self.process.status, self:log()), 0)
    end
    return process.port_answers(self.port)
      and (not self.admin_port or process.port_answers(self.admin_port))
  end, START_SECONDS, "the router to listen")
end

---Asks its admin address.
---@param path string
---@param options { method: string?, headers: table<string, string>?, body: string? }?
---@return integer status, string body, table<string, string> headers  by names in lower case
function methods:http(path, options)
  return http.request(self.admin_port, path, options)
end

---The same, of a page that answers with JSON.
---@return table answer, integer status
function methods:ask(path, options)
  local status, body = self:http(path, options)
  return cjson.decode(body), status
end

---Gives it another script and has it reload, over HTTP.
---@param text string
---@return table answer, integer status
function methods:reload(text)
  write_file(self.script, text)
  return self:ask("/reload", { method = "POST" })
end

---All that it has logged so far.
---@return string
function methods:log()
  local file = io.open(self.log_file)
  local text = file and file:read("a") or ""
  if file then file:close() end
  return text
end

---Resident memory now.
---@return integer bytes
function methods:rss()
  local file = assert(io.open(("/proc/%d/status"):format(self.pid)))
  local text = file:read("a")
  file:close()
  return tonumber(text:match("VmRSS:%s+(%d+)")) * 1024
end

---@return string  "postgres://..." as libpq takes it
function methods:url(user, database)
  return ("postgres://%s@127.0.0.1:%d/%s"):format(user or "postgres", self.port,
    database or "postgres")
end

---Runs psql through the router.
---@param sql string
---@param options { url: string?, args: string[]?, seconds: number? }?
---@return string output  without the last newline; an error raises
function methods:psql(sql, options)
  options = options or {}
  local command = { M.bin("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", options.url or self:url() }
  for _, arg in ipairs(options.args or {}) do command[#command + 1] = arg end
  local status, output, errors = process.run(command,
    { env = environment(), text = sql, seconds = options.seconds })
  if status ~= 0 then error("psql: " .. errors, 2) end
  return (output:gsub("\n$", ""))
end

---@return boolean
function methods:is_running()
  return M.direct or self.process.status == nil
end

---SIGTERM; raises unless it then ends with status 0.
function methods:stop()
  if M.direct then return end
  self.process:kill("sigterm")
  local ok = pcall(self.process.wait, self.process, STOP_SECONDS)
  if not ok then
    self.process:kill("sigkill")
    self.process:wait(STOP_SECONDS)
  end
  self.release()
  if not ok or self.process.status ~= 0 or self.process.signal ~= 0 then
    error(("the router ended with status %d, signal %d:\n%s"):format(self.process.status,
      self.process.signal, self:log():sub(-4000)), 2)
  end
end

---The path of one of PostgreSQL's client programs (Debian's wrappers in PATH are slow).
---@param name string
---@return string
function M.bin(name)
  return require("tests.support.cluster").shared().bindir .. "/" .. name
end

M.environment_for_programs = environment

return M
