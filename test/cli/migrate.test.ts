// `signalbox migrate`: a store is brought up to date and says so; and a worker whose role is what --print-roles prints works,
// erases and signs, and can change nothing that was logged. Neither can the owner, unless the triggers go first.

import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import { createOrchestrator } from '../../src/orchestrator.ts'
import { systemRuntime } from '../../src/runtime.ts'
import { openStore } from '../../src/store/open.ts'
import { rolesSql } from '../../src/store/postgres/schema.ts'
import { createKeys } from '../../src/store/key.ts'
import { atEnd } from '../end.ts'
import { folder } from '../folder.ts'
import { admin, serverUrl, testDatabase } from '../postgres.ts'
import { signalbox } from './signalbox.ts'

const greeter = defineAgent({
  name: 'greeter',
  version: '1',
  context: defineContext({ name: z.string(), greeting: z.string().optional() }),
  initial: 'greet',
  on: { $error: 'failed', $timeout: 'failed' },
  states: {
    greet: {
      run: ({ context }) => ({ exit: 'GREETED', output: { greeting: `hello ${context.name}` } }),
      on: { GREETED: { target: 'ask', output: z.object({ greeting: z.string() }) } },
    },
    ask: { human: { question: 'Well?' }, on: { YES: 'done' } },
    done: { type: 'final' },
    failed: { type: 'final', failure: true },
  },
})

/** The address of the same database, as somebody else. */
function as(address: string, role: string, password: string): string {
  const url = new URL(address)
  url.username = role
  url.password = password
  return url.href
}

test('a worker with the role that is printed works, erases and signs, and can change nothing that was logged', async () => {
  const word = randomBytes(6).toString('hex')
  const [owner, worker] = [`owner_${word}`, `worker_${word}`]
  atEnd(async () => admin(await serverUrl(), `DROP ROLE IF EXISTS ${worker}; DROP ROLE IF EXISTS ${owner}`))
  const database = await testDatabase()
  const name = new URL(database).pathname.slice(1)
  await admin(database, `CREATE ROLE ${owner} LOGIN PASSWORD '${word}'; GRANT CREATE ON DATABASE "${name}" TO ${owner}`)
  const owned = as(database, owner, word)
  const made = await signalbox(['migrate', '--store', owned, '--json'])
  expect([made.code, made.stderr]).toEqual([0, expect.stringContaining('is up to date: its schema is at version')])
  expect(made.json[0].applied.map(({ version }: { version: number }) => version)).toContain(made.json[0].version)
  expect(made.stdout + made.stderr).not.toContain(word + '@')

  const printed = await signalbox(['migrate', '--store', owned, '--print-roles', '--role', worker])
  expect([printed.code, printed.stderr]).toEqual([0, ''])
  expect(printed.stdout).toContain("PASSWORD 'choose one'")
  await admin(database, printed.stdout.replace('choose one', word))

  const worked = as(database, worker, word)
  const again = await signalbox(['migrate', '--store', worked, '--json'])
  expect([again.code, again.json[0].applied]).toEqual([0, []])
  const keys = createKeys()
  const anchors = join(folder(), 'anchors.jsonl')
  const store = await openStore(worked, { runtime: systemRuntime })
  const box = await createOrchestrator({ store, agents: [greeter], env: {}, leaseMs: 1_000 })
  try {
    const task = await box.start(greeter, { name: 'Zdenka' }, { id: 't', by: 'ana' })
    await task.rest()
    const [item] = await box.inbox()
    await box.answer(item!.item, { decision: 'YES', by: 'ana', reason: 'yes' })
    expect(await task.result()).toMatchObject({ outcome: 'done', context: { greeting: 'hello Zdenka' } })
    expect(await box.checkpoint({ key: keys.privateKey, anchors })).toMatchObject({ made: true })
    const { erased, wiped } = await box.erase('t', { by: 'ana', reason: 'asked for' })
    expect([erased > 2, wiped]).toEqual([true, true])
    await box.schedule('s', { agent: greeter, cron: '* * * * *', input: { name: 'x' }, by: 'ana', reason: 'r' })
    await box.unschedule('s', { by: 'ana', reason: 'r' })
    const audit = await box.verify(undefined, { anchors, publicKeys: [keys.publicKey] })
    expect(audit).toMatchObject({ tasks: 1, erased, findings: [] })
  } finally {
    await box.stop(100)
    await store.close()
  }
  expect(await admin(database, 'SELECT count(*)::int AS n FROM signalbox.payloads WHERE body IS NOT NULL')).toEqual([
    { n: 0 },
  ])

  const change = (sql: string, who: string): Promise<string> =>
    admin(who, `SET search_path = signalbox; ${sql}`).then(
      () => 'done',
      (thrown: Error) => thrown.message,
    )
  const attacks = [
    `UPDATE events SET data = data`,
    `UPDATE events SET hash = hash WHERE false`,
    `DELETE FROM events`,
    `TRUNCATE events`,
    `UPDATE checkpoints SET root = root`,
    `DELETE FROM checkpoints`,
    `TRUNCATE checkpoints`,
    `UPDATE "checkpointHeads" SET seq = seq`,
    `DELETE FROM "checkpointHeads"`,
    `TRUNCATE "checkpointHeads"`,
    `UPDATE payloads SET hash = hash`,
    `UPDATE payloads SET "taskId" = "taskId"`,
    `DELETE FROM payloads`,
    `TRUNCATE payloads`,
  ]
  for (const sql of attacks)
    expect([sql, await change(sql, worked)]).toEqual([sql, expect.stringMatching(/^permission denied for table /)])
  for (const sql of [
    `DELETE FROM schedules`,
    `DELETE FROM migrations`,
    `UPDATE migrations SET checksum = ''`,
    `DROP TABLE events`,
    `ALTER TABLE events DISABLE TRIGGER ALL`,
    `DROP TRIGGER events_kept ON events`,
    `CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`,
    `CREATE TABLE mine ()`,
    `SET session_replication_role = replica`,
  ])
    expect([sql, await change(sql, worked)]).toEqual([sql, expect.stringMatching(/permission denied|must be owner/)])
  // What it may write it may write only as an erasure that is logged.
  const payload = `INSERT INTO payloads VALUES ('t', 1, 'made up', 'salt', 'body')`
  expect(await change(payload, worked)).toBe('done')
  for (const who of [worked, owned]) {
    for (const sql of [`UPDATE payloads SET body = 'x', salt = 'y'`, `UPDATE payloads SET body = NULL, salt = NULL`])
      expect(await change(sql, who)).toBe('a payload is never changed')
  }
  const refused = /is append-only: no|a payload is never changed/
  for (const sql of attacks.filter((each) => !each.includes('WHERE false') && !/payloads SET/.test(each)))
    expect([sql, await change(sql, owned)]).toEqual([sql, expect.stringMatching(refused)])
})

