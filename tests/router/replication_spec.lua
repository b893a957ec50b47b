-- Replication connections pass through to the primary: PostgreSQL's own tools work, refusals are PostgreSQL's, and
-- whichever side ends takes the other one along.

local process = require "moongate.process"
local router = require "tests.support.router"
local throwaway = require "moongate.throwaway"
local uv = require "luv"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

local SETTINGS = { wal_level = "logical", max_wal_senders = 4 }

describe("replication", function()
  local pg, moongate, dir
  local opened, spawned = {}, {}

  local function url(node, options)
    return ("postgres://127.0.0.1:%d/%s"):format(node.port, options or "")
  end

  -- A script over the primary and replica of `cluster`; `options` of the primary's URL.
  local function script(cluster, options, extra)
    return ([[
local moongate = require "moongate"
return moongate.router { cluster = moongate.cluster {
  primary = %q, replicas = { %q },
  health = { interval = 0.1 }, backoff = { initial = 0.1, max = 0.1, jitter = 0 },
  %s
} }
]]):format(url(cluster.primary, options), url(cluster.replicas[1]), extra or "")
  end

  local function connect(port)
    local client = wire.connect(port or moongate.port)
    opened[#opened + 1] = client
    return client
  end

  -- A replication client that was welcomed.
  local function open(mode, port, version)
    local client = connect(port)
    local result = client:start({ user = "postgres", database = "postgres", replication = mode },
      version)
    assert.is_nil(result.error and result.error.M)
    assert.equal("I", result.status)
    return client
  end

  local function spawn(program, args)
    local child = process.spawn(table.move(args, 1, #args, 2, { router.bin(program) }),
      { env = router.environment_for_programs() })
    spawned[#spawned + 1] = child
    return child
  end

  local function run(program, args)
    local status, output, errors = process.run(
      table.move(args, 1, #args, 2, { router.bin(program) }),
      { env = router.environment_for_programs() })
    assert(status == 0, program .. ": " .. errors)
    return output
  end

  local function psql(mode, ...)
    local args = { "-XAtq", "-v", "ON_ERROR_STOP=1", "-d",
      moongate:url() .. "?replication=" .. mode }
    for _, sql in ipairs { ... } do
      args[#args + 1] = "-c"
      args[#args + 1] = sql
    end
    return run("psql", args)
  end

  -- How many walsenders serve others than the replicas.
  local function walsenders(node)
    return tonumber(node:psql([[select count(*) from pg_stat_activity
      where backend_type = 'walsender' and application_name not like 'replica%']]))
  end

  setup(function()
    pg = throwaway.start { replicas = 1, tls = true, settings = SETTINGS }
    dir = assert(uv.fs_mkdtemp(pg.dir .. "/tools-XXXXXX"))
    moongate = router.start { pg = pg, text = script(pg) }
  end)

  after_each(function()
    for _, client in ipairs(opened) do client:close() end
    for _, child in ipairs(spawned) do
      child:kill("sigkill")
      child:wait(10)
    end
    opened, spawned = {}, {}
    wait.until_true("all walsenders to end", function() return walsenders(pg.primary) == 0 end)
  end)

  teardown(function()
    if moongate then moongate:stop() end
    if pg then pg:stop() end
  end)

  describe("by PostgreSQL's tools:", function()
    for _, method in ipairs { "stream", "fetch" } do
      it("pg_basebackup -X " .. method .. " makes a backup that is whole", function()
        local target = dir .. "/backup-" .. method
        run("pg_basebackup", { "-D", target, "-d", moongate:url(), "-X", method, "-c", "fast",
          "--no-sync" })
        run("pg_verifybackup", { target })
      end)
    end

    it("pg_basebackup does so where the primary wants TLS", function()
      local encrypted = router.start { pg = pg, text = script(pg, "?sslmode=require") }
      local target = dir .. "/backup-tls"
      run("pg_basebackup", { "-D", target, "-d", encrypted:url(), "-X", "fetch", "-c", "fast",
        "--no-sync" })
      encrypted:stop()
      run("pg_verifybackup", { target })
    end)

    it("pg_receivewal receives what is written", function()
      local target = dir .. "/wal"
      assert(uv.fs_mkdir(target, tonumber("700", 8)))
      local receiver = spawn("pg_receivewal", { "-D", target, "-d", moongate:url(), "--no-sync" })
      wait.until_true("it to stream", function() return walsenders(pg.primary) == 1 end)
      local name = pg.primary:psql [[
        create table received as select 1; select pg_walfile_name(pg_current_wal_lsn());
        select from pg_switch_wal() ]]
      name = name:match("%x+")
      wait.until_true("the file " .. name, function() return uv.fs_stat(target .. "/" .. name) end)
      receiver:kill("sigint")
      assert.equal(0, receiver:wait(10), receiver.errors)
      local sent = assert(io.open(pg.primary.data .. "/pg_wal/" .. name, "rb")):read("a")
      local received = assert(io.open(target .. "/" .. name, "rb")):read("a")
      assert.equal(#sent, #received)
      assert.is_true(sent == received)
    end)

    it("pg_recvlogical decodes what is committed", function()
      local file = dir .. "/changes"
      local args = { "-d", moongate:url(), "--slot", "changes" }
      run("pg_recvlogical", { "--create-slot", "-P", "test_decoding", table.unpack(args) })
      pg.primary:psql "create table decoded (v text); insert into decoded values ('through')"
      local receiver = spawn("pg_recvlogical", { "--start", "-f", file, "-F", "0",
        table.unpack(args) })
      wait.until_true("the change", function()
        local changes = io.open(file)
        local text = changes and changes:read("a") or ""
        if changes then changes:close() end
        return text:find("table public.decoded: INSERT: v[text]:'through'", 1, true)
      end)
      receiver:kill("sigint")
      assert.equal(0, receiver:wait(10), receiver.errors)
      run("pg_recvlogical", { "--drop-slot", table.unpack(args) })
      assert.equal("0", pg.primary:psql "select count(*) from pg_replication_slots")
    end)

    it("psql asks the primary, in a database", function()
      local identity = psql("database", "IDENTIFY_SYSTEM")
      assert.matches("|postgres\n$", identity)
      assert.equal("f\n", psql("database", "select pg_is_in_recovery()"))
      assert.matches("^moved|", psql("database",
        "CREATE_REPLICATION_SLOT moved TEMPORARY LOGICAL test_decoding"))
      assert.equal("0", pg.primary:psql "select count(*) from pg_replication_slots")
    end)

    it("psql asks the primary, in none", function()
      for _, mode in ipairs { "true", "on", "yes", "1", "TRUE" } do
        assert.matches("|\n$", psql(mode, "IDENTIFY_SYSTEM"))
      end
    end)

    it("psql copies in and out, more than fits into any buffer", function()
      local file = assert(io.open(dir .. "/rows", "w"))
      for i = 1, 200000 do file:write(i, "\t", ("x"):rep(50), "\n") end
      file:close()
      psql("database", "create table copied (i int, t text)",
        "\\copy copied from " .. dir .. "/rows", "\\copy copied to " .. dir .. "/back")
      assert.is_true(assert(io.open(dir .. "/rows")):read("a")
        == assert(io.open(dir .. "/back")):read("a"))
    end)
  end)

  describe("as the protocol has it:", function()
    it("the client is welcomed like by the primary itself", function()
      local direct, through = open("database", pg.primary.port), open("database")
      assert.same(direct.parameters, through.parameters)
      assert.are_not.equal(direct.pid, through.pid)
    end)

    it("the client's settings are the server's", function()
      local client = connect()
      client:start { user = "postgres", database = "postgres", replication = "database",
        application_name = "a b", work_mem = "123kB", DateStyle = "German, DMY",
        client_encoding = "LATIN1", options = [[-c an.option=a\ b\\c --enable_seqscan=off]] }
      assert.equal("a b", client.parameters.application_name)
      assert.equal("LATIN1", client.parameters.client_encoding)
      assert.equal("German, DMY", client.parameters.DateStyle)
      assert.equal("123kB", client:value "show work_mem")
      assert.equal([[a b\c]], client:value "show an.option")
      assert.equal("off", client:value "show enable_seqscan")
    end)

    it("they win over those of the endpoint's URL", function()
      local other = router.start { pg = pg, text = script(pg, "?application_name=url"
        .. "&client_encoding=LATIN2&options=-c%20work_mem%3D1MB%20-c%20search_path%3Durl") }
      local client = connect(other.port)
      client:start { user = "postgres", replication = "database", application_name = "client",
        client_encoding = "LATIN1", work_mem = "2MB" }
      assert.equal("client", client:value "show application_name")
      assert.equal("LATIN1", client:value "show client_encoding")
      assert.equal("2MB", client:value "show work_mem")
      assert.equal("url", client:value "show search_path")
      client:close()
      other:stop()
    end)

    it("its first command may come in the same piece as its startup packet", function()
      local client = connect()
      client:send(wire.startup { user = "postgres", replication = "true" }
        .. wire.query "IDENTIFY_SYSTEM")
      assert.equal("I", client:result().status)
      assert.equal(1, #client:result().rows)
    end)

    it("its statement can be cancelled, by either kind of key", function()
      for _, version in ipairs { wire.VERSION, wire.NEWEST } do
        local client = open("database", nil, version)
        client:send(wire.query "select pg_sleep(60) /* replication */")
        wait.until_true("the query to run", function()
          return pg.primary:psql [[select count(*) from pg_stat_activity where state = 'active'
            and pid <> pg_backend_pid() and query like '%/* replication */%']] == "1"
        end)
        local request = connect()
        request:send(wire.cancel(client.pid, client.key))
        assert.is_true(request:ends())
        assert.equal("57014", client:result().error.C)
        assert.equal("1", client:value "select 1")
        client:quit()
      end
    end)

    it("replication=false is an ordinary connection", function()
      local client = connect()
      client:start { user = "postgres", database = "postgres", replication = "false" }
      assert.equal("ERROR", client:query("IDENTIFY_SYSTEM").error.S)
      assert.equal("1", client:value "select 1")
    end)

    it("Terminate ends it, and so does an end without it", function()
      for _, last in ipairs { wire.terminate(), "" } do
        local client = open "true"
        assert.equal(1, walsenders(pg.primary))
        client:send(last)
        client:finish_sending()
        assert.is_true(client:ends())
        wait.until_true("its walsender to end", function() return walsenders(pg.primary) == 0 end)
      end
    end)
  end)

  describe("is refused", function()
    local function assert_refused(sqlstate, message, params, port)
      local client = connect(port)
      local result = client:start(params)
      assert.equal(sqlstate, result.error and result.error.C)
      assert.equal("FATAL", result.error.S)
      assert.matches(message, result.error.M)
      assert.is_true(client:ends())
    end

    it("by PostgreSQL, in its words: no such role, no right, no entry in pg_hba.conf", function()
      assert_refused("28000", 'role "nobody at all" does not exist',
        { user = "nobody at all", replication = "true" })
      pg.primary:psql "create role plain login; create role barred login replication"
      assert_refused("42501", "must be superuser or replication role to start walsender",
        { user = "plain", replication = "true" })
      local path = pg.primary.data .. "/pg_hba.conf"
      local rules = assert(io.open(path)):read("a")
      local file <close> = assert(io.open(path, "w"))
      file:write("host replication barred all reject\n", rules)
      file:flush()
      pg.primary:psql "select pg_reload_conf()"
      wait.until_true("the new rules", function()
        return pg.primary:psql("select count(*) from pg_hba_file_rules where auth_method = 'reject'")
          == "1"
      end)
      -- The postmaster takes them up in its own time.
      wait.until_true("the refusal", function()
        local client <close> = setmetatable({ connection = wire.connect(moongate.port) },
          { __close = function(self) self.connection:close() end })
        local result = client.connection:start { user = "barred", replication = "true" }
        return result.error and result.error.C == "28000"
          and result.error.M:match("^pg_hba.conf rejects replication connection")
      end)
    end)

    it("by PostgreSQL, when it has no walsender left", function()
      local kept = {}
      for i = 1, SETTINGS.max_wal_senders - 1 do kept[i] = open "true" end
      assert_refused("53300", "number of requested standby connections exceeds max_wal_senders",
        { user = "postgres", replication = "true" })
      assert.equal(1, #kept[1]:query("IDENTIFY_SYSTEM").rows)
    end)

    it("for a setting that PostgreSQL does not take", function()
      assert_refused("22023", 'invalid value for parameter "work_mem": "a lot"',
        { user = "postgres", replication = "true", work_mem = "a lot" })
      assert_refused("22023", 'invalid value for parameter "replication": "maybe"',
        { user = "postgres", replication = "maybe" })
    end)

    it("when no primary answers in time, which is said with the reason", function()
      local lonely = router.start { pg = pg, text = ([[
        local moongate = require "moongate"
        return moongate.router { cluster = moongate.cluster {
          primary = "postgres://127.0.0.1:%d", pool = { acquire_timeout = 0.3 } } }
      ]]):format(process.free_port()) }
      assert_refused("57P03", "no primary became available in time: .*refused",
        { user = "postgres", replication = "true" }, lonely.port)
      lonely:stop()
    end)

    it("when several clusters are served and none of them is named", function()
      local several = router.start { pg = pg, text = ([[
        local moongate = require "moongate"
        local function over() return moongate.cluster { primary = %q } end
        return moongate.router { clusters = { one = over(), postgres = over() } }
      ]]):format(url(pg.primary)) }
      assert_refused("3D000", "serves this database", { user = "postgres", database = "replication",
        replication = "true" }, several.port)
      open("true", several.port):close()
      several:stop()
    end)
  end)

  describe("ends", function()
    it("with a killed client, and leaves no walsender behind", function()
      local target = dir .. "/killed"
      assert(uv.fs_mkdir(target, tonumber("700", 8)))
      local receiver = spawn("pg_receivewal", { "-D", target, "-d", moongate:url(), "--no-sync" })
      wait.until_true("it to stream", function() return walsenders(pg.primary) == 1 end)
      receiver:kill("sigkill")
      wait.until_true("its walsender to end", function() return walsenders(pg.primary) == 0 end)
    end)

    it("with a client that is reset while much is on its way", function()
      local client = open "true"
      client:send(wire.query "BASE_BACKUP (CHECKPOINT 'fast', WAIT false)")
      client:result("d")
      client:close(true)
      wait.until_true("its walsender to end", function() return walsenders(pg.primary) == 0 end)
    end)

    it("with the server, whose last words the client hears", function()
      local client = open "database"
      pg.primary:psql [[select pg_terminate_backend(pid) from pg_stat_activity
        where backend_type = 'walsender' and application_name not like 'replica%']]
      assert.equal("57P01", client:result("E").error.C)
      assert.is_true(client:ends())
    end)

    it("with the router", function()
      local short = router.start { pg = pg, text = script(pg) }
      local client = open("true", short.port)
      short:stop()
      assert.is_true(client:ends())
      wait.until_true("its walsender to end", function() return walsenders(pg.primary) == 0 end)
    end)

    it("with the router, which says so to a client that still waits", function()
      local lonely = router.start { pg = pg, text = ([[
        local moongate = require "moongate"
        return moongate.router { cluster = moongate.cluster {
          primary = "postgres://127.0.0.1:%d", pool = { acquire_timeout = 60 } } }
      ]]):format(process.free_port()) }
      local client = connect(lonely.port)
      client:send(wire.startup { user = "postgres", replication = "true" })
      wait.until_true("the router to try", function() return lonely:log():find("refused") end)
      lonely:stop()
      assert.equal("57P01", client:result("E").error.C)
      assert.is_true(client:ends())
    end)

    it("with a killed primary; the next client waits until there is one again", function()
      local own <close> = throwaway.start { replicas = 1, settings = SETTINGS }
      local over = router.start { pg = own,
        text = script(own, nil, "pool = { acquire_timeout = 60 },") }
      local client = open("true", over.port)
      own.primary:kill()
      assert.is_true(client:result("").closed)
      local waiting = connect(over.port)
      waiting:send(wire.startup { user = "postgres", replication = "true" })
      wait.until_true("the router to know", function() return over:log():find("endpoint down") end)
      own.primary:start()
      assert.equal("I", waiting:result("ZE").status)
      assert.equal(1, #waiting:query("IDENTIFY_SYSTEM").rows)
      over:stop()
    end)
  end)

  it("costs little memory when its client reads slowly #release", function()
    local client = open "true"
    local before = moongate:rss()
    client:send(wire.query "BASE_BACKUP (CHECKPOINT 'fast', WAIT false)")
    client:result("d")
    wait.until_true("the walsender to be held up", function()
      return pg.primary:psql [[select wait_event from pg_stat_activity
        where backend_type = 'walsender' and application_name not like 'replica%']] == "ClientWrite"
    end)
    assert.is_true(moongate:rss() - before < 2^20)
    local bytes = 0
    repeat
      local message = client:read()
      bytes = bytes + #message.body
      assert.are_not.equal("E", message.type)
    until message.type == "Z"
    assert.is_true(bytes > 20 * 2^20)
  end)
end)
