-- The primary is killed: what its clients are told, and that nothing runs twice.

local router = require "tests.support.router"
local throwaway = require "moongate.throwaway"
local uv = require "luv"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

local EXTRA = [[
  health = { interval = 0.2, timeout = 5, fall = 2, rise = 1 },
  backoff = { initial = 0.2, max = 0.5 },
  pool = { acquire_timeout = 30 },
]]

describe("when the primary is killed", function()
  local pg, moongate, client

  setup(function()
    pg = throwaway.start {}
    pg.primary:psql "create table crashed (note text)"
    -- Its COMMIT takes long.
    pg.primary:psql "create table slow (note text)"
    pg.primary:psql [[create function linger() returns trigger language plpgsql as
      $$ begin perform pg_sleep(60); return null; end $$]]
    pg.primary:psql [[create constraint trigger linger after insert on slow
      deferrable initially deferred for each row execute function linger()]]
  end)
  teardown(function() pg:stop() end)

  before_each(function()
    moongate = router.start { pg = pg, text = router.script(pg, { extra = EXTRA }) }
    client = wire.open(moongate.port)
  end)
  after_each(function()
    client:close()
    if moongate:is_running() then moongate:stop() end
    if not pg.primary:is_running() then pg.primary:start() end
  end)

  local function kill_while(text)
    wait.until_true("it to run", function()
      return pg.primary:psql(([[select count(*) from pg_stat_activity where state = 'active'
        and query ilike '%%%s%%' and pid <> pg_backend_pid()]]):format(text)) ~= "0"
    end)
    pg.primary:kill()
  end

  local function goes_on()
    pg.primary:start()
    local result = client:query "insert into crashed values ('goes on')"
    assert.is_nil(result.error, result.error and result.error.M)
    assert.equal("I", result.status)
  end

  local function assert_told(result, code, status)
    assert.equal(code, result.error and result.error.C)
    assert.equal("ERROR", result.error.V)
    assert.equal(1, #result.errors)
    assert.equal(status, result.status)
  end

  local function counted(what)
    moongate:stop()
    assert.matches(what, moongate:log())
  end

  local function log_of(node)
    local file <close> = assert(io.open(node.log))
    return file:read "a"
  end

  local WRITE = "insert into crashed select 'alone' from pg_sleep(60)"

  it("the outcome of a lone write is unknown", function()
    client:send(wire.query(WRITE))
    kill_while "alone"
    assert_told(client:result(), "08007", "I")
    goes_on()
    assert.equal("0", client:value "select count(*) from crashed where note = 'alone'")
    counted "unknown_outcomes:1"
  end)

  it("the outcome of a lone write is unknown, by the extended protocol", function()
    client:send(wire.extended(WRITE) .. wire.sync())
    kill_while "alone"
    assert_told(client:result(), "08007", "I")
    goes_on()
  end)

  local function begin_slow()
    client:query "begin"
    assert.equal("T", client:query("insert into slow values ('to commit')").status)
  end

  it("the outcome of a COMMIT is unknown", function()
    begin_slow()
    client:send(wire.query "commit")
    kill_while "commit"
    assert_told(client:result(), "08007", "I")
    goes_on()
    counted "cut_off_blocks:1"
  end)

  it("the outcome of a COMMIT is unknown, by the extended protocol", function()
    begin_slow()
    client:send(wire.extended "commit" .. wire.sync())
    kill_while "commit"
    assert_told(client:result(), "08007", "I")
    goes_on()
  end)

  it("a statement of a block is told that the block is rolled back", function()
    client:query "begin"
    client:query "insert into crashed values ('block')"
    client:send(wire.query "insert into crashed select 'block' from pg_sleep(60)")
    kill_while "pg_sleep"
    assert_told(client:result(), "08006", "E")
    assert_told(client:query "select 1", "25P02", "E")
    assert_told(client:query "savepoint s", "25P02", "E")
    assert.same({ "ROLLBACK" }, client:query("rollback").tags)
    goes_on()
    assert.equal("0", client:value "select count(*) from crashed where note = 'block'")
  end)

  it("the last statement of a block that only read is not in doubt", function()
    client:query "begin read only"
    client:query "select count(*) from crashed"
    client:send(wire.query "select pg_sleep(60)")
    kill_while "pg_sleep"
    assert_told(client:result(), "08006", "E")
    assert.same({ "ROLLBACK" }, client:query("rollback").tags)
    goes_on()
    counted "cut_off_blocks:1"
  end)

  it("a copy is told, and its client is in step", function()
    client:send(wire.query "copy crashed from stdin")
    client:result "G"
    client:send(wire.copy_data "copied\n")
    local pid = wait.until_true("the copy to run", function()
      return tonumber(pg.primary:psql [[select pid from pg_stat_activity
        where query like 'copy crashed%' and state = 'active']])
    end)
    uv.kill(pid, "sigkill") -- PostgreSQL starts anew by itself then
    assert_told(client:result(), "08006", "I")
    -- Until it has noticed it lets clients in, and ends them then.
    wait.until_true("PostgreSQL to notice", function()
      return log_of(pg.primary):find(("(PID %d) was terminated by signal 9"):format(pid), 1, true)
    end)
    client:send(wire.copy_data "copied\n" .. wire.copy_done())
    local result = client:query "insert into crashed values ('goes on')"
    assert.is_nil(result.error, result.error and result.error.M)
    assert.equal("0", client:value "select count(*) from crashed where note = 'copied'")
  end)

  it("a long copy out is told or ends, and never looks whole", function()
    client:send(wire.query "copy (select repeat('x', 1000), pg_sleep(0.001) from generate_series(1, 100000)) to stdout")
    client:result "d"
    pg.primary:kill()
    local ok, result = pcall(client.result, client)
    assert.is_true(not ok or result.closed or result.error ~= nil)
  end)
end)
