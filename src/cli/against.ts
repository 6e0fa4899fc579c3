// What `check --against OLD` says: whether running tasks of the old file can go on in the new one. With a store, what
// would become of the tasks that are in it: each is moved in memory, and nothing is written.

import type { Agent } from '../core/agent.ts'
import { draft } from '../core/draft.ts'
import { isFault } from '../core/fault.ts'
import { fold } from '../core/fold.ts'
import { compile, type Machine } from '../core/machine.ts'
import { migrate } from '../core/migration.ts'
import { severityOf, type Problem } from '../core/problem.ts'
import { judgeSuccession, type Succession } from '../core/succession.ts'
import { emptyTask } from '../core/task.ts'
import type { Orchestrator } from '../orchestrator.ts'
import { definitionOf } from '../outfit.ts'
import { systemRuntime } from '../runtime.ts'
import { withStore } from './command.ts'
import { paint, table, tell } from './terminal.ts'

/** What would become of tasks that are in a store, of one state. */
interface Rehearsal {
  readonly state: string
  readonly moved: number
  readonly later: number
  readonly stay: number
  /** Why the first of those stays that does. */
  readonly why?: string
}

/** What is said of an agent of the old file. */
export interface Against extends Succession {
  readonly name: string
  readonly from: string
  readonly to: string | undefined
  readonly changed: boolean
  readonly tasks?: readonly Rehearsal[]
}

/** Holds the agents of a file against those of the file before. Agents that cannot run are left out. */
export async function holdAgainst(
  agents: readonly Agent[],
  before: readonly Agent[],
  store: string | undefined,
): Promise<readonly Against[]> {
  const held = before.map((old) => ({ old, ...hold(old, agents) }))
  if (store === undefined) return held.map(({ said }) => said)
  return withStore(store, (box) =>
    Promise.all(
      held.map(async ({ old, next, said }) => (next ? { ...said, tasks: await rehearse(box, old, next) } : said)),
    ),
  )
}

function hold(old: Agent, agents: readonly Agent[]): { next: Agent | undefined; said: Against } {
  const next = agents.find(({ name }) => name === old.name)
  const head = { name: old.name, from: old.version, to: next?.version }
  const nothing = { passages: [], problems: [], notProved: [] }
  if (!next) return { next, said: { ...head, changed: true, ...nothing, problems: [gone(old)] } }
  const definition = definitionOf(old)
  if (definition === definitionOf(next)) return { next: undefined, said: { ...head, changed: false, ...nothing } }
  return { next, said: { ...head, changed: true, ...judgeSuccession(compile(old), compile(next), definition) } }
}

function gone({ name, version }: Agent): Problem {
  return {
    severity: severityOf('MIGRATION_MISSING'),
    code: 'MIGRATION_MISSING',
    place: name,
    problem: `There is no agent ${name} any more: tasks of version ${version} stay with workers that have the old file.`,
    cure: 'Keep a worker with the old file until they have ended.',
  }
}

async function rehearse(box: Orchestrator, old: Agent, next: Agent): Promise<readonly Rehearsal[]> {
  const [from, to, machine] = [definitionOf(old), definitionOf(next), compile(next)]
  const rows = await box.store.tasks({ agent: old.name, limit: Number.MAX_SAFE_INTEGER })
  const running = rows.filter((row) => row.definition === from && row.outcome === null)
  const tried: { state: string; kind: string; why: string | undefined }[] = []
  for (const { taskId, state } of running) tried.push({ state, ...(await tryOne(box, taskId, machine, to)) })
  return [...Map.groupBy(tried, ({ state }) => state)].map(([state, of]) => {
    const count = (...kinds: string[]): number => of.filter(({ kind }) => kinds.includes(kind)).length
    const why = of.find(({ kind }) => kind === 'left' || kind === 'unfit')?.why
    const counts = { moved: count('moved'), later: count('later'), stay: count('left', 'unfit') }
    return { state, ...counts, ...(why === undefined ? {} : { why }) }
  })
}

async function tryOne(
  { store }: Orchestrator,
  taskId: string,
  machine: Machine,
  definition: string,
): Promise<{ kind: string; why: string | undefined }> {
  try {
    const task = fold(emptyTask(taskId), await store.read(taskId))
    const moved = migrate(machine, definition, draft(task, systemRuntime.now()))
    return { kind: moved.kind, why: 'why' in moved ? moved.why : undefined }
  } catch (thrown) {
    if (!isFault(thrown, 'LOG_NEWER')) throw thrown
    return { kind: 'left', why: thrown.message }
  }
}

/** Do all states of the old machines lead somewhere, and would all tasks that were looked at move, now or later? */
export function movesAll(all: readonly Against[]): boolean {
  return all.every(({ problems, tasks = [] }) => {
    return problems.every(({ severity }) => severity !== 'error') && tasks.every(({ stay }) => stay === 0)
  })
}

/** Tells it to people. */
export function tellAgainst({ name, from, to, changed, passages, problems, notProved, tasks }: Against): void {
  if (!changed) {
    tell(`${name} v${from} is the same: running tasks go on.`)
    return
  }
  for (const { severity, code, place, problem, cure } of problems) {
    tell(`${paint(severity === 'error' ? 'red' : 'yellow', `${severity} ${code}`)} ${place}: ${problem} ${cure}`)
  }
  if (passages.length > 0) {
    tell(table([[`tasks of v${from} in`, `go on in v${to}`], ...passages.map((one) => [one.state, one.target ?? '-'])]))
    tell('It is not proved:')
    for (const what of notProved) tell(`  ${what}`)
  }
  if (tasks) tell(tasks.length === 0 ? `No task of v${from} is running.` : table(rowsOf(tasks)))
}

function rowsOf(tasks: readonly Rehearsal[]): string[][] {
  const head = ['running in', 'would move', 'not at a safe state', 'would stay', 'why']
  return [head, ...tasks.map((one) => [one.state, `${one.moved}`, `${one.later}`, `${one.stay}`, one.why ?? ''])]
}
