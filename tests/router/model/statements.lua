--- SQL for the generator: what reads, writes and fails, each with parameters or without.
-- SPDX-License-Identifier: MIT

local M = {}

local INT, TEXT = 23, 25

---@class tests.model.Statement
---@field sql string
---@field types integer[]?    of the parameters, as Parse names them
---@field values fun(dice: tests.model.Dice): (string|false)[]   for Bind

local function none() return {} end

local function int(dice) return tostring(dice:int(1, 12)) end

local function one_int(dice) return { int(dice) } end

local function int_and_text(dice) return { int(dice), "w" .. dice:int(1, 99) } end

local function statement(sql, values, types)
  return { sql = sql, values = values or none, types = types }
end

-- Without parameters; %d becomes a number.

local READS = {
  "select id, v, n from t order by id",
  "select count(*), sum(n) from t",
  "select v from t where id = %d",
  "select v as \"A name\", n::text, null as nothing from t where id = %d",
  "select * from t where n > %d order by id limit 3",
  "select * from tv order by id desc limit 2",
  "select %d",
  "select generate_series(1, %d)",
  "values (%d, 'x'), (2, null)",
  "table m order by id",
  "with x as (select id from t where id < %d) select count(*) from x",
  "select r(%d)",
  "select 1.50::numeric, true, date '2020-02-03', '\\x00ff'::bytea, array[1, null, %d]",
  "select current_schema(), current_setting('application_name')",
  "select id from t where id = %d for update",
  "select count(*) from log",
  "select '%d' || E'\\n\\t' || 'é'",
}

local WRITES = {
  "insert into t values (%d + 100, 'new', 1) on conflict (id) do update set n = t.n + 1 returning id, n",
  "insert into t (id, v) select max(id) + 1, 'next' from t",
  "update t set n = n + 1 where id = %d",
  "update t set v = v || '+' where id = %d returning v",
  "delete from t where id > %d + 5",
  "with gone as (delete from t where id = %d returning *) select count(*) from gone",
  "insert into log (note) values ('note %d')",
  "select f(%d)",
  "merge into t using (values (%d)) as x (id) on t.id = x.id "
    .. "when matched then update set n = t.n + 2 when not matched then insert values (x.id, 'merged', 0)",
  "call note('called %d')",
  "update m set mood = 'happy' where id = %d returning mood",
}

local ERRORS = {
  "select %d / 0",
  "select nope from t",
  "selec %d",
  "select * from missing",
  "insert into t values (1, 'twice'), (1, 'twice')",
  "insert into t (id, v) values (%d, 'x'), (null, 'y')",
  "update t set n = 2000000 where id in (select min(id) from t)",
  "select 'x'::int",
  "select mood from m where mood = 'angry'",
  "select 1 2 3",
  "select f('no', %d)",
}

local PARAMETRIC_READS = {
  statement("select $1::int + 1", one_int),
  statement("select id, v from t where id = $1", one_int),
  statement("select id, v from t where id = $1", one_int, { INT }),
  statement("select v from t where id = $1 or v = $2 order by id", int_and_text),
  statement("select $2::text, $1::int", int_and_text, { 0, TEXT }),
  statement("select generate_series(1, $1::int)", one_int),
  statement("select count(*) from t where n > $1", one_int),
  statement("select id, v, n from t order by id"),
  statement("select * from tv order by id"),
  statement("select r($1)", one_int),
  statement("select mood from m where id = $1", one_int),
  statement("select $1::text is null", function() return { false } end),
  statement("select current_schema(), $1::int", one_int),
}

local PARAMETRIC_WRITES = {
  statement("insert into t values ($1, $2) on conflict (id) do update set v = excluded.v returning id",
    int_and_text),
  statement("update t set n = n + $1 where id = 1 returning n", one_int),
  statement("update t set v = $2 where id = $1", int_and_text, { INT }),
  statement("delete from t where id = $1 + 20", one_int),
  statement("insert into log (note) values ($1)", function() return { "logged" } end),
  statement("select f($1)", one_int),
  statement("call note($1)", function() return { "called" } end),
}

local PARAMETRIC_ERRORS = {
  statement("select 1 / ($1::int - $1::int)", one_int),
  statement("select $1::int", function() return { "abc" } end),
  statement("select $1 + nope from t", one_int),
  statement("selec $1", one_int),
  statement("insert into t values (1, $2), (1, $1)", int_and_text),
  statement("select id from t where id = $1", none),
  statement("select id from t where id = $1", int_and_text),
  statement("select 1; select 2"),
  statement("select $1", one_int, { 999999 }),
}

local function fill(dice, sql)
  return (sql:gsub("%%d", function() return dice:int(1, 12) end))
end

---@param dice tests.model.Dice
---@return string
function M.read(dice) return fill(dice, dice:pick(READS)) end

---@param dice tests.model.Dice
---@return string
function M.write(dice) return fill(dice, dice:pick(WRITES)) end

---@param dice tests.model.Dice
---@return string
function M.failing(dice) return fill(dice, dice:pick(ERRORS)) end

---@param dice tests.model.Dice
---@return string
function M.any(dice)
  return dice:chance(0.5) and M.read(dice) or M.write(dice)
end

---For Parse: with parameters, mostly.
---@param dice tests.model.Dice
---@param errors number?  probability of one that fails; default 0.04
---@return tests.model.Statement
function M.parametric(dice, errors)
  if dice:chance(errors or 0.04) then return dice:pick(PARAMETRIC_ERRORS) end
  if dice:chance(0.15) then return statement(M.any(dice)) end
  return dice:pick(dice:chance(0.6) and PARAMETRIC_READS or PARAMETRIC_WRITES)
end

---With rows enough for row limits.
---@param dice tests.model.Dice
---@return tests.model.Statement
function M.many_rows(dice)
  return dice:pick {
    statement("select id, v, n from t order by id"),
    statement("select generate_series(1, $1::int + 3)", one_int),
    statement("select * from tv order by id"),
    statement("with x as (update t set n = n + 1 where id < 6 returning id) select id from x order by id"),
  }
end

return M
