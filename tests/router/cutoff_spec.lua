-- A server dies in the middle of a client's work: one error, the right status, and on it goes.

local cluster = require "tests.support.cluster"
local router = require "tests.support.router"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

describe("a client whose server is lost", function()
  local pg, moongate, client

  setup(function()
    pg = cluster.shared()
    pg.primary:psql "create table cut_off (note text)"
    pg:wait_for_replay()
  end)
  teardown(function() pg.primary:psql "drop table cut_off" end)

  before_each(function()
    pg.primary:psql "truncate cut_off"
    moongate = router.start { pg = pg }
    client = wire.open(moongate.port)
  end)
  after_each(function()
    client:close()
    moongate:stop()
  end)

  local function count() return pg.primary:psql "select count(*) from cut_off" end

  -- Ends the server of the router's that runs, or has last run, something like `pattern`.
  local function kill_server(pattern)
    wait.until_true("a server to be ended", function()
      return pg.primary:psql(([[select count(pg_terminate_backend(pid)) from pg_stat_activity
        where query like '%%%s%%' and pid <> pg_backend_pid()]]):format(pattern)) ~= "0"
    end)
    wait.until_true("the server to be gone", function()
      return pg.primary:psql(([[select count(*) from pg_stat_activity
        where query like '%%%s%%' and pid <> pg_backend_pid()]]):format(pattern)) == "0"
    end)
  end

  local function goes_on()
    local result = client:query "insert into cut_off values ('goes on')"
    assert.is_nil(result.error, result.error and result.error.M)
    assert.equal("I", result.status)
  end

  -- A block that has written, and whose server is gone while the client thinks.
  local function lose_idle_block()
    client:query "begin"
    assert.equal("T", client:query("insert into cut_off values ('idle block')").status)
    kill_server "idle block"
  end

  it("between two statements of a block is told at the next one, once", function()
    lose_idle_block()
    local result = client:query "insert into cut_off values ('second')"
    assert.equal("57P01", result.error.C)
    assert.equal("ERROR", result.error.V)
    assert.equal("E", result.status)
    result = client:query "insert into cut_off values ('third')"
    assert.equal("25P02", result.error.C)
    assert.equal("E", result.status)
    result = client:query "rollback"
    assert.same({ "ROLLBACK" }, result.tags)
    assert.equal("I", result.status)
    assert.equal("0", count())
    goes_on()
  end)

  it("between two statements of a block may roll back without an error", function()
    lose_idle_block()
    local result = client:query "rollback"
    assert.is_nil(result.error)
    assert.same({ "ROLLBACK" }, result.tags)
    assert.equal("I", result.status)
    goes_on()
  end)

  it("between two statements of a block is never told that it was committed", function()
    lose_idle_block()
    local result = client:query "commit"
    assert.equal("57P01", result.error.C)
    assert.same({}, result.tags)
    assert.equal("I", result.status)
    assert.equal("0", count())
    goes_on()
  end)

  it("between two statements of a block is told in the extended protocol, too", function()
    lose_idle_block()
    client:send(wire.extended "insert into cut_off values ('second')" .. wire.sync())
    local result = client:result()
    assert.equal("57P01", result.error.C)
    assert.equal("EZ", result.types)
    assert.equal("E", result.status)
    client:send(wire.extended "rollback" .. wire.sync())
    result = client:result()
    assert.same({ "ROLLBACK" }, result.tags)
    assert.equal("I", result.status)
    goes_on()
  end)

  it("during a statement of a block gets PostgreSQL's reason, and its block has failed", function()
    client:query "begin"
    client:query "insert into cut_off values ('before')"
    client:send(wire.query "select 'in flight', pg_sleep(60)")
    kill_server "in flight"
    local result = client:result()
    assert.equal("57P01", result.error.C)
    assert.equal("ERROR", result.error.V)
    assert.equal(1, #result.errors)
    assert.equal("E", result.status)
    result = client:query "commit"
    assert.same({ "ROLLBACK" }, result.tags)
    assert.equal("0", count())
    goes_on()
  end)

  it("during a lone write gets PostgreSQL's reason, and stays", function()
    client:send(wire.query "insert into cut_off select 'lone write' from pg_sleep(60)")
    kill_server "lone write"
    local result = client:result()
    assert.equal("57P01", result.error.C)
    assert.equal("ERROR", result.error.V)
    assert.equal("I", result.status)
    assert.equal("0", count())
    goes_on()
  end)

  it("in a pipeline gets an answer for each Sync, with one error each", function()
    client:send(wire.extended "begin" .. wire.sync())
    client:result()
    client:send(wire.extended "insert into cut_off select 'piped' from pg_sleep(60)" .. wire.sync()
      .. wire.extended "insert into cut_off values ('behind')" .. wire.sync()
      .. wire.extended "commit" .. wire.sync())
    kill_server "piped"
    local first, second, third = client:result(), client:result(), client:result()
    assert.equal("57P01", first.error.C)
    assert.equal("E", first.status)
    assert.equal("25P02", second.error.C)
    assert.equal("E", second.status)
    assert.equal("I", third.status)
    assert.equal("08007", third.error.C) -- it had been sent: nobody can know
    assert.equal("0", count())
    goes_on()
  end)

  it("with an extended batch half said passes over the rest up to Sync", function()
    client:send(wire.extended "insert into cut_off select 'half' from pg_sleep(60)" .. wire.flush())
    kill_server "half"
    client:send(wire.extended "insert into cut_off values ('rest')" .. wire.sync())
    local result = client:result()
    assert.equal("57P01", result.error.C)
    assert.equal(1, #result.errors)
    assert.equal("I", result.status)
    assert.equal("0", count())
    goes_on()
  end)

  it("while it copies in has its data passed over", function()
    client:send(wire.query "copy cut_off from stdin")
    client:result "G"
    client:send(wire.copy_data "one\n")
    kill_server "copy cut_off"
    local result = client:result()
    assert.equal("57P01", result.error.C)
    assert.equal("I", result.status)
    client:send(wire.copy_data "two\n" .. wire.copy_done())
    assert.equal("0", count())
    goes_on()
  end)

  it("while it copies in by the extended protocol is in step after Sync", function()
    client:send(wire.extended "copy cut_off from stdin" .. wire.sync())
    client:result "G"
    client:send(wire.copy_data "one\n")
    kill_server "copy cut_off"
    client:send(wire.copy_data "two\n" .. wire.copy_done() .. wire.sync())
    local result = client:result()
    assert.equal("57P01", result.error.C)
    assert.equal("I", result.status)
    assert.equal("0", count())
    goes_on()
  end)

  it("that was pinned to it loses its connection, for what it had there is lost", function()
    client:query "listen something"
    kill_server "pg_listening_channels" -- what the router asked last
    local result = client:result()
    assert.equal("FATAL", result.error.V)
    assert.is_true(result.closed)
  end)

  it("with settings of its own has them on the next server", function()
    client:query "set application_name = 'mine'"
    lose_idle_block()
    client:query "rollback"
    assert.equal("mine", client:value "select current_setting('application_name')")
  end)

  it("and whose settings were changed in the lost block has the old ones", function()
    client:query "set application_name = 'before'"
    client:query "begin"
    client:query "set application_name = 'within'"
    client:query "insert into cut_off values ('idle block')"
    kill_server "idle block"
    client:query "rollback"
    assert.equal("before", client:value "select current_setting('application_name')")
  end)
end)
