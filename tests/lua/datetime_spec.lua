-- moongate.datetime: PostgreSQL's dates and times to numbers and back, against PostgreSQL itself.

local datetime = require "moongate.datetime"
local moongate = require "moongate"
local shared = require "tests.support.cluster"

describe("moongate.datetime", function()
  local cluster

  setup(function() cluster = moongate.cluster { primary = shared.shared().primary.url } end)
  teardown(function() cluster:close() end)

  it("takes dates and times apart", function()
    for text, parts in pairs {
      ["2026-11-28"] = { year = 2026, month = 11, day = 28 },
      ["0044-03-15 BC"] = { year = -43, month = 3, day = 15 },
      ["12:30:05.25"] = { hour = 12, min = 30, sec = 5, microsecond = 250000 },
      ["24:00:00-05:30"] = { hour = 24, min = 0, sec = 0, microsecond = 0, offset = -19800 },
      ["12026-01-02 03:04:05.000001+00"] = {
        year = 12026, month = 1, day = 2, hour = 3, min = 4, sec = 5, microsecond = 1, offset = 0,
      },
    } do
      assert.same(parts, datetime.parse(text), text)
    end
    for _, text in ipairs { "", "infinity", "28/11/2026", "2026-11-28 12", "2026-11-28 12:00:00 CET", "12:00" } do
      local parts, message = datetime.parse(text)
      assert.is_nil(parts, text)
      assert.matches("as PostgreSQL writes it", message)
    end
  end)

  it("counts the seconds that PostgreSQL counts, whatever its time zone", function()
    for _, zone in ipairs { "UTC", "Europe/Berlin", "America/St_Johns" } do
      assert.is_true(cluster:transaction(function(tx)
        tx:assert_query(("set local timezone = %s"):format(moongate.escape_literal(zone)))
        local rows = tx:assert_query [[
          select t::text as text, extract(epoch from t)::float8 as epoch
          from generate_series(timestamptz '1582-10-04 12:00+00', '2400-01-01', '1000 days 01:02:03.5') t]]
        for _, row in ipairs(rows) do assert.equal(row.epoch, datetime.epoch(row.text), row.text) end
      end))
    end
    assert.equal(cluster:value "select extract(epoch from timestamp '0001-01-01 BC')::int8",
      datetime.epoch "0001-01-01 BC")
    assert.equal("integer", math.type(datetime.epoch "2026-11-28"))
    assert.same({ math.huge, -math.huge }, { datetime.epoch "infinity", datetime.epoch "-infinity" })
    assert.is_nil((datetime.epoch "12:00:00"))
  end)

  it("writes what PostgreSQL reads as the same moment", function()
    for _, seconds in ipairs { 0, -1, 1795879800.25, -62135596800, -70000000000, 253402300800, 0.9999999 } do
      local text = datetime.timestamp(seconds)
      assert.near(seconds, cluster:value("select extract(epoch from $1::timestamptz)::float8", text), 1e-6)
      assert.near(seconds, datetime.epoch(text), 1e-6)
    end
    assert.equal("2026-11-28 15:30:00+00", datetime.timestamp(1795879800))
    assert.equal(math.huge, datetime.epoch(cluster:value("select $1::timestamptz", datetime.timestamp(math.huge))))
  end)

  it("takes intervals apart", function()
    for text, parts in pairs {
      ["1 year 2 mons -3 days 04:05:06.5"] = { months = 14, days = -3, seconds = 14706.5 },
      ["-1 mons +1 day -100:00:01"] = { months = -1, days = 1, seconds = -360001 },
      ["00:00:00"] = { months = 0, days = 0, seconds = 0 },
    } do
      assert.same(parts, datetime.interval(text), text)
    end
    local same = cluster:value "select (interval '14 months -3 days 4 hours 5 minutes 6.5 seconds')::text"
    assert.same({ months = 14, days = -3, seconds = 14706.5 }, datetime.interval(same))
    for _, text in ipairs { "", "1", "1 fortnight", "P1Y", "soon" } do
      assert.is_nil((datetime.interval(text)), text)
    end
  end)

  it("blames the line that calls it wrongly", function()
    for _, call in ipairs {
      function() return (datetime.parse(5)) end,
      function() return (datetime.epoch(nil)) end,
      function() return (datetime.timestamp "now") end,
      function() return (datetime.interval {}) end,
    } do
      local _, message = pcall(call)
      assert.matches("^tests/lua/datetime_spec.lua:%d+: datetime%.%l+: ", message)
    end
  end)
end)
