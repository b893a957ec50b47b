-- Functions, and what calls them unseen, are judged by the database's catalog.

local cluster = require "tests.support.cluster"
local router = require "tests.support.router"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

-- Reads go to replicas however fresh they are: where a statement went tells what it is.
local POLICY = [[function(cluster)
  local writes = cluster:route { to = "primary" }
  local reads = cluster:route { to = "replicas", consistency = "eventual" }
  return function(query)
    if query.intent == "read" then return reads end
    return writes
  end
end]]

local SCHEMA = [[
  drop database if exists catalog_one with (force);
  drop database if exists catalog_two with (force);
  create database catalog_one;
  create database catalog_two;
]]

-- Every function says which server it ran on.
local OBJECTS = [[
  create schema app;
  create table t (id serial, a int);
  create table log (line text);
  create unlogged table unlogged (a int);

  create function writes() returns text language sql as
    $$ insert into log values ('writes'); select current_setting('port') $$;
  create function writes_plpgsql() returns text language plpgsql as
    $$ begin insert into log (line) values ('plpgsql'); return current_setting('port'); end $$;
  create function runs_text() returns text language plpgsql as
    $$ declare p text; begin execute 'select current_setting(''port'')' into p; return p; end $$;
  create function reads() returns text language sql as
    $$ select current_setting('port') from (select count(*) from t) as c $$;
  create function reads_plpgsql() returns text language plpgsql as
    $$ declare n bigint; begin
         select count(*) into n from t where a > 0;
         if n < 0 then raise exception 'insert'; end if;
         return current_setting('port');
       end $$;
  create function reads_atomic() returns text language sql
    begin atomic; select current_setting('port'); end;
  create function is_stable() returns text stable language plpgsql as
    $$ begin return current_setting('port'); end $$;
  create function calls_writes() returns text language sql as $$ select writes() $$;
  create function has_default(x text default writes()) returns text immutable language sql as $$ select x $$;
  create function over(int) returns text stable language sql as $$ select current_setting('port') $$;
  create function over(text) returns text language sql as
    $$ insert into log values ($1) returning current_setting('port') $$;
  create function app.twin() returns text language sql as
    $$ insert into log values ('twin') returning current_setting('port') $$;
  create function twin() returns text stable language sql as $$ select current_setting('port') $$;
  create function field(t) returns text language sql as $$ select writes() $$;

  create view view_writes as select writes() as port;
  create view view_of_view as select port from view_writes;
  create view view_reads as select reads() as port;
  create view view_node as select current_setting('port') as port, pg_backend_pid() as pid;

  create function add_up(text, int) returns text language sql as $$ select writes() $$;
  create aggregate adds (int) (sfunc = add_up, stype = text, initcond = '');
  create function oper(int, int) returns text language sql as $$ select writes() $$;
  create operator @#@ (leftarg = int, rightarg = int, function = oper);
  create function check_it(text) returns bool language sql as
    $$ insert into log values ($1) returning true $$;
  create domain checked as text check (check_it(value));
  create type boxed as (a int);
  create function unbox(text) returns boxed language sql as
    $$ insert into log values ($1); select row(current_setting('port')::int)::boxed $$;
  create cast (text as boxed) with function unbox(text);

  create table secured (a int);
  alter table secured enable row level security;
  create policy p on secured using (writes() is not null);

  insert into t (a) values (1);
]]

