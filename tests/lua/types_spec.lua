-- Values both ways: what results decode to, what parameters are, and quoting.

local moongate = require "moongate"
local process = require "moongate.process"
local shared = require "tests.support.cluster"

local NULL, array = moongate.NULL, moongate.array

describe("values", function()
  local pg, cluster

  setup(function()
    pg = shared.shared()
    cluster = moongate.cluster { primary = pg.primary.url }
  end)
  teardown(function() cluster:close() end)

  local function value(sql, ...)
    local result, message = cluster:value(sql, ...)
    assert.is_nil(message)
    return result
  end

  -- The message of what was raised, which blames the line of `f`; that must not end in a tail call.
  local function blamed(f, message)
    local line = debug.getinfo(f, "S").linedefined
    local _, raised = pcall(f)
    assert.matches(("^tests/lua/types_spec%%.lua:%d: .*%s"):format(line, message), raised)
  end

  it("decode by their type, and exactly", function()
    for expression, expected in pairs {
      ["'-32768'::int2"] = -32768,
      ["'2147483647'::int4"] = 2147483647,
      ["'9223372036854775807'::int8"] = math.maxinteger,
      ["'-9223372036854775808'::int8"] = math.mininteger,
      ["9007199254740993"] = 9007199254740993,
      ["0.1::float8"] = 0.1,
      ["1.5::float4"] = 1.5,
      ["1e300::float8"] = 1e300,
      ["'5e-324'::float8"] = 5e-324,
      ["'Infinity'::float8"] = math.huge,
      ["'-Infinity'::float4"] = -math.huge,
      ["1.10::numeric"] = "1.10",
      ["123456789012345678901234567890.123"] = "123456789012345678901234567890.123",
      ["true"] = true,
      ["false"] = false,
      ["''"] = "",
      ["'quote '' and \\ and \"'"] = "quote ' and \\ and \"",
      ["'\\x'::bytea"] = "",
      ["'\\x00ff2741'::bytea"] = "\0\255'A",
      ["'{\"a\": [1, null]}'::jsonb"] = '{"a": [1, null]}',
      ["'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid"] = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
      ["date '2024-02-29'"] = "2024-02-29",
      ["time '23:59:59.5'"] = "23:59:59.5",
      ["timestamp 'infinity'"] = "infinity",
      ["interval '1 day 2 hours'"] = "1 day 02:00:00",
      ["null::int4"] = NULL,
    } do
      for _ = 1, 8 do -- the last ones prepared, and in binary, where that is faster
        local found = value("select " .. expression)
        assert.equal(expected, found, expression)
        assert.equal(math.type(expected), math.type(found), expression)
      end
    end
    local nan = value "select 'NaN'::float8"
    assert.is_true(nan ~= nan)
  end)

  it("decode to tables from arrays of any type", function()
    for expression, expected in pairs {
      ["'{}'::int4[]"] = {},
      ["'{1,NULL,-3}'::int8[]"] = { 1, NULL, -3 },
      ["'{{1,2},{3,NULL}}'::int2[]"] = { { 1, 2 }, { 3, NULL } },
      ["'[0:1]={7,8}'::int4[]"] = { 7, 8 },
      ["array[1.5, 'Infinity']::float8[]"] = { 1.5, math.huge },
      ["array[true, null]"] = { true, NULL },
      [ [=[array['a,b', '', 'NULL', null, '{x}', 'say "hi"', 'back\slash', 'ä ö']::text[]]=] ] = {
        "a,b", "", "NULL", NULL, "{x}", 'say "hi"', "back\\slash", "ä ö" },
      ["array[array['a', null], array['}', '\"']]::varchar[]"] = { { "a", NULL }, { "}", '"' } },
      ["array['\\x0022', null]::bytea[]"] = { '\0"', NULL },
      ["array[1.10, 2]"] = { "1.10", "2" },
      ["array['(1,1),(0,0)', '(2,2),(1,1)']::box[]"] = { "(1,1),(0,0)", "(2,2),(1,1)" },
      ["array[date '2024-01-01']"] = { "2024-01-01" },
      ["array['{\"a\": \"b\"}']::jsonb[]"] = { '{"a": "b"}' },
      ["'1 2'::int2vector"] = "1 2",
    } do
      assert.same(expected, value("select " .. expression), expression)
    end
  end)

  it("decode bytea in its old form as well", function()
    local connection <close> = cluster:pool("write"):acquire()
    connection:query "set bytea_output = 'escape'"
    assert.equal("a\\b\0'\255", (connection:value [[select '\x615c620027ff'::bytea]]))
  end)

  it("are the same when they come back", function()
    for _, case in ipairs {
      { math.maxinteger }, { math.mininteger }, { 0 }, { 2147483648 }, { true }, { false },
      { "" , "text" }, { "it's \"quoted\" \\ {} $1 \n ä", "text" }, { NULL, "int" },
      { 0.1, "float8" }, { 1 / 3, "float8" }, { -math.huge }, { 1e-310, "float8" },
      { 1.7976931348623157e308, "float8" },
    } do
      local sent, cast = table.unpack(case)
      local back = value("select $1" .. (cast and "::" .. cast or ""), sent)
      assert.equal(sent, back)
      assert.equal(math.type(sent), math.type(back))
    end
    assert.equal("-0.0", tostring(value("select $1::float8", -0.0)))
    local nan = value("select $1", 0 / 0)
    assert.is_true(nan ~= nan)
    local every = {}
    for byte = 0, 255 do every[#every + 1] = string.char(byte) end
    every = table.concat(every)
    assert.equal(every, value("select $1", moongate.bytea(every)))
    assert.equal("", value("select $1", moongate.bytea ""))
  end)

  it("have as parameters the types that the same numbers have in SQL", function()
    local function type_of(parameter) return value("select pg_typeof($1)::text", parameter) end
    assert.equal("integer", type_of(1))
    assert.equal("bigint", type_of(1 << 31))
    assert.equal("numeric", type_of(0.5))
    assert.equal("double precision", type_of(math.huge))
    assert.equal("boolean", type_of(true))
    assert.equal("bytea", type_of(moongate.bytea "x"))
    assert.equal("12345678901234567890.11", value("select 12345678901234567890.01 + $1", 0.1))
    assert.equal("bc", value("select substr('abc', $1)", 2))
    assert.equal("2024-01-31", value("select date '2024-01-30' + $1", 1))
  end)

  it("go as arrays", function()
    local function back(list, cast) return value("select $1::" .. cast, array(list)) end
    for cast, list in pairs {
      ["int[]"] = { 1, NULL, 3 },
      ["int8[]"] = { math.mininteger, math.maxinteger },
      ["float8[]"] = { 0.1, math.huge, 1e-300 },
      ["bool[]"] = { true, false, NULL },
      ["text[]"] = { "", "NULL", "null", 'a"b', "a\\b", "a,b", "{", "}", " x ", "ä", NULL, "it's" },
      ["text[][]"] = { { 'a"', NULL }, { "b", "\\" } },
      ["int[][][]"] = { { { 1, 2 } }, { { 3, 4 } } },
      ["varchar[]"] = {},
    } do
      assert.same(list, back(list, cast), cast)
    end
    assert.same({ NULL, 2, NULL }, back({ nil, 2, nil, n = 3 }, "int[]"))
    assert.same({ "\0\\\"" }, back({ moongate.bytea "\0\\\"" }, "bytea[]"))
    assert.same({ '{"a": "\\""}' }, back({ moongate.json { a = '"' } }, "jsonb[]"))
    for _, empty in ipairs { {}, { {}, {} }, { { {}, {} } }, { n = 0 }, { { n = 0 } } } do
      assert.same({}, back(empty, "int[]"))
    end
    assert.same({ 1, NULL }, back({ 1, n = 2.0 }, "int[]"))
    assert.equal(2, value("select count(*) from generate_series(1, 5) i where i = any($1)", array { 2, 4, 9 }))
  end)

  it("go as json", function()
    assert.equal('{"a": ["x", null]}', value("select $1::jsonb", moongate.json { a = { "x", NULL } }))
    assert.equal("[]", value("select $1::json", moongate.json({}, function() return "[]" end)))
  end)

  it("go as json with all that they are, and come back so", function()
    for expected, sent in pairs {
      ["9007199254740993"] = 9007199254740993,
      ["-9223372036854775808"] = math.mininteger,
      ["0.30000000000000004"] = 0.1 + 0.2,
      ["1e+300"] = 1e300,
      ["[1,null,3]"] = { 1, nil, 3 },
      ["[null,[2,{}]]"] = { NULL, { 2, {} } },
      ['{"a b":{"1.5":true}}'] = { ["a b"] = { [1.5] = true } },
      ["null"] = NULL,
      ["false"] = false,
    } do
      assert.equal(expected, value("select $1::json", moongate.json(sent)))
    end
    assert.equal("null", value("select $1::json", moongate.json(nil)))
    local text = '"\\/\b\f\n\r\t\1\127 é \u{1F319}'
    assert.equal(text, value("select $1::jsonb ->> 'text'", moongate.json { text = text }))
  end)

  it("that are no JSON are refused, and why", function()
    local knot, deep = {}, {}
    knot.knot = knot
    for _ = 1, 998 do deep = { deep } end
    assert.equal(999, select(2, value("select $1::json::text", moongate.json(deep)):gsub("[%[{]", "")))
    blamed(function() moongate.json(knot) return end, "moongate.json: its tables are nested more than 1000 deep")
    blamed(function() moongate.json(0 / 0) return end, "moongate.json: JSON has no %-?nan")
    blamed(function() moongate.json { a = math.huge } return end, "moongate.json: JSON has no inf")
    blamed(function() moongate.json { [{}] = 1 } return end, "moongate.json: a key is a string, not a table")
    blamed(function() moongate.json { print } return end, "moongate.json: a value is nil, .*, not a function")
    blamed(function() moongate.json { [1000] = 1 } return end, "a list of 1 values has the index 1000")
  end)

  it("that cannot be sent are refused in the caller's line, which learns what can be", function()
    blamed(function() array(1) return end, "a table expected, got number")
    blamed(function() array { print } return end, "moongate.json%(%) or moongate.bytea%(%), not a function")
    blamed(function() array { { 1 }, 2 } return end, "either all elements are tables or none is")
    blamed(function() array { { 1 }, { 2, 3 } } return end, "must be of one length")
    blamed(function() array { { { { { { { 1 } } } } } } } return end, "at most 6 dimensions")
    blamed(function() array { a = 1 } return end, 'a list expected; it has the key "a"')
    blamed(function() array { "\0" } return end, "zero bytes")
    blamed(function() array { n = -1 } return end, "n must be the list's length, an integer of at least 0, not %-1")
    blamed(function() array { 1, n = "x" } return end, "n must be .* at least 1, not x")
    blamed(function() array { 1, nil, 3, n = 2.5 } return end, "at least 3, not 2.5")
    blamed(function() array { { 1, 2, n = 1 } } return end, "at least 2, not 1")
    blamed(function() moongate.bytea(5) return end, "string expected, got number")
    blamed(function() moongate.json(print) return end, "moongate.json: ")
    blamed(function() moongate.json({}, function() return 5 end) return end, "the encoder's text: string expected")
    blamed(function() cluster:query("$1", {}, 1) return end, "parameter 1: .* got table %(moongate.array%(%)")
    blamed(function() cluster:value("select $1, $2", 1, "\0") return end, "parameter 2: .*moongate.bytea%(string%)")
  end)

  -- A value of JSON: integers can be told from floats.
  local function shown(json)
    if type(json) ~= "table" then return json == NULL and "null" or tostring(json) end
    local parts = {}
    for i, each in ipairs(json) do parts[i] = shown(each) end
    for key, each in pairs(json) do
      if math.type(key) == nil then parts[#parts + 1] = key .. "=" .. shown(each) end
    end
    return "{" .. table.concat(parts, ",") .. "}"
  end

  it("may decode otherwise by the cluster's options", function()
    local own <close> = moongate.cluster { primary = pg.primary.url, numeric = "float", json = "decode", null = "nil" }
    local row = own:one [[select 1.5 as n, 2::numeric as whole, array[0.1, null] as list, '{"a":[1,null]}'::jsonb as j,
      '"x"'::json as s, null::int as z]]
    assert.same({ n = 1.5, whole = 2.0, list = { 0.1, NULL }, j = { a = { 1, NULL } }, s = "x" }, row)
    assert.equal("float", math.type(row.whole))
    assert.equal("{1,-2,{k={3,4.5,null}},9007199254740991,9.007199254741e+15,-0.0,1e+300,100}",
      shown(own:value [[select
        '[1, -2, {"k": [3, 4.5, null]}, 9007199254740991, 9007199254740993, -0, 1e300, 1e2]'::json]]))
    assert.equal("7", shown(own:value "select '7'::json"))
    assert.is_nil(own:value "select null")
    local custom <close> = moongate.cluster { primary = pg.primary.url, json = function(text) return #text end }
    assert.equal(2, custom:value "select '[]'::json")
    blamed(function() moongate.cluster { primary = pg.primary.url, json = "text" } return end, "json must be")
    blamed(function() moongate.cluster { primary = pg.primary.url, numeric = "int" } return end, 'must be "float"')
  end)

  it("of a type can be given a function of one's own, in arrays too, and for arrays of one's own types", function()
    pg.primary:psql [[
      drop type if exists lua_mood cascade; drop domain if exists lua_small cascade;
      create type lua_mood as enum ('sad', 'so, so'); create domain lua_small as int]]
    local own <close> = moongate.cluster { primary = pg.primary.url }
    assert.is_true(own:type(600, { decode = function(text) return { text:match "%((.*),(.*)%)" } end })) -- point
    assert.same({ "1", "2" }, own:value "select point '(1,2)'")
    assert.same({ { "1", "2" }, NULL }, own:value "select array[point '(1,2)', null]")
    assert.equal('{"so, so",sad}', own:value "select '{\"so, so\",sad}'::lua_mood[]")
    assert.is_true(own:load_types())
    assert.same({ "so, so", "sad" }, own:value "select '{\"so, so\",sad}'::lua_mood[]")
    assert.same({ 1, 2 }, own:value "select '{1,2}'::lua_small[]")
    own:type(own:value "select 'lua_mood'::regtype::oid", { decode = string.upper })
    assert.same({ "SAD" }, own:value "select '{sad}'::lua_mood[]")
    own:type(25, { element = 23 })
    assert.same({ 5 }, own:value "select '{5}'::text")
    assert.equal("no { array", own:value "select 'no { array'::text")
    assert.error_matches(function() own:type(25, { decode = error }) own:value "select 'mine'::text" end, "mine")
    assert.equal(1, own:value "select 1")
    blamed(function() own:type("x", {}) return end, "cluster:type: the type's OID must be an integer")
    blamed(function() own:type(600, {}) return end, "it takes { decode = function%(text%)")
    blamed(function() own:type(600, { decod = print }) return end, 'did you mean "decode"')
  end)

  it("do not depend on the locale", function()
    local folder = os.tmpname()
    os.remove(folder)
    process.run { "mkdir", folder }
    local done, status = pcall(process.run, { "localedef", "-i", "de_DE", "-f", "UTF-8", folder .. "/de_DE.UTF-8" })
    if not done or status ~= 0 then
      pending "localedef cannot make a locale here"
      return
    end
    local errors, output
    status, output, errors = process.run({ "lua5.4", "-e", ([[
      assert(os.setlocale "de_DE.UTF-8")
      assert(("%%.1f"):format(1.5) == "1,5")
      local moongate = require "moongate"
      local cluster <close> = moongate.cluster { primary = %q, numeric = "float" }
      print(cluster:value("select $1::float8 = 1.25 and $2::float8[] = '{0.5,2}'", 1.25, moongate.array { 0.5, 2.0 }),
        cluster:value "select 1.25::float8" == 1.25, cluster:value "select 2.5" == 2.5)
      local _, message = cluster:query("select pg_sleep(9)", { timeout = 0.05 })
      print(message:match "after [^ ]+ s")
      print(cluster:value "select 1 /* moongate: max_staleness=0.5 */")
    ]]):format(pg.primary.url) }, {
      env = {
        PATH = os.getenv "PATH", LOCPATH = folder, LUA_PATH = package.path, LUA_CPATH = package.cpath,
      },
    })
    process.run { "rm", "-r", folder }
    assert.equal(0, status, errors)
    assert.equal("true\ttrue\ttrue\nafter 0.05 s\n1\n", output)
  end)

  it("are quoted for SQL without a connection", function()
    for _, text in ipairs { "", "plain", "it's", "back\\slash", "\\'; drop table x --", "ä\n", '"', "''\\\\" } do
      for _, setting in ipairs { "on", "off" } do
        local connection <close> = cluster:pool("write"):acquire()
        connection:query("set standard_conforming_strings = " .. setting)
        assert.equal(text, (connection:value("select" .. " " .. moongate.escape_literal(text))), text)
      end
    end
    for _, name in ipairs { "plain", 'say "hi"', "Back\\slash", "it's", "select" } do
      local row = cluster:one("select 1 as " .. cluster:escape_identifier(name))
      assert.equal(1, row[name])
    end
    assert.equal("'it''s'", cluster:escape_literal "it's")
    assert.equal(" E'\\\\'", moongate.escape_literal "\\")
    blamed(function() moongate.escape_literal "a\0b" return end, "zero bytes")
    blamed(function() cluster:escape_identifier "a\0b" return end, "zero bytes")
    blamed(function() moongate.escape_identifier "" return end, "not empty")
    blamed(function() moongate.escape_literal(5) return end, "string expected, got number")
  end)
end)
