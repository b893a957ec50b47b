--- A table that nobody can read while the gate is shut, on the primary or a replica: a statement that
-- reads it lasts until the test lets it through, however slow the machine is.
-- SPDX-License-Identifier: MIT

local wait = require "tests.support.wait"
local wire = require "tests.support.wire"

local M = {}

---@class tests.Gate
local methods = {}
local mt = { __name = "tests.gate", __index = methods, __close = function(self) self:open() end }

---Returns once the table `gate` is locked everywhere.
---@param pg moongate.throwaway.Cluster
---@return tests.Gate
function M.shut(pg)
  pg.primary:psql "create table if not exists gate as select 1 as n; create table if not exists gate_flush (n int)"
  local self = setmetatable({ pg = pg, keeper = wire.open(pg.primary.port) }, mt)
  self.keeper:value "begin; lock table gate"
  pg.primary:psql "insert into gate_flush values (1)" -- a lock alone is not sent at once
  pg:wait_for_replay()
  return self
end

---Waits until somebody stands before the gate.
---@param nodes moongate.throwaway.Node[]?  only there; default: anywhere
---@return moongate.throwaway.Node
function methods:await(nodes)
  return wait.until_true("somebody to stand before the gate", function()
    for _, node in ipairs(nodes or self.pg:nodes()) do
      if node:psql "select count(*) from pg_locks where not granted and relation = 'gate'::regclass" ~= "0" then
        return node
      end
    end
  end)
end

---Safe to call twice.
function methods:open()
  if not self.keeper then return end
  self.keeper:query "commit"
  self.keeper:quit()
  self.keeper = nil
end

return M
