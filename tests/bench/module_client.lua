--- One measurement of the module's benchmark: a client that asks and is timed, in a process of its own.
--
--   lua5.4 tests/bench/module_client.lua CLIENT CASE URL COUNT
--
-- Prints how many seconds it took, by the clock and of the CPU. CLIENT and CASE: see module.lua.
-- SPDX-License-Identifier: MIT

package.path = "lua/?.lua;lua/?/init.lua;" .. package.path

local uv = require "luv"

local client, case, url, count = arg[1], arg[2], arg[3], math.tointeger(arg[4])

local ACCOUNTS = 100000 -- pgbench's scale 1
local BY_KEY = "select aid, bid, abalance from pgbench_accounts where aid = %s"
local MANY = "select aid, bid, abalance, 'a text of some length' as note from pgbench_many limit %d"

---Runs what is measured, once all is there that it needs.
local function timed(fn)
  collectgarbage()
  local clock, cpu = uv.hrtime(), os.clock()
  fn()
  print((uv.hrtime() - clock) / 1e9, os.clock() - cpu)
end

local clients = {}

function clients.luasql()
  local connection = assert(require("luasql.postgres").postgres():connect(url))
  local function fetch(sql)
    local cursor = assert(connection:execute(sql))
    local rows, row = {}, cursor:fetch({}, "a")
    while row do
      rows[#rows + 1] = row
      row = cursor:fetch({}, "a")
    end
    cursor:close()
    return rows
  end
  return {
    one = function()
      for i = 1, count do assert(fetch(BY_KEY:format(i % ACCOUNTS + 1))[1].aid) end
    end,
    rows = function() assert(#fetch(MANY:format(count)) == count) end,
  }
end

function clients.moongate()
  local moongate = require "moongate"
  local cluster = moongate.cluster { primary = url, pool = { size = 4 } }
  cluster:health()
  local sql = BY_KEY:format "$1"
  local function ask(i) assert(cluster:query(sql, i % ACCOUNTS + 1)[1].aid) end
  local statement = cluster:prepare(sql)
  return {
    one = function()
      for i = 1, count do ask(i) end
    end,
    prepared = function()
      for i = 1, count do assert(statement:query(i % ACCOUNTS + 1)[1].aid) end
    end,
    tasks = function()
      moongate.run(function()
        for task = 1, 16 do
          moongate.spawn(function()
            for i = task, count, 16 do ask(i) end
          end)
        end
      end)
    end,
    rows = function() assert(#cluster:query(MANY:format(count)) == count) end,
    stream = function()
      local rows = {}
      for row in cluster:rows(MANY:format(count)) do rows[#rows + 1] = row end
      assert(#rows == count)
    end,
  }
end

timed(clients[client]()[case])
