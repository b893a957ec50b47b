--- Loaded by busted before the first spec file: what is required here, all files share.
-- SPDX-License-Identifier: MIT

local busted = require "busted"
local cluster = require "tests.support.cluster"

busted.subscribe({ "exit" }, function()
  cluster.stop()
  return nil, true
end)
