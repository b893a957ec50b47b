--- A name server for tests: `lua5.4 dns.lua ZONE` answers over UDP on a port of 127.0.0.1, which it
-- prints first, until its standard input ends; then it prints the name in each question.
--
-- ZONE is a file with lines "NAME TTL ADDRESS[,ADDRESS...]" (IPv4), read anew for every question.
-- What is not there does not exist. RFC 1035, section 4.1.
-- SPDX-License-Identifier: MIT

local uv = require "luv"

local TYPE_A, NAME_ERROR = 1, 3

local function lookup(name)
  for line in io.lines(arg[1]) do
    local known, ttl, addresses = line:match "^(%S+) (%d+) (%S+)"
    if known == name then return tonumber(ttl), addresses end
  end
end

---The name and the type of the one question, and where it ends.
local function question(message)
  local labels, at = {}, 13
  while message:byte(at) ~= 0 do
    local label
    label, at = string.unpack("s1", message, at)
    labels[#labels + 1] = label
  end
  local kind = string.unpack(">I2", message, at + 1)
  return table.concat(labels, "."), kind, at + 4
end

local function answer(message)
  local name, kind, last = question(message)
  io.write(name, "\n")
  io.stdout:flush()
  local ttl, addresses = lookup(name:lower())
  local records = {}
  for address in (kind == TYPE_A and addresses or ""):gmatch "[^,]+" do
    local a, b, c, d = address:match "(%d+)%.(%d+)%.(%d+)%.(%d+)"
    records[#records + 1] = string.pack(">I2I2I2I4I2BBBB", 0xc00c, TYPE_A, 1, ttl, 4,
      tonumber(a), tonumber(b), tonumber(c), tonumber(d))
  end
  local flags = 0x8400 | (ttl and 0 or NAME_ERROR)
  return message:sub(1, 2) .. string.pack(">I2I2I2I2I2", flags, 1, #records, 0, 0)
    .. message:sub(13, last) .. table.concat(records)
end

local server = uv.new_udp()
assert(server:bind("127.0.0.1", 0))
server:recv_start(function(_, message, from)
  if message and #message > 12 then server:try_send(answer(message), from.ip, from.port) end
end)

local input = uv.new_pipe()
input:open(0)
input:read_start(function(_, bytes)
  if not bytes then os.exit(0) end
end)
io.write(server:getsockname().port, "\n")
io.stdout:flush()
uv.run()
