--- The benchmark's table: medians per setting and peer, and ratios to PgBouncer.
-- SPDX-License-Identifier: MIT

local process = require "moongate.process"

local M = {}

local BASELINE = "pgbouncer"

local COLUMNS = {
  { title = "mode", left = true },
  { title = "clients" },
  { title = "through", left = true },
  { title = "tps" },
  { title = "tps, least to most" },
  { title = "latency ms" },
  { title = "CPU us/query" },
  { title = "tps x PgBouncer" },
  { title = "CPU x PgBouncer" },
}

---@return any[]  the same field of each
function M.values_of(results, field)
  local values = {}
  for i, result in ipairs(results) do values[i] = result[field] end
  return values
end

---Of numbers, in any order; nil where there are none.
function M.median(values)
  local ordered = table.move(values, 1, #values, 1, {})
  table.sort(ordered)
  local middle = #ordered // 2
  if #ordered % 2 == 1 then return ordered[middle + 1] end
  return ordered[middle] and (ordered[middle] + ordered[middle + 1]) / 2
end

---"least-most"
function M.range(values)
  return ("%.0f-%.0f"):format(math.min(table.unpack(values)), math.max(table.unpack(values)))
end

---Round by round, so that both sides of a ratio met the same machine.
function M.ratios(results, baseline, field)
  local values = {}
  for i, result in ipairs(results) do
    local below = baseline and baseline[i][field]
    if result[field] and below and below > 0 then values[#values + 1] = result[field] / below end
  end
  return values
end

local function number(pattern, value)
  return value and pattern:format(value) or "-"
end

local function row_of(setting, name, results, baseline)
  local tps = M.values_of(results, "tps")
  return {
    setting.mode,
    tostring(setting.clients),
    name,
    number("%.0f", M.median(tps)),
    M.range(tps),
    number("%.3f", M.median(M.values_of(results, "latency"))),
    number("%.1f", M.median(M.values_of(results, "cpu"))),
    number("%.2f", M.median(M.ratios(results, baseline, "tps"))),
    number("%.2f", M.median(M.ratios(results, baseline, "cpu"))),
  }
end

---@param settings bench.Setting[]
---@param running bench.Peer[]
---@param samples table<bench.Setting, table<string, bench.Result[]>>
---@return string[][]  rows of cells, in the order of the columns
function M.new(settings, running, samples)
  local rows = {}
  for _, setting in ipairs(settings) do
    local of_peer = samples[setting]
    for _, peer in ipairs(running) do
      if #of_peer[peer.name] > 0 then
        rows[#rows + 1] = row_of(setting, peer.name, of_peer[peer.name], of_peer[BASELINE])
      end
    end
  end
  return rows
end

local function processor()
  for line in io.lines("/proc/cpuinfo") do
    local name = line:match("^model name%s*:%s*(.+)")
    if name then return name end
  end
  return "unknown processor"
end

---"2 cores of ..., Linux ..."
---@return string
function M.machine()
  local _, cores = process.run { "nproc" }
  local _, kernel = process.run { "uname", "-r" }
  return ("%s cores of %s, Linux %s"):format(cores:match("%d+"), processor(), kernel:match("%S+"))
end

---What was measured, on what, and how.
---@return string
function M.heading(arguments, versions)
  return ("pgbench -S, medians of %d rounds of %d s each, on %s; %s."):format(
    arguments.rounds, arguments.seconds, M.machine(), table.concat(versions, ", "))
end

local function widths_of(rows, columns)
  local widths = {}
  for i, column in ipairs(columns) do
    widths[i] = #column.title
    for _, row in ipairs(rows) do widths[i] = math.max(widths[i], #row[i]) end
  end
  return widths
end

local function padded(cells, widths, columns)
  local out = {}
  for i, column in ipairs(columns) do
    out[i] = ("%" .. (column.left and "-" or "") .. widths[i] .. "s"):format(cells[i])
  end
  return out
end

local function titles(columns)
  local cells = {}
  for i, column in ipairs(columns) do cells[i] = column.title end
  return cells
end

---@param rows string[][]
---@param columns table[]?  of another table than the benchmark's of proxies
---@return string
function M.plain(rows, columns)
  columns = columns or COLUMNS
  local widths = widths_of(rows, columns)
  local lines = { table.concat(padded(titles(columns), widths, columns), "  ") }
  for _, row in ipairs(rows) do lines[#lines + 1] = table.concat(padded(row, widths, columns), "  ") end
  return table.concat(lines, "\n")
end

---@param rows string[][]
---@return string
function M.markdown(rows)
  local columns = COLUMNS
  local widths = widths_of(rows, columns)
  local rules = {}
  for i, column in ipairs(columns) do
    rules[i] = column.left and ("-"):rep(widths[i]) or ("-"):rep(widths[i] - 1) .. ":"
  end
  local lines = {
    "| " .. table.concat(padded(titles(columns), widths, columns), " | ") .. " |",
    "| " .. table.concat(rules, " | ") .. " |",
  }
  for _, row in ipairs(rows) do
    lines[#lines + 1] = "| " .. table.concat(padded(row, widths, columns), " | ") .. " |"
  end
  return table.concat(lines, "\n") .. "\n"
end

---Runs a benchmark. What goes wrong, or interrupts it, is told in one line, and its exit status is 1.
---@param fn fun()
function M.main(fn)
  local ok, err = xpcall(fn, function(err)
    return type(err) == "table" and "interrupted by " .. tostring(err.signal) or err
  end)
  if ok then return end
  io.stderr:write("bench: ", tostring(err), "\n")
  os.exit(1, true)
end

return M
