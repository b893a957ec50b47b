--- The part of Patroni's REST API that moongate asks, for tests: `lua5.4 patroni_api.lua FILE [PORT]`
-- answers GET /cluster with what FILE holds, on a port of 127.0.0.1, which it prints first, until its
-- standard input ends; then it prints the path of each request.
--
-- FILE's first line is "STATUS SECONDS": the answer's status, and how long it takes; the rest is the body.
-- SPDX-License-Identifier: MIT

local uv = require "luv"

local function read_answer()
  local file = assert(io.open(arg[1]))
  local status, seconds = file:read("l"):match("^(%d+) ([%d.]+)$")
  local body = file:read("a")
  file:close()
  return status, tonumber(seconds), body
end

local function close(handle)
  if not handle:is_closing() then handle:close() end
end

local function answer(client, path)
  local status, seconds, body = read_answer()
  if path ~= "/cluster" then status = "404" end
  local text = ("HTTP/1.0 %s x\r\nContent-Type: application/json\r\n\r\n%s"):format(status, body)
  local timer = uv.new_timer()
  timer:start(math.floor(seconds * 1000), 0, function()
    close(timer)
    if client:is_closing() then return end
    client:write(text, function() close(client) end)
  end)
end

local server = uv.new_tcp()
assert(server:bind("127.0.0.1", tonumber(arg[2] or 0)))
assert(server:listen(64, function()
  local client, head = uv.new_tcp(), ""
  server:accept(client)
  client:read_start(function(_, bytes)
    if not bytes then
      close(client)
      return
    end
    head = head .. bytes
    if not head:find("\r\n\r\n", 1, true) then return end
    local path = head:match("^GET (%S+)") or "?"
    io.write(path, "\n")
    io.stdout:flush()
    answer(client, path)
  end)
end))

local input = uv.new_pipe()
input:open(0)
input:read_start(function(_, bytes)
  if not bytes then os.exit(0) end
end)
io.write(server:getsockname().port, "\n")
io.stdout:flush()
uv.run()
