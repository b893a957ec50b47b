-- reporter.lua - what busted prints: a line per test with its time, failures at the end, then the totals.
--
--   lua5.4 /usr/bin/busted -o tests/support/reporter.lua ...

local names = { success = "ok", failure = "FAILED", error = "FAILED", pending = "pending" }

return function(options)
  local busted = require("busted")
  options.deferPrint = true -- no dots: a line says more
  local handler = require("busted.outputHandlers.plainTerminal")(options)

  local function on_test_end(element, _, status)
    local seconds = element.duration or 0
    print(("%-7s %6.2fs  %s"):format(names[status], seconds, handler.getFullName(element)))
    io.flush()
    return nil, true
  end

  local function on_suite_end()
    print(("\n%d passed, %d failed"):format(handler.successesCount, handler.failuresCount + handler.errorsCount))
    return nil, true
  end

  busted.subscribe({ "test", "end" }, on_test_end)
  busted.subscribe({ "suite", "end" }, on_suite_end)
  return handler
end
