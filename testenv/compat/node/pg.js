// node-postgres: its own protocol code; COPY and cursors come in packages of their own.
import { createRequire } from 'node:module'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import pg from 'pg'
import copy from 'pg-copy-streams'
import Cursor from 'pg-cursor'
import { NotThere, address, expect, fails, large, rows, run, sleep, sleeping, table, tls, until } from './steps.js'

const config = () => ({ ...address(), ssl: tls(), connectionTimeoutMillis: 30000 })

async function connect() {
  const client = new pg.Client(config())
  await client.connect()
  return client
}

// using gives f connected clients and closes them.
async function using(n, f) {
  const clients = []
  try {
    for (let i = 0; i < n; i++) clients.push(await connect())
    return await f(...clients)
  } finally {
    await Promise.all(clients.map((c) => c.end()))
  }
}

const one = async (client, ...query) => Object.values((await client.query(...query)).rows[0])[0]

await run({ driver: 'node-postgres', version: createRequire(import.meta.url)('pg/package.json').version }, connect, {
  simple: () => using(1, async (c) => expect(await one(c, 'SELECT 1 + 1'), 2)),
  parameters: () => using(1, async (c) => expect(await one(c, 'SELECT $1::int + $2::int', [40, 2]), 42)),
  prepared: () => using(1, async (c) => {
    for (const i of [1, 2]) {
      expect(await one(c, { name: 'compat', text: 'SELECT $1::int * 2', values: [i] }), i * 2)
    }
  }),
  transaction: () => using(1, async (c) => {
    await c.query(`DROP TABLE IF EXISTS ${table}`)
    await c.query(`CREATE TABLE ${table} (id int, name text)`)
    await c.query('BEGIN')
    await c.query(`INSERT INTO ${table} VALUES (1, 'lost')`)
    await fails(c.query('SELECT 1/0'), '22012')
    await fails(c.query('SELECT 1'), '25P02')
    await c.query('ROLLBACK')
    await c.query('BEGIN')
    await c.query(`INSERT INTO ${table} VALUES ($1, $2)`, [2, 'kept'])
    await c.query('COMMIT')
    expect(await one(c, `SELECT string_agg(name, ',') FROM ${table}`), 'kept')
  }),
  copy_in: () => using(1, async (c) => {
    await c.query(`TRUNCATE ${table}`)
    await pipeline(Readable.from([rows]), c.query(copy.from(`COPY ${table} FROM STDIN`)))
    expect(await one(c, `SELECT count(*)::int FROM ${table}`), 1000)
    return 'pg-copy-streams'
  }),
  copy_out: () => using(1, async (c) => {
    let out = ''
    for await (const part of c.query(copy.to(`COPY (SELECT * FROM ${table} ORDER BY id) TO STDOUT`))) out += part
    expect(out, rows)
    return 'pg-copy-streams'
  }),
  large: () => using(1, async (c) => {
    const value = 'x'.repeat(large)
    expect(await one(c, 'SELECT $1::text', [value]), value)
  }),
  // Client.cancel opens a second connection without TLS, as libpq did before version 17.
  cancel: () => using(2, async (c, other) => {
    const query = new pg.Query(sleep)
    const ended = new Promise((resolve) => { query.on('error', resolve); query.on('end', () => resolve(null)) })
    c.query(query)
    await until(async () => (await one(other, sleeping)) === 1, 'the query to run')
    new pg.Client(address()).cancel(c, query)
    expect((await ended)?.code, '57014')
    expect(await one(c, 'SELECT 1'), 1)
  }),
  notify: () => using(2, async (c, other) => {
    const heard = new Promise((resolve) => c.on('notification', (m) => resolve(m.payload)))
    await c.query(`LISTEN compat_${table}`)
    await other.query(`NOTIFY compat_${table}, 'hello'`)
    expect(await heard, 'hello')
  }),
  pipeline: () => using(1, async (c) => {
    const cursor = c.query(new Cursor('SELECT generate_series(1, 10) AS n'))
    const read = []
    for (let batch; (batch = await cursor.read(3)).length > 0;) read.push(...batch.map((r) => r.n))
    await cursor.close()
    expect(read.join(), '1,2,3,4,5,6,7,8,9,10')
    throw new NotThere('sends one query at a time; a cursor in portions (pg-cursor) works')
  }),
})
