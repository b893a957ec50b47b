---What a cluster's results decode to, beyond the types that the core knows.
-- SPDX-License-Identifier: MIT
local core = require "moongate.core"
core.own()

local M = {}

local JSON, NUMERIC, JSONB = 114, 1700, 3802 -- pg_type.dat

---@param cluster moongate.Cluster
---@param config table  of options.cluster()
function M.configure(cluster, config)
  if config.numeric then core.set_type(cluster, NUMERIC, config.numeric) end
  if config.json then
    core.set_type(cluster, JSON, config.json)
    core.set_type(cluster, JSONB, config.json)
  end
end

-- Elements that are domains arrive as what they are made of.
local ARRAYS = [[
  select a.oid, case e.typbasetype when 0 then e.oid else e.typbasetype end as element
  from pg_catalog.pg_type a join pg_catalog.pg_type e on e.oid = a.typelem
  where a.oid >= 16384 and a.typcategory = 'A' and a.typdelim = ',' and e.typarray = a.oid]]

---Asks the database which arrays its own types have (enums, domains, composite types, extensions'),
---so that they decode to tables as well.
---@param cluster moongate.Cluster
---@return boolean? done, string? message, string? code, moongate.ErrorFields? fields
function M.load(cluster)
  if type(cluster) ~= "userdata" then
    core.misuse("a moongate.cluster expected, got " .. type(cluster)
      .. "; its methods are called as cluster:method()")
  end
  local rows, message, code, fields = cluster:query(ARRAYS)
  if not rows then return nil, message, code, fields end
  for _, row in ipairs(rows) do core.set_type(cluster, row.oid, row.element) end
  return true
end

return M
