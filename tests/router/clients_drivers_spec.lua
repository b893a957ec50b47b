-- Drivers that applications use, each with a program of its own in tests/router/clients: twenty
-- connections over four servers, statements, transactions, settings, cursors, cancel, errors.
--
-- node's are what `make deps-clients` has installed in build/clients.

local cluster = require "tests.support.cluster"
local process = require "moongate.process"
local router = require "tests.support.router"
local uv = require "luv"

local FOLDER = "tests/router/clients/"
local PACKAGES = (os.getenv "BUILD" or "build") .. "/clients"
local PYTHON = "/usr/bin/python3" -- Debian's, which has Debian's packages
local SECONDS = 240

-- Whether the command runs and ends well.
local function works(command)
  local ok, status = pcall(process.run, command)
  return ok and status == 0
end

-- Why the program cannot run here, or nil.
local function missing_in_node(package)
  if not works { "node", "--version" } then return "node is not installed" end
  if uv.fs_stat(("%s/node_modules/%s/package.json"):format(PACKAGES, package)) then return nil end
  return ("node's package %s is not installed: make deps-clients"):format(package)
end

local function missing_in_python(package)
  if works { PYTHON, "-c", "import " .. package } then return nil end
  return ("Python's package %s is not installed: make deps-test"):format(package)
end

local CLIENTS = {
  { name = "node's pg", missing = function() return missing_in_node "pg" end,
    command = { "node", FOLDER .. "pg.mjs" } },
  { name = "node's postgres", missing = function() return missing_in_node "postgres" end,
    command = { "node", FOLDER .. "postgres.mjs" } },
  { name = "psycopg", missing = function() return missing_in_python "psycopg" end,
    command = { PYTHON, FOLDER .. "psycopg_client.py" } },
}

describe("through the router, over fewer servers than connections,", function()
  local moongate

  before_each(function()
    local pg = cluster.shared()
    moongate = router.start {
      pg = pg,
      text = router.script(pg, { extra = [[pool = { mode = "transaction", size = 4 },]] }),
    }
  end)

  after_each(function() moongate:stop() end)

  for _, client in ipairs(CLIENTS) do
    it(client.name .. " works", function()
      local missing = client.missing()
      if missing then
        pending(missing)
        return
      end
      local command = table.move(client.command, 1, #client.command, 1, {})
      table.move({ moongate:url(), PACKAGES }, 1, 2, #command + 1, command)
      local status, output, errors = process.run(command,
        { env = router.environment_for_programs(), seconds = SECONDS })
      assert.equal(0, status, errors)
      assert.matches("^ok ", output)
    end)
  end
end)