test('what a worker may do with each table is what the database says, and every table is spoken of', async () => {
  const word = randomBytes(6).toString('hex')
  const worker = `worker_${word}`
  atEnd(async () => admin(await serverUrl(), `DROP ROLE IF EXISTS ${worker}`))
  const database = await testDatabase()
  await (await openStore(`${database}?schema=elsewhere`, { runtime: systemRuntime })).close()
  await admin(database, rolesSql('elsewhere', worker))
  const rows = await admin(
    database,
    `SELECT relname AS name,
       concat_ws(' ', CASE WHEN has_table_privilege('${worker}', oid, 'SELECT') THEN 'S' END, CASE WHEN has_table_privilege('${worker}', oid, 'INSERT') THEN 'I' END,
         CASE WHEN has_table_privilege('${worker}', oid, 'UPDATE') THEN 'U' END, CASE WHEN has_table_privilege('${worker}', oid, 'DELETE') THEN 'D' END) AS rights,
       EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = pg_class.oid AND NOT tgisinternal) AS kept
     FROM pg_class WHERE relnamespace = 'elsewhere'::regnamespace AND relkind = 'r'`,
  )
  const others: Record<string, string> = { migrations: 'S', schedules: 'S I U' }
  for (const { name, rights, kept } of rows)
    expect([name, rights]).toEqual([name, others[String(name)] ?? (kept ? 'S I' : 'S I U D')])
  expect(rows.length).toBeGreaterThan(15)
})

test('a SQLite store is made, brought up to date, and has no roles; names that are none are refused', async () => {
  const cwd = folder()
  const run = (...args: string[]) => signalbox(['migrate', ...args, '--json'], { cwd })
  const made = await run()
  expect([made.code, made.json]).toMatchObject([0, [{ store: 'sqlite:./signalbox.db' }]])
  const [{ version, applied }] = made.json
  expect(applied.at(-1)).toEqual({ version, name: expect.any(String) })
  expect(applied).toHaveLength(version)
  expect((await run()).json).toEqual([{ store: 'sqlite:./signalbox.db', version, applied: [] }])
  const cases: [string[], string][] = [
    [['--print-roles', '--store', 'sqlite:other.db'], 'STORE_UNSUPPORTED'],
    [['--role', 'x'], 'FLAG_INVALID'],
    [['--print-roles', '--store', 'postgres://nowhere.invalid/x', '--role', 'public'], 'FLAG_INVALID'],
    [['--print-roles', '--store', 'postgres://nowhere.invalid/x', '--role', 'x; DROP'], 'FLAG_INVALID'],
    [['--print-roles', '--store', 'postgres://nowhere.invalid/x?schema=A'], 'STORE_UNSUPPORTED'],
  ]
  for (const [args, code] of cases) {
    const ran = await run(...args)
    expect([args, ran.code, ran.json[0].error?.code]).toEqual([args, 2, code])
  }
  expect(existsSync(join(cwd, 'other.db'))).toBe(false)
  const printed = await run('--print-roles', '--store', 'postgres://nowhere.invalid/x?schema=elsewhere')
  expect(printed.json).toEqual([{ role: 'signalbox_worker', sql: rolesSql('elsewhere', 'signalbox_worker') }])
})
