-- The start of a connection, and what a client may do wrong then and later: each mistake gets a
-- proper error or a clean close, and the router lives.

local cluster = require "tests.support.cluster"
local dice = require "tests.router.model.dice"
local router = require "tests.support.router"
local wire = require "tests.support.wire"

describe("a client's connection", function()
  local pg, moongate

  setup(function()
    pg = cluster.shared()
    moongate = router.start { pg = pg }
  end)

  teardown(function() moongate:stop() end)

  local function assert_serves()
    local client = wire.open(moongate.port)
    assert.equal("1", client:value("select 1"))
    client:quit()
  end

  describe("at its start", function()
    it("is welcomed with parameters, a cancel key and ReadyForQuery", function()
      local client = wire.connect(moongate.port)
      local result = client:start()
      assert.matches("^RS+KZ$", result.types)
      assert.equal("I", result.status)
      assert.matches("^15%.", client.parameters.server_version)
      assert.equal("UTF8", client.parameters.server_encoding)
      assert.equal("on", client.parameters.integer_datetimes)
      assert.equal("on", client.parameters.standard_conforming_strings)
      assert.equal("postgres", client.parameters.session_authorization)
      assert.truthy(client.pid)
      client:quit()
    end)

    it("is told the same parameters as by PostgreSQL itself", function()
      local direct, through = wire.open(pg.primary.port), wire.open(moongate.port)
      assert.same(direct.parameters, through.parameters)
      direct:quit()
      through:quit()
    end)

    it("is refused encryption politely and goes on in the clear", function()
      local client = wire.connect(moongate.port)
      client:send(wire.gssenc_request())
      assert.equal("N", client:receive(1))
      client:send(wire.ssl_request())
      assert.equal("N", client:receive(1))
      assert.is_nil(client:start().error)
      assert.equal("1", client:value("select 1"))
      client:quit()
    end)

    it("may arrive byte by byte", function()
      local client = wire.connect(moongate.port)
      local bytes = wire.ssl_request()
        .. wire.startup { user = "postgres", database = "postgres" } .. wire.query("select 42")
      for i = 1, #bytes do client:send(bytes:sub(i, i)) end
      assert.equal("N", client:receive(1))
      assert.is_nil(client:result().error)
      assert.equal("42", client:result().rows[1][1])
      client:quit()
    end)

    it("may bring its first query in the same piece", function()
      local client = wire.connect(moongate.port)
      client:send(wire.startup { user = "postgres", database = "postgres" }
        .. wire.query("select 42"))
      assert.is_nil(client:result().error)
      assert.equal("42", client:result().rows[1][1])
      client:quit()
    end)

    -- As PostgreSQL 18: 3.1 was never used, and is taken as it comes.
    for _, case in ipairs {
      { minor = 0, key = 4 }, { minor = 1, key = 4 }, { minor = 2, key = 32 },
      { minor = 3, key = 32, told = wire.NEWEST }, { minor = 9999, key = 32, told = wire.NEWEST },
    } do
      it(("asks for protocol 3.%d and gets a key of %d bytes"):format(case.minor, case.key), function()
        local client = wire.connect(moongate.port)
        local result = client:start({ user = "postgres" }, wire.VERSION + case.minor)
        assert.is_nil(result.error)
        assert.same(case.told and { version = case.told, options = {} }, result.negotiated)
        assert.equal(case.key, #client.key)
        assert.is_true(client.pid > 0 and client.pid < 2^31)
        assert.equal("1", client:value("select 1"))
        client:quit()
      end)
    end

    it("is told which protocol options are not known", function()
      local client = wire.connect(moongate.port)
      local result = client:start { user = "postgres", ["_pq_.compression"] = "zstd" }
      assert.is_nil(result.error)
      assert.same({ version = wire.VERSION, options = { "_pq_.compression" } }, result.negotiated)
      client:quit()
      client = wire.connect(moongate.port)
      result = client:start({ user = "postgres", ["_pq_.compression"] = "zstd" }, wire.NEWEST)
      assert.same({ version = wire.NEWEST, options = { "_pq_.compression" } }, result.negotiated)
      client:quit()
    end)

    it("is refused with protocol 2.0, clearly", function()
      local client = wire.connect(moongate.port)
      client:send(wire.startup({ user = "postgres" }, 2 << 16))
      -- In protocol 2 an error is a bare string: PostgreSQL answers so, others in protocol 3.
      local answer = client.socket:receive("*a")
      assert.matches("^E.*unsupported frontend protocol", answer)
    end)

    it("is refused without a user", function()
      local client = wire.connect(moongate.port)
      local result = client:start { database = "postgres" }
      assert.equal("28000", result.error.C)
      assert.is_true(client:ends())
    end)

    it("is refused at once for an unknown database", function()
      local client = wire.connect(moongate.port)
      local result = client:start { user = "postgres", database = "no such database" }
      assert.equal("3D000", result.error.C)
      assert.equal("FATAL", result.error.S)
      assert.matches('"no such database"', result.error.M)
      assert.is_true(client:ends())
    end)

    it("is refused at once for an unknown role", function()
      local client = wire.connect(moongate.port)
      local result = client:start { user = "nobody at all", database = "postgres" }
      assert.equal("28000", result.error.C)
      assert.matches('"nobody at all"', result.error.M)
      assert.is_true(client:ends())
    end)

    it("takes the user's name for the database's where that is missing", function()
      local client = wire.open(moongate.port, { user = "postgres" })
      assert.equal("postgres", client:value("select current_database()"))
      client:quit()
    end)

    local garbage = {
      ["nothing at all"] = "",
      ["half a length"] = "\0\0",
      ["half a StartupMessage"] = wire.startup({ user = "postgres" }):sub(1, -5),
    }
    for what, bytes in pairs(garbage) do
      it("may end after " .. what, function()
        local client = wire.connect(moongate.port)
        client:send(bytes)
        client:finish_sending()
        local result = client:result("ZE")
        assert.is_true(result.closed or client:ends())
        assert_serves()
      end)
    end

    local nonsense = {
      ["a length of 0"] = string.pack(">I4I4", 0, wire.VERSION),
      ["a length of 3"] = string.pack(">I4I4", 3, wire.VERSION),
      ["a length of 7"] = string.pack(">I4I4", 7, wire.VERSION),
      ["a length beyond any StartupMessage's"] = string.pack(">I4I4", 100000, wire.VERSION)
        .. ("x"):rep(5000),
      ["a length of 4 GB"] = string.pack(">I4I4", 0xffffffff, wire.VERSION),
      ["a negative length"] = string.pack(">I4I4", 0x80000000, wire.VERSION),
      ["an HTTP request"] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
      ["a TLS hello without SSLRequest"] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
        .. ("\x5a"):rep(506),
      ["an unknown major version"] = string.pack(">I4I4z", 13, 9 << 16, "user"),
      ["a parameter without its value"] = string.pack(">I4I4zB", 14, wire.VERSION, "user", 0),
      ["parameters without an end"] = string.pack(">I4I4zc8", 21, wire.VERSION, "user", "postgres"),
      ["a cancel request that is too short"] = string.pack(">I4I4I4", 12, 80877102, 1),
      ["a cancel request that is too long"] = string.pack(">I4I4I4", 269, 80877102, 1)
        .. ("k"):rep(257),
      ["zeros"] = ("\0"):rep(4096),
    }
    for what, bytes in pairs(nonsense) do
      it("gets an error or a close for " .. what, function()
        local client = wire.connect(moongate.port)
        client.socket:send(bytes)
        local result = client:result("ZE")
        assert.is_true(result.closed or result.error ~= nil, result.types)
        if result.error then
          assert.equal("FATAL", result.error.S)
          assert.is_true(client:ends())
        end
        assert_serves()
      end)
    end

    it("takes random bytes of any length as nonsense", function()
      local random <const> = dice.new(1)
      for length = 1, 200 do
        local bytes = {}
        for i = 1, length do bytes[i] = string.char(random:int(0, 255)) end
        local client = wire.connect(moongate.port)
        client.socket:send(table.concat(bytes))
        client:finish_sending()
        local result = client:result("ZE")
        assert.is_true(result.closed or result.error ~= nil)
        client:close()
      end
      assert_serves()
    end)
  end)

  describe("in its course", function()
    local client

    before_each(function() client = wire.open(moongate.port) end)
    after_each(function() client:close() end)

    local broken = {
      ["an unknown message type"] = wire.message("\1", "what?"),
      ["a message of a server's"] = wire.message("Z", "I"),
      ["a length of 0"] = "Q\0\0\0\0",
      ["a length of 3"] = "Q\0\0\0\3",
      ["a negative length"] = "Q\xff\xff\xff\xff" .. ("x"):rep(100),
      ["a length of 2 GB"] = "Q\x7f\xff\xff\xff" .. ("x"):rep(100),
      ["a Sync of 2 GB"] = "S\x7f\xff\xff\xff" .. ("x"):rep(100),
      ["a Query without its end"] = wire.message("Q", "select 1"),
      ["a Parse without its end"] = wire.message("P", "name") .. wire.sync(),
      ["a Parse with fewer types than it says"] = wire.message("P", "\0select 1\0\0\9")
        .. wire.sync(),
      ["a Bind with fewer values than it says"] = wire.parse("", "select 1")
        .. wire.message("B", "\0\0\0\0\0\9") .. wire.sync(),
      ["a Bind with a value longer than itself"] = wire.parse("", "select $1::text")
        .. wire.message("B", "\0\0\0\0\0\1\0\1\0\0abc\0\0") .. wire.sync(),
      ["a Describe of neither kind"] = wire.message("D", "Xname\0") .. wire.sync(),
      ["a Close of neither kind"] = wire.message("C", "Xname\0") .. wire.sync(),
      ["an empty Execute"] = wire.message("E") .. wire.sync(),
    }
    for what, bytes in pairs(broken) do
      it("gets an error or a close for " .. what, function()
        client.socket:send(bytes)
        local result = client:result("EZ")
        assert.is_true(result.closed or result.error ~= nil, result.types)
        if result.error then assert.matches("^[0-9A-Z]+$", result.error.C) end
        assert_serves()
      end)
    end

    it("gets an error for a protocol violation, by its SQLSTATE", function()
      client:send(wire.message("\1", "what?"))
      assert.equal("08P01", client:result("EZ").error.C)
    end)

    it("passes over COPY messages outside of COPY", function()
      client:send(wire.copy_data("left over\n") .. wire.copy_done() .. wire.query("select 1"))
      assert.equal("1", client:result().rows[1][1])
    end)

    it("gets the answer to what it has sent when it then ends its direction", function()
      client:send(wire.query("select 'still here' from generate_series(1, 1000)"))
      client:finish_sending()
      local result = client:result()
      assert.equal(1000, #result.rows)
      assert.equal("I", result.status)
      assert.is_true(client:ends())
    end)

    it("may end in the middle of a message", function()
      client:send(wire.query("select 1"):sub(1, 8))
      client:finish_sending()
      client:result("E")
      assert_serves()
    end)

    it("may be reset in the middle of an answer", function()
      client:send(wire.query("select repeat('x', 1000) from generate_series(1, 100000)"))
      assert.equal("T", client:read().type)
      client:close(true)
      assert_serves()
    end)

    it("ends after Terminate", function()
      client:send(wire.terminate())
      assert.is_true(client:ends())
    end)

    it("survives random messages of every type", function()
      local random <const> = dice.new(2)
      for byte = 1, 255 do
        local victim = wire.open(moongate.port)
        local body = {}
        for i = 1, random:int(0, 40) do body[i] = string.char(random:int(0, 255)) end
        victim.socket:send(wire.message(string.char(byte), table.concat(body)))
        victim:finish_sending()
        victim:result("")
        victim:close()
      end
      assert_serves()
    end)
  end)

  it("costs others nothing while it says nothing", function()
    local silent = {}
    for i = 1, 100 do silent[i] = wire.connect(moongate.port) end
    assert_serves()
    for _, client in ipairs(silent) do client:close() end
  end)
end)
