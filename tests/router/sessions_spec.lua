-- What belongs to a session stays with its client, and is never another's.

local cluster = require "tests.support.cluster"
local router = require "tests.support.router"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

describe("a session", function()
  local pg, moongate
  local opened = {}

  local function open(params)
    local all = { user = "postgres", database = "postgres" }
    for name, value in pairs(params or {}) do all[name] = value end
    local client = wire.open(moongate.port, all)
    opened[#opened + 1] = client
    return client
  end

  local function quit_all()
    for _, client in ipairs(opened) do client:quit() end
    opened = {}
  end

  setup(function()
    pg = cluster.shared()
    pg.primary:psql "create sequence if not exists sessions"
    moongate = router.start { pg = pg, text = router.script(pg, { extra = "pool = { size = 4 }," }) }
  end)
  teardown(function() moongate:stop() end)
  after_each(quit_all)

  -- Asked often enough to meet every server of the pools, on replicas and (as the second form
  -- names the node) on the primary.
  local function always(client, sql, expected)
    for _ = 1, 12 do
      assert.equal(expected, client:value(sql))
      assert.equal(expected, client:value(sql .. ", pg_backend_pid()"))
    end
  end

  -- The value of a parameter that nobody has set.
  local function unset(name)
    local direct = wire.open(pg.primary.port)
    direct:quit()
    return direct.parameters[name]
  end

  describe("starts with parameters of its own:", function()
    local cases = {
      { param = "application_name", one = "reporting", two = "billing" },
      { param = "DateStyle", one = "German", two = "ISO, DMY", shown = "German, DMY" },
      { param = "TimeZone", one = "Asia/Tokyo", two = "America/New_York" },
      { param = "client_encoding", one = "latin1", two = "UTF8", shown = "LATIN1" },
      { param = "IntervalStyle", one = "iso_8601", two = "sql_standard" },
    }
    for _, case in ipairs(cases) do
      it(case.param, function()
        local one = open { [case.param:lower()] = case.one }
        local two = open { [case.param:lower()] = case.two }
        local shown = case.shown or case.one
        assert.equal(shown, one.parameters[case.param])
        assert.equal(case.two, two.parameters[case.param])
        local sql = ("select current_setting('%s')"):format(case.param)
        always(one, sql, shown)
        always(two, sql, case.two)
        always(open(), sql, unset(case.param))
      end)
    end

    it("any setting by name", function()
      local one = open { work_mem = "7MB", search_path = "pg_catalog" }
      always(one, "select current_setting('work_mem')", "7MB")
      always(one, "select current_setting('search_path')", "pg_catalog")
      always(open(), "select current_setting('work_mem')", "4MB")
    end)

    it("those in options", function()
      local one = open { options = "-c work_mem=9MB -c statement_timeout=5s --enable-seqscan=off" }
      always(one, "select current_setting('work_mem')", "9MB")
      always(one, "select current_setting('statement_timeout')", "5s")
      always(one, "select current_setting('enable_seqscan')", "off")
      always(open(), "select current_setting('enable_seqscan')", "on")
    end)

    it("and is refused with those that do not exist, as by PostgreSQL", function()
      for _, params in ipairs {
        { user = "postgres", no_such_setting = "1" },
        { user = "postgres", timezone = "Nowhere/Land" },
        { user = "postgres", client_encoding = "KLINGON" },
        { user = "postgres", options = "-c no_such_setting=1" },
        { user = "postgres", options = "--nonsense" },
      } do
        local direct, through = wire.connect(pg.primary.port), wire.connect(moongate.port)
        local expected, got = direct:start(params), through:start(params)
        assert.is_not_nil(expected.error)
        assert.equal(expected.error.C, got.error and got.error.C)
        direct:close()
        through:close()
      end
    end)
  end)

  describe("keeps to itself", function()
    it("what it SETs", function()
      local one, others = open(), {}
      for i = 1, 6 do others[i] = open() end
      one:query("set work_mem = '7MB'")
      for _, other in ipairs(others) do always(other, "select current_setting('work_mem')", "4MB") end
      always(one, "select current_setting('work_mem')", "7MB")
    end)

    it("what set_config() sets", function()
      local one, other = open(), open()
      one:query("select set_config('my.tenant', 'acme', false)")
      always(one, "select current_setting('my.tenant', true)", "acme")
      for _ = 1, 12 do
        local seen = other:value("select current_setting('my.tenant', true)")
        assert.is_true(not seen or seen == "")
      end
    end)

    it("what it SETs in a transaction that commits, and nothing of one that does not", function()
      local one, other = open(), open()
      one:query("begin")
      one:query("set work_mem = '7MB'")
      one:query("set local statement_timeout = '5s'")
      one:query("commit")
      always(one, "select current_setting('work_mem')", "7MB")
      always(one, "select current_setting('statement_timeout')", "0")
      one:query("begin")
      one:query("set work_mem = '8MB'")
      one:query("rollback")
      always(one, "select current_setting('work_mem')", "7MB")
      always(other, "select current_setting('work_mem')", "4MB")
    end)

    it("its role", function()
      pg.primary:psql "drop role if exists actor; create role actor"
      pg:wait_for_replay()
      local one, other = open(), open()
      one:query("set role actor")
      always(one, "select current_user::text", "actor")
      always(other, "select current_user::text", "postgres")
      quit_all()
      always(open(), "select current_user::text", "postgres")
    end)

    it("nothing for the next after it has gone", function()
      for _ = 1, 8 do
        local one = open()
        one:query("set work_mem = '7MB'")
        one:query("create temp table mine (a int)")
        one:query("prepare mine as select 1")
        one:query("listen mine")
        one:query("select pg_advisory_lock(4711)")
        quit_all()
        local two = open()
        always(two, "select current_setting('work_mem')", "4MB")
        assert.equal("42P01", two:query("select * from mine").error.C)
        assert.equal("26000", two:query("execute mine").error.C)
        wait.until_true("the lock to be free", function()
          return two:value("select pg_try_advisory_lock(4711)") == "t"
        end)
        two:query("select pg_advisory_unlock(4711)")
        quit_all()
      end
    end)
  end)

  describe("goes on across transactions with", function()
    it("SQL-level prepared statements", function()
      local one, other = open(), open()
      one:query("prepare answer as select 42")
      for _ = 1, 10 do
        assert.equal("42", one:value("execute answer"))
        assert.equal("26000", other:query("execute answer").error.C)
      end
      assert.is_nil(one:query("deallocate answer").error)
      assert.equal("26000", one:query("execute answer").error.C)
    end)

    it("holdable cursors", function()
      local one, other = open(), open()
      one:query("declare c cursor with hold for select generate_series(1, 10)")
      for i = 1, 10 do
        assert.equal(tostring(i), one:value("fetch c"))
        assert.equal("34000", other:query("fetch c").error.C)
      end
    end)

    it("advisory locks", function()
      local one, other = open(), open()
      one:query("select pg_advisory_lock(42)")
      for _ = 1, 6 do
        assert.equal("f", other:value("select pg_try_advisory_lock(42)"))
        one:value("select 1")
      end
      assert.equal("t", one:value("select pg_advisory_unlock(42)"))
      assert.equal("t", other:value("select pg_try_advisory_lock(42)"))
    end)
  end)

  it("hears notifications while it is idle", function()
    local listener, other = open(), open()
    listener:query("listen news")
    other:query("notify news, 'hello'")
    assert.equal("A", listener:result("A").types:sub(-1))
    assert.same({ { channel = "news", payload = "hello" } }, listener.notifications)
    listener:query("select 1")
    other:query("select pg_notify('news', 'again')")
    listener:result("A")
    assert.equal("again", listener.notifications[2].payload)
    listener:query("unlisten *")
  end)

  it("is told when a parameter that drivers watch changes", function()
    local one = open()
    one:query("set application_name = 'renamed'")
    assert.equal("renamed", one.parameters.application_name)
    one:query("set client_encoding = 'LATIN1'")
    assert.equal("LATIN1", one.parameters.client_encoding)
    always(one, "select current_setting('client_encoding')", "LATIN1")
    assert.equal("\xe9", one:value("select chr(233)"))
    assert.equal("\xc3\xa9", open():value("select chr(233)"))
  end)

  it("is told of parameters as they are now, not as they were once", function()
    pg.primary:psql [[
      do $$ begin create role session_zone login; exception when duplicate_object then null; end $$;
      alter role session_zone set timezone = 'Asia/Tokyo';
    ]]
    pg:wait_for_replay()
    local who = { user = "session_zone", database = "postgres" }
    local one = open(who)
    assert.equal("Asia/Tokyo", one.parameters.TimeZone)
    one:query("insert into no_such_table values (1)")
    pg.primary:psql "alter role session_zone set timezone = 'Asia/Kolkata'"
    pg:wait_for_replay()
    for _, node in ipairs(pg:nodes()) do
      node:psql "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'session_zone'"
    end
    local function is_new(sql)
      local row = one:query(sql).rows[1] -- none, where its server was just ended
      return row and row[1] == "Asia/Kolkata"
    end
    wait.until_true("new servers", function()
      return is_new "select current_setting('TimeZone')"
        and is_new "select current_setting('TimeZone'), pg_backend_pid()"
    end)
    assert.equal("Asia/Kolkata", open(who).parameters.TimeZone)
  end)

  it("gets the notices of its statements", function()
    local result = open():query("do $$ begin raise notice 'look here'; end $$")
    assert.equal("look here", result.notices[1].M)
    assert.same({ "DO" }, result.tags)
  end)
end)
