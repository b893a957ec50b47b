---What users may write in moongate's options tables, and what they are told when it is something
---else: which option, what it was, what would be right. Every function here returns the checked
---options in the form that moongate.core takes, or nil and a message; it never raises. Values that
---may hold a password are never repeated.
-- SPDX-License-Identifier: MIT
local checks = require "moongate.checks"
local core = require "moongate.core"

local M = {}

M.suggest = checks.suggest

local HUGE = math.huge
local options_of = checks.options_of
local must_be = checks.must_be
local list_of = checks.list_of
local number = checks.number
local integer = checks.integer
local choice = checks.choice
local text = checks.text
local flag = checks.flag
local sorted_keys = checks.sorted_keys
local shown = checks.shown
local seconds = checks.seconds
local some_seconds = checks.some_seconds
local weight = checks.weight
local name = checks.name
local region = checks.region
local url = checks.url

local endpoint_options = options_of(
  { url = url, name = name, region = region, weight = weight, lenient = flag }, { "url" })

local function endpoint(value, where)
  if type(value) == "string" then value = { url = value } end
  if type(value) ~= "table" then return must_be("a URL or { url = ... }")(value, where) end
  return endpoint_options(value, where)
end

local function factory(value, where)
  local meta = type(value) == "table" and getmetatable(value)
  if type(value) == "function" or type(meta) == "table" and meta.__call then return value end
  return must_be("a function(cluster) that returns a function(query)")(value, where)
end

local backoff = options_of {
  initial = seconds,
  factor = number(1, HUGE, "a number of at least 1"),
  max = seconds,
  attempts = integer(0, 1000000),
  jitter = number(0, 1, "a number from 0 to 1"),
}

---The same check of a table that may call its options by other names, too: other -> its own.
local function with_aliases(check, aliases)
  return function(value, where)
    if type(value) ~= "table" then return check(value, where) end
    local renamed = {}
    for key, each in pairs(value) do
      local own = aliases[key] or key
      if renamed[own] ~= nil then
        return nil, ("%s has both %s and its other name: set one of them"):format(where, own)
      end
      renamed[own] = each
    end
    return check(renamed, where)
  end
end

local some_servers = integer(1, 100000)
local servers = integer(0, 100000)
local mode = choice { "transaction", "session", "statement" }

local pool_schema = {
  mode = mode,
  size = some_servers,
  reserve = servers,
  reserve_after = seconds,
  min_idle = servers,
  max_per_database = servers,
  max_per_user = servers,
  max_per_endpoint = servers,
  acquire_timeout = seconds,
  connect_timeout = some_seconds,
  idle_timeout = seconds,
  max_lifetime = seconds,
  lifetime_jitter = number(0, 1, "a number from 0 to 1"),
  notice_after = seconds,
  prepared_statements = integer(0, 100000),
}
local pool_aliases = { server_lifetime = "max_lifetime" }
local pool = with_aliases(options_of(pool_schema), pool_aliases)

local timeouts = with_aliases(options_of {
  query_timeout = seconds,
  transaction_timeout = seconds,
  idle_transaction_timeout = seconds,
  client_idle_timeout = seconds,
}, {
  query = "query_timeout",
  transaction = "transaction_timeout",
  idle_transaction = "idle_transaction_timeout",
  client_idle = "client_idle_timeout",
})

---What a user or a database may have of its own.
local override = options_of {
  pool_mode = mode,
  pool_size = some_servers,
  query_timeout = seconds,
  transaction_timeout = seconds,
  idle_transaction_timeout = seconds,
  client_idle_timeout = seconds,
}

---A list of what `check` accepts, each with its `name`, from a table by name.
local function named(check, what)
  local refuse = must_be(("a table from names of %s"):format(what))
  return function(value, where)
    if type(value) ~= "table" then return refuse(value, where) end
    local list = {}
    for i, key in ipairs(sorted_keys(value)) do
      local checked, why = name(key, where .. "'s key")
      if checked then checked, why = check(value[key], ("%s.%s"):format(where, key)) end
      if not checked then return nil, why end
      checked.name = key
      list[i] = checked
    end
    return list
  end
