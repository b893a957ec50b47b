--- Features of transaction blocks: their modes, savepoints, chains, and what stands out of place.
-- SPDX-License-Identifier: MIT

local BEGIN = { "begin", "begin", "BEGIN;", "start transaction", "begin work", "begin transaction" }
local MODES = {
  "begin read only", "begin read write", "begin isolation level serializable",
  "begin isolation level repeatable read", "start transaction read only, isolation level repeatable read",
  "begin isolation level serializable, read only, deferrable", "begin isolation level read uncommitted",
}
local SET_MODES = {
  "set transaction read only", "set transaction isolation level serializable",
  "set transaction isolation level repeatable read, read only", "set transaction read write",
}
local END = { "commit", "commit", "commit", "end", "rollback", "abort", "commit work" }
local CHAIN = { "commit and chain", "rollback and chain", "commit and no chain" }

local function body(g, most)
  g:within(function()
    for _ = 1, g.dice:int(0, most) do g:one() end
  end)
end

local function block(g)
  g:say(g.dice:pick(BEGIN))
  body(g, 5)
  g:say(g.dice:pick(END))
end

local function block_with_modes(g)
  if g.dice:chance(0.7) then
    g:say(g.dice:pick(MODES))
  else
    g:say(g.dice:pick(BEGIN))
    g:say(g.dice:pick(SET_MODES))
  end
  body(g, 4)
  if g.dice:chance(0.3) then g:say(g.dice:pick { "show transaction_isolation", "show transaction_read_only" }) end
  g:say(g.dice:pick(END))
end

local function chain(g)
  g:say(g.dice:pick(g.dice:chance(0.5) and BEGIN or MODES))
  body(g, 2)
  g:say(g.dice:pick(CHAIN))
  g:say("show transaction_isolation")
  body(g, 2)
  g:say(g.dice:pick(END))
end

local function savepoints(g)
  if not g.inside then g:say("begin") end
  body(g, 1)
  g:say("savepoint a")
  body(g, 2)
  if g.dice:chance(0.4) then
    g:say(g.dice:pick { "savepoint b", "savepoint a" })
    body(g, 2)
  end
  g:say(g.dice:pick { "rollback to a", "rollback to savepoint a", "release a", "release savepoint b", "rollback to c" })
  body(g, 2)
  if not g.inside then g:say(g.dice:pick(END)) end
end

-- Alone where a block is needed, or where none may be.
local function misplaced(g)
  g:say(g.dice:pick { "commit", "rollback", "end", "savepoint a", "release a", "rollback to a",
    "set transaction read only", "commit and chain", "set local work_mem = '9MB'", "prepare transaction 'x'" })
end

local function misplaced_inside(g)
  g:say("begin")
  g:say(g.dice:pick { "begin", "begin read only", "vacuum", "set transaction isolation level serializable",
    "release nothing", "create database model_no", "start transaction isolation level serializable" })
  body(g, 2)
  g:say(g.dice:pick(END))
end

-- An error on COMMIT: a constraint that waited until then.
local function deferred(g)
  local insert = "insert into u values (%d + 1000, 10000) on conflict do nothing"
  local kind = g.dice:int(1, 3)
  if kind == 1 then return g:say(insert) end
  if kind == 2 then
    return g:add({ "P", "", "insert into u values ($1, 10000)" }, { "B", "", "", { "1" } }, { "E", "" }, { "S" })
  end
  g:say("begin")
  g:query(insert)
  g:say("commit")
end

-- A failed block goes on until its end.
local function failed(g)
  g:say("begin")
  body(g, 1)
  g:query("select 1 / 0")
  for _ = 1, g.dice:int(1, 3) do
    g:say(g.dice:pick { "select 1", "begin", "savepoint a", "show work_mem", "", "set work_mem = '3MB'",
      "deallocate all", "discard all", "listen x" })
  end
  g:say(g.dice:pick(END))
end

return {
  { name = "block", weight = 14, outside = true, make = block },
  { name = "modes", weight = 5, outside = true, make = block_with_modes },
  { name = "chain", weight = 2, outside = true, make = chain },
  { name = "savepoint", weight = 4, outside = true, make = savepoints },
  { name = "misplaced", weight = 2, outside = true, make = misplaced },
  { name = "misplaced_inside", weight = 2, outside = true, make = misplaced_inside },
  { name = "deferred", weight = 2, outside = true, make = deferred },
  { name = "failed", weight = 3, outside = true, make = failed },
}
