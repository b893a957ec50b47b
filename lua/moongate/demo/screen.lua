--- What the demo writes to the terminal: aligned, and readable without colours too.
-- SPDX-License-Identifier: MIT

local M = {}

local COLOURS = { bold = "1", dim = "2", red = "31", green = "32", yellow = "33", cyan = "36" }

---@class moongate.demo.Screen
local methods = {}
local mt = { __name = "moongate.demo.screen", __index = methods }

---No colours where NO_COLOR is set (https://no-color.org) or nobody sees them.
---@param is_terminal boolean
---@return moongate.demo.Screen
function M.new(is_terminal)
  local locale = os.getenv("LC_ALL") or os.getenv("LC_CTYPE") or os.getenv("LANG") or ""
  local refused = (os.getenv("NO_COLOR") or "") ~= "" or os.getenv("TERM") == "dumb"
  return setmetatable({
    coloured = is_terminal and not refused,
    block = locale:upper():match("UTF%-?8") and "█" or "#",
  }, mt)
end

---@param colour string
---@param text string
---@param width integer?  columns to fill
---@return string
function methods:paint(colour, text, width)
  local padding = (" "):rep((width or 0) - utf8.len(text))
  if self.coloured and text ~= "" then text = ("\27[%sm%s\27[0m"):format(COLOURS[colour], text) end
  return text .. padding
end

function methods.line(_, ...)
  io.stdout:write("  ", (table.concat({ ... }):gsub("%s+$", "")), "\n")
  io.stdout:flush()
end

---@param text string
---@param hint string?
function methods:title(text, hint)
  io.stdout:write("\n")
  self:line(self:paint("bold", text), hint and self:paint("dim", "   " .. hint) or "")
end

---@param share number  of `width` columns
---@return string
function methods:bar(share, width)
  return self.block:rep(math.floor(share * width + 0.5))
end

return M
