// postgres.js: its own protocol code; prepares whatever it runs, and pipelines.
import fs from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import postgres from 'postgres'
import { address, expect, fails, large, rows, run, sleep, sleeping, table, tls, until } from './steps.js'

const { user, ...rest } = address()
const open = () => postgres({ ...rest, username: user, ssl: tls(), max: 1, onnotice: () => {}, connect_timeout: 30 })

async function connect() {
  const sql = open()
  await sql`SELECT 1`
  return sql
}

async function using(n, f) {
  const all = Array.from({ length: n }, open)
  try {
    return await f(...all)
  } finally {
    await Promise.all(all.map((sql) => sql.end({ timeout: 5 })))
  }
}

const { version } = JSON.parse(fs.readFileSync(new URL('./node_modules/postgres/package.json', import.meta.url)))

await run({ driver: 'postgres.js', version }, connect, {
  simple: () => using(1, async (sql) => expect((await sql`SELECT 1 + 1 AS n`.simple())[0].n, 2)),
  parameters: () => using(1, async (sql) => expect((await sql`SELECT ${40}::int + ${2}::int AS n`)[0].n, 42)),
  prepared: () => using(1, async (sql) => {
    for (const i of [1, 2]) expect((await sql`SELECT ${i}::int * 2 AS n`)[0].n, i * 2)
  }),
  transaction: () => using(1, async (sql) => {
    await sql.unsafe(`DROP TABLE IF EXISTS ${table}`)
    await sql.unsafe(`CREATE TABLE ${table} (id int, name text)`)
    await fails(sql.begin(async (tx) => {
      await tx.unsafe(`INSERT INTO ${table} VALUES (1, 'lost')`)
      await fails(tx`SELECT 1/0`, '22012')
      await fails(tx`SELECT 1`, '25P02')
    }), '22012') // begin() rejects with the first error of its block
    await sql.begin((tx) => tx.unsafe(`INSERT INTO ${table} VALUES (2, 'kept')`))
    expect((await sql.unsafe(`SELECT string_agg(name, ',') AS names FROM ${table}`))[0].names, 'kept')
  }),
  copy_in: () => using(1, async (sql) => {
    await sql.unsafe(`TRUNCATE ${table}`)
    await pipeline(Readable.from([rows]), await sql.unsafe(`COPY ${table} FROM STDIN`).writable())
    expect((await sql.unsafe(`SELECT count(*)::int AS n FROM ${table}`))[0].n, 1000)
  }),
  copy_out: () => using(1, async (sql) => {
    let out = ''
    for await (const part of await sql.unsafe(`COPY (SELECT * FROM ${table} ORDER BY id) TO STDOUT`).readable()) out += part
    expect(out, rows)
  }),
  large: () => using(1, async (sql) => {
    const value = 'x'.repeat(large)
    expect((await sql`SELECT ${value}::text AS v`)[0].v, value)
  }),
  cancel: () => using(2, async (sql, other) => {
    const query = sql.unsafe(sleep)
    const ended = query.then(() => null, (e) => e)
    await until(async () => (await other.unsafe(sleeping))[0].n === 1, 'the query to run')
    query.cancel()
    expect((await ended)?.code, '57014')
    expect((await sql`SELECT 1 AS n`)[0].n, 1)
  }),
  notify: () => using(1, async (sql) => {
    let hear
    const heard = new Promise((resolve) => { hear = resolve })
    const { unlisten } = await sql.listen(`compat_${table}`, hear)
    await sql.notify(`compat_${table}`, 'hello')
    expect(await heard, 'hello')
    await unlisten()
  }),
  pipeline: () => using(1, async (sql) => {
    const all = await Promise.all(Array.from({ length: 50 }, (_, i) => sql`SELECT ${i}::int AS n`))
    expect(all.map((r) => r[0].n).join(), Array.from({ length: 50 }, (_, i) => i).join())
    return '50 queries'
  }),
})
