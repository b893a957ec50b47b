-- Pool modes: when a client gives its server back, and what the next one finds there.

local cluster = require "tests.support.cluster"
local router = require "tests.support.router"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

describe("pool mode", function()
  local pg, moongate
  local opened = {}

  local function open(params)
    local all = { user = "postgres", database = "postgres" }
    for name, value in pairs(params or {}) do all[name] = value end
    local client = wire.open(moongate.port, all)
    opened[#opened + 1] = client
    return client
  end

  ---@param extra string  fields of moongate.cluster{}
  local function start(extra)
    moongate = router.start { pg = pg, text = router.script(pg, { extra = extra }) }
  end

  setup(function()
    pg = cluster.shared()
    pg.primary:psql [[
      drop table if exists modes; create table modes (id int);
      drop sequence if exists modes_ids; create sequence modes_ids;
      drop role if exists modes_user; create role modes_user login]]
    pg:wait_for_replay()
  end)

  after_each(function()
    for _, client in ipairs(opened) do client:close() end
    opened = {}
    if moongate then moongate:stop() end
    moongate = nil
  end)

  local function pid(client) return client:value "select pg_backend_pid()" end

  local function error_of(client, sql)
    local result = client:query(sql)
    return result.error and result.error.C
  end

  -- What the server has run last, as it says itself.
  local function last_query(server)
    return pg.primary:psql(("select query from pg_stat_activity where pid = %s and state = 'idle'")
      :format(server))
  end

  local function extended(client, ...)
    client:send(table.concat { ... } .. wire.sync())
    return client:result()
  end

  describe("session", function()
    local SESSION = [[pool = { mode = "session", size = 1, acquire_timeout = 50 },]]

    it("keeps a client on one server of the primary, whatever it asks", function()
      start [[pool = { mode = "session", size = 4 },]]
      local one, two = open(), open()
      local first, second = pid(one), pid(two)
      assert.not_equal(first, second)
      for _ = 1, 5 do
        assert.equal(first, pid(one))
        assert.equal(second, pid(two))
        assert.equal(pg.primary.port, one:served_by())
        assert.is_nil(error_of(one, "insert into modes values (1)"))
        assert.is_nil(error_of(one, "begin read only"))
        assert.equal(first, pid(one))
        assert.equal("T", one:query("select count(*) from modes").status)
        assert.equal("I", one:query("commit").status)
        assert.equal(first, extended(one, wire.extended("select pg_backend_pid()")).rows[1][1])
      end
    end)

    it("keeps what lives in a session", function()
      start [[pool = { mode = "session", size = 2 },]]
      local one, other = open(), open()
      one:query "set work_mem = '7MB'"
      one:query "select set_config('my.tenant', 'acme', false)"
      one:query "create temp table mine as select 7 as id"
      one:query "prepare seven as select 7"
      one:query "select pg_advisory_lock(815)"
      one:query "declare held cursor with hold for select generate_series(1, 3)"
      one:query "listen modes"
      one:value "select nextval('modes_ids')"
      for i = 1, 3 do
        assert.equal("7MB", one:value "show work_mem")
        assert.equal("acme", one:value "select current_setting('my.tenant')")
        assert.equal("7", one:value "select id from mine")
        assert.equal("7", one:value "execute seven")
        assert.equal(tostring(i), one:value "fetch held")
        assert.equal("1", one:value "select currval('modes_ids')")
        assert.equal("f", other:value "select pg_try_advisory_lock(815)")
        assert.equal("4MB", other:value "show work_mem")
      end
      other:query "notify modes, 'now'"
      one:result "A"
      assert.same({ { channel = "modes", payload = "now" } }, one.notifications)
    end)

    it("leaves prepared statements their names", function()
      start(SESSION)
      local one = open()
      extended(one, wire.parse("mine", "select 'its own'"))
      assert.equal("mine",
        one:value "select string_agg(name, ',') from pg_prepared_statements")
      assert.equal("its own", extended(one, wire.bind("", "mine", {}), wire.execute "").rows[1][1])
      assert.equal("its own", one:value "execute mine")
      assert.equal("42P05", extended(one, wire.parse("mine", "select 2")).error.C)
      extended(one, wire.close("S", "mine"))
      assert.equal("26000", error_of(one, "execute mine"))
    end)

    it("leaves nothing to the next client on the same server", function()
      start(SESSION)
      local one = open()
      local server = pid(one)
      one:query "set work_mem = '7MB'"
      one:query "create temp table mine (id int)"
      one:query "prepare seven as select 7"
      extended(one, wire.parse("eight", "select 8"))
      one:query "select pg_advisory_lock(816)"
      one:query "listen modes"
      one:value "select nextval('modes_ids')"
      one:quit()
      local two = open()
      assert.equal(server, pid(two))
      assert.equal("4MB", two:value "show work_mem")
      assert.equal("42P01", error_of(two, "select * from mine"))
      assert.equal("0", two:value "select count(*) from pg_prepared_statements")
      assert.equal("0", two:value "select count(*) from pg_listening_channels()")
      assert.equal("55000", error_of(two, "select currval('modes_ids')"))
      assert.equal("t", pg.primary:psql "select pg_try_advisory_lock(816)")
    end)

    -- What each leaves behind, alone: none may be overlooked.
    for _, sql in ipairs {
      "set work_mem = '7MB'", "select set_config('my.tenant', 'acme', false)",
      "create temp table mine (id int)", "prepare seven as select 7", "listen modes",
      "select pg_advisory_lock(816)", "select * into temp mine from modes", "set role pg_monitor",
      "declare held cursor with hold for select 1",
      "do $$ begin perform set_config('work_mem', '7MB', false); end $$",
    } do
      it("washes a server after: " .. sql, function()
        start(SESSION)
        local one = open()
        local server = pid(one)
        assert.is_nil(error_of(one, sql))
        one:quit()
        wait.until_true("the server to be washed", function()
          return last_query(server) == "DISCARD ALL"
        end)
        assert.equal(server, pid(open()))
      end)
    end

    it("lends a server as it is where its client left nothing behind", function()
      start(SESSION)
      local one = open()
      local server = pid(one)
      for _, sql in ipairs { "insert into modes values (2)", "begin", "select 1", "commit",
        "begin", "set local work_mem = '7MB'", "rollback", "select 'the last' from modes" } do
        assert.is_nil(error_of(one, sql))
      end
      one:quit()
      local two = open()
      assert.equal("select 'the last' from modes", last_query(server))
      assert.equal(server, pid(two))
      assert.equal("4MB", two:value "show work_mem")
    end)

    it("rolls back the block of a client that leaves in its middle", function()
      start(SESSION)
      local one = open()
      local server = pid(one)
      one:query "truncate modes"
      one:query "begin"
      one:query "insert into modes values (3)"
      one:query "set work_mem = '7MB'"
      one:close()
      wait.until_true("its transaction to end", function()
        return pg.primary:psql(([[select count(*) from pg_stat_activity
          where pid = %s and xact_start is not null]]):format(server)) == "0"
      end)
      local two = open()
      assert.equal("0", two:value "select count(*) from modes")
      assert.equal("4MB", two:value "show work_mem")
      assert.equal("I", two:query("select 1").status)
    end)

    it("lets one client more than there are servers wait, and tells it in time", function()
      start [[pool = { mode = "session", size = 1, acquire_timeout = 1 },]]
      local one, two = open(), open()
      local server = pid(one)
      assert.equal("53300", error_of(two, "select 1"))
      two:send(wire.query "select pg_backend_pid()")
      one:quit()
      assert.equal(server, two:result().rows[1][1])
      assert.equal(server, pid(two))
    end)

    it("gives startup settings, and RESET and DISCARD ALL go back to them", function()
      start(SESSION)
      local one = open { work_mem = "9MB", datestyle = "German", application_name = "modes" }
      assert.equal("9MB", one:value "show work_mem")
      one:query "set work_mem = '7MB'; set datestyle = 'ISO'"
      assert.equal("7MB", one:value "show work_mem")
      one:query "reset work_mem"
      assert.equal("9MB", one:value "show work_mem")
      one:query "set work_mem = '7MB'"
      one:query "set work_mem to default"
      assert.equal("9MB", one:value "show work_mem")
      one:query "set work_mem = '7MB'"
      one:query "reset all"
      assert.equal("9MB", one:value "show work_mem")
      assert.equal("German, DMY", one:value "show datestyle")
      assert.equal("German, DMY", one.parameters.DateStyle)
      one:query "set work_mem = '7MB'"
      one:query "discard all"
      assert.equal("9MB", one:value "show work_mem")
      assert.equal("modes", one:value "show application_name")
      one:quit()
      local two = open()
      assert.equal("4MB", two:value "show work_mem")
      assert.equal("ISO, MDY", two:value "show datestyle")
    end)
  end)

  -- The router may be asking the server what the session holds when its client goes.
  it("transaction keeps the server of a client that goes as soon as it has its answer", function()
    start [[pool = { size = 1 },]]
    local server = pid(open())
    for _, sql in ipairs { "set work_mem = '7MB'", "do $$ begin perform 1; end $$",
      "create temp table mine (id int)", "listen modes" } do
      for _ = 1, 5 do
        local one = open { work_mem = "9MB" }
        assert.is_nil(error_of(one, sql))
        one:quit()
        local two = open()
        assert.equal(server, pid(two))
        assert.equal("4MB", two:value "select current_setting('work_mem'), pg_backend_pid()")
        assert.equal("0", two:value "select count(*), pg_backend_pid() from pg_listening_channels()")
        assert.equal("42P01", error_of(two, "insert into mine values (1)"))
        two:quit()
      end
    end
  end)

  describe("statement", function()
    local STATEMENT = [[pool = { mode = "statement", size = 2 },]]

    it("refuses blocks, and the client lives on", function()
      start(STATEMENT)
      local one = open()
      for _, sql in ipairs { "begin", "start transaction read only", "begin; select 1; commit" } do
        local result = one:query(sql)
        assert.equal("0A000", result.error.C)
        assert.equal("I", result.status)
        assert.equal("1", one:value "select 1")
      end
      local refused = extended(one, wire.extended "begin")
      assert.equal("EZ", refused.types)
      assert.equal("0A000", refused.error.C)
      assert.equal("1", extended(one, wire.extended "select 1").rows[1][1])
    end)

    it("refuses blocks in their place among the answers", function()
      start(STATEMENT)
      local one = open()
      one:send(wire.query "select 'first' from pg_sleep(0.1)" .. wire.query "begin"
        .. wire.query "select 'third'")
      assert.equal("first", one:result().rows[1][1])
      assert.equal("0A000", one:result().error.C)
      assert.equal("third", one:result().rows[1][1])
      -- What the server runs already is ended with its client.
      one:send(wire.extended "select 'first'" .. wire.flush() .. wire.extended "begin" .. wire.sync())
      local result = one:result "E"
      assert.equal("first", result.rows[1][1])
      assert.equal("0A000", result.error.C)
      assert.is_true(one:ends())
    end)

    it("runs several statements of one string as one transaction", function()
      start(STATEMENT)
      local one = open()
      one:query "truncate modes"
      local done = one:query "insert into modes values (4); insert into modes values (5); select 1"
      assert.same({ "INSERT 0 1", "INSERT 0 1", "SELECT 1" }, done.tags)
      assert.equal("22012", error_of(one, "insert into modes values (6); select 1 / 0"))
      assert.equal("2", pg.primary:psql "select count(*) from modes")
    end)

    it("leaves each client its settings", function()
      start(STATEMENT)
      local one, two = open { statement_timeout = "9s" }, open()
      one:query "set work_mem = '7MB'"
      for _ = 1, 4 do
        assert.equal("7MB", one:value "select current_setting('work_mem')")
        assert.equal("9s", one:value "select current_setting('statement_timeout')")
        assert.equal("4MB", two:value "select current_setting('work_mem')")
      end
    end)
  end)

  it("may be a user's own, or a database's", function()
    start [[
      pool = { size = 2 },
      users = { modes_user = { pool_mode = "session" } },
      databases = { template1 = { pool_mode = "statement" } },]]
    local theirs = open { user = "modes_user" }
    extended(theirs, wire.parse("mine", "select 1"))
    assert.equal("mine", theirs:value "select name from pg_prepared_statements")
    assert.equal(pg.primary.port, theirs:served_by())
    assert.equal("0A000", error_of(open { database = "template1" }, "begin"))
    assert.equal("BEGIN", open():query("begin").tags[1])
  end)
end)
