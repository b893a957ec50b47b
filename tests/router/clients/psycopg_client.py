"""What applications do with psycopg 3.

python3 psycopg_client.py URL    exit status 1 where a check fails
"""

import asyncio
import datetime
import decimal
import faulthandler
import sys
import threading
import traceback

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

URL = sys.argv[1]
CHECK_SECONDS = 60
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def connect(**options):
    options.setdefault("autocommit", True)
    return psycopg.connect(URL, **options)


def value(connection, query, *args, **options):
    return connection.execute(query, args or None, **options).fetchone()[0]


def equal(found, wanted):
    assert found == wanted, f"{found!r} where {wanted!r} belongs"


class fails:
    """The block must fail with that SQLSTATE; the error is kept in `error`."""

    def __init__(self, sqlstate):
        self.sqlstate, self.error = sqlstate, None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        assert error is not None, f"no error where {self.sqlstate} belongs"
        self.error = error
        return getattr(error, "sqlstate", None) == self.sqlstate


def in_threads(count, body):
    """Runs body(i, connection) in that many threads; raises the first of their errors."""
    failures = []

    def run(i):
        try:
            with connect() as connection:
                body(i, connection)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@check
def types():
    utc = datetime.timezone.utc
    values = [
        ("int8", 2**63 - 1), ("numeric", decimal.Decimal("12345678901234567890.0123456789")),
        ("bytea", bytes(range(256))), ("int4[]", [1, None, -3]), ("float8", 0.1), ("bool", True),
        ("text[]", ["a,b", 'c"d', None, "", "é"]), ("text", None), ("date", datetime.date(2020, 2, 29)),
        ("timestamptz", datetime.datetime(2020, 2, 29, 12, 34, 56, 789, utc)), ("int4[]", []),
        ("interval", datetime.timedelta(days=3, seconds=7)),
    ]
    query = "select " + ", ".join(f"%s::{kind}" for kind, _ in values)
    with connect() as connection:
        for binary in (False, True):
            with connection.cursor(binary=binary) as cursor:
                cursor.execute(query, [each for _, each in values])
                equal(cursor.fetchone(), tuple(each for _, each in values))
        thing = {"a": [1, {"b": None}], "é": "ü"}
        equal(value(connection, "select %s::jsonb", Jsonb(thing)), thing)
        text = "x€" * 500_000
        equal(value(connection, "select %s::text", text), text)


@check
def prepared_statements():
    def body(i, connection):
        for j in range(300):
            query = f"select %s::int4 + {j % 60}, %s::text"
            equal(connection.execute(query, (i, str(j)), prepare=True).fetchone(), (i + j % 60, str(j)))

    in_threads(20, body)


@check
def prepared_statements_that_are_given_up():
    # More than it keeps: the driver deallocates the others by name.
    with connect() as connection, connect() as other:
        connection.prepared_max = 5
        for i in list(range(40)) * 3:
            equal(value(connection, f"select {i} + %s::int4", 1, prepare=True), i + 1)
            equal(value(other, f"select {i} + %s::int4", 2, prepare=True), i + 2)
        connection.execute("deallocate all")


@check
def prepared_statements_that_fail():
    with connect() as connection:
        for _ in range(3):
            with fails("22012"):
                connection.execute("select 1 / %s::int4", (0,), prepare=True)
            equal(value(connection, "select 1 / %s::int4", 1, prepare=True), 1)
            with fails("42P01"):
                connection.execute("select %s::int4 from nowhere", (0,), prepare=True)


@check
def transactions():
    with connect(autocommit=False) as connection:
        connection.execute("drop table if exists psycopg_moves")
        connection.execute("create table psycopg_moves (id int primary key, note text)")
        connection.commit()
        connection.execute("insert into psycopg_moves values (%s, %s)", (1, "gone"))
        connection.rollback()
        with connection.transaction():
            connection.execute("insert into psycopg_moves values (2, %s)", ("kept",))
            with fails("23505"), connection.transaction():
                connection.execute("insert into psycopg_moves values (%s, 'twice')", (2,))
            connection.execute("insert into psycopg_moves values (3, %s)", ("more",))
        with fails("22012"):
            connection.execute("select 1 / 0")
        with fails("25P02"):
            connection.execute("select 1")
        equal(connection.info.transaction_status, psycopg.pq.TransactionStatus.INERROR)
        connection.rollback()
        rows = connection.execute("select id, note from psycopg_moves order by id").fetchall()
        equal(rows, [(2, "kept"), (3, "more")])
        connection.commit()
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        equal(value(connection, "show transaction_isolation"), "repeatable read")
        with fails("25006"):
            connection.execute("delete from psycopg_moves")
        connection.rollback()
        connection.read_only = connection.isolation_level = None
        connection.execute("drop table psycopg_moves")


