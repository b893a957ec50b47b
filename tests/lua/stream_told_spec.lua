-- A policy's on_error() hears of what ends rows(), copy_out() and copy_in(), and of what fails on a connection.
-- luacheck: ignore 512 (loops are left at once)

local moongate = require "moongate"
local shared = require "tests.support.cluster"

describe("on_error", function()
  local pg, cluster
  local heard = {}

  setup(function()
    pg = shared.shared()
    pg.primary:psql "drop table if exists lua_stream_told; create table lua_stream_told (id int primary key)"
    cluster = moongate.cluster {
      primary = { url = pg.primary.url, name = "main" },
      policy = function()
        return {
          route = function(query)
            query.key = "a key"
          end,
          on_error = function(query, e)
            heard[#heard + 1] = ("%s %s %s by %s with %d: %s"):format(e.sqlstate, query.kind, query.intent,
              query.sql:match "%w+", query.parameters, e.endpoint.name)
          end,
        }
      end,
    }
  end)
  before_each(function() heard = {} end)
  teardown(function() cluster:close() end)

  local DIVIDES <const> = "select 1 / (5000 - g) from generate_series($1::int, 6000) g"

  it("hears once of rows that fail behind their first, and of the call's intent", function()
    local rows <close> = cluster:rows(DIVIDES, 1, { intent = "write" })
    assert.is_table(rows())
    assert.same({}, heard)
    for _ = 1, 2 do
      assert.has_error(function() repeat local row = rows() until not row end)
    end
    assert.same({ "22012 select write by select with 1: main" }, heard)
  end)

  it("hears of them where they are collected meanwhile, and in a task", function()
    moongate.run(function()
      assert.is_false(pcall(function()
        for _ in cluster:rows(DIVIDES, 1) do collectgarbage "step" end
      end))
    end)
    assert.same({ "22012 select read by select with 1: main" }, heard)
  end)

  it("hears of those that fail before, once, too", function()
    assert.is_false(pcall(cluster.rows, cluster, DIVIDES, 5000))
    assert.same({ "22012 select read by select with 1: main" }, heard)
  end)

  it("hears of COPY in both directions", function()
    assert.is_false(pcall(function()
      for _ in cluster:copy_out "copy (select 1 / (5000 - g) from generate_series(1, 6000) g) to stdout" do
        heard = {}
      end
    end))
    assert.equal("23505", (select(3, cluster:copy_in("copy lua_stream_told from stdin", "1\n1\n"))))
    assert.same({ "22012 copy read by copy with 0: main", "23505 copy write by copy with 0: main" }, heard)
  end)

  it("hears of what fails on a connection and in a transaction, rows and pipelines too", function()
    cluster:pool("write"):with(function(connection)
      assert.equal("22012", (select(3, connection:query("select 1 / $1::int", 0))))
      local statement = connection:prepare "select 2 / $1::int"
      assert.equal("22012", (select(3, statement:query(0))))
      assert.is_false(pcall(function()
        for _ in connection:rows(DIVIDES, 1) do collectgarbage "step" end
      end))
    end)
    assert.same({ "22012 select read by select with 1: main", "22012 select read by select with 1: main",
      "22012 select read by select with 1: main" }, heard)
    heard = {}
    cluster:transaction(function(tx)
      tx:pipeline(function(p)
        p:query "select 1"
        p:exec "insert into lua_stream_told values (null)"
      end)
    end)
    assert.same({ "23502 insert write by insert with 0: main" }, heard)
  end)

  it("hears nothing of what nobody is told, nor of what the application ends itself", function()
    for _ in cluster:rows(DIVIDES, 1) do break end
    assert.is_false(pcall(function()
      for _ in cluster:rows(DIVIDES, 1) do error "enough" end
    end))
    assert.is_false(pcall(cluster.copy_in, cluster, "copy lua_stream_told from stdin", function() error "none" end))
    assert.equal("timeout", (select(2, moongate.with_timeout(0.02, function()
      for _ in cluster:rows(DIVIDES, 1) do moongate.sleep(1) end
    end))))
    local own = moongate.cluster {
      primary = pg.primary.url,
      policy = function()
        return { route = function() end, on_error = function() heard[1] = "closed" end }
      end,
    }
    assert.is_false(pcall(function()
      for _ in own:rows "select repeat('x', 1000) from generate_series(1, 100000)" do own:close() end
    end))
    assert.same({}, heard)
  end)
end)
