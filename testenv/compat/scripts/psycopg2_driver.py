"""psycopg2: libpq, parameters put into the text by the driver."""
import io
import select

import psycopg2
import psycopg2.extensions

import steps
from steps import LARGE, MARK, ROWS, SLEEPING, TABLE, expect, lines, thread, until


def connect():
    conn = psycopg2.connect("")
    conn.autocommit = True
    return conn


def one(conn, sql, *args):
    with conn.cursor() as cursor:
        cursor.execute(sql, args or None)
        return cursor.fetchone()[0]


def simple():
    with connect() as conn:
        expect(one(conn, "SELECT 1 + 1"), 2)


def parameters():
    with connect() as conn:
        expect(one(conn, "SELECT %s::int + %s::int", 40, 2), 42)
        return "bound in the client"


def prepared():
    with connect() as conn, conn.cursor() as cursor:
        cursor.execute("PREPARE compat_p (int) AS SELECT $1 * 2")
        for i in (1, 2):
            expect(one(conn, "EXECUTE compat_p (%s)", i), i * 2)
        cursor.execute("DEALLOCATE compat_p")
        return "with SQL's PREPARE"


def transaction():
    conn = connect()
    cursor = conn.cursor()
    cursor.execute("DROP TABLE IF EXISTS %s" % TABLE)
    cursor.execute("CREATE TABLE %s (id int, name text)" % TABLE)
    conn.autocommit = False
    cursor.execute("INSERT INTO %s VALUES (1, 'lost')" % TABLE)
    for sql, code in (("SELECT 1/0", "22012"), ("SELECT 1", "25P02")):
        try:
            cursor.execute(sql)
        except psycopg2.Error as e:
            expect(e.pgcode, code)
        else:
            raise AssertionError(sql + " succeeded")
    conn.rollback()
    cursor.execute("INSERT INTO %s VALUES (2, 'kept')" % TABLE)
    conn.commit()
    expect(one(conn, "SELECT string_agg(name, ',') FROM %s" % TABLE), "kept")
    conn.close()


def copy_in():
    with connect() as conn, conn.cursor() as cursor:
        cursor.execute("TRUNCATE %s" % TABLE)
        cursor.copy_expert("COPY %s FROM STDIN" % TABLE, io.StringIO(lines()))
        expect(one(conn, "SELECT count(*) FROM %s" % TABLE), ROWS)


def copy_out():
    with connect() as conn, conn.cursor() as cursor:
        out = io.StringIO()
        cursor.copy_expert("COPY (SELECT * FROM %s ORDER BY id) TO STDOUT" % TABLE, out)
        expect(out.getvalue(), lines())


def large():
    with connect() as conn:
        value = "x" * LARGE
        expect(one(conn, "SELECT %s::text", value), value)


def cancel():
    conn, other = connect(), connect()

    def stop():
        until(lambda: one(other, SLEEPING) == 1, "the query to run")
        conn.cancel()

    with thread(stop):
        try:
            one(conn, "SELECT pg_sleep(30) " + MARK)
        except psycopg2.extensions.QueryCanceledError as e:
            expect(e.pgcode, "57014")
        else:
            raise AssertionError("the query was not cancelled")
    expect(one(conn, "SELECT 1"), 1)


def notify():
    conn, other = connect(), connect()
    conn.cursor().execute("LISTEN compat_%s" % TABLE)
    other.cursor().execute("NOTIFY compat_%s, 'hello'" % TABLE)

    def arrived():
        select.select([conn], [], [], 1)
        conn.poll()
        return conn.notifies

    until(arrived, "the notification")
    expect(conn.notifies[0].payload, "hello")


def pipeline():
    raise steps.None_("not in psycopg2")


version = "%d.%d" % divmod(psycopg2.extensions.libpq_version() // 10000 * 100 + psycopg2.extensions.libpq_version() % 10000, 100)
steps.about("psycopg2", psycopg2.__version__.split()[0], "libpq " + version)
if not steps.refused(connect):
    steps.run([(f.__name__, f) for f in (simple, parameters, prepared, transaction, copy_in, copy_out, large, cancel, notify, pipeline)])
