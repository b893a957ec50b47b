--- Features of the extended protocol: prepared statements, portals, pipelines, in all orders.
-- SPDX-License-Identifier: MIT

local statements = require "tests.router.model.statements"

-- Names that clients choose; one looks like what a router might choose for itself.
local NAMES = { "s1", "s2", "s3", "moongate_1", "S_1:a b\"c'd" }
local PORTALS = { "", "", "p1", "p2" }

local function statement_of(g, name)
  return g.parsed[name] or statements.parametric(g.dice)
end

local function parse(g, name, errors)
  local statement = statements.parametric(g.dice, errors)
  g.parsed[name] = statement
  return { "P", name, statement.sql, statement.types }
end

local function bind(g, portal, name)
  return { "B", portal, name, statement_of(g, name).values(g.dice), g.dice:chance(0.15) }
end

local function add(g, list)
  g:add(table.unpack(list))
end

-- Everything about one unnamed statement, with or without Describe.
local function whole(g, list, errors)
  list[#list + 1] = parse(g, "", errors)
  if g.dice:chance(0.2) then list[#list + 1] = { "D", "S", "" } end
  list[#list + 1] = bind(g, "", "")
  if g.dice:chance(0.6) then list[#list + 1] = { "D", "P", "" } end
  list[#list + 1] = { "E", "", g.dice:chance(0.1) and g.dice:int(1, 3) or 0 }
end

local function bind_and_execute(g, list, name)
  local portal = g.dice:pick(PORTALS)
  list[#list + 1] = bind(g, portal, name)
  if g.dice:chance(0.4) then list[#list + 1] = { "D", "P", portal } end
  list[#list + 1] = { "E", portal, g.dice:chance(0.15) and g.dice:int(1, 3) or 0 }
  if portal ~= "" and g.dice:chance(0.7) then list[#list + 1] = { "C", "P", portal } end
end

-- Parse under a name, which is usually free by then.
local function prepare(g, list, name)
  if g.parsed[name] and g.dice:chance(0.85) then list[#list + 1] = { "C", "S", name } end
  list[#list + 1] = parse(g, name)
  if g.dice:chance(0.5) then list[#list + 1] = { "D", "S", name } end
end

local function with_sync(list)
  list[#list + 1] = { "S" }
  return list
end

local function unnamed(g)
  local list = {}
  whole(g, list)
  -- The unnamed statement outlives a Sync; others' are not to take its place.
  if g.dice:chance(0.25) then table.insert(list, 2, { "S" }) end
  add(g, with_sync(list))
  if g.dice:chance(0.2) then
    add(g, with_sync { bind(g, "", ""), { "E", "" } })
  end
end

local function prepared(g)
  local name, list = g.dice:pick(NAMES), {}
  if not g.parsed[name] or g.dice:chance(0.25) then
    prepare(g, list, name)
    if g.dice:chance(0.5) then
      add(g, with_sync(list))
      list = {}
    end
  end
  for _ = 1, g.dice:int(1, 3) do bind_and_execute(g, list, name) end
  add(g, with_sync(list))
end

local function describe_or_close(g)
  local name = g.dice:pick(NAMES)
  local kind = g.dice:int(1, 6)
  if kind <= 2 then return add(g, with_sync { { "D", "S", name } }) end
  if kind == 3 then return add(g, with_sync { { "D", "P", g.dice:pick(PORTALS) } }) end
  if kind == 4 then return add(g, with_sync { { "C", "P", g.dice:pick(PORTALS) } }) end
  if kind == 5 then return add(g, with_sync { { "D", "S", "unknown" }, { "E", "unknown" } }) end
  add(g, with_sync { { "C", "S", name } })
  g.parsed[name] = nil
end

-- The unnamed portal lasts until the Sync.
local function unnamed_portal(g)
  local statement = statements.many_rows(g.dice)
  local list = { { "P", "", statement.sql }, { "B", "", "", statement.values(g.dice) } }
  for _ = 1, g.dice:int(2, 4) do list[#list + 1] = { "E", "", g.dice:int(0, 4) } end
  add(g, with_sync(list))
end

-- A portal read in parts, other work between them.
local function portal(g)
  if g.dice:chance(0.2) then return unnamed_portal(g) end
  local statement, name = statements.many_rows(g.dice), g.dice:pick { "p1", "p2" }
  add(g, with_sync { { "P", "", statement.sql }, { "B", name, "", statement.values(g.dice) },
    { "D", "P", name }, { "E", name, g.dice:int(1, 4) } })
  for _ = 1, g.dice:int(1, 3) do
    if g.dice:chance(0.3) then g:work() end
    add(g, with_sync { { "E", name, g.dice:int(0, 4) } })
  end
  if g.dice:chance(0.5) then add(g, with_sync { { "C", "P", name } }) end
end

local function portals(g)
  if g.inside then return portal(g) end
  g:say("begin")
  g:within(function() portal(g) end)
  g:say(g.dice:pick { "commit", "commit", "rollback" })
end

-- Several batches in one piece, with their Syncs in between, an error here or there.
local function pipeline(g)
  local list = {}
  for _ = 1, g.dice:int(2, 6) do
    for _ = 1, g.dice:int(1, 3) do
      if g.dice:chance(0.5) then
        whole(g, list, 0.1)
      else
        local name = g.dice:pick(NAMES)
        if not g.parsed[name] then prepare(g, list, name) end
        bind_and_execute(g, list, name)
      end
    end
    if g.dice:chance(0.15) then list[#list + 1] = { "Q", statements.any(g.dice) } end
    list[#list + 1] = { "S" }
  end
  add(g, list)
end

-- Blocks begun and ended within a pipeline.
local function pipelined_block(g)
  local list = {}
  local function say(sql)
    list[#list + 1] = { "P", "", sql }
    list[#list + 1] = { "B", "", "" }
    list[#list + 1] = { "E", "" }
    if g.dice:chance(0.4) then list[#list + 1] = { "S" } end
  end
  say(g.dice:pick { "begin", "begin read only", "begin isolation level repeatable read" })
  for _ = 1, g.dice:int(0, 3) do whole(g, list) end
  say(g.dice:pick { "commit", "rollback", "commit and chain" })
  if g.dice:chance(0.5) then whole(g, list) end
  add(g, with_sync(list))
  g:query("rollback")
end

-- Answers before a Sync; what follows goes on in the same implicit transaction.
local function flush(g)
  local list = {}
  whole(g, list)
  list[#list + 1] = { "H" }
  add(g, list)
  if g.dice:chance(0.5) then
    list = {}
    whole(g, list)
    if g.dice:chance(0.5) then list[#list + 1] = { "H" } end
    add(g, with_sync(list))
  else
    add(g, with_sync {})
  end
end

-- Messages in orders that no driver sends. But one: PostgreSQL 15 crashes when a simple Query has failed
-- in a block, and the unnamed portal is then executed without a Bind (its text is gone).
local function odd(g)
  local list = {}
  for _ = 1, g.dice:int(2, 6) do
    local name, portal_name = g.dice:pick(NAMES), g.dice:pick(PORTALS)
    list[#list + 1] = g.dice:pick {
      { "S" }, { "H" }, { "E", g.dice:pick { "p1", "p2" } }, { "D", "P", portal_name }, { "D", "S", name },
      bind(g, portal_name, name), { "P", name, "select 1" }, { "C", "S", name }, { "P", "", "" },
      { "B", "", "" }, { "Q", "select 1" }, { "d", "stray" }, { "c" }, { "f", "stray" },
    }
    if list[#list][1] == "B" then list[#list + 1] = { "E", list[#list][2], g.dice:int(0, 1) } end
    if list[#list][1] == "P" or list[#list][1] == "C" then g.parsed[list[#list][2]] = nil end
  end
  add(g, with_sync(list))
end

-- SQL DEALLOCATE of names of the protocol.
local function deallocate(g)
  local name = g.dice:pick(NAMES)
  if g.dice:chance(0.3) then
    g:say("deallocate all")
    g.parsed = {}
  else
    g:say(("deallocate \"%s\""):format(name:gsub('"', '""')))
    g.parsed[name] = nil
  end
end

return {
  { name = "unnamed", weight = 12, make = unnamed },
  { name = "prepared", weight = 14, make = prepared },
  { name = "describe", weight = 4, make = describe_or_close },
  { name = "portal", weight = 5, make = portals },
  { name = "pipeline", weight = 6, make = pipeline },
  { name = "pipelined_block", weight = 3, outside = true, make = pipelined_block },
  { name = "flush", weight = 4, make = flush },
  { name = "odd", weight = 2, make = odd },
  { name = "deallocate", weight = 2, make = deallocate },
}