end

local function overrides_of(what)
  return named(override, what .. " to their options")
end

local rest_refuse = must_be("an http:// or https:// URL of Patroni's REST API, such as \"http://db1:8008\"")

local function rest_url(value, where)
  if type(value) == "string" and value:find("^https?://[^/%s%c]+/?[^%s%c]*$") then return value end
  return rest_refuse(value, where)
end

local rest_list = list_of(rest_url, "a list of such URLs")

---One or several, always as a list.
local function rest_urls(value, where)
  if type(value) ~= "table" then
    local checked, why = rest_url(value, where)
    return checked and { checked }, why
  end
  if #value == 0 and next(value) == nil then return nil, where .. " names no URL" end
  return rest_list(value, where)
end

local member = options_of { region = region, weight = weight }

local patroni = options_of({
  url = rest_urls,
  connect = url,
  interval = some_seconds,
  timeout = some_seconds,
  ca = text("the name of a file of certificates"),
  members = named(member, "members to { region = ..., weight = ... }"),
}, { "url" })

local patroni_mt = { __name = "moongate.patroni", __metatable = "moongate.patroni" }

---@param options any  as in moongate.patroni
---@return table? config, string? why
function M.patroni(options)
  local checked, why = patroni(options)
  if not checked then return nil, why end
  return setmetatable({
    urls = checked.url,
    connect = checked.connect or "postgres://",
    interval = checked.interval or 2,
    timeout = checked.timeout or 2,
    ca = checked.ca,
    members = checked.members or {},
  }, patroni_mt)
end

local function is_patroni(value, where)
  if getmetatable(value) == patroni_mt.__metatable then return value end
  return must_be("a moongate.patroni { url = ... }")(value, where)
end

local function_names = list_of(name, "a list of functions' names")

local function_lists = options_of { read = function_names, write = function_names }

---What operators say of functions. One cannot be both.
local function functions(value, where)
  local checked, why = function_lists(value, where)
  if not checked then return nil, why end
  local reads = {}
  for _, each in ipairs(checked.read or {}) do reads[each] = true end
  for _, each in ipairs(checked.write or {}) do
    if reads[each] then return nil, ("%s has %q both in read and in write"):format(where, each) end
  end
  return checked
end

local json_refuse = must_be("\"decode\" or a function(text)")

---The function that decodes.
local function json(value, where)
  if type(value) == "function" then return value end
  if value ~= "decode" then return json_refuse(value, where) end
  local found, cjson = pcall(require, "cjson")
  if not found then return nil, where .. " = \"decode\" needs lua-cjson, which is not installed" end
  return core.with_integers(cjson.decode)
end

local endpoint_list = list_of(endpoint, "a list of URLs or { url = ... }")

local health_schema = {
  interval = some_seconds,
  timeout = some_seconds,
  fall = integer(1, 1000),
  rise = integer(1, 1000),
  slow_start = seconds,
}
local health = options_of(health_schema)

local on_notice_refuse = must_be("a function(notice)")

local function on_notice(value, where)
  if type(value) ~= "function" then return on_notice_refuse(value, where) end
  return value
end

local null = choice { "nil" }
local numeric = choice { "float" }

local cluster = options_of({
  primary = endpoint,
  patroni = is_patroni,
  replicas = endpoint_list,
  pool = pool,
  timeouts = timeouts,
  users = overrides_of "users",
  databases = overrides_of "databases",
  health = health,
  backoff = backoff,
  hold_limit = options_of {
    queries = integer(1, 10000000),
    bytes = integer(1, 1 << 40),
  },
  catalog_age = seconds,
  functions = functions,
  breaker = options_of {
    failures = integer(0, 1000000),
    window = some_seconds,
    ratio = number(0, 1, "a number from 0 to 1"),
    pause = some_seconds,
    trials = integer(1, 1000),
  },
  prepare_threshold = integer(0, 1000000),
  null = null,
  numeric = numeric,
  json = json,
  on_notice = on_notice,
  policy = factory,
})

