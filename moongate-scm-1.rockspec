rockspec_format = "3.0"
package = "moongate"
version = "scm-1"
-- `luarocks make` in a checkout; `make dist` writes that of the source archive, which differs in this.
source = {
  url = ".",
}
description = {
  summary = "PostgreSQL clusters for Lua: pools, health, read/write routing by Lua policies",
  detailed = [[
    The Lua module of moongate, the PostgreSQL query router whose routing policy is a Lua script: the
    same clusters, pools, health checks, backoff and policies inside of an application.]],
  license = "MIT",
}
supported_platforms = { "linux" }
dependencies = {
  "lua >= 5.4, < 5.5",
}
build = {
  type = "make",
  build_target = "build/lib/moongate/core.so",
  install_pass = false,
  install = {
    lib = {
      ["moongate.core"] = "build/lib/moongate/core.so",
    },
    lua = {
      ["moongate"] = "lua/moongate/init.lua",
      ["moongate.block_options"] = "lua/moongate/block_options.lua",
      ["moongate.checks"] = "lua/moongate/checks.lua",
      ["moongate.clock"] = "lua/moongate/clock.lua",
      ["moongate.datetime"] = "lua/moongate/datetime.lua",
      ["moongate.copas"] = "lua/moongate/copas.lua",
      ["moongate.examples"] = "lua/moongate/examples.lua",
      ["moongate.health"] = "lua/moongate/health.lua",
      ["moongate.json"] = "lua/moongate/json.lua",
      ["moongate.listen"] = "lua/moongate/listen.lua",
      ["moongate.loops"] = "lua/moongate/loops.lua",
      ["moongate.meta"] = "lua/moongate/meta.lua",
      ["moongate.options"] = "lua/moongate/options.lua",
      ["moongate.pipeline"] = "lua/moongate/pipeline.lua",
      ["moongate.policies.analytics_pool"] = "lua/moongate/policies/analytics_pool.lua",
      ["moongate.policies.least_loaded"] = "lua/moongate/policies/least_loaded.lua",
      ["moongate.policies.maintenance"] = "lua/moongate/policies/maintenance.lua",
      ["moongate.policies.nearest_region"] = "lua/moongate/policies/nearest_region.lua",
      ["moongate.policies.primary_only"] = "lua/moongate/policies/primary_only.lua",
      ["moongate.policies.read_write_split"] = "lua/moongate/policies/read_write_split.lua",
      ["moongate.policies.sticky_session"] = "lua/moongate/policies/sticky_session.lua",
      ["moongate.policies.tenant"] = "lua/moongate/policies/tenant.lua",
      ["moongate.policies.weighted_replicas"] = "lua/moongate/policies/weighted_replicas.lua",
      ["moongate.policy"] = "lua/moongate/policy.lua",
      ["moongate.pool"] = "lua/moongate/pool.lua",
      ["moongate.queries"] = "lua/moongate/queries.lua",
      ["moongate.reconnect"] = "lua/moongate/reconnect.lua",
      ["moongate.rules"] = "lua/moongate/rules.lua",
      ["moongate.rules.criteria"] = "lua/moongate/rules/criteria.lua",
      ["moongate.rules.keys"] = "lua/moongate/rules/keys.lua",
      ["moongate.rules.limit"] = "lua/moongate/rules/limit.lua",
      ["moongate.task"] = "lua/moongate/task.lua",
      ["moongate.testing"] = "lua/moongate/testing.lua",
      ["moongate.transaction"] = "lua/moongate/transaction.lua",
      ["moongate.types"] = "lua/moongate/types.lua",
      ["moongate.values"] = "lua/moongate/values.lua",
    },
  },
}
