---moongate: PostgreSQL clusters for Lua, and the language of the router's scripts.
---
---One implementation for both homes: in an application `require "moongate"` opens pools, probes
---and runs queries; in a routing script the router runs what the script describes.
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
local block_options = require "moongate.block_options"
local examples = require "moongate.examples"
local health = require "moongate.health"
local listen = require "moongate.listen"
require "moongate.loops"
local options = require "moongate.options"
local pipeline = require "moongate.pipeline"
local pool = require "moongate.pool"
local queries = require "moongate.queries"
local task = require "moongate.task"
local types = require "moongate.types"
local values = require "moongate.values"
core.own()

-- meta.lua says what all of these take and return.
---@class moongate
local M = {
  NULL = core.NULL,
  version = core.version,
  classify = core.classify,
  reject = core.reject,
  mirror = core.mirror,
  timeout = core.timeout,
  every = core.every,
  run = task.run,
  spawn = task.spawn,
  gather = task.gather,
  with_timeout = task.with_timeout,
  sleep = task.sleep,
  drain = core.drain,
  undrain = core.undrain,
  array = values.array,
  json = values.json,
  bytea = values.bytea,
  escape_literal = values.escape_literal,
  escape_identifier = values.escape_identifier,
}

local cluster_methods = core.cluster_methods
cluster_methods.transaction = require "moongate.transaction"
cluster_methods.pool = pool.of_cluster
cluster_methods.health = health.of_cluster
cluster_methods.reconnect = require "moongate.reconnect"
cluster_methods.listen = listen.listen
cluster_methods.load_types = types.load
for _, methods in ipairs { cluster_methods, core.connection_methods } do
  methods.assert_query = queries.assert_query
  methods.pipeline = pipeline
  methods.notify = listen.notify
  methods.copy_in = queries.copy_in(methods.copy_in)
end
for _, methods in ipairs { core.statement_methods, core.connection_statement_methods } do
  methods.assert_query = queries.assert_query
end

for _, name in ipairs { "escape_literal", "escape_identifier" } do
  local escape = values[name]
  cluster_methods[name] = function(self, text)
    queries.check_self(self, name)
    return (escape(text))
  end
end

cluster_methods.type = core.checked("cluster:type", function(self, oid, opts)
  if type(self) ~= "userdata" then return nil, "call it as cluster:type(oid, options)" end
  local how, why = options.type(oid, opts)
  if not how then return nil, why end
  core.set_type(self, oid, how)
  return true
end)

cluster_methods.route = core.checked("cluster:route", function(self, opts)
  if type(self) ~= "userdata" then return nil, "call it as cluster:route(options)" end
  local config, why = options.route(opts)
  if not config then return nil, why end
  return core.route(self, config)
end)

M.patroni = core.checked("moongate.patroni", options.patroni)

M.cluster = core.checked("moongate.cluster", function(opts)
  local config, why = options.cluster(opts)
  if not config then return nil, why end
  local cluster, wrong = core.cluster(config, examples.checked(config.policy))
  if cluster then types.configure(cluster, config) end
  return cluster, wrong
end)

M.pool = core.checked("moongate.pool", function(opts)
  local config, why = block_options.pool(opts)
  if not config then return nil, why end
  local cluster, wrong = core.cluster(config)
  if not cluster then return nil, wrong end
  types.configure(cluster, config)
  return pool.own(cluster, core.route(cluster, { to = "any", name = "any", consistency = "eventual" }))
end)

M.health = core.checked("moongate.health", function(opts)
  local config, why = block_options.health(opts)
  if not config then return nil, why end
  local on_change = config.on_change
  local cluster, wrong = core.cluster(config, on_change and function()
    return { route = function() end, on_endpoint_change = on_change }
  end)
  if not cluster then return nil, wrong end
  return health.own(cluster)
end)

M.backoff = core.checked("moongate.backoff", function(opts)
  local config, why = options.backoff(opts)
  if not config then return nil, why end
  return core.backoff(config)
end)

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