---@param options any  as in moongate.cluster
---@return table? config, string? why
function M.cluster(options)
  local checked, why = cluster(options)
  if not checked then return nil, why end
  if checked.patroni and (checked.primary or checked.replicas) then
    return nil, "it takes either patroni, who knows the members, or primary and replicas"
  end
  local primary = checked.primary
  if not primary and not checked.patroni then return nil, "primary is missing" end
  local endpoints = { primary }
  if primary then primary.role = "primary" end
  for i, replica in ipairs(checked.replicas or {}) do
    replica.role = "replica"
    endpoints[i + 1] = replica
  end
  return {
    patroni = checked.patroni,
    endpoints = endpoints,
    pool = checked.pool,
    timeouts = checked.timeouts,
    users = checked.users,
    databases = checked.databases,
    health = checked.health,
    backoff = checked.backoff,
    hold_limit = checked.hold_limit,
    catalog_age = checked.catalog_age,
    functions = checked.functions,
    breaker = checked.breaker,
    prepare_threshold = checked.prepare_threshold,
    null = checked.null,
    numeric = checked.numeric,
    json = checked.json,
    on_notice = checked.on_notice,
    policy = checked.policy,
  }
end

-- What SQL calls them, and what this module does.
local accesses = {
  ["read only"] = "read only",
  ["read write"] = "read write",
  read = "read only",
  write = "read write",
}

local transaction = options_of {
  access = choice { "read only", "read write", "read", "write" },
  isolation = choice { "read committed", "repeatable read", "serializable", "read uncommitted" },
  deferrable = flag,
  retries = integer(0, 1000000),
}

