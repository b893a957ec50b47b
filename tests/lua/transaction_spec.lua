-- cluster:transaction() and cluster:pool(): what needs one server for more than one statement.

local moongate = require "moongate"
local shared = require "tests.support.cluster"
local wait = require "tests.support.wait"

describe("on one server", function()
  local pg, cluster

  setup(function()
    pg = shared.shared()
    pg.primary:psql [[
      drop table if exists lua_tx;
      create table lua_tx (id int primary key deferrable initially deferred)]]
    pg:wait_for_replay()
    cluster = moongate.cluster {
      primary = pg.primary.url,
      replicas = { pg.replicas[1].url },
      pool = { size = 2, acquire_timeout = 10 },
      health = { interval = 0.05 },
    }
    cluster:health()
  end)
  before_each(function() pg.primary:psql "truncate lua_tx" end)
  teardown(function() cluster:close() end)

  -- A cluster with so many servers, all open, where nobody waits long for one.
  local function impatient(size)
    local own = moongate.cluster { primary = pg.primary.url, pool = { size = size, acquire_timeout = 0.2 } }
    local open = {}
    for i = 1, size do open[i] = assert(own:pool("write"):acquire(10)) end
    for i = 1, size do open[i]:release() end
    return own
  end

  local function count() return tonumber(pg.primary:psql "select count(*) from lua_tx") end

  -- What was returned, without what PostgreSQL said in detail.
  local function three(result, message, code) return { result, message, code } end

  describe("a transaction", function()
    it("says what went wrong also when rows were left open", function()
      local open
      local function leave_open(tx)
        open = tx:rows "select generate_series(1, 100000) as n"
        return open()
      end
      assert.same({ nil, "on purpose" }, three(cluster:transaction(function(tx)
        leave_open(tx)
        error("on purpose", 0)
      end)))
      assert.same({ nil, "changed my mind" }, three(cluster:transaction(function(tx)
        leave_open(tx)
        return nil, "changed my mind"
      end)))
      assert.is_false(pcall(open))
      assert.equal(1, cluster:transaction(function(tx) return tx:value "select 1" end))
    end)

    it("says what went wrong also while a statement of another task is under way", function()
      local endings = {
        [function() error("on purpose", 0) end] = { nil, "on purpose" },
        [function() return nil, "changed my mind", "X" end] = { nil, "changed my mind", "X" },
        -- It is one statement at a time; that is what is wrong here.
        [function(tx) return tx:query "select 1" end] = { nil, "the connection is busy", nil },
      }
      moongate.run(function()
        for ending, told in pairs(endings) do
          local other, after
          local function spoil(tx)
            tx:query "insert into lua_tx values (1)"
            other = moongate.spawn(function() return tx:query "select pg_sleep(76)" end)
            moongate.sleep(0)
            return ending(tx)
          end
          local result = three(cluster:transaction(spoil))
          assert.matches(told[2], result[2])
          assert.same({ told[1], told[3] }, { result[1], result[3] })
          assert.same({ nil, "the transaction ended meanwhile", "08003" }, three(other:wait()))

          result = three(cluster:transaction(function(tx)
            local part = three(tx:transaction(spoil))
            assert.matches(told[2], part[2])
            after = three(tx:query "select 1")
            return true
          end))
          assert.same({ nil, told[3] }, { result[1], result[3] })
          assert.matches(told[2], result[2])
          assert.equal("08006", after[3])
          assert.matches("its transaction ended while a statement of another task was under way", after[2])
          assert.same({ nil, "the transaction ended meanwhile", "08003" }, three(other:wait()))
        end
        assert.error_matches(function()
          cluster:transaction(function(tx)
            moongate.spawn(function() return tx:query "select pg_sleep(76)" end)
            moongate.sleep(0)
          end)
        end, "the connection is busy")
      end)
      assert.equal(0, count())
      assert.equal(0, cluster:pool("write"):stats().lent)
    end)

    it("has fields for each of its failures", function()
      local code, fields = select(3, cluster:transaction(function(tx) tx:query "commit" end))
      assert.same({ "25000", "25000" }, { code, fields.sqlstate })
      fields = select(4, cluster:transaction(function() return nil, "not today" end))
      assert.same({ message = "not today" }, fields) -- no SQLSTATE is made up for it
      code, fields = select(3, cluster:transaction(function() error("on purpose", 0) end))
      assert.same({ nil, "on purpose", nil }, { code, fields.message, fields.sqlstate })
    end)

    it("commits, and returns what its function returns", function()
      assert.same({ true }, { cluster:transaction(function(tx) assert(tx:query "insert into lua_tx values (1)") end) })
      assert.same({ 1, "two", false }, { cluster:transaction(function() return 1, "two", false end) })
      assert.same({ nil }, { cluster:transaction(function() return nil end) })
      assert.equal(1, count())
    end)

    it("returns no more values than a cluster does: none follows a result", function()
      local list = {}
      assert(cluster:transaction(function(tx)
        local statement = tx:prepare "select 3"
        table.insert(list, tx:value "select 1")
        table.insert(list, tx:transaction(function(part) return part:value "select 2" end))
        table.insert(list, statement:value())
      end))
      assert.same({ 1, 2, 3 }, list)
    end)

    it("is one: reads inside of it see its writes", function()
      local seen = cluster:transaction(function(tx)
        tx:query "insert into lua_tx values (1)"
        return tx:query("select count(*) as n, current_setting('port')::int as port from lua_tx")[1]
      end)
      assert.same({ n = 1, port = pg.primary.port }, seen)
    end)

    it("is shown to the policy, which may reject a statement but not its end", function()
      local own <close> = moongate.cluster {
        primary = pg.primary.url,
        policy = function()
          return function(query)
            if query.kind == "truncate" then
              return moongate.reject(("bound %s, on the %s"):format(query.bound, query.transaction.endpoint.role))
            end
          end
        end,
      }
      assert.same({ nil, "bound true, on the primary", "42501" }, three(own:transaction(function(tx)
        tx:query "insert into lua_tx values (1)"
        tx:query "truncate lua_tx"
      end)))
      assert.equal(0, count())
    end)

    it("leaves nothing when its function raises", function()
      local oops = {}
      assert.same({ nil, oops }, three(cluster:transaction(function(tx)
        tx:query "insert into lua_tx values (1)"
        error(oops)
      end)))
      assert.equal(0, count())
    end)

    it("leaves nothing when its function returns nil and a message", function()
      assert.same({ nil, "changed my mind", "X" }, three(cluster:transaction(function(tx)
        tx:query "insert into lua_tx values (1)"
        return nil, "changed my mind", "X"
      end)))
      assert.equal(0, count())
    end)

    it("leaves nothing when a statement failed, whatever its function says", function()
      assert.same({ nil, 'syntax error at or near "selec"', "42601" }, three(cluster:transaction(function(tx)
        tx:query "insert into lua_tx values (1)"
        tx:query "selec"
        return true
      end)))
      local _, message, code = cluster:transaction(function(tx)
        tx:query "insert into lua_tx values (1)"
        local rows, why = tx:query "selec"
        if not rows then error(why) end
      end)
      assert.matches("syntax error", message)
      assert.equal("42601", code)
      assert.equal(0, count())
    end)

    it("commits when a failed statement was undone by a savepoint", function()
      assert.is_true(cluster:transaction(function(tx)
        tx:query "insert into lua_tx values (1)"
        tx:query "savepoint s"
        tx:query "selec"
        tx:query "rollback to s"
      end))
      assert.equal(1, count())
    end)

    it("tells when COMMIT is refused", function()
      local ok, message, code = cluster:transaction(function(tx)
        assert(tx:query "insert into lua_tx values (1)")
        assert(tx:query "insert into lua_tx values (1)")
      end)
      assert.is_nil(ok)
      assert.matches("duplicate key", message)
      assert.equal("23505", code)
      assert.equal(0, count())
    end)

    it("tells when it was ended inside", function()
      assert.equal("25000", (select(3, cluster:transaction(function(tx) tx:query "commit" end))))
    end)

    it("is of no use afterwards", function()
      local kept
      cluster:transaction(function(tx) kept = tx end)
      assert.error_matches(function() kept:query "select 1" end, "the transaction is over")
    end)

    it("gives its server back, however it ends", function()
      for _ = 1, 5 do
        cluster:transaction(function() error "no" end)
        cluster:transaction(function(tx) tx:query "selec" end)
        cluster:transaction(function() end)
      end
      local stats = cluster:pool("write"):stats()
      assert.equal(0, stats.lent)
      assert.is_true(stats.idle > 0)
    end)

    it("may wait for a server only so long", function()
      local own <close> = impatient(2)
      local ok, message, code = own:transaction(function()
        return own:transaction(function()
          return own:transaction(function() return true end)
        end)
      end)
      assert.is_nil(ok)
      assert.matches("in time", message)
      assert.equal("53300", code)
    end)

    it("says that the connection was lost before its COMMIT, of which nothing is unknown", function()
      for _, last in ipairs { "nothing", "select 1" } do
        local ok, message, code = cluster:transaction(function(tx)
          assert(tx:query "insert into lua_tx values (1)")
          local pid = tx:query("select pg_backend_pid() as pid")[1].pid
          pg.primary:psql(("select pg_terminate_backend(%d, 5000)"):format(pid))
          if last ~= "nothing" then tx:query(last) end
          return true
        end)
        assert.is_nil(ok)
        assert.matches("lost", message)
        assert.equal("08006", code)
      end
      assert.equal(0, count())
    end)

    it("may find its cluster closed", function()
      for _, case in ipairs {
        { fn = function() return true end, message = "lost", code = "08006" },
        { fn = function(tx) tx:query "select 1" return true end, message = "cluster is closed" },
        { fn = function() error "mine" end, message = "mine" },
      } do
        local own = moongate.cluster { primary = pg.primary.url }
        local ok, message, code = own:transaction(function(tx)
          assert(tx:query "insert into lua_tx values (1)")
          own:close()
          return case.fn(tx)
        end)
        assert.is_nil(ok)
        assert.matches(case.message, message)
        assert.equal(case.code, code)
      end
      wait.until_true("nothing to be left", function() return count() == 0 end)
    end)

    it("has a message even where nil was raised", function()
      assert.same({ nil, "the function raised nil" }, three(cluster:transaction(function() error(nil) end)))
    end)

    it("is asked with a colon", function()
      local _, message = cluster:transaction(function(tx) tx.query "select 1" end)
      assert.matches("transaction_spec%.lua:%d+: call it as tx:query", message)
    end)

    it("takes a function", function()
      assert.error_matches(function() cluster:transaction "begin" end, "takes a function%(tx%), not a string")
    end)

    it("says that the connection was lost in its middle", function()
      local ok, message, code = cluster:transaction(function(tx)
        assert(tx:query "insert into lua_tx values (1)")
        local pid = tx:query("select pg_backend_pid() as pid")[1].pid
        pg.primary:psql(("select pg_terminate_backend(%d, 5000)"):format(pid))
        return tx:query "insert into lua_tx values (2)"
      end)
      assert.is_nil(ok)
      assert.matches("lost", message)
      assert.equal("08006", code)
      assert.equal(0, count())
    end)
  end)

  describe("a pool", function()
    it("lends servers by intent, and takes them back", function()
      wait.until_true("the replica to have caught up", function()
        return cluster:query("select current_setting('port')::int as port")[1].port ~= pg.primary.port
      end)
      local reads, writes = cluster:pool "read", cluster:pool "write"
      local r, w = assert(reads:acquire()), assert(writes:acquire())
      assert.is_true(r:query("select pg_is_in_recovery() as r")[1].r)
      assert.is_false(w:query("select pg_is_in_recovery() as r")[1].r)
      assert.equal(1, reads:stats().lent)
      reads:release(r)
      writes:release(w)
      assert.equal(0, reads:stats().lent)
      assert.error_matches(function() r:query "select 1" end, "released")
      reads:release(r)
    end)

    it("takes back what is closed, or collected", function()
      local writes = cluster:pool "write"
      do
        local c <close> = writes:acquire()
        assert.equal(1, writes:stats().lent)
        assert.equal("idle", c:status())
      end
      assert.equal(0, writes:stats().lent)
      writes:acquire()
      collectgarbage()
      collectgarbage()
      assert.equal(0, writes:stats().lent)
    end)

    it("keeps a session's state while it is lent, and no longer", function()
      local writes = cluster:pool "write"
      local c = writes:acquire()
      c:query "create temp table lua_tx_temp as select 1 as one"
      assert.same({ { one = 1 } }, (c:query "select * from lua_tx_temp"))
      c:query "begin"
      assert.equal("in_block", c:status())
      c:query "selec"
      assert.equal("failed", c:status())
      writes:release(c)
      for _ = 1, 5 do
        local other <close> = writes:acquire()
        assert.equal("idle", other:status())
        assert.equal("42P01", (select(3, other:query "select * from lua_tx_temp")))
      end
    end)

    it("knows that a DISCARD ALL has failed, and lends no server with what it would have discarded", function()
      local writes = cluster:pool "write"
      local c = writes:acquire()
      assert(c:query "create temp table lua_tx_kept (i int)")
      assert(c:query "begin")
      assert.equal("25001", (select(3, c:query "discard all")))
      assert(c:query "rollback")
      writes:release(c)
      local other <close> = writes:acquire()
      assert.equal("42P01", (select(3, other:query "select * from lua_tx_kept")))
      assert(other:query "create temp table lua_tx_kept (i int)")
      local pid = other:query("select pg_backend_pid() as pid")[1].pid
      assert(other:query "discard all")
      other:release()
      local again <close> = writes:acquire()
      assert.equal(pid, again:query("select pg_backend_pid() as pid")[1].pid)
    end)

    it("has a size", function()
      local own <close> = impatient(2)
      local writes = own:pool "write"
      local a <close> = writes:acquire()
      local b <close> = writes:acquire()
      assert.is_truthy(a and b)
      local c, _, code = writes:acquire()
      assert.is_nil(c)
      assert.equal("53300", code)
      assert.equal(2, writes:stats().lent)
    end)

    it("knows two intents", function()
      assert.error_matches(function() cluster:pool "reads" end, 'takes "read" or "write"')
    end)

    it("loses its servers when the cluster is closed", function()
      local own = moongate.cluster { primary = pg.primary.url }
      local c = own:pool("write"):acquire()
      assert.is_truthy(c:query "select 1")
      own:close()
      assert.error_matches(function() c:query "select 1" end, "closed")
      c:release()
    end)
  end)
end)
