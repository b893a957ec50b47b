---moongate: PostgreSQL clusters for Lua, and the language of the router's scripts.
---
---One implementation for both homes: in an application `require "moongate"` opens pools, probes
---and runs queries; in a routing script the router runs what the script describes.
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
local examples = require "moongate.examples"
local options = require "moongate.options"
core.own()

local M = {
  ---What NULL is in rows and parameters: a light userdata, the same as lua-cjson's null.
  NULL = core.NULL,
  ---@type string
  version = core.version,
  ---What the router knows of a statement from its text.
  ---@type fun(sql: string): moongate.Facts
  classify = core.classify,
  ---What a policy returns to refuse a query; the SQLSTATE is 42501 unless it says otherwise.
  ---@type fun(message: string, sqlstate?: string): moongate.Rejection
  reject = core.reject,
  ---The same route, whose reads are also sent to another endpoint (by name, handle or route), for
  ---warming or testing; what comes of the copies is dropped, and counted.
  ---@type fun(route: moongate.Route, copy_to: moongate.Endpoint|moongate.Route|string): moongate.Route
  mirror = core.mirror,
  ---The same route, whose queries are cancelled after so many seconds (57014).
  ---@type fun(route: moongate.Route, seconds: number): moongate.Route
  timeout = core.timeout,
  ---Has `fn` called every so many seconds, while the script is in charge (in an application: while
  ---the loop runs). An error is logged; too many in a row stop it, as timer:stop() does.
  ---@type fun(seconds: number, fn: fun()): moongate.Timer
  every = core.every,
  ---No new work for this endpoint from now on; what is under way ends, idle servers are closed.
  ---@type fun(endpoint: moongate.Endpoint)
  drain = core.drain,
  ---@type fun(endpoint: moongate.Endpoint)
  undrain = core.undrain,
}

---@class moongate.Facts
---@field intent "read"|"write"
---@field kind string
---@field tables string[]
---@field functions string[]
---@field pins string[]
---@field settings string[]  those that may have another value in its session afterwards
---@field statements integer
---@field fingerprint string
---@field reason string?  why the intent is "write"

---What a policy is asked about, as long as it is being asked.
---@class moongate.Query
---@field intent "read"|"write"
---@field kind string
---@field sql string
---@field fingerprint string
---@field tables string[]
---@field functions string[]
---@field tags table<string, string>  from comments: /* moongate: key=value */, /* key='value' */
---@field in_transaction boolean
---@field session moongate.Session
---@field parameters integer
---@field key string|number|nil       what the scope "key" goes by; to be set

---@class moongate.Session
---@field user string
---@field database string
---@field application_name string
---@field address string
---@field vars table  for the policy's own notes

---@class moongate.Rejection

---@class moongate.Timer
---@field stop fun(self)
---@class moongate.Stats
---@field calls integer
---@field errors integer  of them
---@field rows integer    returned or changed
---@field mean number     seconds from being sent until answered, as p50, p95, p99 and max
---@field p50 number
---@field p95 number
---@field p99 number
---@field max number
---@field on fun(self, endpoint: moongate.Endpoint): moongate.Stats  of query.stats; the next on() reuses it

---@class moongate.Endpoint
---@field name string
---@field host string
---@field port integer
---@field role "primary"|"replica"|"unknown"
---@field region string?
---@field weight number
---@field up boolean
---@field state "starting"|"up"|"down"|"failed"
---@field error string?     why it is not up
---@field lag number        seconds that the replica is behind, by its own account
---@field lag_bytes integer
---@field latency number    seconds, moving average
---@field in_flight integer
---@field waiting integer
---@field staleness number  seconds since it was known to hold all commits
---@field timeline integer  0: not known
---@field read_only boolean  it takes no writes (default_transaction_read_only), whatever its role
---@field draining boolean   it gets no new work: see drain
---@field breaker "closed"|"open"|"half_open"  open: its traffic fails, and goes elsewhere
---@field drain fun(self)    as moongate.drain
---@field undrain fun(self)
---@field stats moongate.Stats  of all that it has answered

---@class moongate.Route

