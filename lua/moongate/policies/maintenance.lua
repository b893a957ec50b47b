---Writes are refused, with a message that says why; reads go on, and so does what only concerns the
---session: SET, BEGIN, cursors.
---
---    policy = require "moongate.policies.maintenance" { message = "back at 7:00", except = { "migration" } }
---
---Options: message, sqlstate (default 25006, which drivers know as "read-only"), except (users who may
---write), consistency, max_staleness, max_lag, wait_fresh.
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
local options = require "moongate.options"
local policy = require "moongate.policy"
local rules = require "moongate.rules"
core.own()

local checks = options.checks
local when, to = rules.when, rules.to

---What writes nothing itself. EXECUTE is not among them: what it runs may write.
local HARMLESS = { "begin", "commit", "rollback", "savepoint", "release", "set", "reset", "show", "discard",
  "prepare", "deallocate", "declare", "fetch", "close", "listen", "unlisten" }

local function sqlstate(value, where)
  if type(value) == "string" and pcall(core.reject, "", value) then return value end
  return checks.must_be("a SQLSTATE of an error, such as \"25006\"")(value, where)
end

local schema = {
  message = checks.text "a message",
  sqlstate = sqlstate,
  except = checks.list_of(checks.name, "a list of users"),
}

return policy.define("maintenance", schema, function(cluster, opts)
  local reads, primary = policy.reads(cluster, opts, { name = "replicas" }), policy.writes(cluster)
  local message = opts.message or "the database is in maintenance: it takes no writes for now"
  local list = {
    when { name = "reads go on", intent = "read" }, to(reads),
    when { name = "sessions go on", kind = HARMLESS }, to(primary),
  }
  if opts.except and #opts.except > 0 then
    table.move({ when { name = "those who may write", user = opts.except }, to(primary) }, 1, 2, 5, list)
  end
  -- Not by the intent: a read in a block that may write has the block's.
  table.move({
    when { name = "writes wait", writes = true }, rules.reject(message, opts.sqlstate or "25006"),
    when { name = "all else" }, to(primary),
  }, 1, 4, #list + 1, list)
  return rules.first(list)
end)
