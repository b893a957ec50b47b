--- What the clients of a plan find: two databases alike, one for the router and one to compare with,
-- and in each a schema per client, so that no client's results depend on another's.
-- SPDX-License-Identifier: MIT

local process = require "moongate.process"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

local M = {}

---Which database is worked on directly, and which through what is tested.
M.DIRECT, M.ROUTED = "model_direct", "model_routed"

-- By when the sessions and transactions of clients that have gone are over.
local QUIET_SECONDS = 20

-- c1 and c1x have the same tables with different rows: a wrong search_path shows.
local SCHEMA = [[
drop schema if exists SCHEMA cascade;
create schema SCHEMA;
set local search_path = SCHEMA;
create table t (id int primary key, v text, n int not null default 0 check (n < 1000000));
insert into t select i, 'SCHEMA-' || i, i * 10 from generate_series(1, 10) i;
create table u (id int primary key, t int references t deferrable initially deferred);
create table log (id serial, note text);
create view tv as select id, v from t where n >= 0;
create sequence s;
create type mood as enum ('sad', 'happy');
create table m (id int primary key, mood mood);
insert into m values (1, 'sad'), (2, 'happy');
create function f(i int) returns int language sql volatile
  as 'insert into log (note) values (''f'' || i); select i + 1';
create function r(i int) returns int language sql stable as 'select i * 2';
create function warn(message text) returns text language plpgsql
  as $$ begin raise notice '%', message; return message; end $$;
create procedure note(text) language sql as 'insert into log (note) values ($1)';
create procedure note_twice(text) language plpgsql
  as $$ begin insert into log (note) values ($1); commit; insert into log (note) values ($1); end $$;
]]

-- Clusters have roles in common.
local ROLES = [[
do $$ begin create role model_reader; exception when duplicate_object then null; end $$;
grant pg_read_all_data to model_reader;
]]

---@class tests.model.World
---@field pg moongate.throwaway.Cluster
local methods = {}
local mt = { __name = "tests.model.world", __index = methods }

local function open(node, database)
  return wire.open(node.port, { user = "postgres", database = database, application_name = "model admin" })
end

-- A simple query on our own account: an error raises.
local function run(connection, sql)
  local result = connection:query(sql)
  if result.error then error(("%s: %s"):format(result.error.M, sql), 0) end
  return result
end

---@param pg moongate.throwaway.Cluster
---@return tests.model.World
function M.new(pg)
  local self = setmetatable({ pg = pg, admins = {}, nodes = {} }, mt)
  self.watcher = open(pg.primary, "postgres")
  run(self.watcher, ROLES)
  for _, database in ipairs { M.DIRECT, M.ROUTED } do
    run(self.watcher, ("drop database if exists %s with (force)"):format(database))
    run(self.watcher, ("create database %s"):format(database))
    self.admins[database] = open(pg.primary, database)
  end
  for i, node in ipairs(pg.replicas) do self.nodes[i] = open(node, "postgres") end
  return self
end

-- What the clients of the run before have left: sessions, or in the router's servers transactions and
-- advisory locks. One line, empty where there is nothing.
local LEFT = [[select coalesce(string_agg(what, '; '), '') from (
  select concat_ws(' ', pid, state, wait_event, left(query, 80)) from pg_stat_activity
    where application_name <> 'model admin' and (datname = 'DIRECT' or datname = 'ROUTED' and state <> 'idle')
  union all
  select concat_ws(' ', l.pid, 'holds an advisory lock') from pg_locks l join pg_database d on l.database = d.oid
    where l.locktype = 'advisory' and d.datname = 'ROUTED') as x (what)]]

local function wait_for_quiet(self)
  local sql = LEFT:gsub("DIRECT", M.DIRECT):gsub("ROUTED", M.ROUTED)
  local watcher, left = self.watcher, nil
  local quiet = process.poll(function()
    left = watcher:value(sql)
    return left == ""
  end, QUIET_SECONDS)
  if not quiet then
    error(("%d s after its clients have gone, this is left of a run: %s"):format(QUIET_SECONDS, left), 0)
  end
end

---Makes the schemas of these clients anew, in both databases, and waits until the replicas have them.
---@param clients integer[]
function methods:reset(clients)
  wait_for_quiet(self)
  for _, admin in pairs(self.admins) do
    for _, client in ipairs(clients) do
      for _, schema in ipairs { M.schema(client), M.schema(client) .. "x" } do
        run(admin, (SCHEMA:gsub("SCHEMA", schema)))
      end
    end
  end
  local position = self.admins[M.DIRECT]:value "select pg_current_wal_lsn()"
  for _, node in ipairs(self.nodes) do
    wait.until_true("a replica to replay", function()
      return node:value(("select pg_last_wal_replay_lsn() >= '%s'"):format(position)) == "t"
    end, 30)
  end
end

function methods:close()
  self.watcher:quit()
  for _, admin in pairs(self.admins) do admin:quit() end
  for _, node in ipairs(self.nodes) do node:quit() end
end

---@param client integer
---@return string
function M.schema(client)
  return "c" .. client
end

---A client's startup packet.
---@return table<string, string>
function M.params(client, database)
  return {
    user = "postgres",
    database = database,
    application_name = "model-" .. client,
    options = "-c search_path=" .. M.schema(client),
  }
end

return M
