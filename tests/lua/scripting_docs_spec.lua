-- Every Lua block of docs/scripting.md, run as it stands there: scripts are checked, policies are tried
-- on the examples beside them, tests are run.

local process = require "moongate.process"
local testing = require "moongate.testing"
local uv = require "luv"

local BINARY = os.getenv "MOONGATE_BIN" or "build/moongate"

-- What the page's first paragraph says of it.
local cluster = testing.cluster {
  primary = { region = "eu" },
  replicas = { { region = "eu" }, { region = "us" } },
}

-- The blocks, each with the line that it begins in.
local function blocks()
  local found, lines, number, code = {}, {}, 0, nil
  for line in io.lines "docs/scripting.md" do
    number = number + 1
    if line == "```lua" then
      lines, code = {}, { line = number + 1 }
    elseif line == "```" and code then
      code.text = table.concat(lines, "\n")
      found[#found + 1], code = code, nil
    elseif code then
      lines[#lines + 1] = line
    end
  end
  return found
end

local function check_script(text)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  local env = uv.os_environ()
  local status, output, errors = process.run({ BINARY, "check", path }, { env = env })
  os.remove(path)
  assert.equal(0, status, errors)
  assert.matches(": ok\n", output, 1, true)
end

local function run(block)
  if block.text:find("return moongate.router", 1, true) then return check_script(block.text) end
  -- Its lines have the numbers that they have on the page.
  local policy = assert(load(("\n"):rep(block.line - 1) .. block.text, "=docs/scripting.md"))()
  if policy == nil then
    assert.matches("testing.expect", block.text, 1, true)
  else
    assert.is_true(testing.run(policy, cluster) > 0)
  end
end

describe("docs/scripting.md", function()
  local found = blocks()

  for _, block in ipairs(found) do
    it("has code that does what it says: line " .. block.line, function() run(block) end)
  end

  it("has many such blocks", function()
    assert.is_true(#found >= 20)
  end)
end)
