--- Features that tie a client to its server: temporary tables, cursors, locks, LISTEN, SQL PREPARE;
-- and DDL under prepared statements.
-- SPDX-License-Identifier: MIT

local statements = require "tests.router.model.statements"

local function sql_prepare(g)
  local name = g.dice:pick { "q1", "q2" }
  if g.dice:chance(0.7) then g:say("deallocate " .. (g.dice:chance(0.2) and "all" or name)) end
  g:say(("prepare %s (int) as %s"):format(name, g.dice:pick { "select v from t where id = $1",
    "update t set n = n + $1 where id = 1 returning n", "select $1 + 1", "select f($1)" }))
  for _ = 1, g.dice:int(0, 3) do
    g:say(("execute %s(%s)"):format(g.dice:pick { name, name, name, "q1", "q3" }, g.dice:pick { "1", "2", "'x'" }))
    if g.dice:chance(0.3) then g:work() end
  end
  -- The protocol sees what SQL has prepared.
  if g.dice:chance(0.3) then
    g:add({ "B", "", name, { "1" } }, { "D", "S", name }, { "E", "" }, { "S" })
  end
  if g.dice:chance(0.7) then g:say(g.dice:pick { "deallocate " .. name, "deallocate all", "deallocate prepare q1" }) end
end

local function temporary(g)
  if not g.inside or g.dice:chance(0.5) then
    g:say(g.dice:pick { "create temp table x (a int)", "create temp table x as select 1 as a",
      "create temp table t (a int)", "select 1 as a into temp x", "create temp table x (a int) on commit drop",
      "create temp table if not exists x (a int) on commit delete rows", "create temp view x as select 2 as a",
      "create temp sequence ts", "select nextval('ts')" })
  end
  for _ = 1, g.dice:int(1, 3) do
    g:say(g.dice:pick { "insert into x values (%d)", "select count(*) from x", "select * from x order by a",
      "select count(*) from t", "insert into pg_temp.x values (7)" })
  end
  if g.dice:chance(0.7) then
    g:say(g.dice:pick { "drop table if exists x", "drop table x", "discard temp", "drop table pg_temp.t",
      "discard all", "drop view if exists x" })
  end
end

local function cursor(g)
  if not g.inside then g:say("begin") end
  g:say(g.dice:pick { "declare c cursor for select id, v from t order by id",
    "declare c scroll cursor for select generate_series(1, 9)",
    "declare c no scroll cursor for select id from tv order by id" })
  for _ = 1, g.dice:int(1, 4) do
    g:say(g.dice:pick { "fetch c", "fetch 3 from c", "fetch backward 1 from c", "move 2 in c", "fetch all c",
      "select 1", "fetch missing" })
  end
  if g.dice:chance(0.5) then g:say(g.dice:pick { "close c", "close all" }) end
  if not g.inside then g:say(g.dice:pick { "commit", "rollback" }) end
end

local function holdable(g)
  g:say("declare h cursor with hold for select id, v from t order by id")
  for _ = 1, g.dice:int(1, 4) do
    if g.dice:chance(0.6) then g:say(g.dice:pick { "fetch 2 from h", "move 1 in h", "fetch h" }) else g:work() end
  end
  if g.dice:chance(0.8) then g:say(g.dice:pick { "close h", "close all", "discard all" }) end
end

-- Each client has a key of its own: nobody waits for another one.
local function advisory(g)
  local key = 100 + g.client
  g:say(g.dice:pick { "select pg_advisory_lock(%d)", "select pg_try_advisory_lock(%d)",
    "select pg_advisory_xact_lock(%d)", "select pg_advisory_lock_shared(%d)" }:format(key))
  for _ = 1, g.dice:int(0, 2) do g:work() end
  g:say(("select count(*) from pg_locks where locktype = 'advisory' and objid = %d and database = "
    .. "(select oid from pg_database where datname = current_database())"):format(key))
  g:say(g.dice:pick { "select pg_advisory_unlock(%d)", "select pg_advisory_unlock(%d)",
    "select pg_advisory_unlock_all()", "select pg_advisory_unlock_shared(%d)", "select %d" }:format(key))
end

local function listen(g)
  local channel = "channel_" .. g.client
  if g.dice:chance(0.7) then g:say("listen " .. channel) end
  for _ = 1, g.dice:int(1, 3) do
    g:say(g.dice:pick { "notify %s, 'hello'", "notify %s", "select pg_notify('%s', 'from select')",
      "select count(*), min(pg_listening_channels()) from (select 1) x", "begin; notify %s, 'x'; rollback",
      "select pg_listening_channels()" }:gsub("%%s", channel) .. "")
    if g.dice:chance(0.3) then g:work() end
  end
  if g.dice:chance(0.7) then g:say(g.dice:pick { "unlisten " .. channel, "unlisten *", "discard all" }) end
end

-- currval() is of the session, which is the same one for a block at least.
local function sequence(g)
  if g.dice:chance(0.4) then return g:say("select nextval('s')") end
  local before = g.inside
  if not before then g:say("begin") end
  g:say("select nextval('s')")
  g:say(g.dice:pick { "select currval('s')", "select lastval()", "select setval('s', 50)" })
  g:say("select currval('s')")
  if not before then g:say(g.dice:pick { "commit", "rollback" }) end
end

local DDL = {
  "alter table t alter n type bigint", "alter table t alter n type int",
  "alter table t add column if not exists extra int default 5", "alter table t drop column if exists extra",
  "create table if not exists made (a int)", "drop table if exists made", "insert into made values (1)",
  "create index if not exists ti on t (v)", "drop index if exists ti", "truncate log", "analyze t",
  "create or replace function r(i int) returns int language sql stable as 'select i * 3'",
  "create or replace function r(i int) returns int language sql stable as 'select i * 2'",
  "create or replace view tv as select id, v from t where n >= 10",
  "comment on table t is 'commented'", "lock table t in share mode", "vacuum t",
}

-- Under statements that were prepared before, and that depend on it.
local function ddl(g)
  local name = g.dice:pick { "d1", "d2" }
  if not g.parsed[name] or g.dice:chance(0.2) then
    local sql = g.dice:pick { "select n from t where id = 1", "select * from t where id = 1", "select * from made" }
    g:add({ "C", "S", name }, { "P", name, sql }, { "D", "S", name }, { "S" })
    g.parsed[name] = { sql = sql, values = function() return {} end }
  end
  g:say(g.dice:pick(DDL))
  g:add({ "B", "", name }, { "D", "P", "" }, { "E", "" }, { "S" })
  if g.dice:chance(0.5) then g:say(g.dice:pick(DDL)) end
  if g.dice:chance(0.5) then g:add({ "B", "", name }, { "E", "" }, { "S" }) end
end

local function discard(g)
  g:say(g.dice:pick { "discard all", "discard all", "discard plans", "discard sequences", "discard temp" })
  g.parsed = {}
end

local function reconnect(g)
  g:add({ "X" })
  g.parsed = {}
  g:query(statements.read(g.dice))
end

return {
  { name = "sql_prepare", weight = 3, make = sql_prepare },
  { name = "temp", weight = 3, make = temporary },
  { name = "cursor", weight = 4, make = cursor },
  { name = "hold", weight = 2, make = holdable },
  { name = "advisory", weight = 2, make = advisory },
  { name = "listen", weight = 2, make = listen },
  { name = "sequence", weight = 3, make = sequence },
  { name = "ddl", weight = 4, make = ddl },
  { name = "discard", weight = 2, make = discard },
  { name = "reconnect", weight = 2, outside = true, make = reconnect },
}
