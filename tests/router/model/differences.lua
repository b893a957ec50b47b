--- Where an answer through the router may differ from PostgreSQL's own, and why.
--
-- `accepts(direct, routed)` gets both answers to a step, as lists of lines; a step for which it says
-- yes is no mismatch. If the transaction's status then differs, the client is not compared any more.
-- SPDX-License-Identifier: MIT

---@class tests.model.Difference
---@field name string
---@field reason string
---@field accepts fun(direct: string[], routed: string[]): boolean

---@type tests.model.Difference[]
local function same_but(direct, routed, allowed)
  if #direct ~= #routed then return false end
  for i, line in ipairs(direct) do
    if line ~= routed[i] and not allowed(line, routed[i]) then return false end
  end
  return true
end

return {
  {
    name = "error in a failed block",
    reason = "a statement that the server has to parse first is refused there, as the block has failed, before "
      .. "PostgreSQL would find another fault",
    accepts = function(direct, routed)
      return same_but(direct, routed, function(one, other)
        return one:find("^E ") and other:find("C=25P02", 1, true)
      end)
    end,
  },
  {
    name = "stale plan",
    reason = "the statement is parsed again where its result type has changed",
    accepts = function(direct, routed)
      return direct[1] ~= nil and direct[1]:find("cached plan must not change result type", 1, true) ~= nil
        and not table.concat(routed):find("C=0A000", 1, true)
    end,
  },
  {
    name = "described when it cannot be parsed any more",
    reason = "what tables a statement names may have changed since; its parameters, and that it returns nothing, "
      .. "are told from memory by a session that has it, while one that lacks it has to parse it first",
    accepts = function(direct, routed)
      if #direct ~= 3 or #routed ~= 2 or not direct[1]:find("^t") then return false end
      -- Another table of that name may be found, without its columns: 42703.
      return direct[2] == routed[1] or direct[2] == "n" and routed[1]:find "C=42P01" ~= nil
        or direct[2] == "n" and routed[1]:find "C=42703" ~= nil
    end,
  },
  {
    name = "sequence of a transaction before",
    reason = "currval() and lastval() know of nextval() in the same transaction only",
    accepts = function(_, routed)
      return table.concat(routed):find("is not yet defined in this session", 1, true) ~= nil
    end,
  },
  {
    name = "temporary schema",
    reason = "a server that has held temporary tables of an earlier client's keeps its (empty) schema for them",
    accepts = function(direct, routed)
      return same_but(direct, routed, function(one, other)
        return one:find('schema "pg_temp" does not exist', 1, true) and other:find("^E ")
      end)
    end,
  },
  {
    name = "reported again",
    reason = "where a block that has RESET a setting fails, the client may hear of its value once more",
    accepts = function(direct, routed)
      local rest = {}
      for _, line in ipairs(routed) do
        if not line:find("^S application_name=model%-%d+$") then rest[#rest + 1] = line end
      end
      return #rest < #routed and table.concat(rest, "\n") == table.concat(direct, "\n")
    end,
  },
  {
    name = "portal of BEGIN",
    reason = "BEGIN is answered by the router, and leaves no portal behind that could be described or run again",
    accepts = function(_, routed)
      return routed[1] ~= nil and routed[1]:find('C=34000 M=portal "" does not exist', 1, true) ~= nil
    end,
  },
}
