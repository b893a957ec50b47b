-- Reads that a replica refuses, cancels or drops are run again, unseen; and counted by reason.

local process = require "moongate.process"
local router = require "tests.support.router"
local throwaway = require "moongate.throwaway"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

describe("a read on a replica", function()
  local pg, replica, moongate, client

  setup(function()
    pg = throwaway.start {
      replicas = 1,
      settings = { max_standby_streaming_delay = 0, hot_standby_feedback = "off" },
    }
    replica = pg.replicas[1]
    pg.primary:psql "create table conflicts (n int)"
    pg.primary:psql "create table repaired (n int)"
  end)
  teardown(function() pg:stop() end)

  before_each(function()
    pg.primary:psql "truncate conflicts; insert into conflicts select generate_series(1, 100)"
    pg:wait_for_replay()
    moongate = router.start { pg = pg }
    client = wire.open(moongate.port)
    client:query "delete from conflicts where false" -- from now on the primary is known
    wait.until_true("reads to go to the replica", function()
      return client:served_by() == replica.port
    end)
  end)
  after_each(function()
    client:close()
    if moongate:is_running() then moongate:stop() end
  end)

  local function counted(what)
    moongate:stop()
    assert.matches(what, moongate:log())
  end

  local function wait_until_running(node, text)
    wait.until_true("it to run", function()
      return node:psql(([[select count(*) from pg_stat_activity where state = 'active'
        and query like '%%%s%%' and pid <> pg_backend_pid()]]):format(text)) ~= "0"
    end)
  end

  -- Slow on the replica only, so that what cuts it short there need not be quick.
  local function slow()
    return ([[select current_setting('port'), count(*) from conflicts, (select pg_sleep(
      case current_setting('port') when '%d' then 60 else 0 end)) slept]]):format(replica.port)
  end

  -- Removes what a snapshot on the replica may still see.
  local function vacuum()
    pg.primary:psql "delete from conflicts where n > 50"
    pg.primary:psql "vacuum conflicts"
  end

  local function goes_elsewhere(message)
    client:send(message)
    wait_until_running(replica, "slept")
    vacuum()
    local result = client:result()
    assert.is_nil(result.error, result.error and result.error.M)
    assert.same({ { tostring(pg.primary.port), "50" } }, result.rows)
    assert.equal("I", result.status)
    counted "repaired_conflict:1"
  end

  it("that stands in the way of replay is run elsewhere", function()
    goes_elsewhere(wire.query(slow()))
  end)

  it("that stands in the way of replay is run elsewhere, by the extended protocol", function()
    goes_elsewhere(wire.extended(slow()) .. wire.sync())
  end)

  it("that a lock from the primary cuts short is run elsewhere", function()
    client:send(wire.query(slow()))
    wait_until_running(replica, "slept")
    pg.primary:psql "alter table conflicts add column if not exists more int"
    local result = client:result()
    assert.is_nil(result.error, result.error and result.error.M)
    assert.equal(tostring(pg.primary.port), result.rows[1][1])
    counted "repaired_conflict:1"
  end)

  it("of a block that stood in the way of replay fails once, with PostgreSQL's reason", function()
    client:query "begin isolation level repeatable read, read only"
    client:query "select count(*) from conflicts"
    assert.equal(tostring(replica.port), client:value "select current_setting('port')")
    vacuum()
    wait.until_true("the block to be cut off", function()
      return replica:psql [[select count(*) from pg_stat_activity
        where state like 'idle in transaction%']] == "0"
    end)
    local result = client:query "select count(*) from conflicts"
    assert.equal("40001", result.error.C)
    assert.equal("ERROR", result.error.V)
    assert.equal("E", result.status)
    assert.same({ "ROLLBACK" }, client:query("rollback").tags)
    assert.equal("50", client:value "select count(*) from conflicts")
    counted "cut_off_blocks:1"
  end)

  it("is run elsewhere when its server is ended, however long its text", function()
    local long = ("select pg_sleep(case current_setting('port') when '%d' then 60 else 0 end), length('%s')"):format(
      replica.port, ("x"):rep(30000))
    client:send(wire.query(long))
    wait_until_running(replica, "pg_sleep")
    replica:psql [[select pg_terminate_backend(pid) from pg_stat_activity
      where query like '%pg_sleep%' and pid <> pg_backend_pid()]]
    local result = client:result()
    assert.is_nil(result.error, result.error and result.error.M)
    assert.equal("30000", result.rows[1][2])
    counted "repaired_lost:1"
  end)

  local BIG_THEN_SLOW = [[select n, repeat('x', 20000), case when n > 1 then pg_sleep(60) end
    from generate_series(1, 2) n]]

  it("is told when its server is ended after some of its answer has come", function()
    client:send(wire.query(BIG_THEN_SLOW))
    assert.equal("T", client:result("T").types)
    replica:psql [[select pg_terminate_backend(pid) from pg_stat_activity
      where query like '%repeat%' and pid <> pg_backend_pid()]]
    local result = client:result()
    assert.equal("DEZ", result.types)
    assert.equal("57P01", result.error.C)
    assert.equal("I", result.status)
    assert.equal("1", client:value "select 1")
  end)

  it("ends its client when it is lost in the middle of a row", function()
    client:send(wire.query(BIG_THEN_SLOW))
    assert.equal("T", client:result("T").types)
    replica:kill()
    local row = client:receive(20020)
    replica:start()
    assert.is_nil(row) -- the end came first
  end)

  it("that writes after all is run on the primary, and learned", function()
    pg.primary:psql [[create or replace function sneaky() returns int language plpgsql as
      $$ begin insert into repaired values (1); return 1; end $$]]
    pg.primary:psql "create or replace view innocent as select sneaky() as n"
    pg:wait_for_replay()
    local before = tonumber(pg.primary:psql "select count(*) from repaired")
    for _ = 1, 3 do assert.equal("1", client:value "select n from innocent") end
    assert.equal(before + 3, tonumber(pg.primary:psql "select count(*) from repaired"))
    counted "repaired_read_only:1"
  end)

  -- PostgreSQL's own catalogs of messages, in a locale made for this; nil where it cannot be.
  local function make_locale()
    local dir = pg.dir .. "/locales"
    process.run { "mkdir", "-p", dir }
    local ok, status = pcall(process.run,
      { "localedef", "-i", "de_DE", "-f", "UTF-8", "--no-archive", dir .. "/de_DE.UTF-8" })
    return ok and status == 0 and dir
  end

  it("is known to be refused by recovery in German, too", function()
    local locales = make_locale()
    if not locales then return pending "localedef makes no locale here" end
    pg.env.LOCPATH = locales
    replica:stop()
    replica:start()
    replica:psql "alter system set lc_messages = 'de_DE.UTF-8'"
    replica:psql "select pg_reload_conf()"
    pg.primary:psql "create unlogged table if not exists unlogged (n int)"
    pg:wait_for_replay()
    local message
    wait.until_true("messages to be translated", function()
      local _, _, errors = pg:run("psql", { replica.url, "-c", "select * from unlogged" })
      message = errors
      return errors:match "Wiederherstellung"
    end)
    assert.not_matches("recovery", message)
    wait.until_true("reads to go to the replica", function()
      return client:served_by() == replica.port
    end)
    local result = client:query "select count(*) from unlogged"
    assert.is_nil(result.error, result.error and result.error.M)
    assert.equal("0", result.rows[1][1])
    counted "repaired_recovery_refusal:1"
  end)
end)
