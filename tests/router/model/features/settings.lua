--- Features of a session's settings: set, reset, shown, rolled back.
-- SPDX-License-Identifier: MIT

local VALUES = {
  work_mem = { "'3MB'", "'5MB'", "8192", "default" },
  DateStyle = { "'German'", "'SQL, DMY'", "'ISO, MDY'", "ISO", "Postgres, DMY" },
  TimeZone = { "'UTC'", "'Asia/Kolkata'", "'America/New_York'", "2", "default" },
  search_path = { "c%c", "c%cx", "'c%cx', public", "default", "c%cx, c%c" },
  application_name = { "'app %d'", "'it''s'", "''", "default" },
  ["app.tenant"] = { "'t%d'", "'other'", "''" },
  IntervalStyle = { "'iso_8601'", "postgres", "sql_standard" },
  extra_float_digits = { "0", "3", "default" },
  bytea_output = { "'escape'", "'hex'" },
  client_encoding = { "'UTF8'", "'LATIN1'", "default" },
  standard_conforming_strings = { "off", "on" },
  default_transaction_read_only = { "on", "off", "off" },
  default_transaction_isolation = { "'repeatable read'", "'read committed'", "'serializable'" },
  statement_timeout = { "'20s'", "0" },
}
local NAMES = {}
for name in pairs(VALUES) do NAMES[#NAMES + 1] = name end
table.sort(NAMES)

-- Settings that make all that follows fail are rare.
local function pick_name(g)
  local name = g.dice:pick(NAMES)
  if name:find("^default_") and g.dice:chance(0.6) then return "work_mem" end
  return name
end

local function pick_value(g, name)
  local value = g.dice:pick(VALUES[name])
  return (value:gsub("%%c", tostring(g.client)):gsub("%%d", function() return g.dice:int(1, 9) end))
end

-- As a literal of SQL, for set_config().
local function literal(value)
  if value:find("^'[^,]*'$") then return value end
  return "'" .. value:gsub("'", "") .. "'"
end

-- What shows the settings' effects, not just their values.
local SEEN = {
  "select date '2020-12-31', timestamptz '2020-06-30 12:00+00', interval '1 day 02:00'",
  "select v from t where id = 1",
  -- A setting of a name of its own can't be taken away again: RESET leaves it empty.
  "select current_schemas(false), nullif(current_setting('app.tenant', true), '')",
  "select '\\xc3a9ff'::bytea, 0.1::float4::float8",
  "select chr(233), 'a\\\\b', length('\\\\')",
  "select name, setting from pg_settings where name in ('work_mem', 'DateStyle', 'statement_timeout') order by name",
}

local function show(g)
  local name = g.dice:pick(NAMES)
  local kind = g.dice:int(1, 3)
  if kind == 1 and not name:find(".", 1, true) then return g:say("show " .. name) end
  if kind == 2 then return g:say(("select nullif(current_setting('%s', true), '')"):format(name)) end
  g:say(g.dice:pick(SEEN))
end

local function set(g)
  local name = pick_name(g)
  local kind = g.dice:int(1, 10)
  if kind <= 6 then
    g:say(("set %s%s %s %s"):format(g.dice:pick { "", "", "session " }, name, g.dice:pick { "=", "to" },
      pick_value(g, name)))
  elseif kind <= 8 then
    g:say("reset " .. name)
  elseif kind == 9 then
    g:say(g.dice:pick { "set time zone 'Asia/Tokyo'", "set time zone default", "set names 'UTF8'",
      "set schema 'c" .. g.client .. "x'", "set session characteristics as transaction read write",
      "set session characteristics as transaction isolation level repeatable read" })
  else
    g:say(g.dice:pick { "set nonsense = 1", "set work_mem = 'much'", "set client_encoding = 'klingon'",
      "reset nonsense", "show nonsense", "set server_version = '1'", "set TimeZone = 'Moon/Base'" })
  end
  if g.dice:chance(0.7) then show(g) end
end

local function set_local(g)
  local function say()
    local name = pick_name(g)
    local value
    repeat value = pick_value(g, name) until value ~= "default" -- which is the server's, see the README
    g:say(("set local %s = %s"):format(name, value))
    show(g)
  end
  if g.inside then return say() end
  g:say("begin")
  g:within(function()
    say()
    if g.dice:chance(0.5) then g:one() end
  end)
  g:say(g.dice:pick { "commit", "rollback" })
  show(g)
end

local function set_config(g)
  local name = pick_name(g)
  local value = pick_value(g, name)
  -- A name that is no literal pins its session; in a block that only reads, to a replica.
  if not g.inside and g.dice:chance(0.3) then
    g:add({ "P", "", "select set_config($1, $2, $3)" },
      { "B", "", "", { name, (literal(value):gsub("'", "")), g.dice:pick { "t", "f" } } },
      { "D", "P", "" }, { "E", "" }, { "S" })
  else
    g:say(("select set_config('%s', %s, %s)"):format(name, literal(value), g.dice:pick { "true", "false" }))
  end
  show(g)
end

-- Changes that are undone with their block, or with a part of it.
local function rolled_back(g)
  g:say("begin")
  set(g)
  g:say("savepoint a")
  set(g)
  g:say(g.dice:pick { "rollback to a", "rollback to a", "release a" })
  show(g)
  g:say(g.dice:pick { "rollback", "rollback", "commit" })
  show(g)
  show(g)
end

local function role(g)
  g:say(g.dice:pick { "set role model_reader", "set session authorization model_reader", "set role none",
    "set local role model_reader", "reset role", "set role missing", "set session authorization default" })
  g:say("select current_user, session_user")
  g:work()
  if g.dice:chance(0.8) then
    g:say("reset role")
    g:say("reset session authorization")
  end
end

return {
  { name = "show", weight = 4, make = show },
  { name = "set", weight = 8, make = set },
  { name = "set_local", weight = 4, make = set_local },
  { name = "set_config", weight = 4, make = set_config },
  { name = "rolled_back", weight = 4, outside = true, make = rolled_back },
  { name = "reset_all", weight = 2, make = function(g)
    g:say("reset all")
    show(g)
  end },
  { name = "role", weight = 2, make = role },
}
