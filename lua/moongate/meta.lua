---@meta moongate.meta
---
---Types for editors, and nothing that runs: of moongate itself, of what its C code hands to policies,
---and of the tables of options. tests/lua/meta_spec.lua holds them against the code. What is written
---in Lua has its types where it stands.
-- SPDX-License-Identifier: MIT

---What a policy may return; nil is the default route.
---@alias moongate.Verdict moongate.Route|moongate.Endpoint|moongate.Rejection|nil

---Makes a cluster's policy, once.
---@alias moongate.Factory fun(cluster: moongate.Cluster): moongate.Policy|fun(query: moongate.Query): moongate.Verdict

---@alias moongate.Intent "read"|"write"
---@alias moongate.Mode "transaction"|"session"|"statement"

---`require "moongate"`.
---@class moongate
---@field version string
---What NULL is in rows and parameters: the same as lua-cjson's null.
---@field NULL lightuserdata
---What a routing script returns.
---@field router fun(opts: moongate.RouterOptions): moongate.Router
---@field cluster fun(opts: moongate.ClusterOptions): moongate.Cluster
---@field patroni fun(opts: moongate.PatroniOptions): moongate.Patroni
---Options from DATABASE_URL, DATABASE_REPLICA_URL (none, or several, separated by spaces) and
---MOONGATE_REGION. A replica's URL that is wrong is an endpoint that is down.
---@field from_env fun(): moongate.ClusterOptions
---What the router knows of a statement from its text.
---@field classify fun(sql: string): moongate.Facts
---What a policy returns to refuse a query; the SQLSTATE is 42501 unless it says otherwise.
---@field reject fun(message: string, sqlstate?: string): moongate.Rejection
---The same route, whose reads are also sent to another endpoint (by name, handle or route), for
---warming or testing; what comes of the copies is dropped, and counted.
---@field mirror fun(route: moongate.Route, copy_to: moongate.Endpoint|moongate.Route|string): moongate.Route
---The same route, whose queries are cancelled after so many seconds (57014).
---@field timeout fun(route: moongate.Route, seconds: number): moongate.Route
---Has `fn` called every so many seconds, while the script is in charge (in an application: while the
---loop runs). An error is logged; too many in a row stop it, as timer:stop() does.
---@field every fun(seconds: number, fn: fun()): moongate.Timer
---No new work for this endpoint from now on; what is under way ends, idle servers are closed.
---@field drain fun(endpoint: moongate.Endpoint)
---@field undrain fun(endpoint: moongate.Endpoint)
---@field backoff fun(opts?: moongate.BackoffOptions): moongate.Backoff

---What moongate.classify() tells.
---@class moongate.Facts
---@field intent moongate.Intent
---@field reason string?       why the intent is "write"
---@field kind string
---@field fingerprint string   the same for statements that differ only in literals
---@field statements integer   in this text; 0: not known
---@field tables string[]
---@field functions string[]
---@field pins string[]        why its client would have to keep its server
---@field settings string[]    those that may have another value in its session afterwards

---What a policy's factory may return instead of a function.
---@class moongate.Policy
---@field route fun(query: moongate.Query): moongate.Verdict
---The router only.
---@field on_connect (fun(session: moongate.Session): moongate.Rejection|moongate.Cluster|string|nil)?
---@field on_error fun(query: moongate.Query, error: moongate.QueryError)?
---@field on_endpoint_change fun(endpoint: moongate.Endpoint)?
---@field tests moongate.Example[]?  tried when it is loaded

---@class moongate.QueryError
---@field sqlstate string
---@field message string
---@field endpoint moongate.Endpoint?  nil: none was reached

---What is expected of a policy.
---@class moongate.Example
---@field sql string
---@field expect string        the name of a route or an endpoint, "reject" or "reject: MESSAGE"
---@field name string?         what messages call it
---@field rule string?         that decides
---@field user string?
---@field database string?
---@field application string?
---@field address string?
---@field tags table<string, string|number|boolean>?
---@field in_transaction boolean?  in a block that may write
---@field parameters integer?
---@field given table<string, string|string[]>?  at endpoints: "down", "lag=3" ...; for moongate.testing, as:
---@field wrote number?        seconds since the session's last write
---@field hour integer?        of the day

