-- How the router reaches PostgreSQL: Unix sockets, TLS, passwords; and that secrets stay secret.

local cluster = require "tests.support.cluster"
local process = require "moongate.process"
local router = require "tests.support.router"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

describe("connecting to servers", function()
  local pg

  setup(function()
    pg = cluster.shared()
    pg.primary:psql "drop table if exists reached; create table reached (note text)"
    pg.primary:psql(("grant all on reached to %s"):format(cluster.ROLE))
    pg:wait_for_replay()
  end)

  -- The default script over URLs that `url_of` makes of the nodes.
  local function start(url_of)
    local replicas = {}
    for i, node in ipairs(pg.replicas) do replicas[i] = url_of(node) end
    return router.start {
      pg = pg,
      env = {
        DATABASE_URL = url_of(pg.primary),
        DATABASE_REPLICA_URL = table.concat(replicas, " "),
      },
    }
  end

  -- Reads, writes, transactions, large values both ways.
  local function exercise(client)
    assert.not_equal(pg.primary.port, client:served_by())
    local body = ("0123456789"):rep(500000)
    client:send(wire.extended("insert into reached values ($1)", { body }) .. wire.sync())
    assert.same({ "INSERT 0 1" }, client:result().tags)
    assert.equal(body, client:value("select note from reached"))
    client:query("begin")
    assert.equal(pg.primary.port, client:served_by())
    assert.is_nil(client:query("delete from reached").error)
    client:query("commit")
    assert.equal(20000, #client:query("select repeat('y', 1000) from generate_series(1, 20000)").rows)
  end

  it("works over Unix sockets", function()
    local moongate = start(function(node)
      return ("postgres://postgres@/postgres?host=%s&port=%d"):format(node.socket_dir, node.port)
    end)
    local client = wire.open(moongate.port)
    exercise(client)
    for _, node in ipairs(pg:nodes()) do
      wait.until_true("reads on " .. node.name, function()
        client:served_by()
        return node:psql [[select count(*) > 0 from pg_stat_activity
          where backend_type = 'client backend' and client_port = -1]] == "t"
      end)
    end
    client:quit()
    moongate:stop()
  end)

  it("works through TLS", function()
    local moongate = start(function(node)
      return ("postgres://127.0.0.1:%d?sslmode=require"):format(node.port)
    end)
    local client = wire.open(moongate.port)
    exercise(client)
    assert.equal("t", client:value("select ssl from pg_stat_ssl where pid = pg_backend_pid()"))
    for _, node in ipairs(pg:nodes()) do
      wait.until_true("TLS on " .. node.name, function()
        client:served_by()
        return node:psql "select count(*) > 0 from pg_stat_ssl where ssl" == "t"
      end)
    end
    client:quit()
    moongate:stop()
  end)

  it("checks the certificate where the URL says so", function()
    local moongate = start(function(node)
      return ("postgres://127.0.0.1:%d?sslmode=verify-full&sslrootcert=%s/server.crt"):format(
        node.port, pg.dir)
    end)
    local client = wire.open(moongate.port)
    exercise(client)
    client:quit()
    moongate:stop()
  end)

  it("logs in by SCRAM, in the clear and through TLS", function()
    for _, mode in ipairs { "disable", "require" } do
      local moongate = start(function(node)
        return ("postgres://%s:%s@127.0.0.1:%d/postgres?sslmode=%s"):format(cluster.ROLE,
          cluster.PASSWORD, node.port, mode)
      end)
      local client = wire.open(moongate.port)
      assert.equal(cluster.ROLE, client:value("select current_user::text"))
      exercise(client)
      client:quit()
      assert.not_matches(cluster.PASSWORD, moongate:log(), 1, true)
      moongate:stop()
    end
  end)

  describe("never shows a password #slow", function()
    local SECRET = "hunter2-hunter2"

    local function try(url_of)
      local moongate = start(url_of)
      local client = wire.connect(moongate.port)
      local result = client:start()
      local told = { moongate = moongate }
      if not result.error and not result.closed then
        client:send(wire.query("insert into reached values ('x')"))
        wait.until_true("the log to tell", function()
          return moongate:log():match("level=warn") or moongate:log():match("level=error")
        end)
      end
      for _, fields in ipairs(result.errors) do
        told[#told + 1] = table.concat({ fields.C, fields.M, fields.D or "", fields.H or "" }, " ")
      end
      client:close()
      wait.until_true("the log to tell", function()
        return moongate:log():match("level=warn") or moongate:log():match("level=error")
      end)
      moongate:stop()
      told[#told + 1] = moongate:log()
      return table.concat(told, "\n")
    end

    it("that was refused", function()
      local told = try(function(node)
        return ("postgres://%s:%s@127.0.0.1:%d/postgres"):format(cluster.ROLE, SECRET, node.port)
      end)
      assert.not_matches(SECRET, told, 1, true)
      assert.matches("authentication failed", told)
    end)

    it("of a host that nobody can reach", function()
      local told = try(function()
        return ("postgres://app:%s@127.0.0.1:%d/postgres"):format(SECRET, process.free_port())
      end)
      assert.not_matches(SECRET, told, 1, true)
      assert.matches("refused", told)
    end)

    it("of a host that has no address", function()
      local told = try(function(node)
        return ("postgres://app:%s@no-such-host-%s.invalid/postgres"):format(SECRET, node.name)
      end)
      assert.not_matches(SECRET, told, 1, true)
      assert.matches("no%-such%-host", told)
    end)

    local broken_urls = {
      "postgres://app:%s@127.0.0.1:notaport/postgres",
      "postgres://app:%s@[::1/postgres",
      "postgres://app:%s@127.0.0.1/postgres?no_such_option=1",
      "postgres://app:%s%%zz@127.0.0.1/postgres",
      "host=127.0.0.1 password=%s no_such_option=1",
      "host=127.0.0.1 password='%s",
      "mysql://app:%s@127.0.0.1/postgres",
    }
    for _, url in ipairs(broken_urls) do
      it("of a URL that is wrong: " .. url:gsub("%%s", "***", 1), function()
        local status, output, errors = router.command({ "check", "scripts/read_write_split.lua" },
          { env = { DATABASE_URL = url:format(SECRET) } })
        assert.equal(1, status)
        assert.not_matches(SECRET, output .. errors, 1, true)
        assert.not_equal("", errors)
      end)
    end
  end)
end)
