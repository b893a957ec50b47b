-- Shows a web service: HTTP on cqueues, writes to the primary, reads from replicas, and failovers in which
-- no transaction is lost or done twice.
--
--   DATABASE_URL=postgres://... DATABASE_REPLICA_URL="postgres://... postgres://..." \
--     LISTEN=127.0.0.1:8080 PATIENCE=10 lua5.4 examples/transactions_service.lua
--
--   curl -i localhost:8080/transactions -H 'Idempotency-Key: order-17' -d '{"account": "alice", "amount": "12.50"}'
--   curl -i localhost:8080/transactions/1
--   curl -i localhost:8080/transactions?limit=10 -H 'X-Moongate-Token: 1/0/3000148'
--   curl -i localhost:8080/health
--
-- Without DATABASE_REPLICA_URL the primary serves everything. PATIENCE is for how many seconds a request
-- waits for a database before it is told 503.
--
-- A POST that was answered 503, or not at all, may have been done: sent again with the same Idempotency-Key
-- it is done once. Lists may be some moments old; the X-Moongate-Token that a POST was answered makes them
-- show what it did, in any other such service, too. What was acknowledged outlives the primary where
-- PostgreSQL replicates synchronously.
--
-- It needs lua-http and lua-cjson, and finds json_http.lua where it is run in moongate's folder. Debian 12
-- has lua-http for Lua 5.3, which does for 5.4 as well: LUA_PATH=";;/usr/share/lua/5.3/?.lua;/usr/share/lua/5.1/?.lua".
local cjson = require "cjson"
local cqueues = require "cqueues"
local http = require "examples.json_http"
local moongate = require "moongate"
local random = require "openssl.rand"

local LISTEN = os.getenv "LISTEN" or "127.0.0.1:8080"
local PATIENCE = tonumber(os.getenv "PATIENCE") or 10

local TABLE = [[
  create table if not exists transactions (
    id bigint generated always as identity primary key,
    idempotency_key text not null unique,
    account text not null,
    amount numeric not null,
    created_at timestamptz not null default now()
  )]]

local COLUMNS = [[ id, account, amount,
  to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as created_at ]]

-- Where the key is there already, its row comes back: the update is for that, and changes nothing.
local INSERT = "insert into transactions (idempotency_key, account, amount) values ($1, $2, $3) "
  .. "on conflict (idempotency_key) do update set idempotency_key = excluded.idempotency_key returning"
  .. COLUMNS .. ", account = $2 and amount = $3 as is_same"

local SELECT = "select" .. COLUMNS .. "from transactions "

local options = moongate.from_env()
options.pool = { acquire_timeout = PATIENCE }

-- As the policy read_write_split, but reads do not need the primary unless they ask for more.
function options.policy(cluster)
  local reads = cluster:route { to = "replicas", consistency = "eventual", fallback = "primary", hold = PATIENCE }
  local writes = cluster:route { to = "primary", hold = PATIENCE }
  reads, writes = moongate.timeout(reads, PATIENCE), moongate.timeout(writes, PATIENCE)
  return function(query) return query.intent == "read" and reads or writes end
end

local cluster <close> = moongate.cluster(options)

-- Whether it may work soon: the server was lost, in a conflict, busy, not there in time, no primary any more.
local function is_passing(code)
  local class = code:sub(1, 2)
  return class == "08" or class == "40" or class == "53" or class == "57" or code == "25006"
end

-- What a query gave. What PostgreSQL says of failures is for the log, not for clients.
local function check(result, message, code)
  if not message then return result end
  http.log("database:", message, code)
  if is_passing(code) then http.fail(503, "no database has answered in time", { ["retry-after"] = "1" }) end
  http.fail(500, "internal error")
end

