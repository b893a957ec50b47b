-- libmoongate, as `make install` puts it there: a C program finds it by pkg-config, and routes.

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

  it("is found by pkg-config, and routes a C program's queries on its own loop", function()
    local program = folder .. "/embed"
    compile("examples/embed.c", program, { "--cflags", "--libs", "moongate" })
    local status, output, errors = run({ program }, { DATABASE_REPLICA_URL = pg.replicas[1].url })
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
end)
