-- Shows the whole way from a URL to rows: connect, ask, print.
--
--   DATABASE_URL=postgres://user@host:5432/database lua5.4 examples/hello.lua
local moongate = require "moongate"

local cluster <close> = moongate.cluster(moongate.from_env())

local rows, message, code = cluster:query("select $1::text as greeting, version() as version", "hello")
if not rows then error(("%s (%s)"):format(message, code), 0) end
print(rows[1].greeting .. " from " .. rows[1].version)
