--- Features of the simple protocol: one statement, several, none; functions with effects.
-- SPDX-License-Identifier: MIT

local statements = require "tests.router.model.statements"

local EMPTY = { "", ";", " ", "-- nothing", "/* nothing */", ";;", "/* a /* b */ c */ ;" }

local function several(g)
  local parts = {}
  for i = 1, g.dice:int(2, 5) do parts[i] = statements.any(g.dice) end
  if g.dice:chance(0.2) then table.insert(parts, g.dice:int(1, #parts + 1), statements.failing(g.dice)) end
  if g.dice:chance(0.2) then table.insert(parts, g.dice:int(1, #parts + 1), "") end
  return table.concat(parts, g.dice:pick { ";", "; ", ";\n", " ; -- comment\n" })
end

-- A string that begins, ends or crosses blocks.
local function several_with_blocks(g)
  local parts, before = {}, several(g)
  for part in before:gmatch("[^;]+") do
    if g.dice:chance(0.4) then
      parts[#parts + 1] = g.dice:pick { "begin", "commit", "rollback", "savepoint a", "rollback to a",
        "release a", "begin read only", "commit and chain", "set local work_mem = '7MB'", "show work_mem" }
    end
    parts[#parts + 1] = part
  end
  return table.concat(parts, ";")
end

return {
  { name = "plain", weight = 20, make = function(g) g:query(statements.any(g.dice)) end },
  { name = "multi", weight = 6, make = function(g) g:query(several(g)) end },
  { name = "multi_block", weight = 4, outside = true, make = function(g)
    g:query(several_with_blocks(g))
    if g.dice:chance(0.7) then g:query("rollback") end
  end },
  { name = "empty", weight = 2, make = function(g) g:say(g.dice:pick(EMPTY)) end },
  { name = "error", weight = 4, make = function(g) g:say(statements.failing(g.dice)) end },
  { name = "notice", weight = 3, make = function(g)
    g:say(g.dice:pick { "select warn('careful %d')", "do $$ begin raise notice 'from do'; end $$",
      "select warn(v) from t where id < 3 order by id", "drop table if exists missing",
      "do $$ begin raise warning using errcode = '01234', message = 'w', detail = 'd', hint = 'h'; end $$" })
  end },
  { name = "procedure", weight = 3, make = function(g)
    g:say(g.dice:pick { "call note('n%d')", "call note_twice('t%d')", "select count(*) from log",
      "do $$ begin update t set n = n + 1 where id = 1; commit; update t set n = n + 1 where id = 2; end $$" })
  end },
  -- By OID: int4pl, int4div, upper(text).
  { name = "fastpath", weight = 1, make = function(g)
    g:add(g.dice:pick { { "F", 177, { "40", "2" } }, { "F", 154, { "1", "0" } }, { "F", 871, { "abc" } },
      { "F", 177, { "x", "2" } }, { "F", 871, { false } } })
  end },
}
