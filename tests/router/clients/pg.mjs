// What applications do with node's pg.

import { assert, check, fails, load, range, run, url } from "./checks.mjs";

const pg = load("pg");

// Runs body with that many connections of their own, and ends them.
async function connected(count, options, body) {
	const clients = range(count).map(() => new pg.Client({ connectionString: url, ...options }));
	try {
		await Promise.all(clients.map(client => client.connect()));
		return await body(...clients);
	} finally {
		await Promise.all(clients.map(client => client.end()));
	}
}

const one = body => connected(1, {}, body);

async function value(client, text, values) {
	const { rows } = await client.query({ text, values, rowMode: "array" });
	return rows[0][0];
}

check("types", () => one(async client => {
	const bytes = Buffer.from(range(256));
	const moment = new Date("2020-02-29T12:34:56.789Z");
	const { rows } = await client.query(`select $1::int8 as big, $2::numeric as exact,
		$3::bytea as bytes, $4::int4[] as list, $5::jsonb as object, $6::timestamptz as moment,
		$7::text as nothing, $8::bool as truth, $9::float8 as real, $10::text[] as words,
		$11::date::text as day, $12::uuid as id, '{}'::int4[] as empty`,
	["9223372036854775807", "12345678901234567890.0123456789", bytes, [1, null, -3],
		{ a: [1, { b: null }], é: "ü" }, moment, null, true, 0.1, ["a,b", "c\"d", null, ""],
		"2020-02-29", "01234567-89ab-cdef-0123-456789abcdef"]);
	assert.deepEqual(rows[0], {
		big: "9223372036854775807", exact: "12345678901234567890.0123456789", bytes,
		list: [1, null, -3], object: { a: [1, { b: null }], é: "ü" }, moment, nothing: null,
		truth: true, real: 0.1, words: ["a,b", "c\"d", null, ""], day: "2020-02-29",
		id: "01234567-89ab-cdef-0123-456789abcdef", empty: [],
	});
}));

check("large values", () => one(async client => {
	const text = "x€".repeat(500000);
	assert.equal(await value(client, "select $1::text", [text]), text);
	const { rows } = await client.query("select i, repeat('y', 100) as y from generate_series(1, 20000) i");
	assert.equal(rows.length, 20000);
	assert.deepEqual(rows[19999], { i: 20000, y: "y".repeat(100) });
}));

check("named statements", () => connected(8, {}, async (...clients) => {
	for (const round of range(3)) {
		await Promise.all(clients.map(async (client, c) => {
			for (const i of range(60)) {
				const { rows } = await client.query({
					name: `shared ${i}`, text: `select $1::int4 + ${i} as sum`, values: [c + round],
				});
				assert.equal(rows[0].sum, c + round + i);
			}
		}));
	}
}));

check("one name, another text per connection", () => connected(8, {}, async (...clients) => {
	for (const round of range(5)) {
		const sums = await Promise.all(clients.map((client, c) => client.query({
			name: "mine", text: `select '${c}:' || $1::text as own, now()`, values: [round],
		})));
		sums.forEach(({ rows }, c) => assert.equal(rows[0].own, `${c}:${round}`));
	}
}));

check("a named statement that fails", () => one(async client => {
	const query = { name: "divides", text: "select 1 / $1::int4 as quotient" };
	await fails(client.query({ ...query, values: [0] }), "22012");
	assert.equal((await client.query({ ...query, values: [1] })).rows[0].quotient, 1);
	await fails(client.query({ name: "wrong", text: "select nothing from nowhere" }), "42P01");
	await fails(client.query({ name: "wrong", text: "select nothing from nowhere" }), "42P01");
	assert.equal((await client.query({ ...query, values: [-1] })).rows[0].quotient, -1);
}));

