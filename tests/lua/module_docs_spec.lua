-- Every Lua block of docs/module.md, run as it stands there on a throwaway cluster.

local moongate = require "moongate"
local shared = require "tests.support.cluster"

local PAGE = "docs/module.md"

-- The blocks, each with the line that it begins in.
local function blocks()
  local found, lines, number, line_of_code = {}, {}, 0, nil
  for line in io.lines(PAGE) do
    number = number + 1
    if line == "```lua" then
      lines, line_of_code = {}, number + 1
    elseif line == "```" and line_of_code then
      found[#found + 1] = { line = line_of_code, text = table.concat(lines, "\n") }
      line_of_code = nil
    elseif line_of_code then
      lines[#lines + 1] = line
    end
  end
  return found
end

describe("docs/module.md", function()
  local pg, cluster

  setup(function()
    pg = shared.shared()
    pg.primary:psql [[
      drop table if exists accounts, users, orders, transactions, jobs, places;
      create table accounts (id int primary key, balance numeric not null);
      create table users (id int generated always as identity primary key, email text unique, name text);
      create table orders (id int generated always as identity primary key, total numeric);
      create table transactions (id int generated always as identity primary key, account int, amount numeric);
      create table places (id int generated always as identity primary key, name text, at point);
      insert into accounts values (1, 100), (2, 100);
      insert into transactions (account, amount) values (42, 9.99), (42, -1)]]
    pg:wait_for_replay()
    cluster = moongate.cluster { primary = pg.primary.url, replicas = { pg.replicas[1].url } }
    cluster:health()
  end)
  teardown(function() cluster:close() end)

  -- What blocks may take for granted: the page's first one makes the cluster.
  local function environment()
    return setmetatable({
      moongate = moongate,
      cluster = cluster,
      email = "user@example.com",
      print = function() end,
    }, { __index = _G })
  end

  local function run(block)
    local text = block.text:gsub("postgres://app@db1/app", pg.primary.url)
      :gsub("postgres://app@db%d/app", pg.replicas[1].url)
    -- Its lines have the numbers that they have on the page.
    return assert(load(("\n"):rep(block.line - 1) .. text, "=" .. PAGE, "t", environment()))()
  end

  for _, block in ipairs(blocks()) do
    it(("runs what stands in line %d"):format(block.line), function() run(block) end)
  end
end)
