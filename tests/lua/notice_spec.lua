-- on_notice: what PostgreSQL says beside its answers.

local moongate = require "moongate"
local process = require "moongate.process"
local shared = require "tests.support.cluster"
local wait = require "tests.support.wait"

local RAISES <const> = "do $$ begin raise notice '%s'; end $$"

describe("on_notice", function()
  local pg, cluster
  local heard = {}

  setup(function()
    pg = shared.shared()
    pg.primary:psql [[
      drop table if exists lua_notice;
      create table lua_notice (id int);
      create or replace function lua_notice(text) returns int language plpgsql as $$
        begin raise notice '%', $1; return 1; end $$]]
    cluster = moongate.cluster {
      primary = { url = pg.primary.url, name = "main" },
      on_notice = function(notice) heard[#heard + 1] = notice end,
    }
  end)
  before_each(function() heard = {} end)
  teardown(function() cluster:close() end)

  -- The messages, which are forgotten.
  local function told()
    local messages = {}
    for i, notice in ipairs(heard) do messages[i] = notice.message end
    heard = {}
    return messages
  end

  it("is told of notices and warnings with all that they say, before the call returns", function()
    assert(cluster:exec [[do $$ begin
      raise notice 'first' using detail = 'a detail', hint = 'a hint', errcode = '01007', table = 'a table';
      raise warning E'second\nof two lines';
    end $$]])
    assert.equal(2, #heard)
    local first, second = heard[1], heard[2]
    assert.same({ "NOTICE", "first", "a detail", "a hint", "01007", "a table", "main" },
      { first.severity, first.message, first.detail, first.hint, first.sqlstate, first.table, first.endpoint })
    assert.equal("integer", math.type(first.line))
    assert.matches("inline_code_block", first.context)
    assert.same({ "WARNING", "second\nof two lines", "01000" }, { second.severity, second.message, second.sqlstate })
    assert.is_nil(second.hint)
  end)

  it("is told in their order of connections, transactions, pipelines, prepared statements and COPY", function()
    local connection <close> = assert(cluster:pool("write"):acquire())
    assert(connection:query(RAISES:format "a connection"))
    assert.same({ "a connection" }, told())
    assert(cluster:transaction(function(tx)
      tx:assert_query(RAISES:format "a transaction")
      assert.same({ "a transaction" }, told())
      return true
    end))
    assert(cluster:pipeline(function(p)
      p:value("select lua_notice($1)", "one")
      p:value("select lua_notice($1)", "two")
    end))
    assert.same({ "one", "two" }, told())
    local statement = cluster:prepare "select lua_notice($1)"
    for i = 1, 2 do assert.equal(1, statement:value("prepared " .. i)) end
    assert.same({ "prepared 1", "prepared 2" }, told())
    for _ in cluster:copy_out "copy (select lua_notice('copy')) to stdout" do end
    assert.same({ "copy" }, told())
    pg.primary:psql [[create or replace function lua_notice_row() returns trigger language plpgsql as
      $$ begin raise notice 'row %', new.id; return new; end $$;
      create trigger told before insert on lua_notice for each row execute function lua_notice_row()]]
    assert.equal(2, cluster:copy_in("copy lua_notice from stdin", { { 1 }, { 2 } }))
    assert.same({ "row 1", "row 2" }, told())
  end)

  it("is told of all of them by the end of rows, also where they are left", function()
    local count = 0
    for _ in cluster:rows "select lua_notice(g::text) from generate_series(1, 600) g" do count = count + 1 end
    assert.equal(600, count)
    assert.equal(600, #heard)
    assert.equal("600", heard[600].message)
    heard = {}
    local connection <close> = assert(cluster:pool("write"):acquire())
    do
      local rows <close> = connection:rows "select lua_notice(g::text) from generate_series(1, 3) g"
      rows()
    end
    assert.same({ "1", "2", "3" }, told())
    local ok = pcall(function()
      for _ in cluster:rows "select lua_notice(g::text), 1 / (2 - g) from generate_series(1, 3) g" do
        count = count + 1
      end
    end)
    assert.is_false(ok)
    assert.is_true(count <= 601)
    assert.same({ "1", "2" }, told())
  end)

  it("is told in tasks, of each", function()
    moongate.run(function()
      moongate.gather(
        function()
          assert(cluster:query(RAISES:format "a task"))
          assert.equal("a task", heard[1].message)
        end,
        function() moongate.sleep(0.001) end)
    end)
    assert.same({ "a task" }, told())
  end)

  it("is told of many, and of long ones the beginning", function()
    assert(cluster:exec "do $$ begin for i in 1..3000 loop raise notice '%', i; end loop; end $$")
    assert.equal(3000, #heard)
    assert.equal("3000", heard[3000].message)
    heard = {}
    assert(cluster:exec "do $$ begin raise notice '%', 'x' || repeat('é', 3000000); end $$")
    assert.equal(1, #heard)
    assert.equal("x" .. ("é"):rep(16383), heard[1].message)
  end)

  it("cannot wait, as a policy cannot, and cuts no rows short in silence by closing them", function()
    local why, rows
    local own <close> = moongate.pool {
      url = pg.primary.url,
      on_notice = function()
        local _
        _, why = pcall(cluster.query, cluster, "select 1")
        if rows then pcall(rows.close, rows) end
      end,
    }
    own:with(function(connection)
      assert(connection:query(RAISES:format "x"))
      assert.matches("a policy", why)
      rows = connection:rows [[
        select lua_notice(g::text), pg_sleep(0.001), repeat('x', 2000) from generate_series(1, 100) g]]
      local count = 0
      local ok, raised = pcall(function()
        for _ in rows do count = count + 1 end
      end)
      assert.is_true(ok and count == 100 or tostring(raised):find "closed" ~= nil, tostring(raised))
    end)
    assert.same({}, heard)
  end)

  it("is told of nothing that comes when its cluster is closed", function()
    local count = 0
    local other = moongate.cluster { primary = pg.primary.url, on_notice = function() count = count + 1 end }
    moongate.run(function()
      moongate.spawn(function() other:query "do $$ begin raise notice 'x'; perform pg_sleep(60); end $$" end)
      wait.until_true("a notice", function()
        moongate.sleep(0.005)
        return count == 1
      end)
      other:close()
    end)
    assert.equal(1, count)
  end)

  it("is a function", function()
    for _, make in ipairs {
      function(given) return moongate.cluster { primary = pg.primary.url, on_notice = given } end,
      function(given) return moongate.pool { url = pg.primary.url, on_notice = given } end,
    } do
      local ok, message = pcall(make, "print")
      assert.is_false(ok)
      assert.matches('on_notice must be a function(notice), not "print"', message, 1, true)
    end
  end)

  -- What a program says on stdout and stderr, whose cluster is made with these options.
  local function said(options, statements)
    local script = ([[
      local moongate = require "moongate"
      local cluster = moongate.cluster { primary = %q, %s }
      %s
      print "done"
      cluster:close()]]):format(pg.primary.url, options, statements)
    local status, output, errors = process.run({ "lua5.4", "-e", script }, { seconds = 20 })
    assert.equal(0, status, errors)
    return output .. errors
  end

  it("has its errors logged, and the call goes on; where they do not end it is taken out", function()
    local output = said('on_notice = function(notice) error("oh: " .. notice.message) end', ([[
      for _ = 1, 200 do assert(cluster:query %q) end]]):format(RAISES:format "hear"))
    assert.matches("hook error", output)
    assert.matches("oh: hear", output)
    assert.matches("hook taken out", output)
    assert.matches("done", output)
  end)

  it("is the only one who is told: nothing is printed", function()
    assert.equal("done\n", said("", ("assert(cluster:query %q)"):format(RAISES:format "hear")))
  end)
end)