check("transactions", () => one(async client => {
	await client.query("drop table if exists pg_moves");
	await client.query("create table pg_moves (id int primary key, note text)");
	await client.query("begin");
	await client.query("insert into pg_moves values ($1, $2)", [1, "gone"]);
	await client.query("rollback");
	await client.query("begin");
	await client.query("insert into pg_moves values ($1, $2)", [2, "kept"]);
	await client.query("savepoint here");
	await fails(client.query("insert into pg_moves values (2, 'twice')"), "23505");
	await fails(client.query("select 1"), "25P02");
	await client.query("rollback to here");
	await client.query({ name: "insert", text: "insert into pg_moves values ($1, $2)", values: [3, "more"] });
	assert.equal((await client.query("commit")).command, "COMMIT");
	const { rows } = await client.query("select id, note from pg_moves order by id");
	assert.deepEqual(rows, [{ id: 2, note: "kept" }, { id: 3, note: "more" }]);
	await client.query("begin");
	await fails(client.query("select 1 / 0"), "22012");
	assert.equal((await client.query("commit")).command, "ROLLBACK");
	await client.query("drop table pg_moves");
}));

check("errors", () => one(async client => {
	await client.query("drop table if exists pg_errors");
	await client.query("create table pg_errors (id int constraint one_each primary key)");
	await client.query("insert into pg_errors values (7)");
	const twice = await fails(client.query("insert into pg_errors values ($1)", [7]), "23505");
	assert.deepEqual([twice.constraint, twice.table, twice.severity, twice.detail],
		["one_each", "pg_errors", "ERROR", "Key (id)=(7) already exists."]);
	assert.equal((await fails(client.query("selec 1"), "42601")).position, "1");
	await fails(client.query("select $1::int4", ["one"]), "22P02");
	const raised = await fails(client.query(
		"do $$ begin raise 'no %', 'way' using errcode = 'AB123', hint = 'go'; end $$"), "AB123");
	assert.deepEqual([raised.message, raised.hint], ["no way", "go"]);
	const notices = [];
	client.on("notice", notice => notices.push(notice.message));
	await client.query("do $$ begin raise notice 'so be it'; end $$");
	assert.deepEqual(notices, ["so be it"]);
	await client.query("drop table pg_errors");
}));

check("a queue of queries", () => one(async client => {
	const answers = await Promise.allSettled(range(200).map(i => i % 10 === 9
		? client.query("select $1::int4 / 0", [i])
		: client.query("select $1::int4 as i", [i])));
	answers.forEach((answer, i) => i % 10 === 9
		? assert.equal(answer.reason.code, "22012")
		: assert.equal(answer.value.rows[0].i, i));
}));

check("pipelines", () => connected(4, { pipeline: true }, async (...clients) => {
	await Promise.all(clients.map(async (client, c) => {
		await client.query("create temp table piped (i int)");
		const answers = await Promise.allSettled(range(100).map(i => {
			if (i % 10 === 9) return client.query("select $1::int4 / 0", [i]);
			if (i % 10 === 5) return client.query("insert into piped values ($1) returning i", [i]);
			if (i % 10 === 3) return client.query({ name: "named", text: "select $1::int4 as i", values: [i] });
			return client.query("select $1::int4 as i, $2::int4 as c", [i, c]);
		}));
		answers.forEach((answer, i) => i % 10 === 9
			? assert.equal(answer.reason.code, "22012")
			: assert.equal(answer.value?.rows[0].i, i, answer.reason));
		assert.equal(await value(client, "select count(*) from piped"), "10");
	}));
}));

check("pipelines of reads and writes", () => connected(4, { pipeline: true }, async (...clients) => {
	await clients[0].query("drop table if exists pg_piped");
	await clients[0].query("create table pg_piped (c int, i int)");
	await Promise.all(clients.map(async (client, c) => {
		const answers = await Promise.all(range(150).map(i => i % 3 === 0
			? client.query("insert into pg_piped values ($1, $2) returning i", [c, i])
			: client.query({ name: "read", text: "select $1::int4 as i", values: [i] })));
		answers.forEach(({ rows }, i) => assert.equal(rows[0].i, i));
		assert.equal(await value(client, "select count(*) from pg_piped where c = $1", [c]), "50");
	}));
	await clients[0].query("drop table pg_piped");
}));

