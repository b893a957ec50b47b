-- check_sources.lua - proves of each C file that it includes downwards only, says what it is, and stays short.
--
--   lua5.4 check_sources.lua FILE...        exit status 1 where one does not
--
-- The rooms, and what each may include, are those of docs/architecture.md.

local MAX_LINES = 500

local rooms = {
  base = {},
  wire = { "base" },
  sql = { "base" },
  cluster = { "base", "wire", "sql" },
  script = { "base", "sql", "cluster" },
  router = { "base", "wire", "sql", "cluster", "script" },
  api = { "base", "sql", "cluster", "script" },
}

-- What C programs include lies in no room, and belongs to one.
local PUBLIC, PUBLIC_ROOM = "moongate.h", "api"

-- Libraries that only some rooms may know, by a pattern of their headers.
local libraries = {
  { header = "^lua", rooms = { "script" } },
  { header = "^lauxlib%.h$", rooms = { "script" } },
  { header = "^libpq", rooms = { "cluster", "script", "router", "api" } },
  { header = "^ares", rooms = { "cluster" } },
  { header = "^curl/", rooms = { "cluster" } },
  { header = "^jansson", rooms = { "cluster" } },
  { header = "^pg_query", rooms = { "sql" } },
  { header = "^postgres", rooms = { "sql" } },
  { header = "^microhttpd", rooms = { "router" } },
  { header = "^ev%.h$", rooms = { "cluster", "script", "router", "api" } },
}

-- Calls that some rooms make by another that does more, and the file that has that one.
local replaced = {
  { call = "ev_timer_start", by = "alarm_start", file = "core/cluster/alarms.c", rooms = { "cluster", "script" } },
}

local problems = 0

local function report(path, number, message)
  problems = problems + 1
  print(("%s:%d: %s"):format(path, number, message))
end

local function contains(list, value)
  for _, item in ipairs(list) do
    if item == value then
      return true
    end
  end
  return false
end

---What is wrong with including our own `target` from `room`; nil: nothing.
local function wrong_include(room, target)
  local other = target:match("^(%w+)/[%w_]+%.h$")
  if target == PUBLIC then
    if room ~= PUBLIC_ROOM then return ("%s is for core/%s"):format(PUBLIC, PUBLIC_ROOM) end
  elseif not other then
    return ('"%s" names no room: write "room/file.h"'):format(target)
  elseif not rooms[other] then
    return ('there is no room "%s"'):format(other)
  elseif other ~= room and not contains(rooms[room], other) then
    return ('%s may not include %s ("%s")'):format(room, other, target)
  end
end

---What is wrong with including a library's `header` from `room`; nil: nothing.
local function wrong_library(room, header)
  for _, library in ipairs(libraries) do
    if header:find(library.header) and not contains(library.rooms, room) then
      return ("<%s> belongs in core/%s only"):format(header, table.concat(library.rooms, ", core/"))
    end
  end
end

local function check_include(path, number, room, line)
  local own = line:match('^%s*#%s*include%s+"([^"]+)"')
  local library = line:match("^%s*#%s*include%s+<([^>]+)>")
  local wrong = own and wrong_include(room, own) or library and wrong_library(room, library)
  if wrong then
    report(path, number, wrong)
  end
end

local function check_calls(path, number, room, line)
  for _, rule in ipairs(replaced) do
    if path ~= rule.file and contains(rule.rooms, room) and line:find("%f[%w_]" .. rule.call .. "%(") then
      report(path, number, ("%s() is %s() here: see %s"):format(rule.call, rule.by, rule.file))
    end
  end
end

---The guard that belongs into a header: MOONGATE_ROOM_FILE_H.
local function guard_of(room, name)
  return ("MOONGATE_%s_%s_H"):format(room, name):upper()
end

---@param lines string[]
local function check_form(path, lines)
  local name = path:match("([^/]+)$")
  local text = table.concat(lines, "\n")
  if lines[1]:sub(1, #name + 6) ~= ("/* %s - "):format(name) then
    report(path, 1, ('does not open with "/* %s - what it is"'):format(name))
  end
  if not text:find("/* SPDX-License-Identifier: MIT */", 1, true) then
    report(path, 1, "has no SPDX line")
  end
  if #lines > MAX_LINES then
    report(path, #lines, ("has %d lines; %d are the most"):format(#lines, MAX_LINES))
  end
end

local function check_guard(path, room, lines)
  local guard = guard_of(room, path:match("([%w_]+)%.h$"))
  local text = table.concat(lines, "\n")
  if not text:find(("#ifndef %s\n#define %s\n"):format(guard, guard), 1, true) then
    report(path, 1, ("has no header guard %s"):format(guard))
  end
end

local function read_lines(path)
  local lines = {}
  for line in io.lines(path) do
    lines[#lines + 1] = line
  end
  return lines
end

for _, path in ipairs(arg) do
  local lines = read_lines(path)
  if #lines == 0 then
    report(path, 1, "is empty")
  else
    check_form(path, lines)
  end
  local room = path:match("core/(%w+)/[^/]+$")
  if path == "core/" .. PUBLIC then
    goto continue
  elseif path:find("^core/") and not rooms[room] then
    report(path, 1, "lies in no room")
  elseif path:find("^core/") then
    for number, line in ipairs(lines) do
      check_include(path, number, room, line)
      check_calls(path, number, room, line)
    end
    if path:find("%.h$") then
      check_guard(path, room, lines)
    end
  end
  ::continue::
end

os.exit(problems == 0)
