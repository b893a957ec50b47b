-- rows(): results that are taken row by row, as they come.
-- luacheck: ignore 512 (loops are left at once)

local moongate = require "moongate"
local process = require "moongate.process"
local shared = require "tests.support.cluster"
local wait = require "tests.support.wait"

describe("rows", function()
  local pg, cluster

  setup(function()
    pg = shared.shared()
    pg.primary:psql [[drop table if exists lua_stream, lua_stream_slow;
      create table lua_stream (id int primary key);
      create table lua_stream_slow as select 60 as seconds]]
    pg:wait_for_replay()
    cluster = moongate.cluster {
      primary = pg.primary.url,
      pool = { size = 4, acquire_timeout = 10 },
      health = { interval = 0.05 },
    }
    cluster:health()
  end)
  before_each(function() pg.primary:psql "truncate lua_stream" end)
  teardown(function() cluster:close() end)

  -- PostgreSQL sends when it has 8 KiB.
  local SLOW <const> = "select g, repeat('x', 2000), pg_sleep(0.001) from generate_series(1, 100000) g /* slow */"
  local LARGE <const> = "select g, repeat('x', 100) as t from generate_series(1, 1000000) g /* large */"

  local function stats() return cluster:pool("write"):stats() end

  local function running(pattern)
    return tonumber(pg.primary:psql(
      ("select count(*) from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() and query like '%s'")
        :format(pattern)))
  end

  after_each(function()
    collectgarbage()
    assert.equal(0, stats().lent)
    wait.until_true("PostgreSQL to stop", function() return running "%/* % */" == 0 end)
  end)

  local function three(result, message, code) return { result, message, code } end

  local function list(...)
    local all = {}
    for row in ... do all[#all + 1] = row end
    return all
  end

  -- What a loop over the rows of `sql` raises, and how many there were before.
  local function raised(on, sql, ...)
    local count, arguments = 0, table.pack(...)
    local ok, why = pcall(function()
      for _ in on:rows(sql, table.unpack(arguments, 1, arguments.n)) do count = count + 1 end
    end)
    assert.is_false(ok)
    return why, count
  end

  -- That it blames its caller.
  local function blamed(f, message)
    local line = debug.getinfo(f, "S").linedefined
    local _, why = pcall(f)
    assert.matches(("^tests/lua/stream_spec%%.lua:%d: .*%s"):format(line, message), why)
  end

  it("come in order, as those of query() do", function()
    local sql = [[select g, g::text as t, g * 1.5::float8 as f, g % 2 = 0 as b, null as z, array[g, null] as a,
      '\x00ff'::bytea as y, 1.10::numeric as n from generate_series(1, $1::int) g]]
    local rows = list(cluster:rows(sql, 500))
    assert.equal(500, #rows)
    assert.same(cluster:query(sql, 500), rows)
    local own <close> = moongate.cluster { primary = pg.primary.url, null = "nil", numeric = "float" }
    own:type(600, { decode = function(text) return "point " .. text end })
    assert.same({ { n = 1.5, p = "point (1,2)" }, { n = 1.5, p = "point (1,2)" } },
      list(own:rows "select null as z, 1.5::numeric as n, point(1, 2) as p from generate_series(1, 2)"))
  end)

  it("are none where there are none", function()
    assert.same({}, list(cluster:rows "select 1 as one where false"))
    assert.same({}, list(cluster:rows("insert into lua_stream values ($1)", 1)))
    assert.same({ { id = 1 } }, list(cluster:rows "delete from lua_stream returning id"))
    assert.same({}, list(cluster:rows ""))
  end)

  it("come beside those of others, of the same cluster", function()
    local pairs_seen = 0
    for a in cluster:rows "select g from generate_series(1, 100) g" do
      for b in cluster:rows("select $1::int as g", a.g) do
        assert.equal(a.g, b.g)
        pairs_seen = pairs_seen + 1
      end
    end
    assert.equal(100, pairs_seen)
  end)

  it("can be taken by hand", function()
    local rows <close> = cluster:rows "select g from generate_series(1, 2) g"
    assert.same({ g = 1 }, rows())
    assert.same({ g = 2 }, rows())
    assert.is_nil(rows())
    assert.is_nil(rows())
    rows:close()
    rows:close()
    blamed(function() rows() return end, "the rows were closed")
  end)

  it("raise what goes wrong before the first, with where it was", function()
    local why, count = raised(cluster, "selec")
    assert.equal(0, count)
    assert.equal("42601", why.code)
    assert.equal('syntax error at or near "selec" (42601)', tostring(why))
    assert.equal(1, why.fields.position)
    assert.matches("^tests/lua/stream_spec.lua:%d+$", why.where)
    assert.equal("42601", raised(cluster, "select 1; select 2").code)
    assert.equal("25000", raised(cluster, "begin").code)
    blamed(function() cluster:rows("select $1", print) return end, "parameter 1")
    assert.error_matches(function() cluster:rows() end, "string expected")
  end)

  it("raise what goes wrong in their middle", function()
    local why, count = raised(cluster, "select 1/(50000-g) as x from generate_series(1, 60000) g")
    assert.equal("22012", why.code)
    assert.equal(49999, count)
  end)

  it("raise what a decoder raises, at its row", function()
    local own <close> = moongate.cluster { primary = pg.primary.url, pool = { size = 1 } }
    own:type(25, { decode = function(text) return text == "3" and error "three" or text end })
    local why, count = raised(own, "select g::text as t from generate_series(1, 5) g")
    assert.matches("three", why)
    assert.equal(2, count)
    assert.equal(1, own:query("select 1 as one")[1].one)
  end)

  describe("whose decoder", function()
    local own

    before_each(function() own = moongate.cluster { primary = pg.primary.url, pool = { size = 1 } } end)
    after_each(function() own:close() end)

    -- A decoder for json, which stands ahead of the rest of its row.
    local function rows_that(decode, options)
      own:type(114, { decode = decode })
      return own:rows([[select '1'::json as j, repeat('a', 50) as a, null as n, repeat('b', 50) as b
        from generate_series(1, 4)]], options or {})
    end
    local WHOLE <const> = { j = "1", a = ("a"):rep(50), n = moongate.NULL, b = ("b"):rep(50) }

    it("closes them still gives the whole row", function()
      local rows
      rows = rows_that(function(text)
        rows:close()
        assert(own:query "select repeat('c', 50) from generate_series(1, 100)") -- takes the memory
        return text
      end)
      assert.same(WHOLE, rows())
      assert.has_error(rows, "the rows were closed")
    end)

    it("takes the next ones still gives the whole row", function()
      local rows
      local calls, second = 0, nil
      rows = rows_that(function(text)
        calls = calls + 1
        if calls == 1 then second = rows() end
        return text
      end)
      assert.same({ WHOLE, WHOLE, WHOLE }, list(rows))
      assert.same(WHOLE, second)
    end)

    it("closes them gives the whole row as a list, too", function()
      local rows
      rows = rows_that(function(text)
        rows:close()
        return text
      end, { as = "list" })
      assert.same({ WHOLE.j, WHOLE.a, WHOLE.n, WHOLE.b }, rows())
    end)
  end)

  it("end with the loop, however it is left, and leave no busy server", function()
    local closed = stats().closed
    for row in cluster:rows(LARGE) do if row.g == 3 then break end end
    local function find() for row in cluster:rows(LARGE) do if row.g == 3 then return row.g end end end
    assert.equal(3, find())
    assert.error_matches(function() for _ in cluster:rows(LARGE) do error "in the loop" end end, "in the loop")
    for row in cluster:rows(LARGE) do if row.g == 3 then goto out end end
    ::out::
    assert.equal(closed + 4, stats().closed)
    assert.equal(0, stats().lent)
  end)

  it("give their server back where all had arrived already", function()
    cluster:query "select 1"
    local closed = stats().closed
    for _ in cluster:rows "select g from generate_series(1, 50) g" do break end
    assert.equal(closed, stats().closed)
    assert.equal(0, stats().lent)
  end)

  it("end when they are collected", function()
    do
      local rows = cluster:rows(LARGE)
      assert.same(1, rows().g)
      assert.equal(1, stats().lent)
    end
    collectgarbage()
    collectgarbage()
    assert.equal(0, stats().lent)
  end)

  -- In a process of its own, where neither other tests' memory nor what they have left plays a part.
  it("take constant memory #release", function()
    local script = ([[
      local moongate = require "moongate"
      local cluster <close> = moongate.cluster { primary = %q }
      local function peak()
        return tonumber(io.open "/proc/self/status":read("a"):match "VmHWM:%%s*(%%d+) kB")
      end
      for _ in cluster:rows "select g from generate_series(1, 20000) g" do end
      local before, count = peak(), 0
      for _ in cluster:rows "select repeat('x', 1000) as t from generate_series(1, 100000)" do count = count + 1 end
      print(count, peak() - before)]]):format(pg.primary.url)
    local env = require("luv").os_environ()
    env.LUA_PATH, env.LUA_CPATH = package.path, package.cpath
    local status, output, errors = process.run({ "lua5.4", "-e", script }, { env = env })
    assert.equal(0, status, errors)
    local count, grown = output:match "^(%d+)\t(%d+)"
    assert.equal("100000", count)
    assert.is_true(tonumber(grown) < 8000, grown .. " kB for 100 MB")
  end)

  it("are not read ahead of who takes them", function()
    local rows <close> = cluster:rows(LARGE)
    rows()
    wait.until_true("PostgreSQL to wait for it", function()
      assert(cluster:query "select pg_sleep(0.05)") -- the loop runs
      return pg.primary:psql [[
        select count(*) from pg_stat_activity where wait_event = 'ClientWrite' and query like '%/* large */']] == "1"
    end)
    assert.equal(2, rows().g)
  end)

  it("let other tasks go on", function()
    local others = 0
    moongate.run(function()
      local task <close> = moongate.spawn(function()
        while true do
          others = others + 1
          moongate.sleep(0)
        end
      end)
      local results = moongate.gather(
        function() return #list(cluster:rows "select g, pg_sleep(0.0001) from generate_series(1, 300) g") end,
        function() return #list(cluster:rows "select g from generate_series(1, 20000) g") end)
      assert.same({ { 300 }, { 20000 } }, results)
      assert.equal("running", task.status)
    end)
    assert.is_true(others > 10)
  end)

  it("let the coroutines of a foreign loop go on", function()
    local cqueues = require "cqueues"
    local controller, others, counts = cqueues.new(), 0, {}
    for i = 1, 2 do
      controller:wrap(function()
        local count = 0
        for _ in cluster:rows "select g, repeat('x', 1000), pg_sleep(0.0005) from generate_series(1, 200) g" do
          count = count + 1
        end
        counts[i] = count
        for _ in cluster:rows(LARGE) do break end
        assert(cluster:transaction(function(tx)
          for _ in tx:rows "select repeat('x', 1000) from generate_series(1, 1000) g" do break end
          return tx:value "select 1"
        end))
      end)
    end
    controller:wrap(function()
      while not (counts[1] and counts[2]) do
        others = others + 1
        cqueues.sleep(0.005)
      end
    end)
    assert(controller:loop(20))
    assert.same({ 200, 200 }, counts)
    assert.is_true(others > 2, others)
  end)

  it("have one task at a time wait for them", function()
    moongate.run(function()
      local in_the_way <close> = assert(cluster:pool("write"):acquire())
      assert(in_the_way:query "select pg_advisory_lock(4713)")
      local rows <close> = cluster:rows [[select g, repeat('x', 9000),
        case g when 3 then pg_advisory_xact_lock(4713) end from generate_series(1, 3) g]] -- one arrives whole
      assert.equal(1, rows().g)
      local task = moongate.spawn(function() return rows().g end)
      moongate.sleep(0)
      assert.error_matches(rows, "another task waits for it")
      in_the_way:query "select pg_advisory_unlock(4713)"
      assert.equal(2, task:wait())
      local others, first
      task = moongate.spawn(function() -- of the first rows one arrives whole
        others = cluster:rows "select repeat('x', 9000), pg_sleep(g / 3 * 60) from generate_series(1, 3) g /* slow */"
        first = others()
        others()
      end)
      wait.until_true("the second row to be waited for", function()
        moongate.sleep(0.01)
        return first
      end)
      others:close()
      local ok, why = pcall(task.wait, task)
      assert.is_false(ok)
      assert.equal("it was closed meanwhile", why.message)
    end)
  end)

  it("end with the task that waits for them", function()
    assert.same({ nil, "timeout", "57014" }, three(moongate.with_timeout(0.1, function()
      for _ in cluster:rows(SLOW) do end
    end)))
    assert.same({ nil, "timeout", "57014" }, three(moongate.with_timeout(0.1, function()
      for _ in cluster:rows "select pg_sleep(60) /* first */" do end
    end)))
    cluster:transaction(function(tx)
      moongate.with_timeout(0.1, function()
        for _ in tx:rows(LARGE) do moongate.sleep(60) end
      end)
    end)
    local why
    moongate.run(function()
      local connection <close> = assert(cluster:pool("write"):acquire())
      moongate.with_timeout(0.1, function() for _ in connection:rows(SLOW) do end end)
      why = select(2, connection:query "select 1")
    end)
    assert.matches("the connection was lost: .*left before its end", why)
  end)

  it("raise that their cluster was closed, or their connection released", function()
    local own = moongate.cluster { primary = pg.primary.url }
    local why = select(2, pcall(function()
      for row in own:rows(LARGE) do if row.g == 2 then own:close() end end
    end))
    assert.equal("the cluster was closed (57P01)", tostring(why))
    local connection = assert(cluster:pool("write"):acquire())
    why = select(2, pcall(function()
      for row in connection:rows(LARGE) do if row.g == 2 then connection:release() end end
    end))
    assert.equal("the connection was released meanwhile (08003)", tostring(why))
    own = moongate.cluster { primary = pg.primary.url }
    moongate.run(function()
      local task = moongate.spawn(function() for _ in own:rows(SLOW) do end end)
      moongate.sleep(0.1)
      own:close()
      why = select(2, pcall(task.wait, task))
    end)
    assert.equal("57P01", why.code)
  end)

  it("raise that their server was lost, and whether it may have written", function()
    local function terminate(sql)
      return raised({ rows = function(_, ...)
        local rows, _, _, closing = cluster:rows(...)
        return function()
          local row = rows()
          if row and row.g == 5 then
            pg.primary:psql "select pg_terminate_backend(pid) from pg_stat_activity where query like '%/* gone */'"
          end
          return row
        end, nil, nil, closing
      end }, sql)
    end
    local why, count = terminate "select g, repeat('x', 1000) as t from generate_series(1, 100000) g /* gone */"
    assert.equal("08006", why.code)
    assert.matches("the connection to .* was lost: ", why.message)
    assert.is_true(count >= 5)
    why = terminate [[insert into lua_stream select g from generate_series(1, 100000) g
      returning id as g, repeat('x', 1000) as t /* gone */]]
    assert.equal("08007", why.code)
    assert.matches("the outcome is unknown", why.message)
  end)

  it("come from elsewhere where a server is lost before the first", function()
    local own <close> = moongate.cluster {
      primary = pg.primary.url, replicas = { pg.replicas[1].url, pg.replicas[2].url }, health = { interval = 0.05 },
      policy = function(c)
        local reads = c:route { to = "replicas", consistency = "eventual" }
        return function() return reads end
      end,
    }
    own:health()
    local function count(node, what)
      return tonumber(node:psql(([[select count(%s) from pg_stat_activity
        where wait_event = 'PgSleep' and query like '%%/* moves */' and pid <> pg_backend_pid()]]):format(what)))
    end
    moongate.run(function()
      local task = moongate.spawn(function()
        return list(own:rows [[select g, pg_sleep((select sum(seconds) from lua_stream_slow))
          from generate_series(1, 1) g /* moves */]])
      end)
      local node = wait.until_true("it to run on a replica", function()
        moongate.sleep(0.01)
        for i = 1, 2 do if count(pg.replicas[i], "*") == 1 then return pg.replicas[i] end end
      end)
      pg.primary:psql "delete from lua_stream_slow"
      pg:wait_for_replay()
      assert.equal(1, count(node, "pg_terminate_backend(pid)"))
      assert.equal(1, task:wait()[1].g)
    end)
  end)

  it("go where the policy says, and what they write is seen by those that follow", function()
    local own <close> = moongate.cluster {
      primary = pg.primary.url, replicas = { pg.replicas[1].url }, health = { interval = 0.05 },
      policy = function(c)
        local reads, writes = c:route { to = "replicas", consistency = "eventual" }, c:route { to = "primary" }
        local no = moongate.reject("no deletes here", "0A000")
        return function(query)
          if query.kind == "delete" then return no end
          return query.intent == "read" and reads or writes
        end
      end,
    }
    own:health()
    assert.same({ { p = pg.replicas[1].port } }, list(own:rows "select current_setting('port')::int as p"))
    assert.same({ { id = 1, p = pg.primary.port } },
      list(own:rows "insert into lua_stream values (1) returning id, current_setting('port')::int as p"))
    local why = raised(own, "delete from lua_stream")
    assert.equal("no deletes here (0A000)", tostring(why))
    -- A view hides the function: the replica refuses it, and it runs on the primary.
    pg.primary:psql [[create or replace function lua_stream_writes() returns int language sql volatile as
      'insert into lua_stream values (2) on conflict (id) do update set id = 2 returning id';
      create or replace view lua_stream_view as select lua_stream_writes() as n]]
    pg:wait_for_replay()
    assert.same({ { n = 2 } }, list(own:rows "select n from lua_stream_view"))
    local default <close> = moongate.cluster { primary = pg.primary.url, replicas = { pg.replicas[1].url } }
    default:health()
    for i = 10, 40 do
      for _ in default:rows("insert into lua_stream values ($1) returning id", i) do end
      assert.equal(1, #list(default:rows("select id from lua_stream where id = $1", i)))
    end
  end)

  it("are given up after their route's timeout, which runs while PostgreSQL is waited for", function()
    local own <close> = moongate.cluster {
      primary = pg.primary.url,
      policy = function(c)
        local short = moongate.timeout(c:route { to = "primary" }, 0.2)
        local longer = moongate.timeout(c:route { to = "primary" }, 0.5)
        return function(query) return query.sql == SLOW and longer or short end
      end,
    }
    local why, count = raised(own, SLOW)
    assert.equal("57014", why.code)
    assert.matches("timeout of the policy's route", why.message)
    assert.is_true(count > 0 and count < 1000, count)
    count = 0
    moongate.run(function()
      for row in own:rows "select g, repeat('x', 1000) as t from generate_series(1, 1000) g" do
        if row.g % 100 == 1 then moongate.sleep(0.03) end
        count = count + 1
      end
    end)
    assert.equal(1000, count)
  end)

  it("are given up after their call's timeout, too", function()
    cluster:pool("write"):acquire():release() -- no time is spent on connecting
    local why = raised(cluster, SLOW, { timeout = 0.1 })
    assert.equal("57014", why.code)
    assert.matches("cancelled at its timeout, after 0.1 s", why.message)
    why = raised(cluster, "select pg_sleep(60) /* first */", { timeout = 0.1 })
    assert.equal("57014", why.code)
    assert.equal(2, #list(cluster:rows("select $1::int from generate_series(1, 2)", 1, { timeout = 10 })))
  end)

  it("are counted by statistics", function()
    local query
    local own <close> = moongate.cluster {
      primary = pg.primary.url,
      policy = function() return function(q) query = { calls = q.stats.calls, rows = q.stats.rows } end end,
    }
    for _ = 1, 2 do list(own:rows "select g from generate_series(1, 70) g") end
    assert.same({ calls = 1, rows = 70 }, query)
  end)

  it("refuse COPY, and leave the connection as it was", function()
    for _, sql in ipairs { "copy lua_stream to stdout", "copy lua_stream from stdin" } do
      local why = raised(cluster, sql)
      assert.equal("0A000", why.code)
      assert.matches("copy_in%(%).*copy_out%(%)", why.message)
    end
  end)

  describe("of a connection or a transaction", function()
    it("have it for themselves", function()
      local connection <close> = assert(cluster:pool("write"):acquire())
      for row in connection:rows "select g from generate_series(1, 3) g" do
        if row.g == 1 then
          blamed(function() connection:query "select 1" return end, "the connection is busy")
        end
      end
      assert.equal(1, connection:query("select 1 as one")[1].one)
    end)

    it("are passed over where a loop is left, and it goes on", function()
      local sum = assert(cluster:transaction(function(tx)
        assert(tx:query "insert into lua_stream values (1)")
        for row in tx:rows "select g, repeat('x', 100) as t from generate_series(1, 20000) g" do
          if row.g == 10 then break end
        end
        for row in tx:rows "insert into lua_stream values (2), (3) returning id" do
          assert(row.id > 1)
        end
        return tx:value "select sum(id) from lua_stream"
      end))
      assert.equal(6, sum)
      assert.equal("3", pg.primary:psql "select count(*) from lua_stream")
      assert.equal(20000, moongate.run(function()
        local connection <close> = assert(cluster:pool("write"):acquire())
        for _ in connection:rows "select g, repeat('x', 100) as t from generate_series(1, 20000) g" do break end
        return #list(connection:rows "select g from generate_series(1, 20000) g")
      end))
    end)

    it("fail it as they fail", function()
      local ok, message, code = cluster:transaction(function(tx)
        assert(tx:query "insert into lua_stream values (1)")
        for _ in tx:rows "select 1/(3-g) from generate_series(1, 5) g" do end
      end)
      assert.same({ nil, "division by zero", "22012" }, { ok, message, code })
      ok, message, code = cluster:transaction(function(tx)
        pcall(function() for _ in tx:rows "select 1/(3-g) from generate_series(1, 5) g" do end end)
        return "fine"
      end)
      assert.same({ nil, "a statement of the transaction had failed", "25P02" }, { ok, message, code })
      ok, message = cluster:transaction(function(tx)
        for _ in tx:rows(LARGE) do error("in the loop", 0) end
      end)
      assert.same({ nil, "in the loop" }, { ok, message })
      assert.equal("0", pg.primary:psql "select count(*) from lua_stream")
      assert.error_matches(function() cluster:transaction(function(tx) tx:rows(LARGE) end) end, "busy")
    end)
  end)

  it("are no reason to hang at the end of the state, nor at Ctrl-C", function()
    local script = ([[
      local moongate = require "moongate"
      local cluster = moongate.cluster { primary = %q }
      local rows = cluster:rows %q
      rows()
      if arg[1] == "wait" then
        print(pcall(function() for _ in cluster:rows %q do end end))
        print(cluster:pool("write"):stats().lent)
      end
      moongate.run(function()
        moongate.spawn(function() for _ in cluster:rows %q do end end)
        moongate.spawn(function() for _ in cluster:rows %q do moongate.sleep(9) end end)
        moongate.sleep(0.05)
        print "exits"
        os.exit(0, true)
      end)
    ]]):format(pg.primary.url, LARGE, SLOW, SLOW, LARGE)
    local path = os.tmpname()
    local file <close> = assert(io.open(path, "w"))
    file:write(script)
    file:close()
    local status, output, errors = process.run({ "lua5.4", path }, { seconds = 20 })
    assert.equal("exits\n", output, errors)
    assert.equal(0, status, errors)
    local app = process.spawn { "lua5.4", path, "wait" }
    wait.until_true("the loop to run", function() return running "%/* slow */" > 0 end)
    app:kill "sigint"
    assert.equal(0, (app:wait(20)))
    assert.matches("false.*interrupted!\n1\nexits", app.output)
    os.remove(path)
  end)
end)
