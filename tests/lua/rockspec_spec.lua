-- The rockspec builds and installs a module that works on its own.

local moongate = require "moongate"
local process = require "moongate.process"
local shared = require "tests.support.cluster"
local uv = require "luv"

-- Parts of the router's demo and of the tests, which the module does without.
local NOT_THE_MODULE = { demo = true, process = true, throwaway = true }

local function has_luarocks()
  return (pcall(process.run, { "luarocks", "--version" }))
end

describe("the rockspec", function()
  it("lists every file of the module", function()
    local rockspec = {}
    assert(loadfile("moongate-scm-1.rockspec", "t", rockspec))()
    local listed = {}
    for _, path in pairs(rockspec.build.install.lua) do listed[path] = true end
    local function walk(folder)
      for name, kind in uv.fs_scandir_next, uv.fs_scandir(folder) do
        local path = folder .. "/" .. name
        if not NOT_THE_MODULE[name:gsub("%.lua$", "")] then
          if kind == "directory" then walk(path) else assert.is_true(listed[path], path .. " is not listed") end
        end
      end
    end
    walk "lua/moongate"
  end)

  -- From a folder where nothing of ours lies: what it prints.
  local function run(tree, ...)
    local status, output, errors = process.run({ "lua5.4", ... }, {
      cwd = tree,
      env = {
        PATH = os.getenv "PATH",
        DATABASE_URL = shared.shared().primary.url,
        LUA_PATH = ("%s/share/lua/5.4/?.lua;%s/share/lua/5.4/?/init.lua"):format(tree, tree),
        LUA_CPATH = tree .. "/lib/lua/5.4/?.so",
      },
    })
    assert.equal(0, status, errors)
    return output
  end

  local function luarocks(command, tree, cwd, rockspec, additions)
    local env = uv.os_environ()
    for name, value in pairs(additions or {}) do env[name] = value end
    local status, output, errors = process.run(
      { "luarocks", "--lua-version", "5.4", command, "--tree", tree, "--deps-mode", "none", rockspec },
      { seconds = 300, cwd = cwd, env = env })
    assert.equal(0, status, output .. errors)
  end

  local folder
  before_each(function() folder = assert(uv.fs_mkdtemp "/tmp/moongate-rock-XXXXXX") end)
  after_each(function() process.run { "rm", "-rf", folder } end)

  it("installs a module that works, with `luarocks make` in the checkout", function()
    if not has_luarocks() then
      pending "luarocks is not installed"
      return
    end
    luarocks("make", folder, uv.cwd(), "moongate-scm-1.rockspec")
    assert.equal("replicas\tfalse\n", run(folder, "-e", [[
      local moongate = require "moongate"
      local cluster <close> = moongate.cluster {
        primary = "postgres://localhost:1/d",
        policy = require "moongate.policies.read_write_split",
      }
      print(cluster:verdict "select 1")
    ]]))
    assert.matches("^hello from PostgreSQL", run(folder, uv.cwd() .. "/examples/hello.lua"))
  end)

  it("installs the same from the archive of `make dist`, with `luarocks build` beside it", function()
    if not has_luarocks() or not uv.fs_stat ".git" then
      pending "luarocks is not installed, or this is no checkout"
      return
    end
    local name = "moongate-" .. moongate.version
    local archives = {}
    for i = 1, 2 do
      local dist = folder .. "/" .. i
      local status, output, errors = process.run { "make", "--no-print-directory", "BUILD=" .. dist, "dist" }
      assert.equal(0, status, output .. errors)
      archives[i] = assert(io.open(dist .. "/" .. name .. ".tar.gz", "rb")):read "a"
    end
    assert.is_true(archives[1] == archives[2], "the archive differs from run to run")
    local tree = folder .. "/tree"
    luarocks("build", tree, folder .. "/1", name .. "-1.rockspec", { OPTIMIZE = "-O0", MAKEFLAGS = "-j2" })
    assert.matches("^hello from PostgreSQL", run(tree, uv.cwd() .. "/examples/hello.lua"))
    assert.equal(moongate.version .. "\n", run(tree, "-e", [[print(require "moongate".version)]]))
  end)
end)