---@class moongate.Cluster
---@field primary moongate.Endpoint?
---@field replicas moongate.Endpoint[]  those of now: with Patroni endpoints come and go
---@field endpoints moongate.Endpoint[]
---@field query fun(self, sql: string, ...): table?, string?, string?  rows, or nil, message, code
---@field transaction fun(self, fn: fun(tx: moongate.Transaction): ...): any, string?, string?
---@field pool fun(self, intent: "read"|"write"): moongate.Pool
---@field health fun(self): moongate.Health
---@field token fun(self): string?, string?, string?  the position of its last write, "" before the first
---@field after fun(self, token: string?): boolean?, string?, string?  its reads see what that stands for
---@field verdict fun(self, sql: string): string, boolean  where it would go; whether the policy failed
---@field close fun(self)
local cluster_methods = core.cluster_methods
cluster_methods.transaction = require "moongate.transaction"
cluster_methods.pool = require "moongate.pool"
cluster_methods.health = require "moongate.health"

---A way to choose an endpoint: made once, returned by the policy for as many queries as it likes.
---@type fun(self: moongate.Cluster, opts: table): moongate.Route
---opts: to, balance, weights, consistency, scope, max_staleness, wait_fresh, max_lag, prefer, fallback,
---hold, name
cluster_methods.route = core.checked("cluster:route", function(self, opts)
  local config, why = options.route(opts)
  if not config then return nil, why end
  return core.route(self, config)
end)

---Who says which endpoints a cluster has: the members of a Patroni cluster, as they come and go.
---@class moongate.Patroni

---@type fun(opts: moongate.PatroniOptions): moongate.Patroni
M.patroni = core.checked("moongate.patroni", options.patroni)

---@class moongate.PatroniOptions
---@field url string|string[]  of Patroni's REST API, at one member or several: "http://db1:8008"
---@field connect string?      how to connect to a member, without host and port: "postgres://user:password@/app"
---@field interval number?     seconds between two looks; default 2
---@field timeout number?      seconds that an answer may take; default 2
---@field ca string?           a file of certificates to trust with https://; default: the system's
---@field members table<string, { region: string?, weight: number? }>?  what Patroni does not say of them

---@type fun(opts: table): moongate.Cluster
---opts: patroni, or primary and replicas; pool, timeouts, users, databases, health, backoff, breaker,
---hold_limit, catalog_age, functions, policy, null
M.cluster = core.checked("moongate.cluster", function(opts)
  local config, why = options.cluster(opts)
  if not config then return nil, why end
  return core.cluster(config, examples.checked(config.policy))
end)

---@class moongate.Backoff
---@field failures integer  in a row, since the last success
---@field spent boolean     there were as many as `attempts`
---@field delay fun(self): number    seconds to wait after the failures so far
---@field fail fun(self): number     counts a failure; the seconds to wait before the next attempt
---@field succeed fun(self)          counts a success: the next failure is the first one again
---@field delays fun(self): function for delay in backoff:delays() do ... end

---@type fun(opts?: table): moongate.Backoff
---opts: initial, factor, max, attempts, jitter
M.backoff = core.checked("moongate.backoff", function(opts)
  local config, why = options.backoff(opts)
  if not config then return nil, why end
  return core.backoff(config)
end)

---What a routing script returns.
---@type fun(opts: table): moongate.Router
---opts: listen, admin, log_queries, cluster or clusters = { database = cluster, ["*"] = cluster }; policy, for clusters
---that have none of their own; shadow, another policy that is asked beside it and never obeyed
M.router = core.checked("moongate.router", function(opts)
  local config, why = options.router(opts)
  if not config then return nil, why end
  local policy, shadow = examples.checked(config.policy), examples.checked(config.shadow)
  for _, cluster in pairs(config.clusters) do
    local done, wrong = core.set_policy(cluster, policy, shadow)
    if not done then return nil, wrong end
  end
  return core.router(config.listen, config.clusters, config.admin, config.log_queries)
end)

---@class moongate.Router

---Options for moongate.cluster from the environment: DATABASE_URL, DATABASE_REPLICA_URL (none, or
---several, separated by spaces), MOONGATE_REGION (where all of them are). A replica's URL that is
---wrong is an endpoint that is down.
---@type fun(): table
M.from_env = core.checked("moongate.from_env", function()
  local region = os.getenv("MOONGATE_REGION")
  local primary = os.getenv("DATABASE_URL")
  if not primary or primary == "" then
    return nil, "DATABASE_URL is not set; it names the primary, such as postgres://user@host:5432/database"
  end
  if region == "" then region = nil end
  local replicas = {}
  for url in (os.getenv("DATABASE_REPLICA_URL") or ""):gmatch("%S+") do
    replicas[#replicas + 1] = { url = url, region = region, lenient = true }
  end
  return { primary = { url = primary, region = region }, replicas = replicas }
end)

return M
