--- `moongate demo`: a throwaway primary, two replicas, the router in front, and a short tour.
-- SPDX-License-Identifier: MIT

local M = {}

local USAGE = [[
usage: moongate demo [--exit]

Starts PostgreSQL (a primary and two replicas) in a temporary folder and the router in front of it,
and shows where statements go, a load spread by weights, a replica killed under load and its return.
Then it stays up for you to try, until Ctrl-C; with --exit, or without a terminal, it ends there:
with status 0, or 1 if anything was not as it should be. Nothing is left behind.
]]

-- What a shell reports of a program that ended by these signals.
local SIGNAL_STATUS = { sighup = 129, sigint = 130, sigterm = 143 }

-- Returns whether to end after the tour, or an exit status.
local function parse(arg)
  local exits = false
  for i = 1, #arg do
    if arg[i] == "--exit" then
      exits = true
    elseif arg[i] == "--help" or arg[i] == "-h" then
      io.stdout:write(USAGE)
      return nil, 0
    else
      io.stderr:write(("moongate demo: unknown argument %q\n"):format(arg[i]), USAGE)
      return nil, 2
    end
  end
  return { exits = exits }
end

---@param arg table<integer, string>  [0] is this program's path; then the arguments after `demo`
---@param options { scripts: string }  the folder of the routing scripts
---@return integer status
function M.main(arg, options)
  local settings, status = parse(arg)
  if not settings then return status end
  local has_luv, uv = pcall(require, "luv")
  if not has_luv then
    io.stderr:write("moongate demo needs lua-luv: apt-get install lua-luv\n")
    return 1
  end
  require("moongate.process").trap { "sigint", "sigterm", "sighup" }
  local is_terminal = uv.guess_handle(1) == "tty"
  local played, result = pcall(require("moongate.demo.tour").play, {
    executable = arg[0],
    script = (uv.fs_realpath(options.scripts) or options.scripts) .. "/demo.lua",
    is_terminal = is_terminal,
    stays = is_terminal and not settings.exits,
  })
  if played then return result end
  if type(result) == "table" and result.signal then
    io.stderr:write("\n")
    return result.status or SIGNAL_STATUS[result.signal]
  end
  io.stderr:write("moongate demo: ", tostring(result), "\n")
  return 1
end

return M
