-- libmoongate, as `make install` puts it there: a C program finds it by pkg-config, and routes.

local moongate = require "moongate"
local process = require "moongate.process"
local shared = require "tests.support.cluster"
local uv = require "luv"

local BUILD = os.getenv "BUILD" or "build"

-- What a shell would find: neither the checkout's Lua files nor its libraries.
local function environment(additions)
  local env = { PATH = os.getenv "PATH", HOME = os.getenv "HOME" }
  for name, value in pairs(additions) do env[name] = value end
  return env
end

local function make(target, tree, ...)
  local status, output, errors = process.run(
    { "make", "--no-print-directory", "BUILD=" .. BUILD, "PREFIX=" .. tree, target, ... }, { seconds = 300 })
  assert.equal(0, status, output .. errors)
end

-- Every file below a folder, as paths from there.
local function files(folder, prefix, found)
  found = found or {}
  for name, kind in uv.fs_scandir_next, uv.fs_scandir(folder) do
    local path = (prefix or "") .. name
    if kind == "directory" then files(folder .. "/" .. name, path .. "/", found) else found[#found + 1] = path end
  end
  table.sort(found)
  return found
end

describe("libmoongate, installed,", function()
  local pg, folder, tree

  setup(function()
    pg = shared.shared()
    pg.primary:psql "drop table if exists greetings"
    pg:wait_for_replay()
    folder = assert(uv.fs_mkdtemp "/tmp/moongate-capi-XXXXXX")
    tree = folder .. "/tree"
    make("install", tree)
  end)
  teardown(function() process.run { "rm", "-rf", folder } end)

  local function pkg_config(...)
    local status, output, errors = process.run(
      { "pkg-config", ... }, { env = environment { PKG_CONFIG_PATH = tree .. "/lib/pkgconfig" } })
    assert.equal(0, status, errors)
    local words = {}
    for word in output:gmatch "%S+" do words[#words + 1] = word end
    return words
  end

  local function compile(source, program, options, ...)
    local command = { "cc", "-Wall", "-Wextra", "-Werror", "-o", program, source, ... }
    table.move(pkg_config(table.unpack(options)), 1, 100, #command + 1, command)
    local status, output, errors = process.run(command, { seconds = 60 })
    assert.equal(0, status, output .. errors)
  end

  -- Runs a program linked with it, from a folder where nothing of ours lies.
  local function run(command, variables)
    local env = environment { LD_LIBRARY_PATH = tree .. "/lib", DATABASE_URL = pg.primary.url }
    for name, value in pairs(variables or {}) do env[name] = value end
    return process.run(command, { env = env, cwd = folder, seconds = 60 })
  end

  -- Whether a replica has the write already, so that it may be asked, is a matter of luck.
  local function check(output)
    local read, written, found, slow = output:match("^read from 127%.0%.0%.1:(%d+)\nwritten from 127%.0%.0%.1:(%d+)\n"
      .. "written from 127%.0%.0%.1:(%d+)\nthe slow one from 127%.0%.0%.1:(%d+)\nthe timer has ticked meanwhile\n$")
    assert.is_truthy(read, output)
    local replica, primary = tostring(pg.replicas[1].port), tostring(pg.primary.port)
    assert.equal(replica, read)
    assert.equal(primary, written)
    assert.is_true((found == replica or found == primary) and (slow == replica or slow == primary))
  end

  setup(function() compile("examples/embed.c", folder .. "/embed", { "--cflags", "--libs", "moongate" }) end)

  it("is found by pkg-config, and routes a C program's queries on its own loop", function()
    local status, output, errors = run({ folder .. "/embed" }, { DATABASE_REPLICA_URL = pg.replicas[1].url })
    assert.equal("", errors)
    assert.equal(0, status)
    check(output)
  end)

  it("is a static library, too", function()
    local program = folder .. "/embed-static"
    compile("examples/embed.c", program, { "--cflags", "moongate" }, tree .. "/lib/libmoongate.a",
      "-llua5.4", "-lpq", "-lcares", "-lssl", "-lcrypto", "-lcurl", "-ljansson", "-lev", "-lpg_query", "-lm")
    local status, output, errors = run({ program },
      { DATABASE_REPLICA_URL = pg.replicas[1].url, LD_LIBRARY_PATH = "" })
    assert.equal("", errors)
    assert.equal(0, status)
    check(output)
  end)

  it("says what the program lacks, and ends", function()
    local status, _, errors = run({ folder .. "/embed" }, { DATABASE_URL = "" })
    assert.equal(1, status)
    assert.matches("^embed: DATABASE_URL is not set; it names the primary", errors)
  end)

  it("finds its Lua files, for a routing script", function()
    local script = assert(io.open(folder .. "/script.lua", "w"))
    script:write [[
      local moongate = require "moongate"
      local cluster = moongate.cluster(moongate.from_env())
      return moongate.router { cluster = cluster, policy = require "moongate.policies.read_write_split" }
    ]]
    script:close()
    local source = assert(io.open(folder .. "/script.c", "w"))
    source:write [[
      #include <ev.h>
      #include <moongate.h>
      #include <stdio.h>
      int main(void)
      {
        char error[512];
        struct moongate *m = moongate_new(EV_DEFAULT);
        struct moongate_cluster *c = moongate_open_script(m, "script.lua", NULL, error, sizeof error);
        puts(c ? "opened" : error);
        moongate_free(m);
        return !c;
      }
    ]]
    source:close()
    compile(folder .. "/script.c", folder .. "/script", { "--cflags", "--libs", "moongate" })
    local status, output = run { folder .. "/script" }
    assert.equal("opened\n", output)
    assert.equal(0, status)
  end)

  describe("as docs/embedding.md shows it,", function()
    local function blocks(language)
      local list = {}
      local page = assert(io.open("docs/embedding.md")):read "a"
      for block in page:gmatch("\n```" .. language .. "\n(.-\n)```") do list[#list + 1] = block end
      return list
    end

    local function write(name, text)
      local file = assert(io.open(folder .. "/" .. name, "w"))
      file:write(text)
      file:close()
      return folder .. "/" .. name
    end

    it("compiles, block by block", function()
      local all = blocks "c"
      assert.is_true(#all > 5)
      for _, block in ipairs(all) do
        local source = block:find "#include" and block or "#include <moongate.h>\n#include <stdio.h>\n" .. block
        compile(write("block.c", source), folder .. "/block.o",
          { "--cflags", "moongate", "lua5.4" }, "-c", "-Wno-unused-function")
      end
    end)

    it("asks a query", function()
      compile(write("query.c", blocks "c"[1]), folder .. "/query", { "--cflags", "--libs", "moongate" })
      local status, output, errors = run { folder .. "/query" }
      assert.equal(("postgres, from 127.0.0.1:%d\n"):format(pg.primary.port), output, errors)
      assert.equal(0, status)
    end)

    it("checks its routing script", function()
      local status, output, errors = run { tree .. "/bin/moongate", "check", write("routes.lua", blocks "lua"[1]) }
      assert.equal(0, status, output .. errors)
    end)

    it("runs Lua's tasks on the program's loop", function()
      local programs = blocks "c"
      compile(write("host.c", programs[#programs]), folder .. "/host", { "--cflags", "--libs", "moongate", "lua5.4" })
      local status, output, errors = run { folder .. "/host", write("tasks.lua", blocks "lua"[2]) }
      assert.equal("3\n", output, errors)
      assert.equal(0, status)
    end)
  end)

  it("comes with the module, for the stock interpreter", function()
    local status, output, errors = process.run({ "lua5.4", uv.cwd() .. "/examples/hello.lua" }, {
      cwd = folder,
      env = environment {
        DATABASE_URL = pg.primary.url,
        LUA_PATH = ("%s/share/lua/5.4/?.lua;%s/share/lua/5.4/?/init.lua"):format(tree, tree),
        LUA_CPATH = tree .. "/lib/lua/5.4/?.so",
      },
    })
    assert.equal(0, status, errors)
    assert.matches("^hello from PostgreSQL", output)
  end)

  it("comes with the router, which finds its Lua files and scripts", function()
    local status, output, errors = process.run(
      { tree .. "/bin/moongate", "explain", tree .. "/share/moongate/scripts/read_write_split.lua", "-c", "select 1" },
      { cwd = folder, env = environment { DATABASE_URL = pg.primary.url } })
    assert.equal(0, status, errors)
    assert.matches("replicas", output)
  end)

  it("goes where DESTDIR and PREFIX say, and away again", function()
    local stage = folder .. "/stage"
    make("install", "/usr", "DESTDIR=" .. stage)
    local staged = files(stage .. "/usr")
    assert.same(files(tree), staged)
    for _, path in ipairs { "bin/moongate", "include/moongate.h", "lib/libmoongate.so.0", "lib/pkgconfig/moongate.pc",
      "lib/lua/5.4/moongate/core.so", "share/lua/5.4/moongate/init.lua" } do
      assert.is_truthy(uv.fs_stat(stage .. "/usr/" .. path), path)
    end
    local pc = assert(io.open(stage .. "/usr/lib/pkgconfig/moongate.pc")):read "a"
    assert.matches("^prefix=/usr\n", pc)
    make("uninstall", "/usr", "DESTDIR=" .. stage)
    assert.same({}, files(stage))
  end)

  it("has the version that pkg-config says", function()
    assert.same({ moongate.version }, pkg_config("--modversion", "moongate"))
  end)
end)

describe("moongate.h", function()
  local function run(name)
    local program = BUILD .. "/asan/tests/" .. name
    if not uv.fs_stat(program) then
      pending "there is no sanitized build: make unit-build"
      return
    end
    local pg = shared.shared()
    local env = uv.os_environ()
    env.DATABASE_URL, env.DATABASE_REPLICA_URL = pg.primary.url, pg.replicas[1].url
    local status, output, errors = process.run({ program }, { env = env, seconds = 120 })
    local said = output .. errors
    assert.is_truthy(said:find "%[  PASSED  %] %d+ test", said) -- else a signal has ended it
    assert.equal(0, status, said)
  end

  it("does what it says on a real PostgreSQL, under ASan and UBSan", function() run "live_api" end)

  it("does what it says of Lua states, under ASan and UBSan", function() run "live_lua" end)
end)