check("several statements in a query", () => one(async client => {
	const results = await client.query("select 1 as a; select 2 as b, 3 as c; set local work_mem = '1MB'");
	assert.deepEqual(results.map(result => result.rows), [[{ a: 1 }], [{ b: 2, c: 3 }], []]);
	await fails(client.query("select 1; select 1 / 0; select 2"), "22012");
	assert.equal(await value(client, "select 4"), 4);
}));

check("partial results", () => connected(6, {}, async (...clients) => {
	await Promise.all(clients.map(async client => {
		const { rows } = await client.query({
			text: "select i from generate_series(1, $1::int4) i", values: [100], rows: 7,
		});
		assert.deepEqual(rows.map(({ i }) => i), range(100).map(i => i + 1));
	}));
}));

check("cursors", () => one(async client => {
	await client.query("begin");
	await client.query("declare walk cursor for select i from generate_series(1, 10) i");
	assert.equal((await client.query("fetch 4 from walk")).rows.length, 4);
	assert.deepEqual((await client.query("fetch 2 from walk")).rows, [{ i: 5 }, { i: 6 }]);
	await client.query("commit");
	await fails(client.query("fetch 1 from walk"), "34000");
	await client.query("declare stay cursor with hold for select i from generate_series(1, 10) i");
	await client.query("fetch 3 from stay");
	assert.deepEqual((await client.query("fetch 1 from stay")).rows, [{ i: 4 }]);
	await client.query("close stay");
}));

check("notifications", () => connected(2, {}, async (listener, speaker) => {
	const heard = [];
	let wake;
	const complete = new Promise(resolve => { wake = resolve; });
	listener.on("notification", ({ channel, payload }) => {
		heard.push(`${channel}:${payload}`);
		if (payload === "last") wake();
	});
	await listener.query("listen pg_news");
	await speaker.query("begin");
	await speaker.query("notify pg_news, 'never'");
	await speaker.query("rollback");
	await speaker.query("select pg_notify('pg_news', $1)", ["first"]);
	await speaker.query("notify pg_news, 'last'");
	await complete;
	assert.deepEqual(heard, ["pg_news:first", "pg_news:last"]);
	await listener.query("unlisten *");
	assert.equal(await value(listener, "select 1"), 1);
}));

check("cancel", () => connected(2, {}, async (client, other) => {
	const query = new pg.Query("select pg_sleep(600)");
	const ended = new Promise((resolve, reject) => {
		query.on("error", reject);
		query.on("end", resolve);
	});
	ended.catch(() => {});
	client.query(query);
	// Again until it hits: a cancel that comes before its query is running does nothing.
	const repeat = setInterval(() => new pg.Client({ connectionString: url }).cancel(client, query), 200);
	await fails(ended, "57014").finally(() => clearInterval(repeat));
	assert.equal(await value(other, "select 2"), 2);
}));

check("statement timeout", () => connected(1, { statement_timeout: 300 }, async client => {
	await fails(client.query("select pg_sleep(600)"), "57014");
	assert.equal(await value(client, "show statement_timeout"), "300ms");
	await client.query("set statement_timeout = 0");
	assert.equal(await value(client, "select 1 from pg_sleep(0.4)"), 1);
	await client.query("reset statement_timeout");
	await fails(client.query("select pg_sleep(600)"), "57014");
}));