---What cluster:transaction() does: how the block begins, on which side, and how often it may be done
---again. A standby takes no serializable transactions.
---@param options any  as in moongate.TransactionOptions
---@return { begin: string, intent: "read"|"write", retries: integer }? config, string? why
function M.transaction(options)
  local checked, why = transaction(options == nil and {} or options)
  if not checked then return nil, why end
  local access = accesses[checked.access]
  local begin = { "begin" }
  if checked.isolation then begin[#begin + 1] = "isolation level " .. checked.isolation end
  begin[#begin + 1] = access
  if checked.deferrable ~= nil then begin[#begin + 1] = checked.deferrable and "deferrable" or "not deferrable" end
  local read = access == "read only" and checked.isolation ~= "serializable"
  return {
    begin = table.concat(begin, " "),
    intent = read and "read" or "write",
    retries = checked.retries or 0,
  }
end

local oid = integer(1, (1 << 32) - 1)
local type_options = options_of {
  decode = function(value, where)
    if type(value) == "function" then return value end
    return nil, ("%s must be a function(text), not %s"):format(where, shown(value))
  end,
  element = oid,
}

---What cluster:type() takes, as core.set_type() does.
---@return function|integer|nil how, string? why
function M.type(type_oid, options)
  local whole, why = oid(type_oid, "the type's OID")
  if not whole then return nil, why end
  local checked
  checked, why = type_options(options, nil)
  if not checked then return nil, why end
  if (checked.decode == nil) == (checked.element == nil) then
    return nil, "it takes { decode = function(text) ... }, or for an array { element = its elements' OID }"
  end
  return checked.decode or checked.element
end

---@return table? config, string? why
function M.backoff(options)
  if options == nil then return {} end
  return backoff(options)
end

local targets = { primary = true, replicas = true, any = true }
local target_names = list_of(name, "\"primary\", \"replicas\", \"any\", endpoint names, or { region = ... }")
local target_region = options_of({ region = region }, { "region" })

---Where a route leads, as the options `to`, `names` and `region` of moongate.core.
local function target(value, where)
  if targets[value] then return { to = value } end
  if type(value) == "string" then value = { value } end
  if type(value) == "table" and value[1] == nil and next(value) ~= nil then
    local checked, why = target_region(value, where)
    if not checked then return nil, why end
    return { to = "region", region = checked.region }
  end
  local names, why = target_names(value, where)
  if not names then return nil, why end
  if #names == 0 then return nil, where .. " names no endpoint" end
  return { to = "named", names = names }
end

local weights_refuse = must_be("a table from endpoints' names to their weights")

---As a list, sorted by name.
local function weights(value, where)
  if type(value) ~= "table" then return weights_refuse(value, where) end
  local list = {}
  for i, key in ipairs(sorted_keys(value)) do
    local checked, why = name(key, where .. "'s key")
    if checked then checked, why = weight(value[key], ("%s[%q]"):format(where, key)) end
    if not checked then return nil, why end
    list[i] = { name = key, weight = checked }
  end
  return list
end

local route_schema = {
  name = name,
  to = target,
  balance = choice { "weighted", "round_robin", "least_in_flight", "latency" },
  consistency = choice { "eventual", "bounded", "read_your_writes", "session", "strong" },
  scope = choice { "session", "user", "table", "cluster", "key" },
  wait_fresh = number(0, 60000, "a number of milliseconds from 0 to 60000"),
  max_staleness = seconds,
  max_lag = number(0.001, HUGE, "a number of seconds of at least 0.001"),
  prefer = region,
  weights = weights,
  fallback = choice { "primary" },
  hold = seconds,
}

local route = options_of(route_schema, { "to" })

---@param options any  as in cluster:route
---@return table? config, string? why
function M.route(options)
  local checked, why = route(options)
  if not checked then return nil, why end
  if checked.consistency == "bounded" and not checked.max_staleness then
    return nil, "consistency = \"bounded\" needs max_staleness, in seconds"
  end
  if checked.max_staleness and checked.consistency ~= "bounded" then
    return nil, "max_staleness needs consistency = \"bounded\""
  end
  local to = checked.to
  checked.to, checked.names, checked.region = to.to, to.names, to.region
  return checked
end

---"host:port", "[::1]:port"
local function address(value, where)
  local port = type(value) == "string" and (value:match("^%[[%x:.%%%w]+%]:(%d+)$") or value:match("^[^:%s]+:(%d+)$"))
  if not port or #port > 5 or tonumber(port) > 65535 then
    return nil, ("%s must be an address such as \"127.0.0.1:6432\", not %s"):format(where, shown(value))
  end
  return value
end

local function is_cluster(value, where)
  if core.is_cluster(value) then return value end
  return must_be("a moongate.cluster{...} that is not closed")(value, where)
end

local function clusters(value, where)
  if type(value) ~= "table" or next(value) == nil then
    return must_be("a table such as { app = cluster, [\"*\"] = other }")(value, where)
  end
  local seen = {}
  for _, database in ipairs(sorted_keys(value)) do
    if type(database) ~= "string" then return nil, where .. " has a key that is no database's name" end
    local this, why = is_cluster(value[database], ("%s[%q]"):format(where, database))
    if not this then return nil, why end
    if seen[this] then
      return nil, ("%s has the same cluster for %q and %q; make one for each, or use \"*\""):format(
        where, seen[this], database)
    end
    seen[this] = database
  end
  return value
end

local DEFAULT_LISTEN = "127.0.0.1:6432"

local router = options_of {
  listen = address,
  admin = address,
  cluster = is_cluster,
  clusters = clusters,
  policy = factory,
  shadow = factory,
  log_queries = flag,
}

---@param options any  as in moongate.router
---@return table? config, string? why
function M.router(options)
  local checked, why = router(options)
  if not checked then return nil, why end
  if (checked.cluster == nil) == (checked.clusters == nil) then
    return nil, "it takes either cluster = ... or clusters = { database = ... }"
  end
  return {
    listen = checked.listen or DEFAULT_LISTEN,
    admin = checked.admin,
    log_queries = checked.log_queries,
    clusters = checked.clusters or { ["*"] = checked.cluster },
    policy = checked.policy,
    shadow = checked.shadow,
  }
end

---For other files of moongate that take options. Schemas are those of the options by their names.
M.checks = setmetatable({
  with_aliases = with_aliases,
  endpoint = endpoint,
  endpoints = endpoint_list,
  backoff = backoff,
  null = null,
  numeric = numeric,
  json = json,
  on_notice = on_notice,
  route = route_schema,
  pool = pool_schema,
  health = health_schema,
  pool_aliases = pool_aliases,
}, { __index = checks })

return M