---What a policy is asked about, as long as it is being asked.
---@class moongate.Query
---@field intent moongate.Intent
---@field kind string
---@field sql string           "" beyond 1 MiB
---@field fingerprint string
---@field tables string[]
---@field functions string[]
---@field tags table<string, string>  from comments: /* moongate: key=value */, /* key='value' */
---@field writes boolean       it may change data, and does not just need the primary
---@field in_transaction boolean
---@field transaction moongate.Block?
---@field bound boolean        it goes where its block or session is, and may only be rejected
---@field parameters integer
---@field key string|number|nil  what the scope "key" goes by; to be set
---@field session moongate.Session
---@field stats moongate.Stats of statements with its fingerprint

---@class moongate.Session
---@field user string
---@field database string
---@field application_name string?
---@field address string       "192.0.2.7:51034"
---@field vars table           for the policy's own notes

---query.transaction.
---@class moongate.Block
---@field read_only boolean
---@field deferrable boolean
---@field isolation "serializable"|"repeatable read"|nil  as it was asked for
---@field endpoint moongate.Endpoint?  where it runs; nil: the first statement is to choose
---@field age number           seconds since it began

---@class moongate.Stats
---@field calls integer
---@field errors integer       of them
---@field rows integer         returned or changed
---@field mean number          seconds from being sent until answered, as p50, p95, p99 and max
---@field p50 number
---@field p95 number
---@field p99 number
---@field max number
---Of query.stats; the next on() reuses it.
---@field on fun(self: moongate.Stats, endpoint: moongate.Endpoint): moongate.Stats

---@class moongate.Endpoint
---@field name string
---@field host string
---@field port integer
---@field role "primary"|"replica"|"unknown"
---@field region string?
---@field weight number
---@field up boolean
---@field state "starting"|"up"|"down"|"failed"
---@field failures integer     of probes, in a row
---@field error string?        why it is not up
---@field lag number           seconds that the replica is behind, by its own account
---@field lag_bytes integer
---@field latency number       seconds, moving average; 0: not known yet
---@field in_flight integer
---@field waiting integer
---@field staleness number     seconds since it was known to hold all commits
---@field timeline integer     0: not known
---@field read_only boolean    it takes no writes (default_transaction_read_only), whatever its role
---@field draining boolean     it gets no new work: see drain
---@field breaker "closed"|"open"|"half_open"  open: its traffic fails, and goes elsewhere
---@field stats moongate.Stats of all that it has answered
---@field drain fun(self: moongate.Endpoint)  as moongate.drain
---@field undrain fun(self: moongate.Endpoint)

---@class moongate.Cluster
---@field primary moongate.Endpoint?
---@field replicas moongate.Endpoint[]   those of now: with Patroni endpoints come and go
---@field endpoints moongate.Endpoint[]
---Made once, returned for as many queries as one likes.
---@field route fun(self: moongate.Cluster, opts: moongate.RouteOptions): moongate.Route
---@field query fun(self: moongate.Cluster, sql: string, ...): table[]?, string?, string?  rows, or nil, message, code
---@field transaction fun(self: moongate.Cluster, fn: fun(tx: moongate.Transaction): ...): any, string?, string?
---@field pool fun(self: moongate.Cluster, intent: moongate.Intent): moongate.Pool
---@field health fun(self: moongate.Cluster): moongate.Health
---The position of its last write, "" before the first.
---@field token fun(self: moongate.Cluster): string?, string?, string?
---Its reads see what that stands for.
---@field after fun(self: moongate.Cluster, token: string?): boolean?, string?, string?
---Where it would go; whether the policy failed.
---@field verdict fun(self: moongate.Cluster, sql: string): string, boolean
---@field close fun(self: moongate.Cluster)

