"""psqlodbc, through unixODBC and pyodbc: libpq underneath."""
import os

import pyodbc

import steps
from steps import LARGE, MARK, ROWS, SLEEPING, TABLE, expect, thread, until

pyodbc.pooling = False
env = os.environ


def connect():
    certificates = "sslrootcert=%(PGSSLROOTCERT)s sslcert=%(PGSSLCERT)s sslkey=%(PGSSLKEY)s" % env
    return pyodbc.connect(
        "DRIVER={PostgreSQL Unicode};SERVER=%(PGHOST)s;PORT=%(PGPORT)s;DATABASE=%(PGDATABASE)s;UID=%(PGUSER)s;"
        "SSLmode=verify-full;MaxLongVarcharSize=20000000;BoolsAsChar=0;" % env + "Pqopt={%s}" % certificates,
        autocommit=True)


def one(conn, sql, *args):
    return conn.cursor().execute(sql, *args).fetchone()[0]


def simple():
    conn = connect()
    expect(one(conn, "SELECT 1 + 1"), 2)
    conn.close()


def parameters():
    conn = connect()
    expect(one(conn, "SELECT ?::int + ?::int", 40, 2), 42)
    conn.close()


def prepared():
    conn = connect()
    cursor = conn.cursor()
    for i in (1, 2):
        expect(cursor.execute("SELECT ?::int * 2", i).fetchone()[0], i * 2)
    conn.close()


def transaction():
    conn = connect()
    conn.execute("DROP TABLE IF EXISTS %s" % TABLE)
    conn.execute("CREATE TABLE %s (id int, name text)" % TABLE)
    conn.autocommit = False
    conn.execute("INSERT INTO %s VALUES (1, 'lost')" % TABLE)
    try:
        conn.execute("SELECT 1/0")
    except pyodbc.Error as e:
        expect(e.args[0], "22012")
    else:
        raise AssertionError("SELECT 1/0 succeeded")
    conn.rollback()
    conn.execute("INSERT INTO %s VALUES (2, 'kept')" % TABLE)
    conn.commit()
    expect(one(conn, "SELECT string_agg(name, ',') FROM %s" % TABLE), "kept")
    conn.close()


def copy_in():
    raise steps.None_("not in ODBC")


def copy_out():
    raise steps.None_("not in ODBC")


def large():
    conn = connect()
    value = "x" * LARGE
    expect(one(conn, "SELECT length(?::text)", value), LARGE)
    expect(one(conn, "SELECT repeat('x', %d)" % LARGE), value)
    conn.close()


def cancel():
    conn, other = connect(), connect()
    cursor = conn.cursor()

    def stop():
        until(lambda: one(other, SLEEPING) == 1, "the query to run")
        cursor.cancel()

    with thread(stop):
        try:
            cursor.execute("SELECT pg_sleep(30) " + MARK)
        except pyodbc.Error as e:
            if "cancel" not in str(e):
                raise
        else:
            raise AssertionError("the query was not cancelled")
    expect(one(conn, "SELECT 1"), 1)


def notify():
    raise steps.None_("not in ODBC")


def pipeline():
    raise steps.None_("not in ODBC")


def driver_version():
    if env.get("COMPAT_REFUSED"):
        return ""
    conn = connect()
    try:
        return conn.getinfo(pyodbc.SQL_DRIVER_VER)
    finally:
        conn.close()


try:
    steps.about("psqlodbc", driver_version(), "pyodbc " + pyodbc.version)
except pyodbc.Error as error:
    steps.about("psqlodbc", "")
    steps.report("simple", "fail", error)
else:
    if not steps.refused(connect):
        steps.run([(f.__name__, f) for f in (simple, parameters, prepared, transaction, copy_in, copy_out, large, cancel, notify, pipeline)])
