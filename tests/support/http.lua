--- One HTTP request at a time, with blocking calls and deadlines; and the pieces, for requests that
-- are no good.
-- SPDX-License-Identifier: MIT

local socket = require "socket"

local M = {}

local SECONDS = 60

---@return table connection  luasocket's
function M.connect(port)
  local connection = assert(socket.tcp())
  connection:settimeout(SECONDS)
  assert(connection:connect("127.0.0.1", port))
  return connection
end

---@param text string  a whole answer
---@return integer? status, string? body, table<string, string>? headers
function M.parse(text)
  local head, body = text:match("^(.-)\r\n\r\n(.*)$")
  if not head then return nil end
  local headers = {}
  for name, value in head:gmatch("\r\n([^:\r\n]+):%s*([^\r\n]*)") do headers[name:lower()] = value end
  return tonumber(head:match("^HTTP/1%.[01] (%d%d%d)")), body, headers
end

---Sends `text` and reads until the peer closes.
---@return integer? status, string? body, table<string, string>? headers  nothing where it only closed
function M.raw(port, text)
  local connection = M.connect(port)
  connection:send(text) -- the peer may have heard enough before its end
  local answer, _, partial = connection:receive("*a")
  connection:close()
  return M.parse(answer or partial or "")
end

---@param path string
---@param options { method: string?, headers: table<string, string>?, body: string? }?
---@return integer status, string body, table<string, string> headers
function M.request(port, path, options)
  options = options or {}
  local lines = { ("%s %s HTTP/1.1"):format(options.method or "GET", path), "Host: 127.0.0.1" }
  for name, value in pairs(options.headers or {}) do lines[#lines + 1] = name .. ": " .. value end
  if options.body then lines[#lines + 1] = "Content-Length: " .. #options.body end
  local text = table.concat(lines, "\r\n") .. "\r\n\r\n" .. (options.body or "")
  local status, body, headers = M.raw(port, text)
  if not status then error(("%s was not answered"):format(path), 2) end
  return status, body, headers
end

return M
