-- Shows how to serve JSON over HTTP, by lua-http on cqueues: each request in a coroutine of its own, failures
-- as answers, and an end that waits for what is under way. It is the lower half of transactions_service.lua.
local cjson = require "cjson"
local condition = require "cqueues.condition"
local cqueues = require "cqueues"
local cqueues_socket = require "cqueues.socket"
local http_headers = require "http.headers"
local http_server = require "http.server"
local http_util = require "http.util"
local signal = require "cqueues.signal"

local MAX_BODY = 16384
local BODY_SECONDS = 10
local LONGEST_REQUEST = 300 -- s; after a longer one its connection is closed, as is one idle for as long
local LAST_SECONDS = 30     -- for what is under way when the service is told to end
local CLOSE = { connection = "close" }

local M = {}

function M.log(...) io.stderr:write(table.concat({ ... }, " "), "\n") end

-- Ends the request with { "error": message }, from wherever it is.
function M.fail(status, message, headers)
  error({ status = status, body = { error = message }, headers = headers }, 0)
end

local function read_body(stream, headers)
  local size = tonumber(headers:get "content-length" or 0)
  if not size or headers:has "transfer-encoding" then M.fail(411, "Content-Length is missing", CLOSE) end
  if size > MAX_BODY then
    stream:get_body_chars(16 * MAX_BODY, 1) -- some clients listen only once they have sent it
    M.fail(413, ("the body is larger than %d bytes"):format(MAX_BODY), CLOSE)
  end
  if headers:get "expect" == "100-continue" then stream:write_continue() end
  local body = stream:get_body_chars(size, BODY_SECONDS) or ""
  if #body < size then M.fail(408, "the body did not come in time", CLOSE) end
  return body
end

-- The object or array that the body holds.
function M.read_json(request)
  local is_json, value = pcall(cjson.decode, read_body(request.stream, request.headers))
  if not is_json or type(value) ~= "table" then M.fail(400, "the body is no JSON object") end
  return value
end

-- Calls the handler that is meant: of { { path = PATTERN, GET = function(request, match) ... end }, ... }.
local function dispatch(routes, request)
  for _, route in ipairs(routes) do
    local match = request.path:match(route.path)
    local handler = route[request.method == "HEAD" and "GET" or request.method]
    if match and handler then return handler(request, match) end
    if match then M.fail(405, "not by this method", { allow = route.POST and "GET, HEAD, POST" or "GET, HEAD" }) end
  end
  M.fail(404, "there is nothing of this name")
end

local function respond(service, request, status, body, fields)
  body = (type(body) == "string" and body or cjson.encode(body)) .. "\n"
  local headers = http_headers.new()
  headers:append(":status", tostring(status))
  headers:append("content-type", "application/json")
  headers:append("content-length", tostring(#body))
  for name, value in pairs(fields or {}) do headers:append(name, value) end
  if service.stopping then headers:upsert("connection", "close") end
  local has_body = request.method ~= "HEAD"
  if request.stream:write_headers(headers, not has_body) and has_body then request.stream:write_chunk(body, true) end
end

local function as_failure(why)
  if type(why) == "table" and why.status then return why end
  M.log(debug.traceback(tostring(why), 2))
  return { status = 500, body = { error = "internal error" } }
end

local function new_request(stream, headers)
  local path, query = headers:get(":path"):match "^([^?]*)%??(.*)$"
  local request = { stream = stream, headers = headers, method = headers:get ":method", path = path, query = {} }
  for name, value in http_util.query_args(query) do request.query[name] = value end
  return request
end

local function answer(service, request)
  service.under_way = service.under_way + 1
  local done, status, body, fields = xpcall(dispatch, as_failure, service.routes, request)
  if not done then status, body, fields = status.status, status.body, status.headers end
  pcall(respond, service, request, status, body, fields) -- the client may have gone
  service.under_way = service.under_way - 1
  service.one_ended:signal()
end

local function on_stream(service, stream)
  local headers = stream:get_headers(BODY_SECONDS)
  if headers and headers:get ":path" then answer(service, new_request(stream, headers)) end
  if stream.state == "closed" then return end
  -- It has not come whole. Lua-http 0.4 would go on reading, and on, where the client has gone.
  local socket = stream.connection:take_socket()
  if socket then socket:close() end
end

-- At SIGTERM or SIGINT: no new requests, and an end once the others are over.
local function wait_for_end(service)
  signal.listen(signal.SIGTERM, signal.SIGINT):wait()
  service.stopping = true
  service.server:pause()
  service.socket:close()
  local deadline = cqueues.monotime() + LAST_SECONDS
  while service.under_way > 0 and cqueues.monotime() < deadline do service.one_ended:wait(1) end
  service.is_over = true
end

local function listen(service, address)
  local host, port = address:match "^%[?(.-)%]?:(%d+)$"
  service.socket = assert(cqueues_socket.listen { host = host, port = port, reuseaddr = true })
  assert(service.socket:listen())
  service.server = http_server.new {
    cq = service.loop, socket = service.socket, tls = false, version = 1.1, intra_stream_timeout = LONGEST_REQUEST,
    onstream = function(_, stream) on_stream(service, stream) end,
    onerror = function(_, _, operation, why) M.log("http:", operation, tostring(why)) end,
  }
end

-- Serves until a signal ends it. `address` is "127.0.0.1:8080"; the functions run beside, as coroutines. A
-- handler returns a status, a body (a table, or a text that is JSON already) and header fields.
function M.serve(address, routes, ...)
  signal.block(signal.SIGTERM, signal.SIGINT)
  local service = { routes = routes, loop = cqueues.new(), under_way = 0, one_ended = condition.new() }
  listen(service, address)
  for _, fn in ipairs { wait_for_end, ... } do service.loop:wrap(fn, service) end
  print("listening on http://" .. address)
  io.stdout:flush()
  while not service.is_over do
    local ok, why = service.loop:step()
    if not ok then M.log(tostring(why)) end
  end
end

return M
