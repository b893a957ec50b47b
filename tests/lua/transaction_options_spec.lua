-- cluster:transaction(fn, options): access, isolation, retries; and tx:transaction(), a part of one.

local moongate = require "moongate"
local process = require "moongate.process"
local shared = require "tests.support.cluster"

describe("a transaction", function()
  local pg, cluster

  setup(function()
    pg = shared.shared()
    pg.primary:psql "drop table if exists lua_part; create table lua_part (id int primary key, n int default 0)"
    pg:wait_for_replay()
    cluster = moongate.cluster {
      primary = pg.primary.url,
      replicas = { pg.replicas[1].url },
      pool = { size = 2 },
      health = { interval = 0.05 },
    }
    cluster:health()
  end)
  before_each(function() pg.primary:psql "truncate lua_part; insert into lua_part values (1)" end)
  teardown(function() cluster:close() end)

  local function ids() return pg.primary:psql "select string_agg(id::text, ' ' order by id) from lua_part" end

  local function add(tx, id) return tx:assert_query("insert into lua_part values ($1)", id) end

  local PORT = "select current_setting('port')::int"

  describe("with options", function()
    it("that only reads runs on a replica, where it cannot write", function()
      for _, access in ipairs { "read only", "read" } do
        assert.equal(pg.replicas[1].port,
          cluster:transaction(function(tx) return tx:value(PORT) end, { access = access }))
      end
      local _, _, code = cluster:transaction(function(tx) add(tx, 2) end, { access = "read only" })
      assert.equal("25006", code)
    end)

    it("that only reads runs on the primary where no replica will do, or none may", function()
      local alone <close> = moongate.cluster { primary = pg.primary.url }
      local function where(tx) return { tx:value(PORT), tx:value "show transaction_read_only" } end
      assert.same({ pg.primary.port, "on" }, alone:transaction(where, { access = "read only" }))
      assert.same({ pg.primary.port, "on" },
        cluster:transaction(where, { access = "read only", isolation = "serializable" }))
    end)

    it("has the isolation that was asked for", function()
      for _, isolation in ipairs { "read committed", "repeatable read", "serializable", "read uncommitted" } do
        assert.equal(isolation,
          cluster:transaction(function(tx) return tx:value "show transaction_isolation" end, { isolation = isolation }))
      end
      assert.equal("on", cluster:transaction(function(tx) return tx:value "show transaction_deferrable" end,
        { isolation = "serializable", access = "read only", deferrable = true }))
    end)

    it("is done again when others were in its way, as often as was said", function()
      local attempts = 0
      local function raise(tx)
        attempts = attempts + 1
        tx:query "select n from lua_part" -- it sees this moment
        if attempts <= 2 then pg.primary:psql "update lua_part set n = n + 10" end
        tx:assert_query "update lua_part set n = n + 1"
        return attempts
      end
      local options = { isolation = "repeatable read", retries = 2 }
      assert.equal(3, cluster:transaction(raise, options))
      assert.equal("21", pg.primary:psql "select n from lua_part")
      attempts, options.retries = 0, 1
      local _, message, code = cluster:transaction(raise, options)
      assert.matches("could not serialize", message)
      assert.same({ "40001", 2 }, { code, attempts })
      assert.equal("41", pg.primary:psql "select n from lua_part")
    end)

    it("is done once when it was not asked to be done again, or fails for another reason", function()
      local attempts = 0
      cluster:transaction(function(tx)
        attempts = attempts + 1
        tx:query "do $$ begin raise sqlstate '40P01'; end $$"
      end)
      assert.equal(1, attempts)
      cluster:transaction(function(tx)
        attempts = attempts + 1
        tx:query "selec"
      end, { retries = 5 })
      assert.equal(2, attempts)
    end)

    it("is told what they may be", function()
      for wrong, message in pairs {
        [{ acess = "read" }] = 'unknown option "acess" %(did you mean "access"%?%)',
        [{ isolation = "snapshot" }] = 'isolation must be one of "read committed", .*, not "snapshot"',
        [{ retries = -1 }] = "retries must be an integer from 0",
        [5] = "must be a table of options",
      } do
        local _, raised = pcall(function() return (cluster:transaction(print, wrong)) end)
        assert.matches("^tests/lua/transaction_options_spec.lua:%d+: cluster:transaction: .*" .. message, raised)
      end
    end)
  end)

  describe("in a transaction", function()
    it("is kept with it", function()
      assert.equal("inner", cluster:transaction(function(tx)
        add(tx, 2)
        return tx:transaction(function(part)
          add(part, 3)
          return "inner"
        end)
      end))
      assert.equal("1 2 3", ids())
    end)

    it("is undone alone, and the rest is kept", function()
      local failures = {}
      assert.is_true(cluster:transaction(function(tx)
        add(tx, 2)
        local function keep(_, message, code) failures[#failures + 1] = { message, code } end
        keep(tx:transaction(function(part)
          add(part, 3)
          error("no", 0)
        end))
        keep(tx:transaction(function(part)
          add(part, 4)
          add(part, 1)
        end))
        keep(tx:transaction(function(part)
          add(part, 5)
          part:query "selec"
        end))
        keep(tx:transaction(function(part)
          part:transaction(function(deep) add(deep, 6) end)
          return nil, "changed my mind"
        end))
        tx:transaction(function(part) add(part, 7) end)
      end))
      assert.equal("1 2 7", ids())
      assert.same({
        { "no" },
        { 'duplicate key value violates unique constraint "lua_part_pkey"', "23505" },
        { 'syntax error at or near "selec"', "42601" },
        { "changed my mind" },
      }, failures)
    end)

    it("goes with it", function()
      cluster:transaction(function(tx)
        tx:transaction(function(part) add(part, 2) end)
        error "no"
      end)
      assert.equal("1", ids())
    end)

    it("tells of the connection that both have lost", function()
      local inner
      local _, message, code = cluster:transaction(function(tx)
        inner = table.pack(tx:transaction(function(part)
          pg.primary:psql(("select pg_terminate_backend(%d)"):format(part:value "select pg_backend_pid()"))
          part:query "select 1"
        end))
      end)
      for _, failure in ipairs { { inner[2], inner[3] }, { message, code } } do
        assert.matches("connection", failure[1])
        assert.matches("^08006$", failure[2])
      end
    end)

    it("is of no use once either is over", function()
      local kept, part
      cluster:transaction(function(tx)
        kept = tx
        tx:transaction(function(inner) part = inner end)
        assert.error_matches(function() part:query "select 1" end, "the transaction is over")
      end)
      assert.error_matches(function() kept:transaction(print) end, "the transaction is over")
      assert.error_matches(function() kept.transaction(nil, print) end, "call it as tx:transaction%(%.%.%.%)")
    end)
  end)

  it("that has no memory left is undone and says so", function()
    local script = ([[
      local moongate = require "moongate"
      local cluster <close> = moongate.cluster { primary = %q }
      local ok, why, code, fields = cluster:transaction(function(tx)
        tx:assert_query "insert into lua_part values (2)"
        return ("x"):rep(1000000000)
      end)
      print(ok, why, code, fields.message)]]):format(pg.primary.url)
    local env = require("luv").os_environ()
    env.LUA_PATH, env.LUA_CPATH = package.path, package.cpath
    local status, output, errors = process.run(
      { "sh", "-c", 'ulimit -v 500000 && exec lua5.4 -e "$1"', "sh", script }, { env = env })
    assert.equal(0, status, errors)
    assert.equal("nil\tnot enough memory\tnil\tnot enough memory\n", output)
    assert.equal("1", ids())
  end)

  it("that raises tells where", function()
    local _, message, code, fields = cluster:transaction(function() error "oops" end)
    assert.matches("transaction_options_spec.lua:%d+: oops$", message)
    assert.is_nil(code)
    assert.equal(message, fields.message)
    assert.matches("oops\nstack traceback:.*transaction_options_spec.lua", fields.traceback)
  end)
end)
