--- Features of COPY, in and out, simple and extended, ended well and badly.
-- SPDX-License-Identifier: MIT

local OUT = {
  "copy m to stdout", "copy (select id, v from t order by id) to stdout (format csv, header)",
  "copy (select generate_series(1, 20)) to stdout", "copy (select 1 / 0) to stdout", "copy missing to stdout",
  "copy (select id from t order by id) to stdout (format binary)",
  "copy (update t set n = n + 1 where id = 4 returning id) to stdout",
}
local IN = { "copy t (id, v) from stdin", "copy log (note) from stdin", "copy t (id, v) from stdin (format csv)" }

-- Rows for any of IN, in one or several pieces; some fail.
local function rows(g, sql)
  local separator = sql:find("csv") and "," or "\t"
  local list = {}
  for i = 1, g.dice:int(0, 4) do
    local id = g.dice:int(200, 100000)
    local row = sql:find("log") and ("note %d\n"):format(id) or ("%d%scopied\n"):format(id, separator)
    if g.dice:chance(0.06) then row = "x" .. separator .. "y" .. separator .. "z\n" end
    list[i] = { "d", row }
  end
  return list
end

local function ending(g)
  return g.dice:chance(0.85) and { "c" } or { "f", "no more" }
end

local function append(list, more)
  for _, one in ipairs(more) do list[#list + 1] = one end
  return list
end

local function copy_out(g)
  g:say(g.dice:pick(OUT))
end

-- All in one piece: what comes after a failed COPY is ignored.
local function copy_in(g)
  local sql = g.dice:pick(IN)
  if g.dice:chance(0.05) then sql = "copy missing from stdin" end
  local list = append({ { "Q", sql } }, rows(g, sql))
  list[#list + 1] = ending(g)
  g:add(table.unpack(list))
end

-- The data only once the server has asked for them.
local function copy_in_steps(g)
  local sql = g.dice:pick(IN)
  g:add({ "Q", sql })
  local list = rows(g, sql)
  list[#list + 1] = ending(g)
  g:add(table.unpack(list))
end

-- Sync before the data is ignored, as long as COPY lasts; libpq sends it.
local function copy_extended(g)
  local sql = g.dice:pick(IN)
  local list = { { "P", "", sql }, { "B", "", "" }, { "D", "P", "" }, { "E", "" } }
  if g.dice:chance(0.5) then
    list[#list + 1] = { "S" }
    g:add(table.unpack(list))
    list = {}
  end
  append(list, rows(g, sql))
  list[#list + 1] = ending(g)
  if g.dice:chance(0.3) then append(list, { { "P", "", "select 1" }, { "B", "", "" }, { "E", "" } }) end
  list[#list + 1] = { "S" }
  g:add(table.unpack(list))
end

local function copy_among_others(g)
  g:add({ "Q", "select 1; copy log (note) from stdin; select count(*) from log; copy (select 2) to stdout" },
    { "d", "a\nb\n" }, { "c" })
end

return {
  { name = "copy_out", weight = 3, make = copy_out },
  { name = "copy_in", weight = 3, make = copy_in },
  { name = "copy_in_steps", weight = 2, make = copy_in_steps },
  { name = "copy_extended", weight = 3, make = copy_extended },
  { name = "copy_multi", weight = 1, make = copy_among_others },
}
