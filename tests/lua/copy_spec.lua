-- copy_out() and copy_in(): COPY to and from the application.
-- luacheck: ignore 512 (loops are left at once)

local moongate = require "moongate"
local shared = require "tests.support.cluster"
local wait = require "tests.support.wait"

describe("COPY", function()
  local pg, cluster

  setup(function()
    pg = shared.shared()
    pg.primary:psql [[drop table if exists lua_copy, lua_copy_types, lua_copy_checked;
      create table lua_copy (id int, v text);
      create table lua_copy_types (i2 int2, i8 int8, f8 float8, n numeric, b bool, t text, y bytea, a int[], j jsonb,
        u uuid, d date, z text, last text);
      create table lua_copy_checked (id int primary key check (id < 1000))]]
    cluster = moongate.cluster {
      primary = pg.primary.url,
      pool = { size = 4, acquire_timeout = 10 },
      health = { interval = 0.05 },
    }
    cluster:health()
  end)
  before_each(function() pg.primary:psql "truncate lua_copy, lua_copy_types, lua_copy_checked" end)
  teardown(function() cluster:close() end)

  local function stats() return cluster:pool("write"):stats() end

  after_each(function()
    collectgarbage()
    assert.equal(0, stats().lent)
  end)

  local function list(...)
    local all = {}
    for piece in ... do all[#all + 1] = piece end
    return all
  end

  local function three(result, message, code) return { result, message, code } end

  local function raised(f)
    local ok, why = pcall(f)
    assert.is_false(ok)
    return why
  end

  -- What is given piece by piece, from a list.
  local function source_of(pieces, each)
    local i = 0
    return function()
      i = i + 1
      if each then each(i) end
      return pieces[i]
    end
  end

  local function counted() return tonumber(pg.primary:psql "select count(*) from lua_copy") end

  local IN <const> = "copy lua_copy from stdin"

  describe("to the application", function()
    it("gives a line for each row, in its formats", function()
      local rows = "(select g, 'a' || g from generate_series(1, 3) g)"
      assert.same({ "1\ta1\n", "2\ta2\n", "3\ta3\n" }, list(cluster:copy_out("copy " .. rows .. " to stdout")))
      assert.same({ "g;x\n", "1;a1\n" },
        list(cluster:copy_out "copy (select 1 as g, 'a1' as x) to stdout with (format csv, header, delimiter ';')"))
      assert.equal("PGCOPY\n\xff\r\n\0", table.concat(list(cluster:copy_out(
        "copy " .. rows .. " to stdout with (format binary)"))):sub(1, 11))
      assert.same({}, list(cluster:copy_out "copy lua_copy to stdout"))
    end)

    it("is a read, which the policy sends to a replica", function()
      local own <close> = moongate.cluster {
        primary = pg.primary.url, replicas = { pg.replicas[1].url },
        policy = function(c)
          local reads = c:route { to = "replicas", consistency = "eventual" }
          return function(q) if q.intent == "read" then return reads end end
        end,
      }
      assert.same({ pg.replicas[1].port .. "\n" },
        list(own:copy_out "copy (select current_setting('port')) to stdout"))
    end)

    it("raises what goes wrong, before the first line or later", function()
      assert.equal("42P01", raised(function() cluster:copy_out "copy nowhere to stdout" end).code)
      local count = 0
      assert.equal("22012", raised(function()
        for _ in cluster:copy_out "copy (select 1/(5000-g) from generate_series(1, 6000) g) to stdout" do
          count = count + 1
        end
      end).code)
      assert.equal(4999, count)
    end)

    it("ends with the loop", function()
      local all = "copy (select repeat('x', 100) from generate_series(1, 1000000)) to stdout"
      for _ in cluster:copy_out(all) do break end
      for _ in cluster:copy_out "copy (select 1 from generate_series(1, 10)) to stdout" do break end
      assert.equal(2, (cluster:transaction(function(tx)
        for _ in tx:copy_out "copy (select repeat('x', 100) from generate_series(1, 10000)) to stdout" do break end
        return tx:value "select 2"
      end)))
      assert.same({ nil, "timeout", "57014" }, three(moongate.with_timeout(0.05, function()
        for _ in cluster:copy_out(all) do moongate.sleep(60) end
      end)))
      wait.until_true("PostgreSQL to stop", function()
        return pg.primary:psql "select count(*) from pg_stat_activity where state = 'active' and query like 'copy%'"
          == "0"
      end)
    end)
  end)

  describe("from the application", function()
    it("takes a string, a list and a function, and counts the rows", function()
      assert.equal(2, cluster:copy_in(IN, "1\ta\n2\tb\n"))
      assert.equal(3, cluster:copy_in(IN, { "3\tc\n4", "\td\n", { 5, "e" } }))
      assert.equal(2, cluster:copy_in(IN, source_of { "6\tf\n", { 7, "g" } }))
      assert.equal(0, cluster:copy_in(IN, ""))
      assert.equal(0, cluster:copy_in(IN, {}))
      assert.equal(0, cluster:copy_in(IN, function() end))
      assert.equal(1, cluster:copy_in("copy lua_copy from stdin with (format csv)", '8,"h"\n'))
      assert.equal("a,b,c,d,e,f,g,h", pg.primary:psql "select string_agg(v, ',' order by id) from lua_copy")
    end)

    it("keeps every type, and every text", function()
      local text = "\\ \\N \\. \t tab \n line \r return \b \f \v 'quoted' \"ä€😀\" \1"
      local first = {
        -32768, math.mininteger, 0.1, 1 / 3, true, text, moongate.bytea "\0\1\\\255\n", moongate.array { 1, nil, 3 },
        moongate.json({ a = text }), "6f1f2b40-0f5b-4c0c-8d2c-0b8d6a9e0001", "2024-02-29", "", nil, n = 13,
      }
      local second = { nil, nil, math.huge, nil, false, "\\N", nil, nil, nil, nil, nil, moongate.NULL, "end" }
      assert.equal(2, cluster:copy_in("copy lua_copy_types from stdin", { first, second }))
      local function check()
        local rows = assert(cluster:query "select * from lua_copy_types order by b desc")
        local NULL = moongate.NULL
        assert.equal(text, require "cjson".decode(rows[1].j).a)
        rows[1].j = nil
        assert.same({
          i2 = -32768, i8 = math.mininteger, f8 = 0.1, n = "0.3333333333333333", b = true, t = text,
          y = "\0\1\\\255\n", a = { 1, NULL, 3 }, u = first[10], d = "2024-02-29", z = "", last = NULL,
        }, rows[1])
        assert.same({
          i2 = NULL, i8 = NULL, f8 = math.huge, n = NULL, b = false, t = "\\N", y = NULL, a = NULL, j = NULL,
          u = NULL, d = NULL, z = NULL, last = "end",
        }, rows[2])
      end
      check()
      for _, format in ipairs { "text", "csv", "binary" } do
        local with = " with (format " .. format .. ")"
        local lines = list(cluster:copy_out("copy lua_copy_types to stdout" .. with))
        pg.primary:psql "truncate lua_copy_types"
        assert.equal(2, cluster:copy_in("copy lua_copy_types from stdin" .. with, lines))
        check()
      end
    end)

    it("pours one COPY into another in constant memory #release", function()
      local function peak()
        return tonumber(assert(io.open "/proc/self/status"):read("a"):match "VmHWM:%s*(%d+) kB")
      end
      local before = peak()
      assert.equal(300000, cluster:copy_in(IN, cluster:copy_out(
        "copy (select g, repeat('x', 100) from generate_series(1, 300000) g) to stdout")))
      assert.is_true(peak() - before < 8000, peak() - before)
      assert.equal("300000 45000150000", pg.primary:psql "select count(*) || ' ' || sum(id) from lua_copy")
    end)

    it("takes rows of any size", function()
      pg.primary:psql "truncate lua_copy"
      assert.equal(1, cluster:copy_in(IN, "1\t" .. ("y"):rep(10000000) .. "\n"))
      assert.equal("10000000", pg.primary:psql "select length(v) from lua_copy")
    end)

    it("works over TLS", function()
      local own <close> = moongate.cluster { primary = pg.primary.url .. "?sslmode=require" }
      assert.equal("true", tostring((own:value "select ssl from pg_stat_ssl where pid = pg_backend_pid()")))
      assert.equal(20000, own:copy_in(IN, own:copy_out(
        "copy (select g, repeat('x', 100) from generate_series(1, 20000) g) to stdout")))
      local rows = 0
      for _ in own:rows "select * from lua_copy" do rows = rows + 1 end
      assert.equal(20000, rows)
    end)

    it("returns what PostgreSQL says against the data, and copies none of it", function()
      local function copy(...) return three(cluster:copy_in("copy lua_copy_checked from stdin", ...)) end
      assert.equal("23505", copy("1\n1\n")[3])
      assert.equal("23514", copy({ { 1 }, { 1000 } })[3])
      local result, message, code, fields = cluster:copy_in(IN, "1\n")
      assert.same({ nil, 'missing data for column "v"', "22P04" }, { result, message, code })
      assert.matches("line 1", fields.context)
      assert.equal("0", pg.primary:psql "select count(*) from lua_copy_checked")
      assert.equal("42P01", three(cluster:copy_in("copy nowhere from stdin", "1\n"))[3])
    end)

    it("asks its source for no more once PostgreSQL has refused", function()
      local count = 0
      local _, _, code = cluster:copy_in("copy lua_copy_checked from stdin", function()
        count = count + 1
        return count < 3e6 and { count } or nil
      end)
      assert.equal("23514", code)
      assert.is_true(count < 3e6, count)
    end)

    it("is refused in the middle of what it sends, and keeps its server", function()
      pg.primary:psql [[create or replace function lua_copy_refuses() returns trigger language plpgsql as
        $$ begin perform pg_sleep(0.2); raise exception 'none of it'; end $$;
        create trigger refuses before insert on lua_copy for each row execute function lua_copy_refuses()]]
      local data = "1\ta\n" .. ("2\t" .. ("x"):rep(3000) .. "\n"):rep(4000) -- more than sockets take meanwhile
      for _, mode in ipairs { "disable", "require" } do
        local own <close> = moongate.cluster { primary = pg.primary.url .. "?sslmode=" .. mode, pool = { size = 1 } }
        local pid = own:value "select pg_backend_pid()"
        assert.same({ nil, "none of it", "P0001" },
          three(moongate.with_timeout(5, own.copy_in, own, IN, data)))
        assert.equal(pid, own:value "select pg_backend_pid()")
      end
      pg.primary:psql "drop trigger refuses on lua_copy"
    end)

    it("undoes it where the source raises, and raises that on", function()
      local closed = stats().closed
      local oops = {}
      assert.equal(oops, raised(function()
        cluster:copy_in(IN, source_of({ ("1\ta\n"):rep(20000), "2\tb\n" }, function(i)
          if i == 2 then error(oops) end -- some of it is there already
        end))
      end))
      local traceback
      xpcall(cluster.copy_in, function() traceback = debug.traceback() end, cluster, IN, function()
        local function deep() error "no data" end
        deep()
      end)
      assert.matches("upvalue 'deep'", (traceback:gsub("local 'deep'", "upvalue 'deep'")))
      assert.equal(0, counted())
      assert.equal(closed, stats().closed)
    end)

    it("blames its caller for what is no data, and copies nothing", function()
      local function blamed(source, message)
        assert.matches("^tests/lua/copy_spec%.lua:%d+: .*" .. message,
          raised(function() return (cluster:copy_in(IN, source)) end))
      end
      blamed(nil, "its source is a string, a list of strings and rows, or a function")
      blamed(moongate.NULL, "its source is .* got userdata")
      blamed(io.stdout, "its source is .* got file")
      blamed(cluster, "its source is .* got moongate.cluster")
      blamed({ "1\ta\n", 7 }, "strings, tables %(rows%), and nil at the end; got number")
      blamed({ { 1, "a" }, { 2, print } }, "value 2 of a row: .* got function")
      blamed({ { 1, "a" }, { 2, "\0" } }, "value 2 of a row: .* zero bytes")
      assert.equal(0, counted())
    end)

    it("has a source that waits, while others go on", function()
      local slept = 0
      local copied = moongate.run(function()
        moongate.spawn(function()
          for _ = 1, 3 do
            moongate.sleep(0.005)
            slept = slept + 1
          end
        end)
        return cluster:copy_in(IN, source_of({ { 1, "a" }, { 2, "b" }, { 3, "c" } }, function()
          assert(cluster:query "select pg_sleep(0.01)")
          moongate.sleep(0.01)
        end))
      end)
      assert.equal(3, copied)
      assert.equal(3, slept)
      assert.same({ { 99999 }, { 99999 } }, moongate.gather(
        function()
          return cluster:copy_in(IN, cluster:copy_out "copy (select g, 'a' from generate_series(1, 99999) g) to stdout")
        end,
        function()
          return cluster:copy_in(IN, cluster:copy_out "copy (select g, 'b' from generate_series(1, 99999) g) to stdout")
        end))
    end)

    it("waits for PostgreSQL where that is slow, and may be given up then", function()
      pg.primary:psql [[create or replace function lua_copy_waits() returns trigger language plpgsql as
        $$ begin
          if new.id = 1 then perform pg_sleep(new.v::float8); raise notice 'slept'; end if;
          return new;
        end $$;
        create trigger waits before insert on lua_copy for each row execute function lua_copy_waits()]]
      local line = "2\t" .. ("x"):rep(1000) .. "\n"
      local function data(seconds)
        local lines = setmetatable({}, { __index = function() return line end })
        return source_of { "1\t" .. seconds .. "\n", table.unpack(lines, 1, 9000) }
      end
      local ticks = 0
      moongate.run(function()
        local ticker <close> = moongate.spawn(function()
          while true do
            ticks = ticks + 1
            moongate.sleep(0.01)
          end
        end)
        assert.equal(9001, cluster:copy_in(IN, data(0.2)))
        assert.equal("running", ticker.status)
      end)
      assert.is_true(ticks > 3, ticks)
      assert.equal(9001, cluster:copy_in(IN, data(0.2)))
      pg.primary:psql "truncate lua_copy"
      assert.same({ nil, "timeout", "57014" },
        three(moongate.with_timeout(0.1, cluster.copy_in, cluster, IN, data(60))))
      local own = moongate.cluster { primary = pg.primary.url }
      local closed = moongate.run(function()
        local task = moongate.spawn(own.copy_in, own, IN, data(60))
        moongate.sleep(0.1)
        own:close()
        return three(task:wait())
      end)
      assert.same({ nil, "the cluster was closed", "57P01" }, closed)
      pg.primary:psql "drop trigger waits on lua_copy"
      assert.equal(0, counted())
    end)

    it("holds nothing in PostgreSQL once it is given up while its source waits", function()
      moongate.run(function()
        local task = moongate.spawn(cluster.copy_in, cluster, IN, function()
          moongate.sleep(0.01)
          return "1\ta\n"
        end)
        local function copies()
          return cluster:value [[select count(*) from pg_stat_activity
            where state = 'active' and query like 'copy lua_copy %']]
        end
        wait.until_true("COPY to begin", function() return copies() == 1 end)
        task:cancel()
        wait.until_true("COPY to end", function() return copies() == 0 end)
      end)
      assert.equal(0, counted())
    end)

    it("says whether anything was written where the server is lost", function()
      local function lose(where)
        local pieces = { "1\ta\n", ("2\tb\n"):rep(20000), ("3\tc\n"):rep(20000) }
        return three(cluster:copy_in(where or IN, source_of(pieces, function(i)
          if i == 3 then
            wait.until_true("the server to be gone", function()
              return pg.primary:psql [[select count(pg_terminate_backend(pid)) from pg_stat_activity
                where query like 'copy lua_copy %']] == "0"
            end)
          end
        end)))
      end
      local lost = lose()
      assert.equal("08006", lost[3], lost[2])
      assert.equal(0, counted())
      pg.primary:psql [[create or replace function lua_copy_ends() returns trigger language plpgsql as
        $$ begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$;
        create trigger ends after insert on lua_copy execute function lua_copy_ends()]]
      assert.equal("08007", three(cluster:copy_in(IN, "1\ta\n"))[3])
      pg.primary:psql "drop trigger ends on lua_copy"
    end)

    it("is a part of its transaction, and leaves its connection as it was", function()
      assert.equal(2, (cluster:transaction(function(tx)
        assert.equal(2, tx:copy_in(IN, { { 1, "a" }, { 2, "b" } }))
        return tx:value "select count(*) from lua_copy"
      end)))
      local _, message = cluster:transaction(function(tx)
        assert.equal(1, tx:copy_in(IN, "3\tc\n"))
        tx:copy_in(IN, function() error("no more", 0) end)
      end)
      assert.equal("no more", message)
      assert.same({ nil, 'missing data for column "v"', "22P04" }, three(cluster:transaction(function(tx)
        tx:copy_in(IN, "3\n")
      end)))
      assert.equal(2, counted())
      local connection <close> = assert(cluster:pool("write"):acquire())
      assert.is_false((pcall(connection.copy_in, connection, IN, error)))
      assert.equal(1, connection:copy_in(IN, function()
        if counted() == 2 and not connection.over then return end
      end) + 1)
      assert.equal("idle", connection:status())
    end)

    it("is a write, which reads that follow see", function()
      local own <close> = moongate.cluster { primary = pg.primary.url, replicas = { pg.replicas[1].url } }
      own:health()
      for i = 1, 30 do
        assert.equal(1, own:copy_in(IN, { { i, "a" } }))
        assert.equal(i, own:value "select count(*) from lua_copy")
      end
    end)
  end)

  it("is refused where its method is another, and leaves no server busy", function()
    local function check(on)
      assert.equal("0A000", three(on:query "copy lua_copy to stdout")[3])
      assert.equal("0A000", three(on:exec(IN))[3])
      assert.equal("0A000", three(on:copy_in("copy lua_copy to stdout", "1\ta\n"))[3])
      local _, message, code = on:copy_in("select 1", "1\ta\n")
      assert.equal("0A000", code)
      assert.matches("copy_in%(%) takes COPY %.%.%. FROM STDIN", message)
      local why = raised(function() on:copy_out(IN) end)
      assert.equal("0A000", why.code)
      assert.matches("copy_out%(%) takes COPY %.%.%. TO STDOUT", why.message)
      assert.equal("0A000", raised(function() on:copy_out "select 1" end).code)
      assert.equal("0A000", raised(function() on:copy_out "copy lua_copy to '/dev/null'" end).code)
      assert.equal(1, on:value "select 1")
    end
    local closed = stats().closed
    check(cluster)
    local connection <close> = assert(cluster:pool("write"):acquire())
    check(connection)
    assert.equal(closed, stats().closed)
  end)
end)