@check
def error_fields():
    with connect() as connection:
        connection.execute("drop table if exists psycopg_errors")
        connection.execute("create table psycopg_errors (id int constraint the_one primary key)")
        connection.execute("insert into psycopg_errors values (7)")
        with fails("23505") as twice:
            connection.execute("insert into psycopg_errors values (%s)", (7,))
        diag = twice.error.diag
        equal((diag.constraint_name, diag.table_name, diag.message_detail),
              ("the_one", "psycopg_errors", "Key (id)=(7) already exists."))
        with fails("42601") as wrong:
            connection.execute("selec 1")
        equal(wrong.error.diag.statement_position, "1")
        with fails("22P02"):
            connection.execute("select %s::int4", ("one",))
        notices = []
        connection.add_notice_handler(lambda each: notices.append(each.message_primary))
        connection.execute("do $$ begin raise notice 'so be it'; end $$")
        equal(notices, ["so be it"])
        connection.execute("drop table psycopg_errors")


@check
def pipelines():
    def body(i, connection):
        with connection.pipeline():
            cursors = [connection.execute("select %s::int4, %s::int4", (i, j)) for j in range(100)]
            for j, cursor in enumerate(cursors):
                equal(cursor.fetchone(), (i, j))
        with connection.pipeline() as pipeline, connection.transaction():
            connection.execute("create temp table piped (i int) on commit drop")
            for j in range(50):
                connection.execute("insert into piped values (%s)", (j,), prepare=True)
            pipeline.sync()
            equal(value(connection, "select sum(i) from piped"), sum(range(50)))

    in_threads(8, body)


@check
def pipelines_with_errors():
    with connect() as connection:
        # Which of the calls raises depends on how soon the answer comes.
        for _ in range(5):
            with fails("22012"), connection.pipeline():
                before = connection.execute("select 1")
                connection.execute("select 1 / %s::int4", (0,))
                connection.execute("select 2")
            equal(before.fetchone(), (1,))
            equal(value(connection, "select 4"), 4)


@check
def many_at_once():
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("create temp table many (i int, note text)")
        cursor.executemany("insert into many values (%s, %s)", [(i, f"n {i}") for i in range(1000)])
        equal(cursor.rowcount, 1000)
        cursor.executemany("select %s::int4", [(i,) for i in range(20)], returning=True)
        found = [cursor.fetchone()[0]]
        while cursor.nextset():
            found.append(cursor.fetchone()[0])
        equal(found, list(range(20)))
        cursor.execute("select 1; select 2")
        equal((cursor.fetchone(), cursor.nextset(), cursor.fetchone()), ((1,), True, (2,)))


@check
def cursors():
    def body(_, connection):
        with connection.transaction(), connection.cursor("walk") as cursor:
            cursor.itersize = 9
            cursor.execute("select i from generate_series(1, %s) i", (100,))
            equal([i for i, in cursor], list(range(1, 101)))
        with connection.transaction(), connection.cursor("jump", scrollable=True) as cursor:
            cursor.execute("select i from generate_series(1, 100) i")
            cursor.scroll(50)
            equal(cursor.fetchone(), (51,))
            cursor.scroll(10, mode="absolute")
            equal(cursor.fetchmany(2), [(11,), (12,)])

    in_threads(8, body)
    with connect() as connection:
        with connection.cursor("stay", withhold=True) as cursor:
            cursor.execute("select i from generate_series(1, 10) i")
            equal(cursor.fetchmany(4), [(1,), (2,), (3,), (4,)])
            equal(value(connection, "select 1"), 1)
            equal(cursor.fetchone(), (5,))
        equal([i for i, in connection.cursor().stream("select generate_series(1, 5)")], [1, 2, 3, 4, 5])


@check
def copy():
    rows = [(i, f"note\t{i} é" if i % 3 else None) for i in range(5000)]
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("drop table if exists psycopg_copied")
        cursor.execute("create table psycopg_copied (id int4, note text)")
        for form in ("text", "binary"):
            how = sql.SQL("(format {})").format(sql.SQL(form))
            with cursor.copy(sql.SQL("copy psycopg_copied from stdin {}").format(how)) as data:
                data.set_types(["int4", "text"])
                for row in rows:
                    data.write_row(row)
            equal(cursor.rowcount, 5000)
            out = sql.SQL("copy (select * from psycopg_copied order by id) to stdout {}").format(how)
            with cursor.copy(out) as data:
                data.set_types(["int4", "text"])
                equal(list(data.rows()), rows)
            with fails("22P02" if form == "text" else "22P04"):
                with cursor.copy(sql.SQL("copy psycopg_copied from stdin {}").format(how)) as data:
                    data.write(b"one\ttwo\n")
            with fails("57014"):
                with cursor.copy("copy psycopg_copied from stdin") as data:
                    data.write_row((1, "one"))
                    raise ValueError("CopyFail")
            equal(value(connection, "select count(*) from psycopg_copied"), 5000)
            cursor.execute("truncate psycopg_copied")
        cursor.execute("drop table psycopg_copied")


