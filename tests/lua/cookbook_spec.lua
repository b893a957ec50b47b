-- Every policy of docs/cookbook.md, run as it stands there with the expectations beside it.

local testing = require "moongate.testing"

-- What the cookbook's first paragraph says of it.
local cluster = testing.cluster {
  primary = { region = "eu" },
  replicas = { { region = "eu" }, { region = "us" } },
}

local function recipes()
  local found, title, code = {}, nil, nil
  for line in io.lines "docs/cookbook.md" do
    title = line:match "^## (.*)" or title
    if line == "```lua" then
      code = {}
    elseif line == "```" and code then
      found[#found + 1], code = { title = title, code = table.concat(code, "\n") }, nil
    elseif code then
      code[#code + 1] = line
    end
  end
  return found
end

describe("the cookbook", function()
  for _, recipe in ipairs(recipes()) do
    it("does what it says: " .. recipe.title, function()
      local policy = assert(load(recipe.code, "=" .. recipe.title))()
      assert.is_true(testing.run(policy, cluster) > 0)
    end)
  end

  it("has ten policies at least", function()
    assert.is_true(#recipes() >= 10)
  end)
end)