---A way to choose an endpoint: cluster:route { ... }.
---@class moongate.Route

---What a policy returns to refuse a query: moongate.reject().
---@class moongate.Rejection

---@class moongate.Router

---Who says which endpoints a cluster has: the members of a Patroni cluster, as they come and go.
---@class moongate.Patroni

---@class moongate.Timer
---@field stop fun(self: moongate.Timer)

---@class moongate.Backoff
---@field failures integer     in a row, since the last success
---@field spent boolean        there were as many as `attempts`
---@field delay fun(self: moongate.Backoff): number   seconds to wait after the failures so far
---@field fail fun(self: moongate.Backoff): number    counts a failure; the seconds to wait before the next attempt
---@field succeed fun(self: moongate.Backoff)         counts a success: the next failure is the first one again
---For delay in backoff:delays() do ... end.
---@field delays fun(self: moongate.Backoff): (fun(): number?), moongate.Backoff

---@class moongate.RouterOptions
---@field listen string?       default "127.0.0.1:6432"
---@field admin string?        where health and metrics are to be had over HTTP; default: nowhere
---@field cluster moongate.Cluster?  for all databases, or:
---@field clusters table<string, moongate.Cluster>?  by database; "*" for those that are not named
---@field policy moongate.Factory?  for clusters that have none of their own
---@field shadow moongate.Factory?  asked beside the policy, and never obeyed
---@field log_queries boolean? each batch is a line of the log, with its SQL

---@class moongate.ClusterOptions
---@field primary string|moongate.EndpointOptions|nil  needed without patroni
---@field replicas (string|moongate.EndpointOptions)[]?
---@field patroni moongate.Patroni?  instead of these two
---@field policy moongate.Factory?   default: reads to replicas, writes to the primary
---@field pool moongate.PoolOptions?
---@field timeouts moongate.TimeoutOptions?
---@field users table<string, moongate.OverrideOptions>?
---@field databases table<string, moongate.OverrideOptions>?
---@field hold_limit moongate.HoldLimitOptions?
---@field catalog_age number?  seconds after which a database's functions are looked at again; default 60
---@field functions moongate.FunctionOptions?
---@field health moongate.HealthOptions?
---@field backoff moongate.BackoffOptions?
---@field breaker moongate.BreakerOptions?
---@field null "nil"?          what the module's rows hold for NULL; default moongate.NULL

---@class moongate.EndpointOptions
---@field url string           "postgres://user@host:5432/database"
---@field name string?         default "host:port"
---@field region string?
---@field weight number?       default 1
---@field lenient boolean?     with a URL that is wrong it is an endpoint that is down

---Servers (connections to PostgreSQL) per endpoint, user and database.
---@class moongate.PoolOptions
---@field mode moongate.Mode?        default "transaction"
---@field size integer?              default 10
---@field reserve integer?           more, when a client has waited for reserve_after; default 0
---@field reserve_after number?      seconds; default 3
---@field min_idle integer?          default 0
---@field max_per_database integer?  0, the default: no limit, as of the next two
---@field max_per_user integer?
---@field max_per_endpoint integer?
---@field acquire_timeout number?    seconds that a client waits; default 5
---@field connect_timeout number?    seconds; default 5
---@field idle_timeout number?       seconds; default 600, 0: never
---@field max_lifetime number?       seconds; default 3600, 0: never
---@field lifetime_jitter number?    0 to 1; default 0.1
---@field notice_after number?       seconds; default 5, 0: never
---@field prepared_statements integer?  per server; default 200, 0: no limit

---Seconds; 0, the default of each: none.
---@class moongate.TimeoutOptions
---@field query_timeout number?
---@field transaction_timeout number?
---@field idle_transaction_timeout number?
---@field client_idle_timeout number?

---What a user or a database has of its own.
---@class moongate.OverrideOptions: moongate.TimeoutOptions
---@field pool_mode moongate.Mode?
---@field pool_size integer?

