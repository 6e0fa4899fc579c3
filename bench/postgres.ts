// What a durable turn costs in PostgreSQL, beside the limit of the server under it, measured in the same run: one task, many
// tasks in one worker, the same in several worker processes, long tasks, and a table that is full of others' events. The
// server is one that is started here, or the one that SIGNALBOX_TEST_POSTGRES names, which should have nothing else to do.

import { spawn, type ChildProcessByStdio } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { createOrchestrator, type Orchestrator } from '../src/orchestrator.ts'
import { createServer, initialise, makeFolder } from '../test/postgres/server.ts'
import { median, round, type Report } from './figures.ts'
import { writeInto } from './postgres-raw.ts'
import { groupCommits, type RawCommit } from './raw.ts'
import { agent, modelOf } from './workload.ts'

/** How much is measured; the bench itself is tested with little. */
export interface Scale {
  readonly turns: number
  readonly longTurns: number
  readonly tasks: number
  readonly others: number
  /** How often each is measured, by turns with what it is held against; the median counts. */
  readonly rounds: number
}

export const wholeScale: Scale = { turns: 1_000, longTurns: 3_000, tasks: 500, others: 1_000_000, rounds: 5 }
const turnsEach = 10

type Child = ChildProcessByStdio<Writable, Readable, null>