describe("by its catalog", function()
  local pg, moongate
  local opened = {}

  local function open(database)
    local client = wire.open(moongate.port, { user = "postgres", database = database or "catalog_one" })
    opened[#opened + 1] = client
    return client
  end

  local function direct(database, sql)
    local status, _, errors = pg:run("psql", { "-XAtq", "-v", "ON_ERROR_STOP=1", "-d",
      ("postgres://postgres@127.0.0.1:%d/%s"):format(pg.primary.port, database), "-f", "-" }, { text = sql })
    if status ~= 0 then error("psql: " .. errors, 2) end
  end

  local function start(extra)
    moongate = router.start { pg = pg, text = router.script(pg, { policy = POLICY, extra = extra }) }
  end

  local function read_databases()
    local count = 0
    for _ in moongate:log():gmatch("catalog read") do count = count + 1 end
    return count
  end

  local function until_read(count)
    wait.until_true("the catalog to be read", function() return read_databases() >= (count or 1) end)
  end

  local function is_primary(port) return tonumber(port) == pg.primary.port end

  local function refusals() return select(2, moongate:log():gsub("a replica refused", "")) end

  setup(function()
    pg = cluster.shared()
    for line in SCHEMA:gmatch "[^;\n]+;" do pg.primary:psql(line) end
    direct("catalog_one", OBJECTS)
    direct("catalog_two", [[
      create function same() returns text stable language sql as $$ select current_setting('port') $$;
      create table t (a int);
    ]])
    direct("catalog_one", [[
      create function same() returns text language plpgsql as
        $$ begin insert into log values ('same'); return current_setting('port'); end $$;
    ]])
    pg:wait_for_replay()
  end)
  teardown(function()
    pg.primary:psql "drop database catalog_one with (force)"
    pg.primary:psql "drop database catalog_two with (force)"
  end)
  after_each(function()
    for _, client in ipairs(opened) do client:quit() end
    opened = {}
  end)

  describe("a statement", function()
    local client
    setup(function()
      start()
      wire.open(moongate.port, { user = "postgres", database = "catalog_one" }):quit()
      until_read()
    end)
    teardown(function() moongate:stop() end)
    before_each(function() client = open() end)

    local writes = {
      "select writes()", "select public.writes()", "select writes_plpgsql()", "select runs_text()",
      "select calls_writes()", "select has_default()", "select app.twin()", "select twin()",
      "select over(1)", "select over('x')", "select port from view_writes", "select port from view_of_view",
      "select port from view_node", "select current_setting('port') from unlogged right join t on true",
      "select adds(1)", "select 1 @#@ 2", "select 1 operator(public.@#@) 2", "select t.field from t",
      "select (t).field from t", "select current_setting('port'), 'x'::checked",
      "select ('x'::text::boxed).a", "select current_setting('port'), last_value from t_id_seq",
      "select current_setting('port') from secured right join t on true",
      "select current_setting('port') from t where writes() is not null",
    }
    for _, sql in ipairs(writes) do
      it("goes to the primary the first time: " .. sql, function()
        local before = refusals()
        assert.is_true(is_primary(client:value(sql)))
        assert.equal(before, refusals())
      end)
    end

    local reads = {
      "select reads()", "select public.reads()", "select reads_plpgsql()", "select reads_atomic()",
      "select is_stable()", "select public.twin()", "select port from view_reads",
      "select current_setting('port') from t where a between 1 and 2 and a = 1",
      "select current_setting('port'), '1'::int from log right join t on true",
    }
    for _, sql in ipairs(reads) do
      it("goes to a replica: " .. sql, function()
        for _ = 1, 4 do assert.is_false(is_primary(client:value(sql))) end
      end)
    end

    it("prepared goes where it belongs, too", function()
      local function run(sql)
        client:send(wire.parse("", sql) .. wire.bind("", "", {}) .. wire.execute("") .. wire.sync())
        local result = client:result()
        assert.is_nil(result.error)
        return is_primary(result.rows[1][1])
      end
      assert.is_true(run "select writes(), 1")
      assert.is_false(run "select reads(), 1")
    end)

    it("is followed by a look at pins only where it may have pinned", function()
      local function last_query()
        return pg.primary:psql("select query from pg_stat_activity where datname = 'catalog_one' "
          .. "and query ~ 'writes|runs_text|my_temp_schema' order by query_start desc nulls last limit 1")
      end
      client:value "select writes()"
      assert.equal("select writes()", last_query())
      client:value "select runs_text()"
      wait.until_true("a look at pins", function() return last_query():find("pg_my_temp_schema", 1, true) end)
      client:value "select writes_plpgsql()"
      assert.equal("select writes_plpgsql()", last_query())
    end)
  end)

  it("follows what is changed through the router", function()
    start()
    local client = open()
    until_read()
    client:query "drop function if exists turns()"
    client:query "create function turns() returns text stable language sql as $$ select current_setting('port') $$"
    pg:wait_for_replay()
    wait.until_true("turns() to be a read", function() return not is_primary(client:value "select turns()") end)
    client:query [[create or replace function turns() returns text volatile language sql as
      $$ insert into log values ('turns') returning current_setting('port') $$]]
    pg:wait_for_replay()
    wait.until_true("turns() to be a write", function() return is_primary(client:value "select turns()") end)
    client:query [[create or replace function turns() returns text volatile language sql as
      $$ select current_setting('port') || '' $$]]
    pg:wait_for_replay()
    wait.until_true("turns() to be a read again", function()
      return not is_primary(client:value "select turns()")
    end)
    moongate:stop()
  end)

  it("follows what is changed behind the router's back, when catalog_age has passed", function()
    direct("catalog_one", [[create or replace function changes() returns text volatile language sql as
      $$ insert into log values ('changes') returning current_setting('port') $$]])
    start("catalog_age = 0.3")
    local client = open()
    until_read()
    assert.is_true(is_primary(client:value "select changes()"))
    direct("catalog_one", [[create or replace function changes() returns text volatile language sql as
      $$ select current_setting('port') $$]])
    pg:wait_for_replay()
    wait.until_true("changes() to be a read", function() return not is_primary(client:value "select changes()") end)
    moongate:stop()
  end)

  it("of one database is not that of another", function()
    start()
    local one, two = open "catalog_one", open "catalog_two"
    until_read(2)
    for _ = 1, 3 do
      assert.is_true(is_primary(one:value "select same()"))
      assert.is_false(is_primary(two:value "select same()"))
    end
    for _, client in ipairs { one, two } do
      client:send(wire.parse("s", "select same()") .. wire.sync())
      client:result()
    end
    local function run(client)
      client:send(wire.bind("", "s", {}) .. wire.execute("") .. wire.sync())
      return client:result().rows[1][1]
    end
    for _ = 1, 3 do
      assert.is_true(is_primary(run(one)))
      assert.is_false(is_primary(run(two)))
    end
    moongate:stop()
  end)

  it("and by what the operator says", function()
    start [[functions = { read = { "runs_text" }, write = { "is_stable", "unheard_of" } }]]
    local client = open()
    assert.is_false(is_primary(client:value "select runs_text()"))
    assert.is_true(is_primary(client:value "select is_stable()"))
    until_read()
    assert.is_false(is_primary(client:value "select public.runs_text()"))
    assert.is_true(is_primary(client:value "select is_stable()"))
    moongate:stop()
  end)

  it("is read anew after a reload, also where one was being read", function()
    local function text(extra) return router.script(pg, { policy = POLICY, extra = extra }) end
    moongate = router.start { pg = pg, admin = true, text = text "" }
    local client = open()
    until_read()
    assert.is_false(is_primary(client:value "select is_stable()"))
    for i = 1, 5 do
      local answer, status = moongate:reload(text(("functions = { write = { 'is_stable', 'other_%d' } }"):format(i)))
      assert.equal(200, status, answer.error)
      assert.is_true(is_primary(client:value "select is_stable()"))
    end
    moongate:reload(text "")
    wait.until_true("is_stable() to be a read", function() return not is_primary(client:value "select is_stable()") end)
    moongate:stop()
  end)

  it("is not read where catalog_age is 0", function()
    start "catalog_age = 0"
    local client = open()
    assert.is_true(is_primary(client:value "select is_stable()"))
    assert.is_true(is_primary(client:value "select is_stable()"))
    assert.is_nil(moongate:log():find("catalog read", 1, true))
    moongate:stop()
  end)

  it("currval() in a default, a trigger or a function never tells of another client's number", function()
    direct("catalog_one", [[
      drop table if exists numbered, triggered;
      drop sequence if exists numbers;
      create sequence numbers;
      create table numbered (a int default nextval('numbers'), b int default currval('numbers'));
      create table triggered (a int, b int);
      create or replace function set_b() returns trigger language plpgsql as
        $$ begin new.b := currval('numbers'); return new; end $$;
      create trigger set_b before insert on triggered for each row execute function set_b();
      create or replace function ask() returns bigint language plpgsql as
        $$ begin return lastval(); end $$;
    ]])
    start "pool = { size = 1 },"
    local one, two = open(), open()
    until_read()
    for _ = 1, 3 do
      assert.is_nil(one:query("insert into numbered default values").error)
      assert.equal("55000", two:query("insert into numbered (a) values (5)").error.C)
      assert.is_nil(one:query("insert into numbered default values").error)
      assert.equal("55000", two:query("insert into triggered (a) values (5)").error.C)
      assert.is_nil(one:query("insert into numbered default values").error)
      assert.equal("55000", two:query("select ask()").error.C)
    end
    two:query "begin"
    local number = two:value "select nextval('numbers')"
    assert.equal(number, two:value "insert into numbered (a) values (5) returning b")
    assert.equal(number, two:value "select ask()")
    two:query "commit"
    one:query "select nextval('numbers')"
    two:query "begin"
    two:query "update t set a = 1"
    assert.equal("55000", two:query("insert into numbered (a) values (5)").error.C)
    two:query "rollback"
    assert.equal("55000", two:query("update t set a = 1; insert into numbered (a) values (5)").error.C)
    moongate:stop()
  end)

  it("currval() is forgotten without a snapshot ahead of LOCK", function()
    start "pool = { size = 2 },"
    local one, two = open(), open()
    until_read()
    one:query "begin"
    one:query "lock table log"
    two:query "begin isolation level repeatable read"
    two:send(wire.query "lock table log")
    wait.until_true("the lock to be waited for", function()
      return pg.primary:psql "select count(*) from pg_locks where not granted" == "1"
    end)
    one:query "insert into log values ('locked')"
    one:query "commit"
    two:result()
    assert.equal("1", two:value "select count(*) from log where line = 'locked'")
    two:query "commit"
    moongate:stop()
  end)

  it("is not trusted to know of defaults and triggers that were only just made", function()
    start "pool = { size = 1 },"
    local one, two = open(), open()
    until_read()
    one:query "drop table if exists fresh; drop sequence if exists fresh_numbers"
    one:query "create sequence fresh_numbers"
    for _ = 1, 5 do
      one:query "drop table if exists fresh"
      one:query [[create table fresh (a int default nextval('fresh_numbers'), b int default currval('fresh_numbers'))]]
      assert.is_nil(one:query("insert into fresh default values").error)
      assert.equal("55000", two:query("insert into fresh (a) values (5)").error.C)
    end
    one:query [[create or replace function fresh_trigger() returns trigger language plpgsql as
      $$ begin create temp table fresh_temp as select 42 as a; return null; end $$]]
    one:query "create trigger fresh_trigger after insert on fresh execute function fresh_trigger()"
    assert.is_nil(one:query("insert into fresh default values").error)
    assert.equal("42", one:value "select a from fresh_temp")
    one:quit()
    assert.equal("42P01", two:query("select a from fresh_temp").error.C)
    moongate:stop()
  end)

  it("does not tell what a block makes before it is committed", function()
    direct("catalog_two", "create sequence numbers")
    start "pool = { size = 1 },"
    local one, two = open "catalog_two", open "catalog_two"
    until_read()
    one:query "select nextval('numbers')"
    two:query "begin"
    two:query "create table numbered (a int default currval('numbers'))"
    assert.equal("55000", two:query("insert into numbered default values").error.C)
    two:query "rollback"
    moongate:stop()
  end)

  it("a temporary table made by a trigger or a function keeps its client's server", function()
    direct("catalog_one", [[
      drop table if exists touchy;
      create table touchy (a int);
      create or replace function leave_behind() returns trigger language plpgsql as
        $$ begin create temp table if not exists left_behind as select 42 as a; return null; end $$;
      create trigger leave_behind after insert on touchy execute function leave_behind();
    ]])
    start "pool = { size = 2 },"
    local one, two = open(), open()
    until_read()
    assert.is_nil(one:query("insert into touchy values (1)").error)
    for _ = 1, 4 do
      assert.equal("42", one:value "select a from left_behind")
      assert.equal("42P01", two:query("select a from left_behind").error.C)
    end
    moongate:stop()
  end)

  it("setting what a function sets stays with its client", function()
    direct("catalog_one", [[
      create or replace function set_tenant(text) returns text language sql as
        $$ select set_config('app.tenant', $1, false) $$;
    ]])
    start "pool = { size = 2 },"
    local one, two = open(), open()
    until_read()
    one:query "select set_tenant('one')"
    for _ = 1, 4 do
      assert.equal("one", one:value "select current_setting('app.tenant', true)")
      assert.not_equal("one", two:value "select current_setting('app.tenant', true)")
    end
    moongate:stop()
  end)

  it("keeps serving while no catalog can be had", function()
    local own <close> = require("moongate.throwaway").start { replicas = 0 }
    own.primary:psql [[
      create function f() returns int stable language sql as 'select 1';
      revoke select on pg_proc from public;
      create role plain login;
    ]]
    local plain = router.start { pg = own }
    local client = wire.open(plain.port, { user = "plain", database = "postgres" })
    assert.equal("1", client:value "select f()")
    wait.until_true("a warning", function() return plain:log():find("catalog could not be read", 1, true) end)
    assert.equal("1", client:value "select f()")
    client:quit()
    plain:stop()
  end)
end)
