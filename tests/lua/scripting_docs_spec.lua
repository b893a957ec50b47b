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

-- A heading's anchor.
local function anchor_of(heading)
  return (heading:lower():gsub("[^%w%s_-]", ""):gsub("%s", "-"))
end

local function anchors_in(path)
  local found, in_code = {}, false
  for line in io.lines(path) do
    if line:find "^```" then in_code = not in_code end
    local heading = not in_code and line:match "^#+ (.*)"
    if heading then found[anchor_of(heading)] = true end
  end
  return found
end

-- What a link in the document at `path` leads to: files, and headings in documents.
local function follow(path, link)
  local file, anchor = link:match "^([^#]*)#?(.*)$"
  local target = file == "" and path or (path:match "^.*/" or "") .. file
  assert(uv.fs_stat(target), ("%s: %s is not there"):format(path, link))
  assert(anchor == "" or anchors_in(target)[anchor], ("%s: there is no heading %s"):format(path, link))
end

describe("the documents", function()
  local paths = { "README.md" }
  for name in uv.fs_scandir_next, uv.fs_scandir "docs" do paths[#paths + 1] = "docs/" .. name end

  it("have links that lead somewhere", function()
    for _, path in ipairs(paths) do
      for link in assert(io.open(path)):read("a"):gmatch "%]%(([^)%s]+)%)" do
        if not link:find "^%a+:" then follow(path, link) end
      end
    end
  end)

  it("are all listed in README.md", function()
    local readme = assert(io.open "README.md"):read "a"
    for i = 2, #paths do assert.is_truthy(readme:find("](" .. paths[i] .. ")", 1, true), paths[i]) end
  end)
end)

describe("docs/scripting.md", function()
  local found = blocks()

  for _, block in ipairs(found) do
    it("has code that does what it says: line " .. block.line, function() run(block) end)
  end

  it("has many such blocks", function()
    assert.is_true(#found >= 20)
  end)
end)
