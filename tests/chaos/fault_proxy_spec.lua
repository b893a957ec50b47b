-- The fault proxy itself: each fault strikes at its byte, in its direction, and nowhere else.

local fault_proxy = require "tests.support.fault_proxy"
local socket = require "socket"
local wait = require "tests.support.wait"

local SECONDS = 5

describe("the fault proxy", function()
  local target, proxy

  setup(function()
    target = assert(socket.bind("127.0.0.1", 0))
    target:settimeout(SECONDS)
    local _, port = target:getsockname()
    proxy = fault_proxy.start(tonumber(port))
  end)
  teardown(function()
    proxy:stop()
    target:close()
  end)
  after_each(function() proxy:heal() end)

  -- Both ends of a new connection through the proxy.
  local function connect()
    local client = assert(socket.connect("127.0.0.1", proxy.port))
    client:settimeout(SECONDS)
    local server = assert(target:accept())
    server:settimeout(SECONDS)
    return client, server
  end

  -- All that still comes, until the end.
  local function rest(peer)
    local bytes, err, part = peer:receive("*a")
    if err == "timeout" then error("it does not end", 2) end
    return bytes or part
  end

  local function is_silent(peer)
    peer:settimeout(0.1)
    local _, err, part = peer:receive(1)
    peer:settimeout(SECONDS)
    return err == "timeout" and part == ""
  end

  local function close(...)
    for _, peer in ipairs { ... } do peer:close() end
  end

  it("passes bytes and ends on both ways", function()
    local client, server = connect()
    local much = ("0123456789abcdef"):rep(10000)
    client:send("to the server")
    assert.equal("to the server", server:receive(13))
    server:send("back")
    assert.equal("back", client:receive(4))
    client:send(much:sub(1, 60000))
    client:shutdown("send")
    assert.equal(much:sub(1, 60000), rest(server))
    server:send("after the end")
    server:close()
    assert.equal("after the end", rest(client))
    client:close()
  end)

  for _, case in ipairs {
    { action = "drop", direction = "up" },
    { action = "drop", direction = "down" },
    { action = "reset", direction = "up" },
    { action = "reset", direction = "down" },
  } do
    it(("cuts by %s after any byte %s"):format(case.action, case.direction), function()
      for byte = 0, 12 do
        proxy:fault(case.action, case.direction, byte)
        local client, server = connect()
        local from, to = client, server
        if case.direction == "down" then from, to = server, client end
        from:send("hello, world")
        if byte > 0 and case.action == "drop" then
          assert.equal(("hello, world"):sub(1, byte), rest(to))
        elseif byte > 0 then
          assert.equal(("hello, world"):sub(1, byte), to:receive(byte))
        end
        for _, peer in ipairs { from, to } do
          assert.equal("", rest(peer))
          -- Who has seen an orderly end may still send; after RST nobody can.
          assert.equal(case.action == "drop", peer:send("more") ~= nil)
        end
        close(client, server)
      end
      assert.is_true(proxy:stat().struck >= 13)
    end)
  end

  it("a hole swallows both ways until it is healed, and nothing is lost", function()
    proxy:fault("hole", "up", 3)
    local client, server = connect()
    client:send("abcdef")
    assert.equal("abc", server:receive(3))
    assert.is_true(is_silent(server))
    server:send("answer")
    assert.is_true(is_silent(client))
    proxy:heal()
    assert.equal("def", server:receive(3))
    assert.equal("answer", client:receive(6))
    close(client, server)
  end)

  it("a stall stops one way only", function()
    proxy:fault("stall", "down", 2)
    local client, server = connect()
    server:send("abcd")
    assert.equal("ab", client:receive(2))
    assert.is_true(is_silent(client))
    client:send("passes")
    assert.equal("passes", server:receive(6))
    proxy:heal()
    assert.equal("cd", client:receive(2))
    close(client, server)
  end)

  it("strikes as many new connections as it was told, and leaves old ones alone", function()
    local old, old_server = connect()
    proxy:fault("drop", "up", 1, 2)
    for i = 1, 3 do
      local client, server = connect()
      client:send("xyz")
      if i == 3 then
        assert.equal("xyz", server:receive(3))
      else
        assert.equal("x", rest(server))
      end
      close(client, server)
    end
    old:send("still")
    assert.equal("still", old_server:receive(5))
    close(old, old_server)
  end)

  it("cuts all that there are, at once", function()
    local client, server = connect()
    client:send("x")
    assert.equal("x", server:receive(1))
    proxy:now "reset"
    assert.equal("", rest(client))
    assert.equal("", rest(server))
    close(client, server)
  end)

  it("delays what passes", function()
    proxy:delay(0.15)
    local client, server = connect()
    local began = socket.gettime()
    client:send("late")
    assert.equal("late", server:receive(4))
    assert.is_true(socket.gettime() - began >= 0.14)
    close(client, server)
  end)

  it("refuses, or accepts and says nothing, until it is healed", function()
    proxy:refuse()
    assert.is_nil((socket.connect("127.0.0.1", proxy.port)))
    proxy:heal()
    proxy:silence()
    local client, server = connect()
    client:send("heard?")
    assert.is_true(is_silent(server))
    proxy:heal()
    assert.equal("heard?", server:receive(6))
    close(client, server)
  end)

  it("keeps no descriptor of what has ended", function()
    for _ = 1, 20 do close(connect()) end
    wait.until_true("all to be closed", function() return proxy:stat().open == 0 end)
  end)
end)
