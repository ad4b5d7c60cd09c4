"""psycopg 3: libpq's extended protocol, prepares by itself, pipelines."""
import os

import psycopg

import steps
from steps import LARGE, MARK, ROWS, SLEEPING, TABLE, expect, lines, thread, until


def connect():
    return psycopg.connect("", autocommit=True)


def one(conn, sql, args=None, **how):
    return conn.execute(sql, args, **how).fetchone()[0]


def simple():
    with connect() as conn:
        expect(one(conn, "SELECT 1 + 1"), 2)
        library = psycopg.pq.version()
        return "protocol 3 over libpq %d" % (library // 10000)


def parameters():
    with connect() as conn:
        expect(one(conn, "SELECT %s::int + %s::int", (40, 2)), 42)
        expect(one(conn, "SELECT %b::int * 2", (21,)), 42)


def prepared():
    with connect() as conn:
        for i in (1, 2):
            expect(one(conn, "SELECT %s::int * 2", (i,), prepare=True), i * 2)
        conn.prepare_threshold = 1
        for i in range(5):
            expect(one(conn, "SELECT %s::int * 3", (i,)), i * 3)


def transaction():
    with connect() as conn:
        conn.execute("DROP TABLE IF EXISTS %s" % TABLE)
        conn.execute("CREATE TABLE %s (id int, name text)" % TABLE)
        conn.autocommit = False
        conn.execute("INSERT INTO %s VALUES (1, 'lost')" % TABLE)
        for sql, code in (("SELECT 1/0", "22012"), ("SELECT 1", "25P02")):
            try:
                conn.execute(sql)
            except psycopg.Error as e:
                expect(e.sqlstate, code)
            else:
                raise AssertionError(sql + " succeeded")
        conn.rollback()
        conn.execute("INSERT INTO %s VALUES (2, 'kept')" % TABLE)
        conn.commit()
        expect(one(conn, "SELECT string_agg(name, ',') FROM %s" % TABLE), "kept")


def copy_in():
    with connect() as conn:
        conn.execute("TRUNCATE %s" % TABLE)
        with conn.cursor() as cursor, cursor.copy("COPY %s FROM STDIN" % TABLE) as copy:
            for i in range(ROWS):
                copy.write_row((i, "row %d" % i))
        expect(one(conn, "SELECT count(*) FROM %s" % TABLE), ROWS)


def copy_out():
    with connect() as conn, conn.cursor() as cursor:
        with cursor.copy("COPY (SELECT * FROM %s ORDER BY id) TO STDOUT" % TABLE) as copy:
            expect(b"".join(bytes(part) for part in copy).decode(), lines())


def large():
    with connect() as conn:
        value = "x" * LARGE
        expect(one(conn, "SELECT %s::text", (value,)), value)


def cancel():
    with connect() as conn, connect() as other:

        def stop():
            until(lambda: one(other, SLEEPING.replace("%", "%%")) == 1, "the query to run")
            conn.cancel()

        with thread(stop):
            try:
                conn.execute("SELECT pg_sleep(30) " + MARK)
            except psycopg.errors.QueryCanceled as e:
                expect(e.sqlstate, "57014")
            else:
                raise AssertionError("the query was not cancelled")
        expect(one(conn, "SELECT 1"), 1)


def notify():
    with connect() as conn, connect() as other:
        conn.execute("LISTEN compat_%s" % TABLE)
        other.execute("NOTIFY compat_%s, 'hello'" % TABLE)
        for notification in conn.notifies():
            expect(notification.payload, "hello")
            return


def pipeline():
    if not psycopg.Pipeline.is_supported():
        raise steps.None_("this libpq has no pipeline mode")
    with connect() as conn:
        with conn.pipeline():
            cursors = [conn.execute("SELECT %s::int", (i,)) for i in range(50)]
            expect([c.fetchone()[0] for c in cursors], list(range(50)))
        with conn.pipeline() as p:
            failed = conn.execute("SELECT 1/0")
            try:
                p.sync()
                failed.fetchone()
            except psycopg.errors.DivisionByZero:
                pass
            else:
                raise AssertionError("the error of a pipelined query was lost")
        expect(one(conn, "SELECT 1"), 1)
        return "50 queries, then one that fails"


library = psycopg.pq.version()
steps.about("psycopg 3", psycopg.__version__, "libpq %d.%d" % (library // 10000, library % 10000))
if not steps.refused(connect):
    steps.run([(f.__name__, f) for f in (simple, parameters, prepared, transaction, copy_in, copy_out, large, cancel, notify, pipeline)])
