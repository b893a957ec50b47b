-- A client that leaves has its last statements done, as PostgreSQL does them, and its server is free.

local cluster = require "tests.support.cluster"
local router = require "tests.support.router"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

local MB = 1 << 20

describe("a client that leaves", function()
  local pg, moongate, client

  setup(function()
    pg = cluster.shared()
    pg.primary:psql "drop table if exists leaving; create table leaving (id int)"
    pg:wait_for_replay()
  end)
  teardown(function() pg.primary:psql "drop table leaving" end)

  before_each(function()
    moongate = router.start { pg = pg, text = router.script(pg, {
      extra = "pool = { size = 1, acquire_timeout = 10 }," }) }
    client = wire.open(moongate.port)
    client:query "truncate leaving" -- from now on the primary is known, and no write is held
  end)
  after_each(function()
    client:close()
    moongate:stop()
  end)

  local function ids()
    return pg.primary:psql "select coalesce(string_agg(id::text, ',' order by id), '') from leaving"
  end

  local function wait_for(expected)
    wait.until_true(("the table to hold %s, not %s"):format(expected, ids()), function()
      return ids() == expected
    end)
  end

  -- The primary's only server is nobody's.
  local function assert_free()
    local other = wire.open(moongate.port)
    assert.is_nil(other:query("insert into leaving values (100)").error)
    other:quit()
  end

  local slowly = "insert into leaving select %d from pg_sleep(0.2)"

  describe("by Terminate", function()
    it("has the query done that came before it", function()
      client:send(wire.query(slowly:format(1)) .. wire.terminate())
      client:close()
      wait_for "1"
      assert_free()
    end)

    it("has a whole pipeline done", function()
      client:send(wire.extended(slowly:format(1)) .. wire.sync()
        .. wire.extended("select 1") .. wire.sync()
        .. wire.query("select 2") .. wire.query(slowly:format(2))
        .. wire.extended(slowly:format(3)) .. wire.sync() .. wire.terminate())
      local result
      for _ = 1, 5 do result = client:result() end
      assert.same({ "INSERT 0 1" }, result.tags)
      assert.is_true(client:ends())
      wait_for "1,2,3"
    end)

    it("has it done once a server is there for it", function()
      local other = wire.open(moongate.port)
      other:query("begin")
      other:query("insert into leaving values (1)")
      client:send(wire.query("insert into leaving values (2)") .. wire.terminate())
      client:close()
      assert.equal("", ids())
      other:query("commit")
      wait_for "1,2"
      other:quit()
    end)

    it("has a block undone that it has not ended", function()
      client:send(wire.query("begin") .. wire.query(slowly:format(1)) .. wire.terminate())
      client:result()
      client:result()
      assert.is_true(client:ends())
      assert_free()
      wait_for "100"
    end)

    it("has a batch undone that lacks its Sync", function()
      client:send(wire.extended("insert into leaving values (1)") .. wire.terminate())
      assert_free()
      wait_for "100"
    end)

    it("has a COPY undone that it has not ended", function()
      client:send(wire.query("copy leaving from stdin") .. wire.copy_data("1\n") .. wire.terminate())
      assert_free()
      wait_for "100"
    end)

    it("is heard behind messages that are passed over", function()
      client:send(wire.query("copy leaving from stdin"))
      client:result("G")
      client:send(wire.copy_data("1\n") .. wire.sync() .. wire.terminate())
      assert_free()
      wait_for "100"
    end)
  end)

  describe("by ending its direction", function()
    it("gets all its answers", function()
      client:send(wire.query(slowly:format(1)) .. wire.query("select 1")
        .. wire.extended(slowly:format(2)) .. wire.sync() .. wire.query("select repeat('x', 8000000)"))
      client:finish_sending()
      assert.same({ "INSERT 0 1" }, client:result().tags)
      assert.equal("1", client:result().rows[1][1])
      assert.same({ "INSERT 0 1" }, client:result().tags)
      assert.equal(8000000, #client:result().rows[1][1])
      assert.is_true(client:ends())
      wait_for "1,2"
      assert_free()
    end)

    it("gets them when its server is its own", function()
      client:query("listen leaving")
      client:send(wire.query(slowly:format(1)))
      client:finish_sending()
      assert.same({ "INSERT 0 1" }, client:result().tags)
      assert.is_true(client:ends())
      assert_free()
    end)

    local unfinished = {
      ["a long Query"] = wire.query("insert into leaving values (1) -- " .. ("x"):rep(3 * MB)):sub(1, 2 * MB),
      ["a long Bind"] = (wire.parse("", "insert into leaving values (length($1))")
        .. wire.bind("", "", { ("x"):rep(3 * MB) })):sub(1, 2 * MB),
      ["a COPY"] = wire.query("copy leaving from stdin") .. wire.copy_data("1\n"),
      ["a row of COPY"] = wire.query("copy leaving from stdin")
        .. wire.copy_data(("1\n"):rep(MB)):sub(1, MB),
    }
    for what, bytes in pairs(unfinished) do
      it(("in the middle of %s leaves its server"):format(what), function()
        client:send(bytes)
        client:finish_sending()
        client:result("")
        assert_free()
        wait_for "100"
      end)
    end
  end)
end)