@check
def notifications():
    with connect() as listener, connect() as speaker:
        listener.execute("listen psycopg_news")
        with speaker.transaction() as block:
            speaker.execute("notify psycopg_news, 'never'")
            raise psycopg.Rollback(block)
        speaker.execute("select pg_notify('psycopg_news', %s)", ("first",))
        speaker.execute("notify psycopg_news, 'last'")
        heard = []
        for notice in listener.notifies():
            heard.append((notice.channel, notice.payload))
            if notice.payload == "last":
                break
        equal(heard, [("psycopg_news", "first"), ("psycopg_news", "last")])
        listener.execute("unlisten *")
        equal(value(listener, "select 1"), 1)


@check
def cancel():
    with connect() as connection, connect() as other:
        # Again until it hits: a cancel that comes before its query is running does nothing.
        ended = threading.Event()

        def repeat():
            while not ended.wait(0.2):
                connection.cancel()

        thread = threading.Thread(target=repeat)
        thread.start()
        try:
            with fails("57014"):
                connection.execute("select pg_sleep(600)")
        finally:
            ended.set()
            thread.join()
        equal(value(other, "select 2"), 2)


@check
def statement_timeout():
    with connect(options="-c statement_timeout=300") as connection:
        with fails("57014"):
            connection.execute("select pg_sleep(600)")
        with connection.transaction():
            connection.execute("set local statement_timeout = 0")
            connection.execute("select pg_sleep(0.4)")
        with fails("57014"):
            connection.execute("select pg_sleep(600)")


@check
def settings_per_session():
    together = threading.Barrier(10, timeout=60)

    def body(i, connection):
        connection.execute("select set_config('application_name', %s, false)", (f"client {i}",))
        connection.execute(f"set work_mem = '{i + 1}MB'")
        connection.execute(f"set time zone 'UTC+{i}'")
        noon = "select extract(hour from timestamptz '2020-01-01T12:00:00Z')::int4"
        for _ in range(5):
            together.wait()
            equal(value(connection, "show application_name"), f"client {i}")
            equal(value(connection, "select current_setting('work_mem')"), f"{i + 1}MB")
            equal(value(connection, noon, prepare=True), 12 - i)
            equal(connection.info.parameter_status("application_name"), f"client {i}")
        with connection.transaction() as block:
            connection.execute("set work_mem = '77MB'")
            raise psycopg.Rollback(block)
        equal(value(connection, "show work_mem"), f"{i + 1}MB")
        connection.execute("reset all")
        equal(value(connection, "show work_mem"), "4MB")
        connection.execute("set client_encoding = 'latin1'")
        equal((connection.info.encoding, value(connection, "select 'é'")), ("iso8859-1", "é"))

    in_threads(10, body)


@check
def more_connections_than_servers():
    with connect() as connection:
        connection.execute("drop table if exists psycopg_counter")
        connection.execute("create table psycopg_counter (id int primary key, count int)")
        connection.execute("insert into psycopg_counter select i, 0 from generate_series(0, 4) i")

    async def work(i):
        connection = await psycopg.AsyncConnection.connect(URL)
        async with connection:
            for j in range(10):
                await connection.execute("update psycopg_counter set count = count + 1 where id = %s", (j % 5,))
                cursor = await connection.execute("select %s::int4", (i,), prepare=True)
                equal(await cursor.fetchone(), (i,))
                await (connection.rollback() if j % 2 else connection.commit())

    async def together():
        await asyncio.gather(*(work(i) for i in range(20)))

    asyncio.run(together())
    with connect() as connection:
        # A write: what another connection has written, a replica may not have yet.
        rows = connection.execute("update psycopg_counter set id = id returning count").fetchall()
        equal(sum(count for count, in rows), 100)
        connection.execute("drop table psycopg_counter")


failed = 0
for each in CHECKS:
    label = each.__name__.replace("_", " ")
    faulthandler.dump_traceback_later(CHECK_SECONDS, exit=True)  # where it hangs; status 1
    try:
        each()
        print(f"ok {label}", flush=True)
    except Exception:
        failed += 1
        print(f"not ok {label}: {traceback.format_exc()}", file=sys.stderr)
sys.exit(1 if failed else 0)
