// What the node drivers share: a driver is an object of steps, each of which prints one JSON line.
// A step returns a few words about what it saw, and throws NotThere where the driver has no such thing.
import fs from 'node:fs'

const env = process.env
export const table = env.COMPAT_TABLE
export const large = 10 << 20
export const rows = Array.from({ length: 1000 }, (_, i) => `${i}\trow ${i}\n`).join('')
export const sleep = `SELECT pg_sleep(30) /* cancel ${table} */`
export const sleeping = `SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%pg_sleep%${table}%' AND pid <> pg_backend_pid()`

// address is a new object each time: drivers keep and change what they get.
export const address = () => ({ host: env.PGHOST, port: Number(env.PGPORT), user: env.PGUSER, database: env.PGDATABASE })
export const tls = () => ({
  ca: fs.readFileSync(env.PGSSLROOTCERT, 'utf8'),
  cert: fs.readFileSync(env.PGSSLCERT, 'utf8'),
  key: fs.readFileSync(env.PGSSLKEY, 'utf8'),
})

export class NotThere extends Error {}

export const report = (step, status, detail) =>
  console.log(JSON.stringify({ step, status, detail: String(detail ?? '').trim() }))

export function expect(got, want) {
  if (got !== want) throw new Error(`got ${String(got).slice(0, 100)}, want ${String(want).slice(0, 100)}`)
}

export async function fails(promise, code) {
  let error
  try { await promise } catch (e) { error = e }
  if (!error) throw new Error(`no error, want ${code}`)
  expect(error.code, code)
}

export async function until(ok, what) {
  for (const end = Date.now() + 20000; !(await ok()); await new Promise((r) => setTimeout(r, 10))) {
    if (Date.now() > end) throw new Error(`waited 20 s for ${what}`)
  }
}

// run prints what the driver is, then runs its steps, or the login that must fail when the harness asks for it.
export async function run(about, connect, steps) {
  console.log(JSON.stringify({ library: `node ${process.versions.node}`, ...about }))
  if (env.COMPAT_REFUSED) {
    try {
      await connect()
      report('refused', 'fail', 'the login succeeded')
    } catch (e) {
      report('refused', 'ok', `${e.message} (SQLSTATE ${e.code})`)
    }
    process.exit(0)
  }
  setTimeout(() => { report('timeout', 'fail', 'no end after 90 s'); process.exit(1) }, 90000).unref()
  for (const [name, step] of Object.entries(steps)) {
    try {
      report(name, 'ok', await step())
    } catch (e) {
      report(name, e instanceof NotThere ? 'none' : 'fail', e instanceof NotThere ? e.message : e)
    }
  }
  process.exit(0)
}
