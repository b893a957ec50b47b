-- Shows an application: a pool with retries, a transaction that commits or leaves no trace, and reads
-- that go to the replicas without missing what was just written.
--
--   DATABASE_URL=... DATABASE_REPLICA_URL="... ..." lua5.4 examples/transfer.lua
local moongate = require "moongate"

local options = moongate.from_env()
options.policy = require "moongate.policies.read_write_split"
options.pool = { size = 4, acquire_timeout = 2 }
local cluster <close> = moongate.cluster(options)

local function check(result, message, code)
  if not result then error(("%s (%s)"):format(message, code or "no SQLSTATE"), 2) end
  return result
end

check(cluster:query "create table if not exists accounts (name text primary key, balance int8 check (balance >= 0))")
check(cluster:query [[insert into accounts values ('alice', 100), ('bob', 0)
  on conflict (name) do update set balance = excluded.balance]])

local function transfer(from, to, amount)
  return cluster:transaction(function(tx)
    check(tx:query("update accounts set balance = balance - $1 where name = $2", amount, from))
    check(tx:query("update accounts set balance = balance + $1 where name = $2", amount, to))
  end)
end

check(transfer("alice", "bob", 60))

local ok, message, code = transfer("alice", "bob", 60)
print(("a second transfer: %s, SQLSTATE %s: %s"):format(ok and "done" or "refused", code, message))

for _, row in ipairs(check(cluster:query "select name, balance from accounts order by name")) do
  print(("%s has %d"):format(row.name, row.balance))
end
print("health: " .. cluster:health().status)
