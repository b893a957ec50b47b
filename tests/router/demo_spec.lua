-- `moongate demo`: the tour comes out as it says, and nothing stays behind, however it ends.

local process = require "moongate.process"
local router = require "tests.support.router"
local uv = require "luv"
local wait = require "tests.support.wait"

describe("moongate demo #slow", function()
  local tmp, demo

  -- In a folder for temporary files of its own: whatever is left can only be the demo's.
  before_each(function() tmp = assert(uv.fs_mkdtemp("/tmp/demo-spec-XXXXXX")) end)

  after_each(function()
    if demo and not demo.status then demo:kill("sigkill") end
    demo = nil
    wait.until_true("the folder to be empty", function() return uv.fs_rmdir(tmp) end)
  end)

  local function start(...)
    -- PostgreSQL's account must pass through.
    assert(uv.fs_chmod(tmp, tonumber("755", 8)))
    local env = router.environment_for_programs { TMPDIR = tmp }
    demo = process.spawn({ router.binary, "demo", ... }, { env = env })
  end

  -- Waits for a moment of the demo, which must not have ended before.
  local function wait_for(what, moment)
    wait.until_true(what, function()
      if demo.status then error(demo.output .. demo.errors, 0) end
      return moment()
    end, 60)
  end

  local function processes()
    local _, output = process.run { "pgrep", "-f", tmp .. "/" }
    return output
  end

  local function assert_nothing_left()
    assert.is_nil(uv.fs_scandir_next(uv.fs_scandir(tmp)))
    assert.equal("", processes())
  end

  it("ends with status 0 after the tour, without colours where there is no terminal", function()
    start("--exit")
    local status = demo:wait(90)
    assert.equal(0, status, demo.output .. demo.errors)
    assert.equal("", demo.errors)
    assert.matches("All of it was as it should be", demo.output)
    assert.not_matches("\27", demo.output)
    for line in demo.output:gmatch("[^\n]+") do
      assert.is_true(utf8.len(line) <= 110, line)
    end
    local zeros = select(2, demo.output:gsub("errors +0\n", ""))
    assert.equal(2, zeros)
    assert_nothing_left()
  end)

  it("ends by itself where there is no terminal", function()
    start()
    assert.equal(0, (demo:wait(90)), demo.output .. demo.errors)
    assert_nothing_left()
  end)

  it("stays up in a terminal until Ctrl-C, for those who want to try", function()
    assert(uv.fs_chmod(tmp, tonumber("755", 8)))
    demo = process.spawn({ "script", "-qefc", "exec " .. router.binary .. " demo", "/dev/null" }, {
      input = true,
      env = router.environment_for_programs { TMPDIR = tmp, TERM = "xterm", LC_ALL = "C.UTF-8" },
    })
    wait_for("the user's turn", function() return demo.output:find("tail %-f") end)
    assert.matches("\27%[1m", demo.output)
    assert.matches("█", demo.output)
    local url = demo.output:match("psql '([^']+)'")
    local status, output = process.run({ router.bin("psql"), "-XAtq", "-d", url, "-c", "table served" })
    assert.equal(0, status)
    assert.matches("^%d+\n$", output)
    demo:write("\3")
    assert.equal(0, (demo:wait(30)), demo.output)
    assert_nothing_left()
  end)

  it("can be interrupted at any moment", function()
    local moments = {
      function() return uv.fs_scandir_next(uv.fs_scandir(tmp)) end,
      function() return processes():find("%d") end,
      function() return demo.output:find("Where statements go") end,
      function() return demo.output:find("reads and") end,
      function() return demo.output:find("in its midst") end,
    }
    for i, moment in ipairs(moments) do
      start("--exit")
      wait_for("moment " .. i, moment)
      demo:kill(i % 2 == 0 and "sigterm" or "sigint")
      assert.equal(i % 2 == 0 and 143 or 130, (demo:wait(30)), demo.errors)
      assert_nothing_left()
    end
  end)

  it("leaves nothing even where it was killed", function()
    start("--exit")
    wait_for("the tour to begin", function() return demo.output:find("Where statements go") end)
    demo:kill("sigkill")
    wait.until_true("everything to be gone", function()
      return not uv.fs_scandir_next(uv.fs_scandir(tmp)) and processes() == ""
    end, 20)
  end)

  it("refuses what it does not know", function()
    start("--encore")
    assert.equal(2, (demo:wait(10)))
    assert.matches("%-%-encore", demo.errors)
  end)
end)
