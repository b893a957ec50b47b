--- One PostgreSQL primary with two replicas for all spec files of a run, started at first need.
-- Specs that kill, suspend or promote nodes start their own.
-- SPDX-License-Identifier: MIT

local throwaway = require "moongate.throwaway"

local M = {}

---The role that logs in by SCRAM.
M.ROLE, M.PASSWORD = "app", "s3cret-Pa55word"

local shared

---@return moongate.throwaway.Cluster
function M.shared()
  if not shared then
    shared = throwaway.start {
      replicas = 2,
      tls = true,
      passwords = { [M.ROLE] = M.PASSWORD },
    }
    shared.primary:psql(("grant create on schema public to %s"):format(M.ROLE))
    shared:wait_for_replay()
  end
  return shared
end

function M.stop()
  if shared then shared:stop() end
  shared = nil
end

return M
