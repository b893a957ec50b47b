-- Programs that people use: pgbench, psql, psycopg2.

local cluster = require "tests.support.cluster"
local process = require "moongate.process"
local router = require "tests.support.router"
local wait = require "tests.support.wait"

-- Uses what drivers do by themselves: BEGIN of its own, server-side cursors, COPY, cancel, errors.
local PSYCOPG = [[
import sys, threading, psycopg2, psycopg2.extras
db = psycopg2.connect(sys.argv[1], application_name="smoke", options="-c statement_timeout=20000")
with db, db.cursor() as cursor:
    cursor.execute("create table if not exists smoke (id int, at timestamptz, note text)")
    cursor.execute("truncate smoke")
    psycopg2.extras.execute_values(cursor, "insert into smoke values %s",
                                   [(i, "2020-01-01T00:00:00Z", "n\u00e9 %d" % i) for i in range(500)])
with db, db.cursor("server_side") as cursor:
    cursor.itersize = 50
    cursor.execute("select id, note from smoke order by id")
    assert [row[0] for row in cursor] == list(range(500))
try:
    with db, db.cursor() as cursor:
        cursor.execute("insert into smoke values (1000, now(), 'rolled back')")
        cursor.execute("select 1 / 0")
    raise SystemExit("no error")
except psycopg2.errors.DivisionByZero:
    pass
db.autocommit = True
with db.cursor() as cursor:
    cursor.execute("select count(*), max(note) from smoke where id >= %s", (499,))
    assert cursor.fetchone() == (1, "n\u00e9 499")
    cursor.execute("show application_name")
    assert cursor.fetchone() == ("smoke",)
    cursor.execute("show statement_timeout")
    assert cursor.fetchone() == ("20s",)
    with open(sys.argv[2], "w+") as file:
        cursor.copy_expert("copy smoke to stdout", file)
        file.seek(0)
        cursor.copy_expert("copy smoke from stdin", file)
    cursor.execute("select count(*) from smoke")
    assert cursor.fetchone() == (1000,)
    timer = threading.Timer(0.3, db.cancel)
    timer.start()
    try:
        cursor.execute("select pg_sleep(60)")
        raise SystemExit("not cancelled")
    except psycopg2.errors.QueryCanceled:
        pass
db.autocommit = False
blob = db.lobject(0, "wb")
blob.write(b"x" * 100000)
oid = blob.oid
db.commit()
assert db.lobject(oid, "rb").read() == b"x" * 100000
db.lobject(oid).unlink()
db.commit()
print("fine")
]]

describe("through the router", function()
  local pg, moongate

  setup(function()
    pg = cluster.shared()
    assert.equal(0, (process.run { pg.bindir .. "/pgbench", "-i", "-q", "-s", "2", pg.primary.url }))
    pg:wait_for_replay()
  end)

  -- As many servers as clients: named statements may keep a client on its server.
  local function start()
    moongate = router.start {
      pg = pg,
      text = router.script(pg, { weights = { 2, 1 }, extra = "pool = { size = 20 }," }),
    }
  end

  local function pgbench(...)
    local status, output, errors = process.run({ router.bin("pgbench"), "-n", ... },
      { env = router.environment_for_programs(), seconds = 60 })
    assert.equal(0, status, errors)
    assert.matches("number of failed transactions: 0 ", output)
    assert.not_matches("rror", errors)
    return tonumber(output:match("actually processed: (%d+)"))
  end

  -- What the nodes say of themselves. Their servers report when they end, at the latest.
  local function statistics(column)
    local list = {}
    for i, node in ipairs(pg:nodes()) do
      wait.until_true("servers to end", function()
        return node:psql [[select count(*) from pg_stat_activity
          where backend_type = 'client backend' and pid <> pg_backend_pid()]] == "0"
      end)
      list[i] = tonumber(node:psql(("select %s from pg_stat_database where datname = 'postgres'")
        :format(column)))
    end
    return list
  end

  -- By how much a column of pg_stat_database grows on each node, the primary first.
  local function growth(column, during)
    local before = statistics(column)
    start()
    local result = during()
    moongate:stop()
    local after = statistics(column)
    for i, value in ipairs(after) do after[i] = value - before[i] end
    return after, result
  end

  it("pgbench (TPC-B) runs without an error, and writes on the primary", function()
    local updated, count = growth("tup_updated", function()
      return pgbench("-c", "16", "-j", "2", "-T", "5", moongate:url())
    end)
    assert.is_true(count > 100, count)
    assert.is_true(updated[1] >= 3 * count, updated[1])
    assert.equal(tostring(count), pg.primary:psql "select count(*) from pgbench_history")
  end)

  for _, protocol in ipairs { "simple", "extended", "prepared" } do
    it(("pgbench -S -M %s runs without an error, where it belongs"):format(protocol),
      function()
        local commits, count = growth("xact_commit", function()
          return pgbench("-S", "-M", protocol, "-c", "16", "-j", "2", "-T", "3", moongate:url())
        end)
        local one, two = commits[2], commits[3]
        assert.is_true(one + two >= count, ("%d + %d of %d"):format(one, two, count))
        assert.is_true(commits[1] < count / 20 + 20, commits[1]) -- of the router's own, too
        -- 5 standard deviations, where a slow machine has run few.
        local tolerance = math.max(0.05, 5 * math.sqrt(2 / 9 / (one + two)))
        assert.is_true(math.abs(one / (one + two) - 2 / 3) < tolerance, one / (one + two))
      end)
  end

  it("psql's commands work", function()
    start()
    local output = moongate:psql [[
\set ON_ERROR_STOP off
\d pgbench_accounts
\dt
\l
\set ON_ERROR_ROLLBACK on
begin;
select 1/0;
\echo state :SQLSTATE
insert into pgbench_history (tid) values (-1);
commit;
\set ON_ERROR_ROLLBACK off
select 40 + 2 as answer \gset
\echo answer :answer
\copy (select 1) to '/dev/null'
\conninfo
]]
    moongate:stop()
    assert.matches("aid|integer", output, 1, true)
    assert.matches("state 22012", output)
    assert.matches("answer 42", output)
    assert.equal("1", pg.primary:psql "select count(*) from pgbench_history where tid = -1")
  end)

  it("psycopg2 works", function()
    start()
    local status, output, errors = process.run(
      { "/usr/bin/python3", "-c", PSYCOPG, moongate:url(), pg.dir .. "/smoke.copy" },
      { env = router.environment_for_programs() })
    moongate:stop()
    assert.equal(0, status, errors)
    assert.equal("fine\n", output)
  end)
end)
