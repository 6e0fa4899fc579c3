// `npm run bench`: what a durable turn costs, beside the limit of the database under it, measured in the same run.
// Machines differ and are shared: read the ratios, not the absolute numbers. `--json` prints them for machines.

import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createOrchestrator } from '../src/orchestrator.ts'
import { manyChildren } from './children.ts'
import { round } from './figures.ts'
import { judgeSteps } from './policy.ts'
import { measurePostgres, withServer } from './postgres.ts'
import { readCommits, writeRaw } from './raw.ts'
import { agent, modelOf } from './workload.ts'

const folder = mkdtempSync(join(tmpdir(), 'signalbox-bench-'))
const json = process.argv.includes('--json')
const results: Record<string, unknown>[] = []
const tell = (line: string): void => void process.stderr.write(`${line}\n`)

// `npm run bench -- sqlite` and `npm run bench -- postgres` measure one of the two.
const [only] = process.argv.slice(2).filter((word) => !word.startsWith('-'))

try {
  if (only !== 'postgres') await measureSqlite()
  if (only !== 'sqlite') {
    tell('\nPostgreSQL, and the same rows written by pg alone')
    await withServer((url) => measurePostgres(url, report))
  }
  if (json) for (const result of results) console.log(JSON.stringify(result))
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function measureSqlite(): Promise<void> {
  tell('one task: time and bytes a turn, first tenth against last (the warm-up is not counted)')
  await oneTask(1_000, 'warm-up')
  for (const turns of [10, 100, 1_000, 3_000]) report(await oneTask(turns, `one task of ${turns} turns`))
  report(await oneTask(3_000, '3000 turns in a window of 100k', {}))
  tell('\nmany tasks in one process: commits are shared')
  await manyTasks(200, 10, 'warm-up')
  for (let round = 1; round <= 3; round += 1) report(await manyTasks(500, 10, `500 tasks of 10 turns, round ${round}`))
  tell('\none parent and its children: each from its start to its place in the join, and the heap meanwhile')
  await manyChildren(folder, 50)
  for (const count of [100, 1_000]) report(await manyChildren(folder, count))
  tell('\nwhat it costs to judge one step (microseconds, in the process)')
  for (const result of judgeSteps()) report(result)
  tell('\nfrom the start of a process to its first durable turn')
  report(await firstTurn())
}

function report(result: Record<string, unknown> & { what: string }): void {
  results.push(result)
  const { what, ...figures } = result
  tell(
    `${what.padEnd(34)} ${Object.entries(figures)
      .map(([name, value]) => `${name} ${String(value)}`)
      .join(', ')}`,
  )
}

/** Bytes that this process has handed to the operating system to write, where that is told. */
function bytesWritten(): number {
  try {
    return Number(/^wchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1] ?? 0)
  } catch {
    return 0
  }
}

/** A store that has served before: in an empty one the first turns touch fewer pages than any later one. */
async function fill(path: string): Promise<void> {
  const box = await createOrchestrator({ store: `sqlite:${path}`, agents: [agent], models: { main: modelOf(300) } })
  await (await box.start(agent, { goal: 'before' })).result()
  await box.stop()
}

/** By default the model's window holds the whole thread. */
async function oneTask(turns: number, what: string, windows: Record<string, number> = { main: 1_000_000_000 }) {
  const path = join(folder, `${what.replaceAll(' ', '-')}.db`)
  const times: number[] = []
  const bytes: number[] = []
  const tenth = Math.max(1, Math.floor(turns / 10))
  const marks = new Set([1, 1 + tenth, turns + 1 - tenth, turns + 1])
  const model = modelOf(turns, (turn) => {
    times[turn] = performance.now()
    if (marks.has(turn)) bytes[turn] = bytesWritten()
  })
  await fill(path)
  const box = await createOrchestrator({ store: `sqlite:${path}`, agents: [agent], models: { main: model }, windows })
  await (await box.start(agent, { goal: what }, { id: 'measured' })).result()
  await box.stop()
  const wholeMs = times[turns + 1]! - times[1]!
  const commits = readCommits(path, 'measured')
  const rawMs = writeRaw(`${path}.raw`, commits, 1)
  // The median of a tenth, because a checkpoint of the database falls into some turns and not into others.
  const median = (from: number): number => {
    const spans = Array.from({ length: tenth }, (_, index) => times[from + index + 1]! - times[from + index]!).sort(
      (a, b) => a - b,
    )
    return spans[Math.floor(tenth / 2)]!
  }
  const perTurn = (from: number, list: readonly number[]): number => (list[from + tenth]! - list[from]!) / tenth
  return {
    what,
    msPerTurn: round(wholeMs / turns),
    rawMsPerTurn: round(rawMs / turns),
    ofRaw: round(rawMs / wholeMs, 2),
    lastToFirstTenth: round(perTurn(turns + 1 - tenth, times) / perTurn(1, times), 2),
    lastToFirstTenthMedian: round(median(turns + 1 - tenth) / median(1), 2),
    bytesPerTurnFirst: Math.round(perTurn(1, bytes)),
    bytesPerTurnLast: Math.round(perTurn(turns + 1 - tenth, bytes)),
    payloadBytesPerTurn: Math.round(
      commits
        .flatMap(({ events, payloads }) => [
          ...events.map((row) => String(row['data']).length),
          ...payloads.map((row) => String(row['body']).length),
        ])
        .reduce((sum, size) => sum + size, 0) / turns,
    ),
  }
}

async function manyTasks(tasks: number, turns: number, what: string) {
  const path = join(folder, `${what.replaceAll(/\W/g, '-')}.db`)
  const idle = await createOrchestrator({
    store: `sqlite:${path}`,
    agents: [agent],
    models: { main: modelOf(turns) },
    work: false,
  })
  await Promise.all(
    Array.from({ length: tasks }, (_, number) => idle.start(agent, { goal: 'g' }, { id: `task-${number}` })),
  )
  await idle.stop()
  const startedMs = performance.now()
  const box = await createOrchestrator({
    store: `sqlite:${path}`,
    agents: [agent],
    models: { main: modelOf(turns) },
    concurrency: tasks,
  })
  await Promise.all(Array.from({ length: tasks }, (_, number) => box.task(`task-${number}`).result()))
  const wholeMs = performance.now() - startedMs
  const verified = (await box.verify()).findings.length === 0
  await box.stop()
  const commits = readCommits(path)
  const rawAlone = writeRaw(`${path}.raw1`, commits.slice(0, 2_000), 2)
  const rawGrouped = writeRaw(`${path}.raw32`, commits, 64)
  const count = tasks * turns
  return {
    what,
    turnsPerSecond: Math.round((count / wholeMs) * 1_000),
    msPerTurn: round(wholeMs / count),
    rawTurnsPerSecondOneACommit: Math.round((1_000 / rawAlone) * 1_000),
    rawTurnsPerSecond32ACommit: Math.round((count / rawGrouped) * 1_000),
    verified,
  }
}

async function firstTurn() {
  const spans: number[] = []
  for (let run = 0; run < 7; run += 1) {
    const startedMs = performance.now()
    const child = spawn(
      process.execPath,
      [join(import.meta.dirname, 'first-turn.ts'), join(folder, `first-${run}.db`)],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    await new Promise((durable) => child.stdout.once('data', durable))
    spans.push(performance.now() - startedMs)
    await new Promise((ended) => child.once('close', ended))
  }
  spans.sort((a, b) => a - b)
  return {
    what: 'start to first durable turn',
    medianMs: Math.round(spans[3]!),
    minMs: Math.round(spans[0]!),
    maxMs: Math.round(spans[6]!),
  }
}
