--- Clients of examples/transactions_service.lua, as a process of its own: PORT WRITERS READERS. They go on
-- until SIGTERM; then it tells in one line of JSON what they have been told.
--
-- A writer repeats a POST, with its key, until it is acknowledged. Then it asks for the transaction, and for
-- a list with the token: both have to show it. Readers ask for lists.
-- SPDX-License-Identifier: MIT

local signal = require "cqueues.signal"
signal.block(signal.SIGTERM)

local cjson = require "cjson"
local cqueues = require "cqueues"
local cqueues_socket = require "cqueues.socket"
local http = require "tests.support.http"

local PORT, WRITERS, READERS = tonumber(arg[1]), tonumber(arg[2]), tonumber(arg[3])
local SECONDS = 20

local loop = cqueues.new()
local stopping = false
local told = {
  acknowledged = {}, -- ids by keys
  tried = 0,         -- keys
  statuses = {},     -- how often each, by method: "POST 201"; "POST nothing" where the connection was lost
  unseen = {},       -- what did not show what had been acknowledged
  slowest_read = 0,
}

---@return integer? status, string? body, table<string, string>? headers  nothing where the service has gone
local function request(method, path, headers, body)
  local socket = cqueues_socket.connect { host = "127.0.0.1", port = PORT }
  socket:onerror(function(_, _, why) return why end)
  socket:setmode("b", "bf")
  socket:settimeout(SECONDS)
  local lines = { ("%s %s HTTP/1.1"):format(method, path), "Host: 127.0.0.1", "Connection: close" }
  for name, value in pairs(headers) do lines[#lines + 1] = name .. ": " .. value end
  if body then lines[#lines + 1] = "Content-Length: " .. #body end
  local answer
  if socket:write(table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")) then answer = socket:read "*a" end
  socket:close()
  local status, text, fields = http.parse(answer or "")
  local name = method .. " " .. (status or "nothing")
  told.statuses[name] = (told.statuses[name] or 0) + 1
  return status, text, fields
end

local function read(path, headers)
  local began = cqueues.monotime()
  local status, body = request("GET", path, headers)
  told.slowest_read = math.max(told.slowest_read, cqueues.monotime() - began)
  return status, body
end

local function must_show(path, headers, id)
  local status, body = read(path, headers)
  if status == 503 or status and body:find(('"id":%d[,}]'):format(id)) then return end
  told.unseen[#told.unseen + 1] = ("%s: %s"):format(path, status)
end

local function post(key)
  told.tried = told.tried + 1
  while not stopping do
    local status, body, headers = request("POST", "/transactions", { ["Idempotency-Key"] = key },
      '{"account": "load", "amount": "1.25"}')
    if status == 201 then
      local id = cjson.decode(body).id
      told.acknowledged[key] = id
      must_show(headers.location, {}, id)
      if headers["x-moongate-token"] then
        must_show("/transactions?limit=1000", { ["X-Moongate-Token"] = headers["x-moongate-token"] }, id)
      end
      return
    end
    cqueues.sleep(0.05)
  end
end

for writer = 1, WRITERS do
  loop:wrap(function()
    local number = 0
    while not stopping do
      number = number + 1
      post(("load-%d-%d"):format(writer, number))
      cqueues.sleep(0.01)
    end
  end)
end

for _ = 1, READERS do
  loop:wrap(function()
    while not stopping do
      read("/transactions?limit=10", {})
      cqueues.sleep(0.01)
    end
  end)
end

loop:wrap(function()
  signal.listen(signal.SIGTERM):wait()
  stopping = true
end)

assert(loop:loop())
print(cjson.encode(told))