---On what waits for an endpoint at the same time.
---@class moongate.HoldLimitOptions
---@field queries integer?     default 5000
---@field bytes integer?       default 67108864

---What functions do, whatever the catalog says.
---@class moongate.FunctionOptions
---@field read string[]?
---@field write string[]?

---@class moongate.HealthOptions
---@field interval number?     seconds between two probes; default 1
---@field timeout number?      seconds; default 1
---@field fall integer?        failures in a row until an endpoint is down; default 3
---@field rise integer?        successes until it is up again; default 2
---@field slow_start number?   seconds until it has its whole weight again; default 10

---@class moongate.BackoffOptions
---@field initial number?      seconds; default 2
---@field factor number?       default 2
---@field max number?          seconds; default 32
---@field attempts integer?    default 5
---@field jitter number?       0 to 1; default 0.2

---When an endpoint is left out because its traffic fails.
---@class moongate.BreakerOptions
---@field failures integer?    default 5, 0: never
---@field window number?       seconds within which they count; default 10
---@field ratio number?        0 to 1, of all that was tried; default 0.5
---@field pause number?        seconds until some queries try it again; default 5
---@field trials integer?      default 3

---@class moongate.PatroniOptions
---@field url string|string[]  of Patroni's REST API, at one member or several: "http://db1:8008"
---@field connect string?      how to connect to a member, without host and port: "postgres://user:password@/app"
---@field interval number?     seconds between two looks; default 2
---@field timeout number?      seconds that an answer may take; default 2
---@field ca string?           a file of certificates to trust with https://; default: the system's
---@field members table<string, moongate.MemberOptions>?  what Patroni does not say of them

---@class moongate.MemberOptions
---@field region string?
---@field weight number?

---@class moongate.RouteOptions
---@field to "primary"|"replicas"|"any"|string|string[]|{ region: string }  where it leads, or the names of endpoints
---@field name string?         what logs and `moongate explain` call it; default: from `to`
---@field balance "weighted"|"round_robin"|"least_in_flight"|"latency"|nil
---@field weights table<string, number>?  what endpoints weigh here; default: their own
---@field prefer string?       a region, while any endpoint there will do
---@field fallback "primary"?  when no other will do
---@field hold number?         seconds that a query waits for an endpoint; default: acquire_timeout
---@field max_lag number?      seconds; replicas that are further behind are left out
---@field consistency "eventual"|"bounded"|"read_your_writes"|"session"|"strong"|nil  default "read_your_writes"
---@field max_staleness number?  seconds, for consistency = "bounded"
---@field scope "session"|"user"|"table"|"cluster"|"key"|nil  whose writes count; default "session"
---@field wait_fresh number?   milliseconds that a read waits for a replica to become fresh enough

---What `rules.when { ... }` may ask; all of it must hold.
---@class moongate.rules.When
---@field name string?         what the rule is called
---@field intent moongate.Intent|moongate.Intent[]|nil
---@field kind string|string[]|nil
---@field fingerprint string|string[]|nil
---@field user string|string[]|nil
---@field database string|string[]|nil
---@field application string|string[]|nil  Lua patterns
---@field address string|string[]|nil      Lua patterns
---@field tables string|string[]|nil       without a schema those of any schema are meant
---@field functions string|string[]|nil
---@field in_transaction boolean?
---@field writes boolean?      as query.writes
---@field tag table<string, string|string[]|boolean>?  true: there is one, false: there is none
---@field hour string|string[]|integer[]|nil  { 22, 6 }: from 22:00 until 5:59 where the router runs; "22-6"
---@field test (fun(query: moongate.Query): any)?

---`rules.limit { ... }`.
---@class moongate.rules.LimitOptions
---@field key moongate.Key
---@field rate number          queries per second
---@field burst number?        that may come at once; default: rate
---@field ["else"] moongate.Verdict  beyond that; default: a rejection with SQLSTATE 53400
---@field otherwise moongate.Verdict the same
