-- Policies inside of an application: the same fence, around code in a Lua state that is not ours.

local moongate = require "moongate"

describe("a policy in the module", function()
  local cluster

  after_each(function()
    if cluster then cluster:close() end
    cluster = nil
  end)

  -- MOONGATE_LOG is read when the module is loaded: errors that are meant to be go to standard error.
  local function with(factory)
    if cluster then cluster:close() end
    cluster = moongate.cluster {
      primary = { url = "postgres://localhost:1/d", name = "main" },
      replicas = { { url = "postgres://localhost:2/d", name = "copy" } },
      policy = factory,
    }
    return cluster
  end

  -- A policy whose body is `fn`, asked once.
  local function verdict(fn, sql)
    return with(function() return fn end):verdict(sql or "select 1")
  end

  it("says where a statement would go", function()
    local c = with(require "moongate.policies.read_write_split")
    assert.equal("replicas", (c:verdict "select 1"))
    assert.equal("primary", (c:verdict "insert into t values (1)"))
    assert.equal("primary", (c:verdict "select 1 for update"))
  end)

  it("may name an endpoint, reject, or have no opinion", function()
    local c = with(function(cl)
      return function(q)
        if q.kind == "insert" then return moongate.reject("not now", "57014") end
        if q.kind == "select" then return cl.replicas[1] end
      end
    end)
    assert.equal("copy", (c:verdict "select 1"))
    assert.equal("reject: not now", (c:verdict "insert into t values (1)"))
    assert.equal("primary", (c:verdict "delete from t"))
  end)

  it("has its query as it is, however many statements it classifies meanwhile", function()
    local seen
    local function classify_many(q)
      for i = 1, 1100 do moongate.classify("select a from some_table_" .. i) end
      seen = { q.kind, q.tables, q.functions }
    end
    local tries = 0
    repeat -- the fence of CPU time may strike
      verdict(classify_many, "select sum(b) from orders")
      tries = tries + 1
    until seen or tries == 50
    assert.same({ "select", { "orders" }, { "sum" } }, seen)
  end)

  it("may reject with a long message, of which no half character is left", function()
    for padding = 0, 3 do
      local text = ("x"):rep(padding) .. ("\u{20ac}"):rep(200)
      local name = verdict(function() return moongate.reject(text) end)
      assert.is_truthy(utf8.len(name))
      assert.is_true(#name > 250)
      assert.equal("reject: " .. text:sub(1, #name - #"reject: "), name)
    end
  end)

  it("falls back when it fails", function()
    for _, fn in ipairs {
      function() error "no" end,
      function() error {} end,
      function() error() end,
      function() return "primary" end,
      function() return moongate.NULL end,
      function() return io.stdout end,
      function(q) return q.inten end,
      function(q) q.intent = "write" end,
      function() coroutine.yield() end,
    } do
      local name, fallback = verdict(fn)
      assert.equal("replicas", name)
      assert.is_true(fallback)
    end
  end)

  it("ends when it would not", function()
    local function forever() while true do end end
    for _, fn in ipairs {
      forever,
      function() while true do pcall(forever) end end,
      function() return pcall(forever) end,
      function() xpcall(forever, forever) end,
      function() xpcall(error, forever) end,
      function() while true do coroutine.wrap(forever)() end end,
      function() while true do pcall(coroutine.wrap(forever)) end end,
      function() local _ <close> = setmetatable({}, { __close = forever }) forever() end,
      function() return (("x"):gsub("x", forever)) end,
    } do
      local name, fallback = verdict(fn)
      assert.equal("replicas", name)
      assert.is_true(fallback)
    end
  end)

  it("leaves the application's own debug hook as it was", function()
    local lines = 0
    local function hook() lines = lines + 1 end
    local c = with(function() return function(q) return q.intent == "write" and error "no" or nil end end)
    debug.sethook(hook, "l", 7)
    c:verdict "select 1"
    c:verdict "insert into t values (1)"
    local now, mask, count = debug.gethook()
    debug.sethook()
    assert.equal(hook, now)
    assert.equal("l", mask)
    assert.equal(7, count)
    assert.is_true(lines > 0)
  end)

  it("leaves no hook on a coroutine that outlives the call", function()
    local kept
    local c = with(function()
      return function()
        kept = kept or coroutine.create(function() while true do coroutine.yield() end end)
        coroutine.resume(kept)
      end
    end)
    c:verdict "select 1"
    local co = kept
    -- Outside of the call its hook finds nothing to guard, and goes.
    for _ = 1, 10000 do coroutine.resume(co) end
    assert.is_nil((debug.gethook(co)))
    assert.equal("suspended", coroutine.status(co))
  end)

  it("may be asked inside of a coroutine", function()
    local c = with(require "moongate.policies.read_write_split")
    local name = coroutine.wrap(function() return (c:verdict "select 1") end)()
    assert.equal("replicas", name)
  end)

  it("cannot read the query once it has answered", function()
    local kept
    local c = with(function() return function(q) kept = { q, q.session } end end)
    c:verdict "select 1"
    assert.error_matches(function() return kept[1].intent end, "only while the policy is being asked")
    assert.error_matches(function() return kept[2].user end, "only while the policy is being asked")
  end)

  it("cannot run queries, close its cluster, or ask itself", function()
    local errors = {}
    local c = with(function(cl)
      return function()
        errors.query = select(2, pcall(cl.query, cl, "select 1"))
        errors.health = select(2, pcall(cl.health, cl))
        errors.pool = select(2, pcall(function() return cl:pool("read"):acquire() end))
        errors.close = select(2, pcall(cl.close, cl))
        errors.verdict = select(2, pcall(cl.verdict, cl, "select 1"))
      end
    end)
    c:verdict "select 1"
    assert.matches("cannot run any", errors.query)
    assert.matches("cannot run any", errors.health)
    assert.matches("cannot run any", errors.pool)
    assert.matches("its policy is being asked", errors.close)
    assert.matches("while it is being asked", errors.verdict)
  end)

  it("sees endpoints as one handle each, with live numbers", function()
    local c = with(function() return function() end end)
    assert.equal(c.primary, c.endpoints[1])
    assert.equal(c.replicas[1], c.endpoints[2])
    local e = c.replicas[1]
    assert.same({ "copy", "localhost", 2, "replica", 1.0, true, 0, 0, math.huge },
      { e.name, e.host, e.port, e.role, e.weight, e.up, e.in_flight, e.waiting, e.staleness })
    assert.is_nil(e.region)
    assert.error_matches(function() return e.latencyy end, "it has name, host, port")
    assert.error_matches(function() return c.replica end, 'no field or method "replica"')
  end)

  it("is collected with its cluster, also through its own references", function()
    local gone = setmetatable({}, { __mode = "k" })
    do
      local c = moongate.cluster {
        primary = "postgres://localhost:1/d",
        policy = function(cl)
          local route = cl:route { to = "primary" }
          return function(q)
            q.session.vars.cluster = cl
            return route
          end
        end,
      }
      c:verdict "select 1"
      gone[c] = true
    end
    collectgarbage()
    collectgarbage()
    assert.is_nil((next(gone)))
  end)

  it("has handles that outlive their cluster harmlessly", function()
    local c = with(require "moongate.policies.read_write_split")
    local endpoint, route = c.primary, c:route { to = "any" }
    c:close()
    c:close()
    assert.error_matches(function() return endpoint.name end, "closed")
    assert.error_matches(function() return c:query "select 1" end, "closed")
    assert.error_matches(function() return c.primary end, "closed")
    assert.matches("closed", tostring(endpoint) .. tostring(route) .. tostring(c))
  end)

  it("may have hooks", function()
    local heard = {}
    local ticks = 0
    cluster = moongate.cluster {
      primary = { url = "postgres://localhost:1/d", name = "main" },
      pool = { acquire_timeout = 0.1 },
      health = { interval = 0.02, fall = 1 },
      policy = function()
        return {
          route = function() end,
          on_error = function(query, e) heard.error = e.sqlstate .. " " .. query.kind end,
          on_endpoint_change = function(e) heard.endpoint = ("%s %s"):format(e.name, e.up) end,
        }
      end,
    }
    local timer = moongate.every(0.02, function() ticks = ticks + 1 end)
    cluster:health()
    local _, _, code = cluster:query "select 1"
    timer:stop()
    assert.equal(code .. " select", heard.error)
    assert.equal("main false", heard.endpoint)
    assert.is_true(ticks > 0)
  end)

  it("cannot close a cluster by its hooks or timers, which run while the cluster is at work", function()
    local answers = {}
    local function close(who) answers[who] = select(2, pcall(cluster.close, cluster)) end
    cluster = moongate.cluster {
      primary = "postgres://localhost:1/d",
      pool = { acquire_timeout = 0.1 },
      health = { interval = 0.02, fall = 1 },
      policy = function()
        return { route = function() end, on_endpoint_change = function() close "hook" end }
      end,
    }
    local timer = moongate.every(0.02, function() close "timer" end)
    cluster:health()
    cluster:query "select 1"
    timer:stop()
    local refusal = "cluster:close: neither a policy nor a hook nor a timer can close a cluster"
    assert.same({ hook = refusal, timer = refusal }, answers)
    cluster:close()
  end)

  it("must be a function, or a table with one", function()
    assert.error_matches(function() with(function() return {} end) end,
      "policy must return a function%(query%), or a table")
    assert.error_matches(function() with(function() return { route = print, on_error = 1 } end) end,
      "the policy's on_error must be a function, not a number")
    assert.error_matches(function() moongate.every(0, print) end, "at least 0.01")
  end)

  it("is given once, to the router or to its cluster", function()
    local policy = require "moongate.policies.read_write_split"
    assert.error_matches(function()
      local _ = moongate.router { cluster = with(policy), policy = policy }
    end, "moongate.router: its cluster has a policy already")
    assert.error_matches(function()
      local _ = moongate.router { cluster = with(nil), policy = policy, shadow = 1 }
    end, "shadow must be a function")
    assert.is_truthy(moongate.router { cluster = with(nil), policy = policy, shadow = policy })
    assert.equal("replicas", (cluster:verdict "select 1"))
  end)
end)