check("settings per session", () => connected(10, { application_name: "start" }, async (...clients) => {
	await Promise.all(clients.map(async (client, c) => {
		await client.query(`set application_name = 'client ${c}'`);
		await client.query(`set time zone 'UTC+${c}'`);
		await client.query("select set_config('work_mem', $1, false)", [`${c + 1}MB`]);
		await client.query(`set search_path = schema_${c}, public`);
	}));
	for (const round of range(5)) {
		await Promise.all(clients.map(async (client, c) => {
			assert.equal(await value(client, "show application_name"), `client ${c}`);
			assert.equal(await value(client, "select current_setting('work_mem')"), `${c + 1}MB`);
			assert.equal(await value(client, "show search_path"), `schema_${c}, public`);
			const hour = await value(client,
				"select extract(hour from timestamptz '2020-01-01T12:00:00Z')::int4 + $1::int4", [round]);
			assert.equal(hour, 12 - c + round);
		}));
	}
	await Promise.all(clients.map(async client => {
		await client.query("begin");
		await client.query("set application_name = 'undone'");
		await client.query("rollback");
		await client.query("reset work_mem");
	}));
	await Promise.all(clients.map(async (client, c) => {
		assert.equal(await value(client, "show application_name"), `client ${c}`);
		assert.equal(await value(client, "show work_mem"), "4MB");
		await client.query("reset all");
		assert.equal(await value(client, "show application_name"), "start");
	}));
}));

check("what startup asks for", () => connected(1, {
	options: "-c geqo=off -c search_path=a,b", application_name: "from pg",
}, async client => {
	assert.equal(await value(client, "show geqo"), "off");
	assert.equal(await value(client, "show search_path"), "a,b");
	assert.equal(await value(client, "show application_name"), "from pg");
}));

check("a pool over fewer servers", async () => {
	const pool = new pg.Pool({ connectionString: url, max: 20 });
	try {
		await pool.query("drop table if exists pg_counter");
		await pool.query("create table pg_counter (id int primary key, count int)");
		await pool.query("insert into pg_counter select i, 0 from generate_series(0, 4) i");
		await Promise.all(range(300).map(async i => {
			const client = await pool.connect();
			try {
				await client.query("begin");
				await client.query("select set_config('app.user', $1, true)", [`${i}`]);
				await client.query({
					name: "count", text: "update pg_counter set count = count + 1 where id = $1", values: [i % 5],
				});
				assert.equal(await value(client, "select current_setting('app.user')"), `${i}`);
				await client.query(i % 2 ? "commit" : "rollback");
				assert.equal(await value(client, "select $1::int4", [i]), i);
			} finally {
				client.release();
			}
		}));
		// A write: what another connection has written, a replica may not have yet.
		const { rows } = await pool.query("update pg_counter set id = id returning count");
		assert.equal(rows.reduce((sum, { count }) => sum + count, 0), 150);
		await pool.query("drop table pg_counter");
	} finally {
		await pool.end();
	}
});

check("what keeps its server", () => connected(3, {}, async (...clients) => {
	await Promise.all(clients.map(async (client, c) => {
		await client.query("create temp table mine (c int)");
		await client.query("insert into mine values ($1)", [c]);
		for (const _ of range(5)) assert.equal(await value(client, "select c from mine"), c);
		await client.query("drop table mine");
		await client.query(`prepare own (int) as select $1 * ${c}`);
		assert.equal(await value(client, "execute own (7)"), 7 * c);
		await client.query("deallocate own");
		await fails(client.query("execute own (7)"), "26000");
	}));
	const [first, second] = clients;
	await first.query("select pg_advisory_lock(4711)");
	assert.equal(await value(second, "select pg_try_advisory_lock(4711)"), false);
	assert.equal(await value(first, "select pg_advisory_unlock(4711)"), true);
	assert.equal(await value(second, "select pg_try_advisory_lock(4711)"), true);
	await second.query("discard all");
}));

// pg by itself has no source for it, and says so with CopyFail.
check("copy", () => one(async client => {
	await client.query("begin");
	await client.query("create temp table copied (i int) on commit drop");
	await client.query("savepoint before");
	await fails(client.query("copy copied from stdin"), "57014");
	await client.query("rollback to before");
	assert.equal((await client.query("copy (select generate_series(1, 1000)) to stdout")).rowCount, 1000);
	await client.query("commit");
	assert.equal((await client.query("copy (select generate_series(1, 1000)) to stdout")).command, "COPY");
	assert.equal(await value(client, "select 5"), 5);
}));

await run();
