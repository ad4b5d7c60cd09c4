"""asyncpg: its own protocol code; prepares whatever it runs with parameters."""
import asyncio
import io

import asyncpg

import steps
from steps import LARGE, MARK, ROWS, SLEEPING, TABLE, expect, lines

loop = asyncio.new_event_loop()


def step(coroutine):
    """A step as the harness calls it."""
    def call():
        return loop.run_until_complete(asyncio.wait_for(coroutine(), 60))
    call.__name__ = coroutine.__name__
    return call


async def until(ok, what):
    for _ in range(2000):
        if await ok():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("waited 20 s for " + what)


async def connect():
    return await asyncpg.connect()


async def fails(conn, sql, code):
    try:
        await conn.execute(sql)
    except asyncpg.PostgresError as e:
        expect(e.sqlstate, code)
    else:
        raise AssertionError(sql + " succeeded")


@step
async def simple():
    conn = await connect()
    expect(await conn.execute("SELECT 1 + 1"), "SELECT 1")
    await conn.close()


@step
async def parameters():
    conn = await connect()
    expect(await conn.fetchval("SELECT $1::int + $2::int", 40, 2), 42)
    await conn.close()


@step
async def prepared():
    conn = await connect()
    statement = await conn.prepare("SELECT $1::int * 2")
    for i in (1, 2):
        expect(await statement.fetchval(i), i * 2)
    await conn.close()


@step
async def transaction():
    conn = await connect()
    await conn.execute("DROP TABLE IF EXISTS %s" % TABLE)
    await conn.execute("CREATE TABLE %s (id int, name text)" % TABLE)
    tx = conn.transaction()
    await tx.start()
    await conn.execute("INSERT INTO %s VALUES (1, 'lost')" % TABLE)
    await fails(conn, "SELECT 1/0", "22012")
    await fails(conn, "SELECT 1", "25P02")
    await tx.rollback()
    async with conn.transaction():
        await conn.execute("INSERT INTO %s VALUES ($1, $2)" % TABLE, 2, "kept")
    expect(await conn.fetchval("SELECT string_agg(name, ',') FROM %s" % TABLE), "kept")
    await conn.close()


@step
async def copy_in():
    conn = await connect()
    await conn.execute("TRUNCATE %s" % TABLE)
    expect(await conn.copy_to_table(TABLE, source=io.BytesIO(lines().encode())), "COPY %d" % ROWS)
    records = [(i, "row %d" % i) for i in range(ROWS)]
    await conn.execute("TRUNCATE %s" % TABLE)
    expect(await conn.copy_records_to_table(TABLE, records=records), "COPY %d" % ROWS)
    await conn.close()
    return "text and binary"


@step
async def copy_out():
    conn = await connect()
    out = io.BytesIO()
    await conn.copy_from_query("SELECT * FROM %s ORDER BY id" % TABLE, output=out)
    expect(out.getvalue().decode(), lines())
    await conn.close()


@step
async def large():
    conn = await connect()
    value = "x" * LARGE
    expect(await conn.fetchval("SELECT $1::text", value), value)
    await conn.close()


@step
async def cancel():
    conn, other = await connect(), await connect()
    task = asyncio.ensure_future(conn.fetchval("SELECT pg_sleep(30) " + MARK))

    async def sleeping(n):
        return await other.fetchval(SLEEPING) == n

    await until(lambda: sleeping(1), "the query to run")
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    await until(lambda: sleeping(0), "the query to end")
    expect(await conn.fetchval("SELECT 1"), 1)
    await conn.close()
    await other.close()


@step
async def notify():
    conn, other = await connect(), await connect()
    heard = asyncio.get_running_loop().create_future()
    await conn.add_listener("compat_" + TABLE, lambda _c, _pid, _channel, payload: heard.set_result(payload))
    await other.execute("NOTIFY compat_%s, 'hello'" % TABLE)
    expect(await asyncio.wait_for(heard, 20), "hello")
    await conn.close()
    await other.close()


@step
async def pipeline():
    conn = await connect()
    await conn.execute("TRUNCATE %s" % TABLE)
    await conn.executemany("INSERT INTO %s VALUES ($1, $2)" % TABLE, [(i, str(i)) for i in range(50)])
    expect(await conn.fetchval("SELECT count(*) FROM %s" % TABLE), 50)
    await conn.close()
    return "executemany sends its batch in one go"


steps.about("asyncpg", asyncpg.__version__)
if not steps.refused(lambda: loop.run_until_complete(connect())):
    steps.run([(f.__name__, f) for f in (simple, parameters, prepared, transaction, copy_in, copy_out, large, cancel, notify, pipeline)])
