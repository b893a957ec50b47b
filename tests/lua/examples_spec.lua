-- Every file in examples/, run as its own words say; and one policy, in both of its homes.

local cjson = require "cjson"
local moongate = require "moongate"
local process = require "moongate.process"
local shared = require "tests.support.cluster"
local uv = require "luv"
local wait = require "tests.support.wait"

local BINARY = os.getenv "MOONGATE_BIN" or "build/moongate"

-- Our environment, with these additions.
local function environment(additions)
  local env = uv.os_environ()
  env.LUA_PATH, env.LUA_CPATH = package.path, package.cpath
  for name, value in pairs(additions) do env[name] = value end
  return env
end

describe("the example", function()
  local pg

  setup(function()
    pg = shared.shared()
    pg.primary:psql "drop table if exists accounts"
    pg:wait_for_replay()
  end)

  local function run(name)
    local status, output, errors = process.run({ "lua5.4", "examples/" .. name }, {
      env = environment {
        DATABASE_URL = pg.primary.url,
        DATABASE_REPLICA_URL = pg.replicas[1].url .. " " .. pg.replicas[2].url,
      },
    })
    assert.equal(0, status, errors)
    return output
  end

  it("hello.lua connects, asks and prints", function()
    assert.matches("^hello from PostgreSQL", run "hello.lua")
  end)

  it("hello.lua does so in 10 lines, with comments and all", function()
    local lines = 0
    for _ in io.lines "examples/hello.lua" do lines = lines + 1 end
    assert.is_true(lines <= 10)
  end)

  it("hello.lua says what is missing", function()
    local status, _, errors = process.run({ "lua5.4", "examples/hello.lua" }, {
      env = { PATH = os.getenv "PATH", LUA_PATH = package.path, LUA_CPATH = package.cpath },
    })
    assert.equal(1, status)
    assert.matches("examples/hello%.lua:%d+: moongate%.from_env: DATABASE_URL is not set", errors)
  end)

  it("transfer.lua moves money once", function()
    local output = run "transfer.lua"
    assert.matches("^a second transfer: refused, SQLSTATE 23514: .*violates check constraint", output)
    assert.matches("\nalice has 40\nbob has 60\nhealth: healthy\n$", output)
  end)

  describe("worker.lua", function()
    local workers

    before_each(function()
      workers = {}
      pg.primary:psql "drop table if exists jobs, jobs_done, jobs_slow; create table jobs_done (id int, pid int)"
    end)
    after_each(function()
      for _, worker in ipairs(workers) do worker:kill "sigkill" end
    end)

    local function worker(...)
      local child = process.spawn({ "lua5.4", "examples/worker.lua", ... }, {
        env = environment { DATABASE_URL = pg.primary.url },
      })
      workers[#workers + 1] = child
      return child
    end

    -- One that has made the table, and waits.
    local function ready()
      local child = worker()
      wait.until_true("the worker to listen", function()
        return pg.primary:psql "select count(*) from pg_stat_activity where query like '%listen \"jobs\"'" ~= "0"
      end)
      return child
    end

    local function add(kind, payload, columns, values)
      pg.primary:psql(("insert into jobs (kind, payload%s) values ('%s', '%s'%s)"):format(
        columns and ", " .. columns or "", kind, payload, values and ", " .. values or ""))
    end

    local function wait_done(count)
      wait.until_true("the jobs to be done", function()
        return pg.primary:psql "select count(*) from jobs where done_at is not null" == tostring(count)
      end)
    end

    it("does each job once, however many there are of it", function()
      ready()
      for _ = 1, 2 do worker() end
      wait.until_true("all of them to listen", function()
        return pg.primary:psql "select count(*) from pg_stat_activity where query like '%listen \"jobs\"'" == "3"
      end)
      pg.primary:psql [[
        insert into jobs (kind, payload)
        select 'sql', format('insert into jobs_done select %s, pg_backend_pid() from pg_sleep(0.005)', i)
        from generate_series(1, 200) as i]]
      wait_done(200)
      assert.equal("200|200", pg.primary:psql "select count(*), count(distinct id) from jobs_done")
      assert.is_true(tonumber(pg.primary:psql "select count(distinct pid) from jobs_done") > 1)
    end)

    it("tries a job that fails so many times, and says why", function()
      local first = ready()
      first:kill "sigint"
      first:wait(20) -- it takes no job any more
      add("sql", "insert into jobs_done values (1, 0); select 1 / 0", "max_attempts, retry_after", "2, '0'")
      add("nonsense", "")
      add("print", "the last one")
      local once = worker "--once"
      assert.equal(0, (once:wait(20)), once.errors)
      assert.matches("job 1 failed, attempt 2 of 2: division by zero %(22012%)", once.output)
      assert.matches("there is no handler for jobs of kind nonsense", once.output)
      assert.matches("the last one", once.output)
      assert.equal("2|division by zero (22012)", pg.primary:psql "select attempts, error from jobs where id = 1")
      assert.equal("0", pg.primary:psql "select count(*) from jobs_done")
    end)

    it("goes on when its connections are cut off, and does the job once", function()
      local child = ready()
      pg.primary:psql "create table jobs_slow as select 60 as seconds"
      add("sql", "insert into jobs_done select 1, pg_backend_pid() from pg_sleep((select sum(seconds) from jobs_slow))")
      wait.until_true("the job to begin", function()
        return pg.primary:psql [[select count(*) from pg_stat_activity
          where wait_event = 'PgSleep' and query like 'insert into jobs_done %']] == "1"
      end)
      pg.primary:psql "delete from jobs_slow"
      wait.until_true("the job to be cut off", function()
        return pg.primary:psql [[
          select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity
          where state = 'active' and query like 'insert into jobs_done %']] == "1"
      end)
      pg.primary:psql "select pg_terminate_backend(pid) from pg_stat_activity where query like '%listen \"jobs\"'"
      wait_done(1)
      add("sql", "insert into jobs_done values (2, 0)")
      wait_done(2)
      assert.equal("1,2", pg.primary:psql "select string_agg(id::text, ',' order by id) from jobs_done")
      child:kill "sigint"
      assert.equal(0, (child:wait(20)), child.errors)
      assert.matches("trouble: .*connection", child.output)
    end)

    it("ends at Ctrl-C in the middle of a job, which is another's then", function()
      local child = ready()
      add("sql", "insert into jobs_done select 1, 0 from pg_sleep(60)")
      wait.until_true("the job to begin", function()
        return pg.primary:psql [[select count(*) from pg_stat_activity
          where state = 'active' and query like 'insert into jobs_done %']] == "1"
      end)
      child:kill "sigint"
      assert.equal(0, (child:wait(20)), child.errors)
      wait.until_true("the job to be free", function()
        return pg.primary:psql "select count(*) from (select from jobs for update skip locked) as free" == "1"
      end)
      assert.equal("0|", pg.primary:psql "select attempts, error from jobs")
    end)
  end)

  it("opens with one sentence that says what it shows", function()
    for entry in uv.fs_scandir_next, uv.fs_scandir "examples" do
      local file = assert(io.open("examples/" .. entry))
      local line = file:read "l"
      assert.is_truthy(line:find "^%-%- Shows " or line:find "^/%* [%w_]+%.c %- Shows ", entry)
      file:close()
    end
  end)
end)

describe("one policy", function()
  local statements = {
    "select 1",
    "select * from accounts where name = 'alice'",
    "select count(*) from orders /* moongate: report=yes */",
    "select count(*) from accounts /* moongate: report=yes */",
    "select * from orders for update",
    "insert into orders values (1)",
    "truncate orders",
    "with gone as (delete from orders returning *) select * from gone",
    "begin",
    "explain select * from orders",
    "explain analyze delete from orders",
    "show server_version",
    "selec",
    "",
  }

  -- What the router says of each statement, its script having the same policy.
  local function router_verdicts(policy)
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write(([[
      local moongate = require "moongate"
      return moongate.router {
        listen = "127.0.0.1:1",
        cluster = moongate.cluster {
          primary = "postgres://localhost:1/d",
          replicas = { "postgres://localhost:2/d" },
          policy = %s,
        },
      }]]):format(policy))
    file:close()
    local lines = {}
    for i, sql in ipairs(statements) do lines[i] = cjson.encode { sql = sql } end
    local status, output, errors = process.run(
      { BINARY, "explain", path, "--input", "json", "--json", "-f", "-" },
      { text = table.concat(lines, "\n") .. "\n", env = environment { MOONGATE_LOG = "warn" } })
    os.remove(path)
    assert.equal(0, status, errors)
    local verdicts = {}
    for line in output:gmatch "[^\n]+" do verdicts[#verdicts + 1] = cjson.decode(line).verdict end
    return verdicts
  end

  local function module_verdicts(policy)
    local cluster <close> = moongate.cluster {
      primary = "postgres://localhost:1/d", replicas = { "postgres://localhost:2/d" }, policy = policy,
    }
    local verdicts = {}
    for i, sql in ipairs(statements) do
      local failed
      verdicts[i], failed = cluster:verdict(sql)
      assert.is_false(failed)
    end
    return verdicts
  end

  it("of a file of one's own says the same in the router and in the module", function()
    local file = assert(io.open "examples/custom_policy.lua")
    local text = file:read "a"
    file:close()
    local in_module = module_verdicts(assert(load(text))())
    assert.same(in_module, router_verdicts(("(function() %s end)()"):format(text)))
    assert.same({ "replicas", "primary", "reports", "primary", "primary", "primary" },
      { table.unpack(in_module, 1, 6) })
    assert.equal("reject: TRUNCATE is not allowed here", in_module[7])
  end)

  it("that comes with moongate says the same in the router and in the module", function()
    local in_module = module_verdicts(require "moongate.policies.read_write_split")
    assert.same(in_module, router_verdicts "require 'moongate.policies.read_write_split'")
    assert.same({ "replicas", "replicas" }, { table.unpack(in_module, 1, 2) })
  end)
end)
