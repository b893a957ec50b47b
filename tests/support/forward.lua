--- A TCP forwarder: `lua5.4 forward.lua ADDRESS PORT TARGET_PORT` makes what listens on
-- 127.0.0.1:TARGET_PORT reachable at ADDRESS:PORT, until its standard input ends.
-- SPDX-License-Identifier: MIT

local uv = require "luv"

local address, port, target = arg[1], tonumber(arg[2]), tonumber(arg[3])

local function close(handle)
  if not handle:is_closing() then handle:close() end
end

local function pump(from, to)
  from:read_start(function(_, bytes)
    if bytes then
      to:write(bytes)
    else
      close(from)
      close(to)
    end
  end)
end

local listener = uv.new_tcp()
assert(listener:bind(address, port))
assert(listener:listen(128, function()
  local client, server = uv.new_tcp(), uv.new_tcp()
  listener:accept(client)
  server:connect("127.0.0.1", target, function(err)
    if err then
      close(client)
      close(server)
      return
    end
    pump(client, server)
    pump(server, client)
  end)
end))

local input = uv.new_pipe()
input:open(0)
input:read_start(function(_, bytes)
  if not bytes then os.exit(0) end
end)
io.write "ready\n"
io.stdout:flush()
uv.run()