local function check_fields(t)
  for name in pairs(t) do
    if name ~= "account" and name ~= "amount" then http.fail(422, "the fields are account and amount, no others") end
  end
  local account, amount = t.account, t.amount
  if type(account) ~= "string" or #account > 64 or not account:find "^[%w._-]+$" then
    http.fail(422, "account must be a string of 1 to 64 letters, digits, dots, dashes and underscores")
  end
  -- JSON's numbers are floats to most who read them; a string loses nothing.
  if type(amount) ~= "string" or #amount > 30 or not (amount:find "^-?%d+$" or amount:find "^-?%d+%.%d+$") then
    http.fail(422, 'amount must be a string such as "12.50", of at most 30 characters')
  end
  if not amount:find "[1-9]" then http.fail(422, "amount must not be zero") end
end

-- The client's; or one of our own, for the repetitions that are ours.
local function idempotency_key(headers)
  local key = headers:get "idempotency-key"
  if not key then return ("%x-%x"):format(string.unpack("jj", random.bytes(16))) end
  if #key > 200 or not key:find "^[%w%p]+$" then
    http.fail(400, "Idempotency-Key must be 1 to 200 letters, digits and punctuation marks")
  end
  return key
end

-- Nobody knows whether a server that was lost had done it (08007): having the key, one may just try again.
local function insert(key, account, amount)
  local row, message, code
  for _ = 1, 3 do
    row, message, code = cluster:one(INSERT, key, account, amount)
    if row or code:sub(1, 2) ~= "08" then break end
  end
  return check(row, message, code)
end

local function create(request)
  local t = http.read_json(request)
  check_fields(t)
  local row = insert(idempotency_key(request.headers), t.account, t.amount)
  if not row.is_same then http.fail(422, "this Idempotency-Key is that of another transaction") end
  row.is_same = nil
  -- There is no token if the primary has gone just now; the transaction is there all the same.
  return 201, row, { location = "/transactions/" .. row.id, ["x-moongate-token"] = cluster:token() }
end

-- Rows never change: those that a replica has are right. Those that it has not, the primary may have.
local function show(_, digits)
  local id = digits:find "^%d+$" and math.tointeger(tonumber(digits))
  local row = id and (check(cluster:one(SELECT .. "where id = $1", id))
    or check(cluster:one(SELECT .. "where id = $1 /* moongate: consistency=strong */", id)))
  if not row then http.fail(404, "there is no such transaction") end
  return 200, row
end

-- It goes into a comment in SQL: what it may be is known to the last digit.
local function is_token(text)
  local timeline, high, low = text:match "^(%d+)/(%x+)/(%x+)$"
  return timeline and #timeline < 10 and #high <= 8 and #low <= 8
end

local function list(request)
  local text, after = request.query.limit or "50", ""
  local limit = #text <= 4 and text:find "^%d+$" and tonumber(text) or 0
  if limit < 1 or limit > 1000 then http.fail(400, "limit must be a number from 1 to 1000") end
  local token = request.headers:get "x-moongate-token"
  if token then
    if not is_token(token) then http.fail(400, "X-Moongate-Token must be one that a POST was answered") end
    after = (" /* moongate: after=%s */"):format(token)
  end
  local rows = check(cluster:query(SELECT .. "order by id desc limit $1" .. after, limit))
  for i, row in ipairs(rows) do rows[i] = cjson.encode(row) end
  return 200, "[" .. table.concat(rows, ",") .. "]" -- of an empty table lua-cjson makes {}
end

local function health()
  local report = cluster:health()
  return report.status == "unhealthy" and 503 or 200, report
end

-- If need be, this waits for the database.
local function create_table()
  while true do
    local done, message, code = cluster:query(TABLE)
    if done then return end
    http.log("creating the table:", message, code)
    if not is_passing(code) then return end
    moongate.sleep(1)
  end
end

-- The endpoints are probed between requests, too.
local function keep_probing()
  while true do
    cqueues.poll(cluster)
    cluster:step()
  end
end

http.serve(LISTEN, {
  { path = "^/health$", GET = health },
  { path = "^/transactions$", GET = list, POST = create },
  { path = "^/transactions/([^/]+)$", GET = show },
}, create_table, keep_probing)
