-- Large things pass through, whole and in bounded memory.

local cluster = require "tests.support.cluster"
local process = require "moongate.process"
local router = require "tests.support.router"
local uv = require "luv"
local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

local MB = 1 << 20

describe("large data", function()
  local pg, moongate, client

  setup(function()
    pg = cluster.shared()
    pg.primary:psql [[
      drop table if exists bulk;
      create unlogged table bulk (id int, body text);
    ]]
  end)
  teardown(function() pg.primary:psql "drop table bulk" end)

  before_each(function()
    pg.primary:psql "truncate bulk"
    moongate = router.start { pg = pg }
    client = wire.open(moongate.port)
  end)
  after_each(function()
    client:close()
    moongate:stop()
  end)

  -- What a shell says of a command line, with psql through the router as $1 and directly as $2.
  local function shell(line)
    local psql = router.bin("psql") .. " -XAtq -v ON_ERROR_STOP=1 -d "
    local status, output, errors = process.run({
      "/bin/sh", "-c", line, "sh", psql .. moongate:url(), psql .. pg.primary.url,
    }, { env = router.environment_for_programs(), seconds = 120 })
    assert.equal(0, status, errors)
    return output
  end

  it("of 100 MB is copied in and out unchanged", function()
    local rows = [[select i, repeat(md5(i::text), 32) from generate_series(1, 110000) as i]]
    local sum = shell(([[$2 -c "copy (%s) to stdout" | md5sum]]):format(rows))
    local there = shell(([[$2 -c "copy (%s) to stdout" | $1 -c "copy bulk from stdin"
      $2 -c "copy (select * from bulk order by id) to stdout" | md5sum]]):format(rows))
    assert.equal(sum, there)
    local back = shell [[$1 -c "copy (select * from bulk order by id) to stdout" | md5sum]]
    assert.equal(sum, back)
    assert.is_true(tonumber(shell [[$2 -c "select sum(length(body)) from bulk"]]) > 100 * MB)
  end)

  it("of 64 MB in one INSERT arrives, and one row of 64 MB comes back", function()
    local body = ("x"):rep(64 * MB)
    client:send(wire.query("insert into bulk values (1, '" .. body .. "')"))
    assert.same({ "INSERT 0 1" }, client:result().tags)
    assert.equal(#body, #client:value("select body from bulk"))
    client:send(wire.extended("insert into bulk values (2, $1)", { body }) .. wire.sync())
    assert.same({ "INSERT 0 1" }, client:result().tags)
    assert.equal("2", client:value("select count(distinct body) + 1 from bulk, pg_backend_pid()"))
  end)

  it("of 1 GB, read slowly, costs the router a bounded amount of memory #release", function()
    assert.equal("1", client:value("select 1"))
    local before, most = moongate:rss(), 0
    client:send(wire.query("select repeat('x', 1048576) from generate_series(1, 1024)"))
    assert.equal("T", client:read().type)
    -- Stop reading until the server stands still behind the full buffers of the way to us.
    local received, rows = 0, 0
    wait.until_true("the server to wait for the client", function()
      most = math.max(most, moongate:rss())
      for _, node in ipairs(pg:nodes()) do
        if node:psql([[select 1 from pg_stat_activity where wait_event = 'ClientWrite'
          and query like '%1048576%']]) == "1" then return true end
      end
    end)
    repeat
      local message = client:read()
      received = received + #message.body
      if message.type == "D" then rows = rows + 1 end
      if rows % 16 == 0 then most = math.max(most, moongate:rss()) end
    until message.type == "Z"
    assert.equal(1024, rows)
    assert.is_true(received > 1024 * MB)
    assert.is_true(most - before < 20 * MB, ("grew by %d kB"):format((most - before) / 1024))
  end)

  it("sent to a server that stands still costs the router a bounded amount of memory #release",
    function()
      client:query("begin")
      local pid = tonumber(client:value("select pg_backend_pid()"))
      client:send(wire.query("copy bulk from stdin"))
      assert.equal("G", client:result("G").types)
      local before = moongate:rss()
      local line = wire.copy_data("1\t" .. ("y"):rep(65536) .. "\n")
      uv.kill(pid, "sigstop")
      -- Send until nobody takes any more: what has been taken lies in the buffers of the way.
      client.socket:settimeout(0.5)
      local taken, pending = 0, line
      repeat
        local _, err, part = client.socket:send(pending)
        if err then pending = pending:sub(part + 1) else taken, pending = taken + 1, line end
      until err or taken > 1024
      local grown = moongate:rss() - before
      uv.kill(pid, "sigcont")
      client.socket:settimeout(20)
      assert.is_true(taken < 1024, "everything was taken")
      assert.is_true(grown < 20 * MB, ("grew by %d kB"):format(grown / 1024))
      client:send(pending .. wire.copy_done())
      assert.same({ ("COPY %d"):format(taken + 1) }, client:result().tags)
      client:query("commit")
    end)

  it("does not hold up other clients", function()
    client:send(wire.query("select repeat('x', 1048576) from generate_series(1, 256)"))
    assert.equal("T", client:read().type)
    local other = wire.open(moongate.port)
    for i = 1, 100 do assert.equal(tostring(i), other:value("select " .. i)) end
    other:quit()
  end)

  it("is given up when its client goes, and its server is free again", function()
    client:send(wire.query("select repeat('x', 1048576) from generate_series(1, 100000) /* left */"))
    assert.equal("T", client:read().type)
    client:close(true)
    wait.until_true("the query to end", function()
      for _, node in ipairs(pg:nodes()) do
        if node:psql([[select 1 from pg_stat_activity where state = 'active'
          and pid <> pg_backend_pid() and query like '%/* left */']]) == "1" then return false end
      end
      return true
    end)
    client = wire.open(moongate.port)
    assert.equal("1", client:value("select 1"))
  end)
end)
