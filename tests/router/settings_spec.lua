-- Settings are the client's: it has them on every server, and nobody else has.

local cluster = require "tests.support.cluster"
local router = require "tests.support.router"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

describe("a setting", function()
  local pg, moongate
  local opened = {}

  local function open(params)
    local all = { user = "postgres", database = "postgres" }
    for name, value in pairs(params or {}) do all[name] = value end
    local client = wire.open(moongate.port, all)
    opened[#opened + 1] = client
    return client
  end

  setup(function()
    pg = cluster.shared()
    pg.primary:psql [[
      drop table if exists settings_table; create table settings_table (id int);
      do $$ begin
        if not exists (select from pg_roles where rolname = 'reader') then create role reader; end if;
      end $$;
      create or replace function sets_timezone() returns text language sql
        as $$ select set_config('TimeZone', 'Asia/Tokyo', false) $$;
      create or replace function makes_temp() returns void language plpgsql
        as $$ begin create temp table made_here (id int); end $$;
    ]]
    pg:wait_for_replay()
  end)

  before_each(function()
    moongate = router.start { pg = pg, text = router.script(pg, { extra = "pool = { size = 2 }," }) }
  end)

  after_each(function()
    for _, client in ipairs(opened) do client:close() end
    opened = {}
    moongate:stop()
  end)

  -- On replicas and, as the second form names the node, on the primary.
  local function always(client, name, expected)
    for _ = 1, 8 do
      assert.equal(expected, client:value(("select current_setting('%s', true)"):format(name)))
      assert.equal(expected, client:value(("select current_setting('%s', true), pg_backend_pid()"):format(name)))
    end
  end

  -- Several clients on few servers: no client keeps one.
  local function crowd(size)
    local clients = {}
    for i = 1, size do clients[i] = open() end
    return clients
  end

  it("goes with its client to every server, and with nobody else", function()
    local clients = crowd(6)
    for i, client in ipairs(clients) do
      client:query(("set work_mem = '%dMB'"):format(i + 10))
      client:query(("set app.tenant to 'tenant %d'"):format(i))
    end
    for i, client in ipairs(clients) do
      always(client, "work_mem", ("%dMB"):format(i + 10))
      always(client, "app.tenant", "tenant " .. i)
    end
    always(open(), "work_mem", "4MB")
  end)

  it("pins nobody", function()
    local clients = crowd(6)
    for _, client in ipairs(clients) do client:query("set work_mem = '5MB'") end
    for _, client in ipairs(clients) do
      assert.is_nil(client:query("insert into settings_table values (1)").error)
    end
  end)

  it("is set by set_config, and by any way to write SET", function()
    local client = open()
    client:query("select set_config('work_mem', '9MB', false)")
    client:query("set session time zone 'Asia/Tokyo'")
    client:query("set names 'LATIN1'")
    client:query("set search_path = pg_catalog, \"$user\"")
    client:query("set session characteristics as transaction read only")
    always(client, "work_mem", "9MB")
    always(client, "TimeZone", "Asia/Tokyo")
    always(client, "client_encoding", "LATIN1")
    always(client, "search_path", 'pg_catalog, "$user"')
    always(client, "default_transaction_read_only", "on")
  end)

  it("is set by prepared statements", function()
    local client = open()
    client:send(wire.parse("s", "select set_config('work_mem', $1, false)") .. wire.sync())
    client:result()
    for _, value in ipairs { "6MB", "7MB" } do
      client:send(wire.bind("", "s", { value }) .. wire.execute("") .. wire.sync())
      assert.equal(value, client:result().rows[1][1])
      always(client, "work_mem", value)
    end
  end)

  it("is what it was after ROLLBACK, also to a savepoint", function()
    local client = open()
    client:query("set work_mem = '5MB'")
    client:query("begin")
    client:query("set work_mem = '6MB'")
    client:query("rollback")
    always(client, "work_mem", "5MB")
    client:query("begin")
    client:query("set work_mem = '6MB'")
    client:query("savepoint s")
    client:query("set work_mem = '7MB'; set statement_timeout = '9s'")
    client:query("rollback to s")
    assert.equal("6MB", client:value("show work_mem"))
    client:query("commit")
    always(client, "work_mem", "6MB")
    always(client, "statement_timeout", "0")
    client:query("begin; set work_mem = '8MB'; select 1/0")
    client:query("rollback")
    always(client, "work_mem", "6MB")
  end)

  it("ends with the transaction where it is LOCAL", function()
    local client = open()
    client:query("begin")
    client:query("set local work_mem = '6MB'")
    client:query("select set_config('app.local', 'x', true)")
    assert.equal("6MB", client:value("show work_mem"))
    client:query("commit")
    always(client, "work_mem", "4MB")
  end)

  it("is set within a block that only reads, on a replica", function()
    local client = open()
    client:query("begin read only")
    client:query("set work_mem = '6MB'")
    client:query("commit")
    always(client, "work_mem", "6MB")
    assert.is_nil(client:query("insert into settings_table values (1)").error)
  end)

  it("goes back by RESET to what the client started with", function()
    local client = open { work_mem = "7MB", datestyle = "German" }
    client:query("set work_mem = '8MB'")
    client:query("set datestyle = 'SQL, DMY'")
    always(client, "work_mem", "8MB")
    client:query("reset work_mem")
    always(client, "work_mem", "7MB")
    client:query("reset datestyle")
    always(client, "DateStyle", "German, DMY")
    assert.equal("German, DMY", client.parameters.DateStyle)
    client:query("set work_mem = '8MB'")
    client:query("set statement_timeout = '9s'")
    client:query("begin")
    client:query("reset all")
    assert.equal("7MB", client:value("show work_mem"))
    client:query("commit")
    always(client, "work_mem", "7MB")
    always(client, "DateStyle", "German, DMY")
    always(client, "statement_timeout", "0")
    client:query("set work_mem to default")
    always(client, "work_mem", "7MB")
  end)

  it("goes back by RESET among other statements, unless it is SET again", function()
    local client = open { work_mem = "7MB", datestyle = "German", statement_timeout = "5s" }
    client:query("set work_mem = '8MB'; reset work_mem; reset datestyle; select 1; set statement_timeout = '6s'")
    always(client, "work_mem", "7MB")
    always(client, "DateStyle", "German, DMY")
    assert.equal("German, DMY", client.parameters.DateStyle)
    always(client, "statement_timeout", "6s")
    client:query("close all; unlisten *; reset all; set work_mem = '9MB'")
    always(client, "work_mem", "9MB")
    always(client, "DateStyle", "German, DMY")
    always(client, "statement_timeout", "5s")
    client:query("begin; reset work_mem; select 1/0")
    client:query("rollback")
    always(client, "work_mem", "9MB")
  end)

  it("goes back within a block by SET LOCAL ... TO DEFAULT", function()
    local client = open { work_mem = "7MB", datestyle = "German" }
    client:query("set work_mem = '8MB'")
    client:query("begin")
    client:query("set local work_mem to default")
    client:query("set local datestyle = 'SQL'")
    client:query("set local datestyle to default")
    assert.equal("7MB", client:value("show work_mem"))
    assert.equal("German, DMY", client:value("show datestyle"))
    assert.equal("German, DMY", client.parameters.DateStyle)
    client:query("commit")
    always(client, "work_mem", "8MB")
    always(client, "DateStyle", "German, DMY")
    assert.is_nil(client:query("set local work_mem to default").error)
    always(client, "work_mem", "8MB")
  end)

  it("goes back by DISCARD ALL, and leaves no trace for others", function()
    local client, other = open { work_mem = "7MB" }, open()
    client:query("set work_mem = '8MB'; set app.tenant = 'mine'")
    assert.equal("mine", client:value("select current_setting('app.tenant', true)"))
    assert.is_nil(client:query("discard all").error)
    always(client, "work_mem", "7MB")
    always(other, "work_mem", "4MB")
    assert.not_equal("mine", other:value("select current_setting('app.tenant', true)"))
  end)

  it("may be the role, which the next client is not", function()
    local client, other = open(), open()
    client:query("set role reader")
    for _ = 1, 8 do
      assert.equal("reader", client:value("select current_user, pg_backend_pid()"))
      assert.equal("postgres", other:value("select current_user, pg_backend_pid()"))
    end
    client:query("reset role")
    assert.equal("postgres", client:value("select current_user"))
    client:query("set session authorization reader")
    for _ = 1, 8 do
      assert.equal("reader", client:value("select session_user, pg_backend_pid()"))
      assert.equal("postgres", other:value("select session_user, pg_backend_pid()"))
    end
    client:query("set session authorization default")
    assert.equal("postgres", client:value("select session_user"))
  end)

  it("that a function sets is noticed where PostgreSQL reports it", function()
    local client = open()
    assert.equal("Asia/Tokyo", client:value("select sets_timezone()"))
    always(client, "TimeZone", "Asia/Tokyo")
    local direct = wire.open(pg.primary.port)
    direct:quit()
    always(open(), "TimeZone", direct.parameters.TimeZone)
  end)

  describe("of a statement that is too long to be read", function()
    local padding = "/* " .. ("x"):rep(2 << 20) .. " */"

    it("goes with its client, and with nobody else", function()
      local client, others = open { datestyle = "German" }, crowd(3)
      client:query("set statement_timeout = '9s'")
      assert.is_nil(client:query("set role reader; set work_mem = '5MB'; reset statement_timeout" .. padding).error)
      for _, other in ipairs(others) do
        always(other, "work_mem", "4MB")
        assert.equal("postgres", other:value("select current_user, pg_backend_pid()"))
      end
      always(client, "work_mem", "5MB")
      always(client, "statement_timeout", "0")
      always(client, "DateStyle", "German, DMY")
      assert.equal("reader", client:value("select current_user, pg_backend_pid()"))
    end)

    it("goes with its client where it is a custom one", function()
      local client, others = open(), crowd(3)
      assert.is_nil(client:query(padding .. "set app.tenant = 'mine'").error)
      for _, other in ipairs(others) do
        assert.not_equal("mine", other:value("select current_setting('app.tenant', true), pg_backend_pid()"))
      end
      always(client, "app.tenant", "mine")
      client:quit()
      local late = crowd(4)
      for _, other in ipairs(late) do
        assert.not_equal("mine", other:value("select current_setting('app.tenant', true), pg_backend_pid()"))
      end
    end)

    it("keeps nobody's server", function()
      local clients = crowd(6)
      for i, client in ipairs(clients) do
        assert.is_nil(client:query(("set work_mem = '%dMB'"):format(i + 10) .. padding).error)
      end
      for i, client in ipairs(clients) do always(client, "work_mem", ("%dMB"):format(i + 10)) end
    end)
  end)

  it("that was not read, for its encoding, goes with its client once it can be read", function()
    local client, others = open(), crowd(3)
    client:query("set client_encoding = 'SJIS'")
    client:query("set work_mem = '5MB'")
    client:query("set client_encoding = 'UTF8'")
    always(client, "work_mem", "5MB")
    for _, other in ipairs(others) do always(other, "work_mem", "4MB") end
  end)

  it("of an encoding that hides quotes keeps its client on the primary, as long as it lasts", function()
    local client = open { client_encoding = "SJIS" }
    for _ = 1, 6 do assert.equal(pg.primary.port, client:served_by()) end
    local plain = open()
    plain:query("set client_encoding = 'SJIS'")
    for _ = 1, 6 do assert.equal(pg.primary.port, plain:served_by()) end
    plain:query("set client_encoding = 'UTF8'")
    wait.until_true("replicas to serve it again", function()
      return plain:served_by() ~= pg.primary.port
    end)
  end)

  describe("that pins", function()
    -- Pool of two: with two clients pinned, a third one gets no server.
    local function pinned(client, action)
      local others = { open(), open(), open() }
      action(client)
      local pid = client:value("select pg_backend_pid()")
      for _ = 1, 4 do
        for _, other in ipairs(others) do
          assert.not_equal(pid, other:value("select pg_backend_pid()"))
        end
        assert.equal(pid, client:value("select pg_backend_pid()"))
      end
      return pid, others
    end

    local function released(client, pid, others)
      local met = false
      for _ = 1, 20 do
        -- All at once, so that both servers are used.
        for _, other in ipairs(others) do other:send(wire.query("select pg_backend_pid(), pg_sleep(0.01)")) end
        for _, other in ipairs(others) do met = met or other:result().rows[1][1] == pid end
        if met then break end
      end
      assert.is_true(met)
      assert.is_nil(client:query("select 1").error)
    end

    local cases = {
      { "a temporary table", "create temp table mine (id int)", "drop table mine" },
      { "LISTEN", "listen somewhere", "unlisten *" },
      { "an advisory lock", "select pg_advisory_lock(77)", "select pg_advisory_unlock(77)" },
      { "a holdable cursor", "begin; declare c cursor with hold for select 1; commit", "close c" },
      { "SQL's PREPARE", "prepare mine as select 1", "deallocate mine" },
      { "a temporary table of a function's", "select makes_temp()", "drop table made_here" },
      { "a temporary table, undone by DISCARD ALL", "create temp table mine (id int)", "discard all" },
    }
    for _, case in ipairs(cases) do
      it(("%s does so until it ends"):format(case[1]), function()
        local client = open()
        local pid, others = pinned(client, function()
          for sql in (case[2] .. ";"):gmatch("%s*([^;]+);") do
            local answer = client:query(sql)
            assert.is_nil(answer.error, answer.error and answer.error.M)
          end
        end)
        assert.is_nil(client:query(case[3]).error)
        released(client, pid, others)
      end)
    end

    it("does not where it was rolled back", function()
      local client, other = open(), open()
      client:query("begin")
      client:query("create temp table never (id int)")
      client:query("rollback")
      local pid = client:value("select pg_backend_pid()")
      released(client, pid, { other, open(), open() })
    end)

    it("is told to the log, with its reason, and when it ends", function()
      local loud = router.start { pg = pg, env = { MOONGATE_LOG = "debug" }, text = router.script(pg) }
      local client = wire.open(loud.port)
      client:query("listen news")
      client:query("create temp table mine (id int)")
      client:query("drop table mine; unlisten *")
      wait.until_true("the log to tell of it", function()
        return loud:log():find('msg="client not pinned any more"', 1, true)
      end)
      assert.matches('msg="client pinned to its server" client=%S+ user=postgres reasons=listen\n', loud:log())
      assert.matches("reasons=temporary_table,listen", loud:log())
      client:close()
      loud:stop()
    end)

    it("leaves a clean server behind when its client goes", function()
      local client = open()
      client:query("create temp table left_behind (id int)")
      client:query("select pg_advisory_lock(78)")
      client:quit()
      local other = open()
      wait.until_true("the lock to be free", function()
        return other:value("select pg_try_advisory_xact_lock(78)") == "t"
      end)
      for _ = 1, 8 do
        assert.equal("t", other:value("select to_regclass('left_behind') is null, pg_backend_pid()"))
        assert.equal("t", other:value("select pg_try_advisory_xact_lock(78)"))
      end
    end)
  end)

  it("of a sequence is never another client's", function()
    pg.primary:psql "drop sequence if exists numbers; create sequence numbers"
    local client, other = open(), open()
    other:query("select nextval('numbers')")
    assert.equal("55000", client:query("select currval('numbers')").error.C)
    assert.equal("55000", client:query("select lastval()").error.C)
    client:query("begin")
    client:query("select nextval('numbers')")
    assert.equal("2", client:value("select currval('numbers')"))
    assert.equal("2", client:value("select lastval()"))
    client:query("commit")
  end)

  it("of a sequence is never another client's in a pipeline, either", function()
    pg.primary:psql "drop sequence if exists numbers; create sequence numbers"
    local client, other = open(), open()
    other:query("select nextval('numbers')")
    client:send(wire.query "begin" .. wire.query "select 1" .. wire.query "select currval('numbers')"
      .. wire.query "rollback" .. wire.query "select 2")
    assert.is_nil(client:result().error)
    assert.equal("1", client:result().rows[1][1])
    assert.equal("55000", client:result().error.C)
    assert.equal("ROLLBACK", client:result().tags[1])
    assert.equal("2", client:result().rows[1][1])
    client:send(wire.parse("", "select 1") .. wire.bind("", "", {}) .. wire.execute("") .. wire.flush()
      .. wire.parse("", "select currval('numbers')") .. wire.bind("", "", {}) .. wire.execute("") .. wire.sync())
    local result = client:result()
    assert.equal("1", result.rows[1][1])
    assert.equal("55000", result.error.C)
    assert.equal("3", client:value "select 3")
  end)
end)
