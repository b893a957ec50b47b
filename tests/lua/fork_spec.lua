-- A process that is forked: what the module has open is the parent's, and stays so.

local process = require "moongate.process"
local shared = require "tests.support.cluster"

describe("a child of fork()", function()
  local pg

  setup(function() pg = shared.shared() end)

  -- Runs `script` by a Lua of its own, with the libraries and `url`; what it prints, sorted out in lines.
  local function lua(script, url)
    local status, output, errors = process.run({ "lua5.4", "-e", ([[
      package.cpath = %q .. ";" .. package.cpath
      local fork = require "fork"
      local moongate = require "moongate"
      local url = %q
      io.stdout:setvbuf "no"

      -- Runs fn in a child, and waits for it to end.
      local function child(fn)
        local pid = fork.fork()
        if pid ~= 0 then return print("child", fork.wait(pid)) end
        fn()
        os.exit(0, true)
      end
    ]]):format((os.getenv "BUILD" or "build") .. "/tests/?.so", url or pg.primary.url) .. script }, { seconds = 30 })
    assert.equal(0, status, errors)
    assert.equal("", errors)
    local lines = {}
    for line in output:gmatch "[^\n]+" do lines[#lines + 1] = line end
    return lines
  end

  -- A cluster with a connection that is lent and one that rests; both are there afterwards.
  local function survives(what, url)
    return lua([[
      local cluster = moongate.cluster { primary = url, health = { interval = 0.05 } }
      local connection = assert(cluster:pool("write"):acquire())
      local pid = connection:value "select pg_backend_pid()"
      assert(cluster:query "select 1")
      local opened = cluster:pool("write"):stats().opened
      child(function() ]] .. what .. [[ end)
      assert(connection:value "select pg_backend_pid()" == pid)
      assert(cluster:value "select 1" == 1)
      moongate.sleep(0.1)
      assert(cluster:health().status == "healthy")
      assert(cluster:pool("write"):stats().opened == opened)
      print "fine"
    ]], url)
  end

  it("is told to make a cluster of its own", function()
    local lines = survives [[
      print(pcall(cluster.query, cluster, "select 1"))
      print(pcall(connection.query, connection, "select 1"))
    ]]
    for i = 1, 2 do
      assert.matches("^false\t.*:%d+: the cluster was made before fork%(%), and its connections are the parent's: " ..
        "make one of its own in the child$", lines[i])
    end
    assert.same({ "child\t0", "fine" }, { lines[3], lines[4] })
  end)

  it("leaves the parent's connections alone as it ends", function()
    for _, url in ipairs { pg.primary.url, pg.primary.url .. "?sslmode=require" } do
      assert.same({ "child\t0", "fine" }, survives("", url))
      assert.same({ "child\t0", "fine" }, survives("cluster:close()", url))
      assert.same({ "child\t0", "fine" }, survives("connection:release()", url))
      assert.same({ "child\t0", "fine" },
        survives("connection, cluster = nil, nil collectgarbage() collectgarbage()", url))
    end
  end)

  it("has clusters, tasks and timers of its own", function()
    assert.same({ "1", "2", "3", "true", "4", "child\t0", "child\t0", "fine" }, survives [[
      local own = moongate.cluster { primary = url, health = { interval = 0.05 } }
      print(own:value "select 1")
      cluster:close()
      print(own:value "select 2")
      local ticks = 0
      local timer <close> = moongate.every(0.01, function() ticks = ticks + 1 end)
      print(moongate.gather(function() return own:value "select 3 from pg_sleep(0.1)" end)[1][1])
      print(ticks > 0)
      child(function()
        local inner = moongate.cluster { primary = url }
        print(inner:value "select 4")
      end)
      assert(own:value "select 5")
    ]])
  end)

  it("does not end what its parent's tasks are about", function()
    assert.same({ "child\t0", "answer\t1\tanswer\t2" }, lua [[
      local cluster = moongate.cluster { primary = url, pool = { size = 2 } }
      cluster:health()
      local all = moongate.run(function()
        local tasks = {}
        for i = 1, 4 do
          tasks[i] = moongate.spawn(cluster.value, cluster, "select $1::int from pg_sleep(0.2)", i)
        end
        moongate.sleep(0.1)
        child(function() end)
        return { tasks[1]:wait(), tasks[2]:wait(), tasks[3]:wait(), tasks[4]:wait() }
      end)
      assert(all[3] == 3 and all[4] == 4)
      print("answer", all[1], "answer", all[2])
    ]])
  end)

  it("can't go on with its parent's tasks, and says so", function()
    assert.same({
      "child\tfalse\tthis process was forked while its parent was waiting: it can't wait for the same",
      "1", "child\t0", "parent\ttrue\tdone",
    }, lua [[
      local cluster = moongate.cluster { primary = url }
      cluster:health()
      local who = "parent"
      local ok, why = pcall(moongate.run, function()
        moongate.spawn(function() assert(cluster:query "select pg_sleep(0.2)") end)
        moongate.sleep(0.1)
        local pid = fork.fork()
        if pid == 0 then who = "child" end
        moongate.sleep(0.01)
        if pid ~= 0 then print("child", fork.wait(pid)) end
        return "done"
      end)
      print(who, ok, (tostring(why):gsub("^.-: ", "")))
      if who == "child" then
        local own = moongate.cluster { primary = url }
        print(own:value "select 1")
        os.exit(0, true)
      end
    ]])
  end)

  it("leaves the parent's listeners alone, and can't use them", function()
    local lines = lua [[
      local cluster = moongate.cluster { primary = url }
      local listener = assert(cluster:listen "fork")
      child(function()
        print(pcall(listener.wait, listener))
        print(pcall(listener.listen, listener, "more"))
      end)
      assert(cluster:notify("fork", "heard"))
      print(listener:wait(5).payload)
    ]]
    for i = 1, 2 do assert.matches("^false\t.*:%d+: the cluster was made before fork%(%)", lines[i]) end
    assert.equal("heard", lines[4])
  end)

  it("leaves its parent's rows, and its COPY, to the parent", function()
    assert.same({ "false\tmade before fork", "child\t0", "50000", "child\t0", "20000" }, lua [[
      local cluster = moongate.cluster { primary = url }
      local rows = cluster:rows "select g, repeat('x', 100) as t from generate_series(1, 50000) g"
      local count = 0
      for _ in rows do
        count = count + 1
        if count == 1000 then
          child(function()
            local ok, why = pcall(function() while rows() do end end)
            print(ok, why:match "made before fork")
            rows:close()
          end)
        end
      end
      print(count)
      cluster:transaction(function(tx)
        assert(tx:query "create temporary table t (x int)")
        local i = 0
        print((tx:copy_in("copy t from stdin", function()
          i = i + 1
          if i == 10000 then child(function() end) end
          return i <= 20000 and { i } or nil
        end)))
      end)
    ]])
  end)
end)