/** Lends a server: one that is started for it, and gone afterwards, or the one that is named. */
export async function withServer(use: (url: string) => Promise<void>): Promise<void> {
  const given = process.env['SIGNALBOX_TEST_POSTGRES']
  if (given) return use(given)
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-bench-postgres-'))
  try {
    makeFolder(folder)
    await initialise(join(folder, 'template'))
    const server = await createServer(join(folder, 'server'), join(folder, 'template'))
    try {
      await use(server.url)
    } finally {
      await server.remove()
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Where is measured, and how much; a schema is made for each name that is asked for. */
interface Bench {
  readonly admin: pg.Client
  readonly report: Report
  readonly scale: Scale
  readonly place: (name: string) => Place
}

interface Place {
  readonly address: string
  readonly schema: string
}

/** Measures all of it, each in a schema of its own, which is gone afterwards. */
export async function measurePostgres(url: string, report: Report, scale: Scale = wholeScale): Promise<void> {
  const admin = new pg.Client({ connectionString: url })
  await admin.connect()
  const made: string[] = []
  const place = (name: string): Place => {
    const schema = `bench_${process.pid}_${name}`
    made.push(schema)
    const at = new URL(url)
    at.searchParams.set('schema', schema)
    return { address: at.href, schema }
  }
  try {
    for (const measure of [measureOne, measureMany, measureAmongOthers]) await measure({ admin, report, scale, place })
  } finally {
    for (const schema of made) await admin.query(`DROP SCHEMA IF EXISTS "${schema}" CASCADE`)
    await admin.end()
  }
}

// Each is measured by turns with what it is held against, so that both have the same luck with the machine.

async function measureOne({ admin, report, scale, place }: Bench): Promise<void> {
  const { address, schema } = place('one')
  await oneTask(address, scale.longTurns, 'warm')
  const ours: number[] = []
  const perCommit: number[] = []
  for (let time = 0; time < scale.rounds; time += 1) {
    ours.push((await oneTask(address, scale.turns, `measured${time}`)).msPerTurn)
    const commits = await readCommits(admin, schema, `measured${time}`)
    perCommit.push((await writeInto(place(`raw${time}`).address, [commits], 1)).ms / commits.length)
  }
  report({
    what: `one task of ${scale.turns} turns`,
    msPerTurn: round(median(ours)),
    rawMsPerTurn: round(median(perCommit) * 2),
    rawMsPerCommit: round(median(perCommit)),
    ofRaw: round((median(perCommit) * 2) / median(ours), 2),
  })
  const long = await oneTask(address, scale.longTurns, 'long')
  report({
    what: `one task of ${scale.longTurns} turns`,
    msPerTurn: round(long.msPerTurn),
    lastToFirstTenthMedian: round(long.lastTenthMs / long.firstTenthMs, 2),
  })
}

async function measureMany({ admin, report, scale, place }: Bench): Promise<void> {
  const { address, schema } = place('many')
  await manyTasks(address, scale.tasks, 1, 'warm')
  const commits = await readCommits(admin, schema)
  const shares = Array.from({ length: 8 }, (_, lane) => ofLane(commits, lane))
  const raw = async (name: string, group: number): Promise<number> => {
    const { ms } = await writeInto(place(name).address, shares, group)
    return (commits.length / 2 / ms) * 1_000
  }
  const eight: number[] = []
  const grouped: number[] = []
  const ours = new Map<number, number[]>([1, 2, 4].map((workers) => [workers, []]))
  for (let time = 0; time < scale.rounds; time += 1) {
    eight.push(await raw(`eight${time}`, 1))
    grouped.push(await raw(`grouped${time}`, 64))
    for (const [workers, perSecond] of ours)
      perSecond.push(await manyTasks(address, scale.tasks, workers, `round${time}by${workers}`))
  }
  report({
    what: 'the same rows by pg, 8 connections',
    turnsPerSecond: Math.round(median(eight)),
    commitsPerSecond: Math.round(median(eight) * 2),
    turnsPerSecond32ACommit: Math.round(median(grouped)),
  })
  for (const [workers, perSecond] of ours)
    report({
      what: `${scale.tasks} tasks of ${turnsEach} turns, ${workers} worker${workers > 1 ? 's' : ''}`,
      turnsPerSecond: Math.round(median(perSecond)),
      ofRaw: round(median(perSecond) / median(eight), 2),
    })
}

/** The same in an empty store and in one full of what is over. */
async function measureAmongOthers({ admin, report, scale, place }: Bench): Promise<void> {
  const [empty, full] = [place('empty'), place('full')]
  for (const { address } of [empty, full]) await oneTask(address, 50, 'warm')
  await fill(admin, full.schema, scale.others)
  const spans = {
    empty: { one: [] as number[], many: [] as number[] },
    full: { one: [] as number[], many: [] as number[] },
  }
  for (let time = 0; time < scale.rounds; time += 1)
    for (const [name, { address }] of [
      ['empty', empty],
      ['full', full],
    ] as const) {
      spans[name].one.push((await oneTask(address, Math.ceil(scale.turns / 2), `again${time}`)).msPerTurn)
      spans[name].many.push(1_000 / (await manyTasks(address, Math.ceil(scale.tasks / 2), 1, `again${time}`)))
    }
  report({
    what: `among ${scale.others} events of others`,
    oneTaskMsPerTurn: round(median(spans.full.one)),
    oneTaskToEmpty: round(median(spans.full.one) / median(spans.empty.one), 2),
    manyTasksMsPerTurn: round(median(spans.full.many)),
    manyTasksToEmpty: round(median(spans.full.many) / median(spans.empty.many), 2),
  })
}

interface OneTask {
  readonly msPerTurn: number
  /** The median turn of the first tenth, and of the last. */
  readonly firstTenthMs: number
  readonly lastTenthMs: number
}

async function oneTask(store: string, turns: number, id: string): Promise<OneTask> {
  const times: number[] = []
  const model = modelOf(turns, (turn) => {
    times[turn] = performance.now()
  })
  const box = await createOrchestrator({ store, agents: [agent], models: { main: model }, windows: { main: 1e9 } })
  await (await box.start(agent, { goal: id }, { id })).result()
  await box.stop()
  const spans = times.slice(2).map((at, index) => at - times[index + 1]!)
  const tenth = Math.max(1, Math.floor(turns / 10))
  return {
    msPerTurn: (times[turns + 1]! - times[1]!) / turns,
    firstTenthMs: median(spans.slice(0, tenth)),
    lastTenthMs: median(spans.slice(-tenth)),
  }
}

/** Turns a second of many tasks that wait when the workers begin: from then until the last of them has ended. */
async function manyTasks(store: string, tasks: number, workers: number, name: string): Promise<number> {
  const box = await createOrchestrator({ store, work: false })
  const args = [turnsEach, Math.ceil(tasks / workers), tasks].map(String)
  const children: Child[] = []
  try {
    // One after the other, so that each does its own first tasks itself.
    for (let at = 0; at < workers; at += 1) {
      const child = spawn(process.execPath, [join(import.meta.dirname, 'postgres-worker.ts'), store, ...args], {
        stdio: ['pipe', 'pipe', 'inherit'],
      })
      children.push(child)
      await once(child.stdout, 'data')
    }
    const gone = children.map((child) => once(child, 'close'))
    children[0]!.stdin.write(`start ${tasks} ${name}\n`)
    await once(children[0]!.stdout, 'data')
    const startedMs = performance.now()
    for (const child of children) child.stdin.write('work\n')
    await allEnded(box)
    const ms = performance.now() - startedMs
    for (const child of children) child.stdin.end()
    await Promise.all(gone)
    return (tasks * turnsEach) / (ms / 1_000)
  } finally {
    for (const child of children) child.kill('SIGKILL')
    await box.stop()
  }
}

async function allEnded(box: Orchestrator): Promise<void> {
  while ((await box.tasks({ status: 'running', limit: 1 })).length > 0)
    await new Promise((wake) => setTimeout(wake, 10))
}

async function readCommits(admin: pg.Client, schema: string, taskId?: string): Promise<readonly RawCommit[]> {
  const only = taskId === undefined ? '' : ` WHERE "taskId" = '${taskId}'`
  const events = await admin.query(
    `SELECT "taskId", seq::int, "atMs"::float8, type, data, "costMicros"::float8, "prevHash", hash FROM "${schema}".events${only} ORDER BY "taskId", seq`,
  )
  const payloads = await admin.query(`SELECT "taskId", seq::int, hash, salt, body FROM "${schema}".payloads${only}`)
  return groupCommits(events.rows, payloads.rows)
}

/** Each task is one connection's, as it is one worker's. */
function ofLane(commits: readonly RawCommit[], lane: number): readonly RawCommit[] {
  const ids = [...new Set(commits.map(({ events }) => events[0]!['taskId']))]
  const ours = new Set(ids.filter((_, index) => index % 8 === lane))
  return commits.filter(({ events }) => ours.has(events[0]!['taskId']))
}

/** Tasks that are over, with a hundred events each, as if each had been written two at a time: they are in the way, and nothing reads them. */
async function fill(admin: pg.Client, schema: string, count: number): Promise<void> {
  const each = 100
  const perCommit = 2
  await admin.query(`SET search_path TO "${schema}"; ALTER TABLE events DISABLE TRIGGER USER`)
  await admin.query(
    `INSERT INTO tasks SELECT (t).* FROM (SELECT jsonb_populate_record(tasks, jsonb_build_object('taskId', 'other-' || n, 'status', 'done', 'state', 'done', 'seq', ${each})) AS t FROM tasks, generate_series(1, ${count / each}) AS n WHERE "taskId" = 'warm') AS rows`,
  )
  await admin.query(
    `INSERT INTO events ("taskId", seq, "atMs", type, data, "costMicros", "prevHash", hash, xid) SELECT 'other-' || n, s, 0, 'model.answered', repeat('x', 400), 0, repeat('0', 64), repeat('0', 64), CAST(CAST((n * ${each} + s) / ${perCommit} AS text) AS xid8) FROM generate_series(1, ${count / each}) AS n, generate_series(1, ${each}) AS s`,
  )
  await admin.query('ALTER TABLE events ENABLE TRIGGER USER')
  // What is over has been vacuumed long ago; the server would do it in the middle of what is measured.
  for (const upkeep of ['VACUUM (FREEZE, ANALYZE) events', 'VACUUM (FREEZE, ANALYZE) tasks', 'CHECKPOINT'])
    await admin.query(upkeep)
  await admin.query('RESET search_path')
}
