-- The rockspec builds and installs a module that works on its own.

local process = require "moongate.process"
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

  it("installs it with `luarocks make`", function()
    if not has_luarocks() then
      pending "luarocks is not installed"
      return
    end
    local tree = assert(uv.fs_mkdtemp "/tmp/moongate-rock-XXXXXX")
    local status, output, errors = process.run(
      { "luarocks", "--lua-version", "5.4", "make", "--tree", tree, "--deps-mode", "none", "moongate-scm-1.rockspec" },
      { seconds = 300 })
    assert.equal(0, status, output .. errors)
    local env = {
      PATH = os.getenv "PATH",
      LUA_PATH = ("%s/share/lua/5.4/?.lua;%s/share/lua/5.4/?/init.lua"):format(tree, tree),
      LUA_CPATH = tree .. "/lib/lua/5.4/?.so",
    }
    -- From a folder where nothing of ours lies.
    status, output, errors = process.run({ "lua5.4", "-e", [[
      local moongate = require "moongate"
      local cluster <close> = moongate.cluster {
        primary = "postgres://localhost:1/d",
        policy = require "moongate.policies.read_write_split",
      }
      print(cluster:verdict "select 1")
    ]] }, { env = env, cwd = tree })
    process.run { "rm", "-rf", tree }
    assert.equal(0, status, errors)
    assert.equal("replicas\tfalse\n", output)
  end)
end)
