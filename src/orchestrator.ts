// Wires the house together: agents, models, a store and a worker. Everything that a caller may ask for is one method
// here, and each writes through the same door: load, decide, commit, and again if somebody else was first.

import { anchor, anchorsIn, judge, type Checkpointed } from './anchors.ts'
import type { Agent } from './core/agent.ts'
import { closedBreaker, openGate } from './core/breaker.ts'
import { answer, cancel, resetBreaker, signal, type HumanAnswer, type Signal } from './core/command.ts'
import type { ContextShape, InputOf } from './core/context.ts'
import { proveId, start } from './core/start.ts'
import { draft, type Draft, type Terms } from './core/draft.ts'
import { erase, isErased } from './core/erasure.ts'
import { Fault, isFault, messageOf } from './core/fault.ts'
import type { Effect } from './core/effect.ts'
import { fold } from './core/fold.ts'
import { beginningAt, deedsOf, fork, type Deed } from './core/fork.ts'
import { checkpointOf, pastAt, type Plan } from './core/past.ts'
import { rollbackTo } from './core/rollback.ts'
import { taskOf } from './core/item.ts'
import { isObject, quoted, toJson, type JsonObject } from './core/json.ts'
import type { DeclaredLabel } from './core/label.ts'
import type { Limits } from './core/limits.ts'
import { isScheduleName, occurrenceId, overlaps, type Overlap } from './core/schedule.ts'
import { emptyTask, isEnded, type Task } from './core/task.ts'
import { byClockOf } from './clock.ts'
import { occurrencesAfter } from './cron.ts'
import { commitSurely, decideOn } from './door.ts'
import { follow, type FollowOptions } from './follow.ts'
import { Migrator, moveTask, type Destination } from './migrator.ts'
import { Notifier, proveWebhook, type Webhook } from './notifier.ts'
import { provePrices, readOutfit, type Outfit, type OutfitOptions } from './outfit.ts'
import type { Ports } from './perform.ts'
import { Presence } from './presence.ts'
import { systemRuntime, type Runtime, type WritePoint } from './runtime.ts'
import { Scheduler } from './scheduler.ts'
import { cleanError, Secrets, type Redaction, type SecretTable } from './secrets.ts'
import { erasable } from './store/erasable.ts'
import { exportInvalid, readExport, writeExport } from './store/export.ts'
import { keysOf, signerOf } from './store/key.ts'
import { canonical, dataOf, genesis } from './store/log.ts'
import { openStore } from './store/open.ts'
import { gatesOf } from './store/rows.ts'
import {
  treeMax,
  type GateRow,
  type InboxRow,
  type LoggedEvent,
  type ScheduleRow,
  type Store,
  type TaskFilter,
  type TaskRow,
  type Verification,
  type WholeTask,
  type WorkerRow,
} from './store/store.ts'
import { branchOf, isAtRest, viewOf, type TaskView } from './view.ts'
import { Worker, type Pulse } from './worker.ts'

/** How to make an orchestrator. */
export interface OrchestratorOptions extends OutfitOptions {
  /** `sqlite:PATH`, or a store that is open already. */
  readonly store: string | Store
  /** Make the store when there is none. Default true. */
  readonly create?: boolean
  /** Who is told, signed and until it is taken, that something waits for a human. */
  readonly webhook?: Webhook
  /** What tools may be given by name (`secret://NAME`, `call.secret(NAME)`) and nobody else is shown: values, or functions that read them. */
  readonly secrets?: SecretTable
  /** What else is kept out of the log. Keys of well-known shapes are anyway. */
  readonly redact?: Redaction
  /** Tasks at a time. Default 16. */
  readonly concurrency?: number
  /** How long a task is held without a sign of life from its worker. Default 10 s. */
  readonly leaseMs?: number
  /** Work on this task only. */
  readonly only?: string
  readonly runtime?: Runtime
  /** Told about failures that a worker survives. Default: a line on stderr. */
  readonly onFault?: (fault: unknown, taskId?: string) => void
}

/** What a task may be started with besides its input. */
export interface StartOptions {
  /** The task's id. Starting it again with the same agent and input gives the same task. Default: a new UUID. */
  readonly id?: string
  /** Who starts it. Default `api`. */
  readonly by?: string
  readonly limits?: Limits
  /** What is known of the input, by context key: never less than what the key's definition says. */
  readonly labels?: Readonly<Record<string, DeclaredLabel>>
  /** Takes these keys of another task's context as input, with their labels: what it read stays what it was. */
  readonly from?: { readonly taskId: string; readonly keys: readonly string[] }
}

/** Tasks to be started again and again. */
export interface ScheduleOptions {
  readonly agent: Agent<any, any> | string
  /** When: five fields from minute to weekday, or six with seconds in front, or a nickname such as `@daily`. */
  readonly cron: string
  /** A name of the IANA list. Default UTC. */
  readonly timezone?: string
  /**
   * While the task of the occurrence before has not ended, one is left out (`skip`, the default), waits until it has (`queue`, at
   * most 100), or is started all the same (`allow`).
   */
  readonly overlap?: Overlap
  /** What each task is started with. Default: nothing. */
  readonly input?: unknown
  readonly by: string
  readonly reason: string
}

/** An effect of a step, as a rollback tells it. */
export type RollbackEffect = Pick<Effect, 'step' | 'tool' | 'arguments' | 'result'>

/** Where a rollback goes, and what it will do on the way. */
export interface RollbackPlan {
  /** The event that began the visit that it goes back to, and its state. */
  readonly to: number
  readonly state: string
  /** What will be taken back, in this order; a step that is at work now may add to it. */
  readonly undo: readonly RollbackEffect[]
  /** What cannot be and needs a human's yes: its tool has no `undo`, or nobody knows whether it was done. */
  readonly without: readonly RollbackEffect[]
}

/** What a task is forked with. */
export interface ForkOptions {
  /** An event of it, or the name of a checkpoint that it has passed. */
  readonly at: number | string
  /** The new task's id. Default: a new UUID. */
  readonly id?: string
  readonly by: string
  readonly reason: string
}

/** A new task, and where it begins. */
export interface Forked {
  readonly taskId: string
  readonly from: string
  /** The event of that task that began the visit, and its state. */
  readonly seq: number
  readonly state: string
  /** What was done outside, and is not done again unasked. */
  readonly deeds: readonly Deed[]
}

/** A task in the hand. */
export interface TaskHandle {
  readonly id: string
  /** Its events from `afterSeq` on (default: all), then live ones, until it has ended. */
  events(options?: { afterSeq?: number }): AsyncGenerator<LoggedEvent, void, void>
  /** Fulfilled when the task has ended. */
  result(): Promise<TaskView>
  /** Fulfilled when the task has ended, or waits for a human or a signal. */
  rest(): Promise<TaskView>
}

/** What to hold a log against. */
export interface VerifyOptions {
  /** Told the number of tasks done. */
  readonly progress?: (tasks: number) => void
  /** The path of an anchors file. */
  readonly anchors?: string
  /** The keys, as PEM, whose signatures count. Without any, anchors are believed as they are. */
  readonly publicKeys?: readonly string[]
}

/** What `verify` looked at and found, and what nobody can know from what it was given. */
export interface Audit extends Verification {
  /** How many anchors the store was held against. */
  readonly anchors: number
  readonly notProved: readonly string[]
}

/** What a log cannot say of itself. */
const unanchored: readonly string[] = [
  'that no tail was cut off together with the head that remembers it',
  'that no task was removed with all its rows',
  'that the store is not an older copy that was put back, or one that has gone on by itself',
  'that no chain was computed anew after an edit, by somebody who can write to the store',
]

/** The write points of what is said from outside. */
type SayPoint = Extract<WritePoint, 'answer' | 'signal' | 'cancel' | 'erase' | 'rollback'>

// How often something is looked for that nobody has told of: less and less, as long as nothing happens.
const pollMs = 200
const pollMaxMs = 1_000
const schedulesPollMs = 1_000
const conflictsMax = 50

/**
 * Opens the store and starts a worker. Throws AGENT_UNSOUND, MODEL_UNKNOWN or a `STORE_` Fault before anything is
 * written.
 */
export async function createOrchestrator(options: OrchestratorOptions): Promise<Orchestrator> {
  const { SIGNALBOX_API_KEY = '' } = options.env ?? process.env
  const hidden = { SIGNALBOX_API_KEY, WEBHOOK_SECRET: options.webhook?.secret ?? '' }
  const secrets = new Secrets(options.secrets, options.redact, hidden)
  try {
    return await open(options, secrets)
  } catch (thrown) {
    throw cleanError(thrown, secrets.redact)
  }
}

async function open(options: OrchestratorOptions, secrets: Secrets): Promise<Orchestrator> {
  const outfit = await readOutfit(options, secrets)
  if (options.webhook) proveWebhook(options.webhook)
  const runtime = options.runtime ?? systemRuntime
  const store =
    typeof options.store === 'string'
      ? await openStore(options.store, { runtime, create: options.create ?? true })
      : options.store
  try {
    // A runtime that is brought along is a world with a clock of its own.
    const clock = options.runtime ? { runtime, stop: () => undefined } : await byClockOf(store, runtime)
    return new Orchestrator(store, outfit, { ...outfit, runtime: clock.runtime, secrets }, options, clock.stop)
  } catch (thrown) {
    if (typeof options.store === 'string') await store.close()
    throw thrown
  }
}

/** The one place that starts tasks, speaks to them, and shows where they stand. Made by `createOrchestrator`. */
export class Orchestrator {
  readonly store: Store
  readonly #machines: Outfit['machines']
  readonly #runtime: Runtime
  readonly #terms: Terms
  readonly #worker: Worker | undefined
  readonly #notifier: Notifier | undefined
  readonly #scheduler: Scheduler | undefined
  readonly #migrator: Migrator | undefined
  /** Agents that take over tasks of other definitions, by name. */
  readonly #destinations: ReadonlyMap<string, Destination>
  readonly #presence: Presence | undefined
  readonly #ownsStore: boolean
  readonly #stopClock: () => void
  #drained: Promise<void> | undefined

  /** @internal */
  constructor(
    store: Store,
    { machines, works, worked, queues }: Outfit,
    ports: Ports,
    options: OrchestratorOptions,
    stopClock: () => void,
  ) {
    this.store = store
    this.#stopClock = stopClock
    this.#machines = machines
    this.#runtime = ports.runtime
    this.#terms = ports.terms
    this.#ownsStore = typeof options.store === 'string'
    const tellFault =
      options.onFault ?? ((fault: unknown) => console.error(fault instanceof Error ? fault.message : fault))
    const onFault = (fault: unknown, taskId?: string): void => tellFault(cleanError(fault, ports.terms.redact), taskId)
    if (options.webhook) {
      const { runtime, terms } = ports
      this.#notifier = new Notifier({ store, runtime, terms, webhook: options.webhook, pollMs, onFault })
      this.#notifier.start()
    }
    this.#destinations = new Map(
      [...machines].flatMap(([definition, { agent, machine }]) =>
        machine.migrate ? [[agent, { definition, machine }] as const] : [],
      ),
    )
    if (!works) return
    const { leaseMs = 10_000, concurrency = 16 } = options
    if (options.only === undefined && this.#destinations.size > 0) {
      const { runtime, terms } = ports
      const destinations = this.#destinations
      this.#migrator = new Migrator({ store, runtime, terms, destinations, pollMs: leaseMs, onFault })
      this.#migrator.start()
    }
    this.#worker = new Worker({
      store,
      machines: worked,
      ports,
      concurrency,
      leaseMs,
      pollMs,
      pollMaxMs,
      ...(options.only === undefined ? {} : { taskId: options.only }),
      onFault,
    })
    this.#worker.start()
    if (options.only !== undefined) return
    const named = [...worked.values()].map(({ name }) => name)
    const about = { agents: [...new Set(named)], queues, concurrency }
    this.#presence = new Presence({ store, runtime: ports.runtime, worker: this.#worker, about, onFault })
    this.#presence.start()
    const agents = new Set([...machines.values()].map(({ agent }) => agent))
    const begin = ({ name, agent, input }: ScheduleRow, id: string): Promise<Draft> =>
      this.#clean(() => this.#begin(agent, input, { id, by: `schedule:${name}` }))
    this.#scheduler = new Scheduler({ store, runtime: this.#runtime, agents, begin, pollMs: schedulesPollMs, onFault })
    this.#scheduler.start()
  }

  /**
   * Starts a task. Throws AGENT_UNKNOWN, INPUT_INVALID, PRICE_UNKNOWN, or TASK_EXISTS when the id stands for another task already;
   * then nothing was written.
   */
  async start<Shape extends ContextShape>(
    agent: Agent<Shape, any> | string,
    input: InputOf<Shape>,
    options: StartOptions = {},
  ): Promise<TaskHandle> {
    return this.#clean(() => this.#start(agent, input, options))
  }

  async #start(agent: Agent<any, any> | string, input: unknown, options: StartOptions): Promise<TaskHandle> {
    const begun = await this.#begin(agent, input, options)
    const { task, events } = begun
    const committed = await commitSurely(this.store, { point: 'start', head: genesis, events, task })
    if (!committed.ok) await this.#proveSame(begun)
    return this.task(task.id)
  }

  /** A task's first events. Nothing is written. */
  async #begin(agent: Agent<any, any> | string, input: unknown, options: StartOptions): Promise<Draft> {
    const name = typeof agent === 'string' ? agent : agent.name
    const found = [...this.#machines].find(([, entry]) => entry.agent === name)
    if (!found) {
      const known = [...this.#machines.values()].map((entry) => entry.agent).join(', ')
      throw new Fault('AGENT_UNKNOWN', `There is no agent ${name} here.`, `Known agents: ${known || 'none'}.`)
    }
    const [definition, { machine }] = found
    const { id: taskId = this.#runtime.id(), by = 'api', limits } = options
    const taken = options.from ? await this.#take(options.from) : { input: {}, labels: {} }
    const seed = Math.floor(this.#runtime.random() * 2 ** 32)
    if (limits?.cost !== undefined && this.#worker) provePrices(machine, limits.cost, this.#terms)
    const labels = both(taken.labels, options.labels ?? {})
    const given = {
      taskId,
      definition,
      input: options.from ? { ...(input as object), ...taken.input } : input,
      by,
      seed,
      labels,
      ...(limits ? { limits } : {}),
      ...(options.from ? { from: options.from.taskId } : {}),
    }
    return start(machine, given, this.#runtime.now(), this.#terms)
  }

  /** Keys of another task's context, with their labels. */
  async #take({ taskId, keys }: NonNullable<StartOptions['from']>): Promise<{ input: JsonObject; labels: Labels }> {
    await this.#row(taskId)
    // What was erased is not there any more.
    const context = (await this.store.context(taskId)).filter(({ value }) => !isErased(value))
    const missing = keys.find((key) => !context.some((kept) => kept.key === key))
    if (missing !== undefined) {
      const known = context.map(({ key }) => key).join(', ')
      throw new Fault('INPUT_INVALID', `Task ${taskId} has no ${missing} in its context.`, `It has: ${known}.`)
    }
    const taken = context.filter(({ key }) => keys.includes(key))
    return {
      input: Object.fromEntries(taken.map(({ key, value }) => [key, value])),
      labels: Object.fromEntries(taken.map(({ key, label }) => [key, label])),
    }
  }

  async #proveSame(begun: Draft): Promise<void> {
    const [first] = await this.store.read(begun.task.id, { limit: 1 })
    const [asked] = begun.events
    // A task that was moved is the same by the definition that it was started with, and by the one that it is pinned to.
    const { definition: now } = await this.#row(begun.task.id)
    const its = new Set([now, first?.type === 'task.started' ? first.data.definition : now])
    // An input that was erased can be held against nothing: then the id and the agent say that it is the same.
    const gone = first?.type === 'task.started' && isErased(first.data.input)
    const facts = (event: typeof asked): string => {
      const data = event?.type === 'task.started' ? event.data : undefined
      if (!data) return canonical(null)
      const { agent, definition, input } = data
      return canonical({ agent, its: its.has(definition), input: gone ? null : input })
    }
    if (facts(first) === facts(asked)) return
    throw new Fault(
      'TASK_EXISTS',
      `Task ${begun.task.id} exists, with another agent, definition or input.`,
      `Choose another id, or look at it: signalbox show ${begun.task.id}.`,
    )
  }

  /** A task by its id, whether it exists or not. */
  task(id: string): TaskHandle {
    return {
      id,
      events: (options) => this.events(id, options),
      result: () => this.#until(id, isEnded),
      rest: () => this.#rest(id),
    }
  }

  /** A task's events, those there are and then live ones, until it has ended. Throws TASK_UNKNOWN or LOG_NEWER. */
  async *events(taskId: string, options: { afterSeq?: number } = {}): AsyncGenerator<LoggedEvent, void, void> {
    let { afterSeq = 0 } = options
    // The first event says the format of all.
    await this.store.read(taskId, { limit: 1 })
    for (let waitMs = pollMs; ; waitMs = Math.min(pollMaxMs, 2 * waitMs)) {
      const changed = this.#change(taskId, waitMs)
      try {
        const page = await this.store.read(taskId, { afterSeq, limit: 500 })
        for (const event of page) {
          yield event
          afterSeq = event.seq
        }
        if (page.length > 0) continue
        const row = await this.#row(taskId)
        if (isEnded(row)) {
          if (row.seq <= afterSeq) return
          continue
        }
        await changed.promise
      } finally {
        changed.cancel()
      }
    }
  }

  /**
   * Events of a task and of all below it: those there are, by time, then live ones, until all of them have ended. `after` says
   * for each task which event was the last that is known already. Once `signal` is aborted, only what there is. Throws TASK_UNKNOWN.
   */
  treeEvents(taskId: string, options: FollowOptions = {}): AsyncGenerator<LoggedEvent, void, void> {
    return follow({ store: this.store, runtime: this.#runtime, pollMs }, taskId, options)
  }

  /** Where a task stands, with its context and what it waits for. Throws TASK_UNKNOWN. */
  async show(taskId: string): Promise<TaskView> {
    const row = await this.#row(taskId)
    const shared = row.contextOf === null ? [] : await this.store.context(row.contextOf)
    const context = [...shared, ...(await this.store.context(taskId))]
    const tree = row.rootId === null ? [] : await this.store.tasks({ rootId: row.rootId, limit: treeMax })
    const branch = branchOf(taskId, tree)
    return viewOf(row, context, branch, await this.#inboxOf(taskId, branch))
  }

  async #inboxOf(taskId: string, branch: readonly TaskRow[]): Promise<readonly InboxRow[]> {
    const asking = branch.filter((task) => task.waitsFor === 'human')
    const ids = branch.length === 0 ? [taskId] : asking.map((task) => task.taskId)
    const items = await Promise.all(ids.map((id) => this.store.inbox({ taskId: id, status: 'open' })))
    return items.flat()
  }

  /** Tasks, newest first. */
  tasks(filter?: TaskFilter): Promise<readonly TaskRow[]> {
    return this.store.tasks(filter)
  }

  /** What waits for a human, oldest first: of all tasks, or of one and all below it. */
  async inbox({ taskId }: { taskId?: string } = {}): Promise<readonly InboxRow[]> {
    if (taskId === undefined) return this.store.inbox({ status: 'open' })
    const rootId = (await this.store.task(taskId))?.rootId ?? null
    const tree = rootId === null ? [] : await this.store.tasks({ rootId, limit: treeMax })
    return this.#inboxOf(taskId, branchOf(taskId, tree))
  }

  /**
   * Decides an inbox item. Throws ITEM_UNKNOWN, ITEM_CLOSED, HASH_MISMATCH or DECISION_UNKNOWN; one of two at once wins. What does
   * not count is in the log all the same, with who tried it and why it did not; INPUT_INVALID is in no log.
   */
  async answer(item: string, given: HumanAnswer): Promise<void> {
    let refused: Fault | undefined
    await this.#clean(async () => {
      const taskId = taskOf(item)
      if (taskId === '' || (await this.store.task(taskId)) === undefined) {
        throw new Fault('ITEM_UNKNOWN', `There is no inbox item ${item}.`, 'See what waits: signalbox inbox.')
      }
      await this.#say(taskId, 'answer', (work) => {
        refused = answer(work, item, given)
      })
      if (refused) throw refused
    })
  }

  /**
   * Signals a task. A signal that nobody waits for yet is kept; one whose key was seen before counts once. Throws TASK_ENDED, and,
   * where the task's agent is here and declares its signals, INPUT_INVALID for one that it does not declare or that does not fit.
   */
  async signal(taskId: string, given: Signal): Promise<void> {
    await this.#clean(() =>
      this.#say(taskId, 'signal', (work) => signal(work, given, this.#machines.get(work.task.definition)?.machine)),
    )
  }

  /**
   * Ends a task. What it is doing is called off; what comes late is not applied. Where its agent says `onCancel: 'undo'`, a worker
   * takes back what it did first. Throws TASK_ENDED, also for a task that was cancelled and is on its way.
   */
  async cancel(taskId: string, given: { by: string; reason: string }): Promise<void> {
    await this.#clean(() => this.#cancel(taskId, given))
  }

  /** Whoever works on a child would find that it is called off; nobody may. */
  async #cancel(taskId: string, given: { by: string; reason: string }): Promise<void> {
    await this.#say(taskId, 'cancel', (work) => cancel(work, given))
    for (const child of await this.store.tasks({ parentId: taskId, limit: treeMax })) {
      if (isEnded(child)) continue
      await this.#cancel(child.taskId, given).catch((thrown: unknown) => {
        if (!isFault(thrown, 'TASK_ENDED')) throw thrown
      })
    }
  }

  /**
   * Takes a task back to the beginning of the visit that it was in at an event, or when it last passed a checkpoint, and
   * says what that takes. Tools take back what they did since; a human is asked about what cannot be. A task that has
   * ended runs again, unless it was cancelled. Throws ROLLBACK_INVALID.
   */
  async rollback(taskId: string, given: { to: number | string; by: string; reason: string }): Promise<RollbackPlan> {
    const { to, by, reason } = given
    const before = typeof to === 'number' && to > 0 ? await this.store.read(taskId, { limit: to }) : []
    let plan: Plan | undefined
    await this.#say(taskId, 'rollback', (work) => {
      const past = typeof to === 'number' ? pastAt(taskId, before, to) : checkpointOf(work.task, to)
      plan = rollbackTo(work, past, { asked: to, by, reason })
    })
    const tell = ({ step, tool, arguments: input, result }: Effect): RollbackEffect => {
      return { step, tool, arguments: input, result }
    }
    const { to: seq, state, undo, without } = plan!
    return { to: seq, state, undo: undo.map(tell), without: without.map(tell) }
  }

  /**
   * Starts a new task where another was at an event, or when it last passed a checkpoint: at the beginning of that visit, under the
   * definition of its agent that is here, or else the one it was pinned to then. What was done outside is not done again unless a human
   * agrees. Throws FORK_INVALID, INPUT_INVALID or TASK_EXISTS; then nothing was written.
   */
  async fork(taskId: string, { at, id = this.#runtime.id(), by, reason }: ForkOptions): Promise<Forked> {
    return this.#clean(async () => {
      proveId(id)
      await this.#row(taskId)
      const log = await this.store.read(taskId)
      const of = fold(emptyTask(taskId), log)
      const past =
        typeof at === 'number' ? pastAt(taskId, log, at, 'FORK_INVALID') : checkpointOf(of, at, 'FORK_INVALID')
      const deeds = [...deedsOf(of, past.lastStep), ...(await this.#deedsBelow(of, past.lastStep))]
      const seed = Math.floor(this.#runtime.random() * 2 ** 32)
      const [definition, here] = [...this.#machines].find(([, { agent }]) => agent === of.agent) ?? []
      const to = here && definition !== undefined ? { to: { machine: here.machine, definition } } : {}
      const work = draft(emptyTask(id), this.#runtime.now(), this.#terms)
      fork(work, { ...beginningAt(log, past), of, past, asked: at, deeds, by, reason, seed, ...to })
      const { events, task } = work
      if (!(await commitSurely(this.store, { point: 'start', head: genesis, events, task })).ok) {
        const what = `There is a task ${id} here already. Nothing was written.`
        throw new Fault('TASK_EXISTS', what, `Choose another id, or look at it: signalbox show ${id}.`)
      }
      return { taskId: id, from: taskId, seq: past.seq, state: past.state, deeds }
    })
  }

  /** What stands of what the children of a task have done. */
  async #deedsBelow({ id, tree }: Task, lastStep: number): Promise<readonly Deed[]> {
    if (tree?.root !== id) return []
    const below = await this.store.tasks({ rootId: id, limit: treeMax })
    const told = below.map(async ({ taskId }) => {
      if (taskId === id) return []
      // The child of the root that it is, or is below, is named by the step that began it.
      const step = Number(taskId.slice(id.length + 1).split(':')[0])
      return deedsOf((await this.store.load(taskId)).task, step > lastStep ? 0 : Infinity)
    })
    return (await Promise.all(told)).flat()
  }

  /**
   * Starts tasks by a cron expression from now on, wherever a worker has the agent. Throws AGENT_UNKNOWN, INPUT_INVALID,
   * SCHEDULE_INVALID or SCHEDULE_EXISTS; then nothing was written.
   */
  async schedule(name: string, given: ScheduleOptions): Promise<void> {
    const { agent, cron, timezone = 'UTC', overlap = 'skip', by, reason } = given
    await this.#clean(async () => {
      if (!isScheduleName(name)) {
        throw new Fault(
          'SCHEDULE_INVALID',
          `${quoted(name)} cannot be a schedule's name.`,
          'Use 1 to 100 letters, digits, ".", ":", "_" or "-".',
        )
      }
      if (!overlaps.includes(overlap)) {
        throw new Fault('SCHEDULE_INVALID', `There is no overlap ${quoted(overlap)}.`, `Use ${overlaps.join(', ')}.`)
      }
      const nowMs = this.#runtime.now()
      const [nextAtMs] = occurrencesAfter({ cron, timezone }, nowMs, 1)
      if (nextAtMs === undefined) {
        throw new Fault('SCHEDULE_INVALID', `${quoted(cron)} never comes round.`, 'Check the day and the month.')
      }
      const { text, value } = this.#terms.redact
      const read = toJson(given.input ?? {})
      if (!read.ok) {
        throw new Fault('INPUT_INVALID', `The input of ${name}: ${read.problem}.`, 'Give a JSON object.')
      }
      // As it will be kept. What a task cannot be started with is told now, and not at night.
      const input = value(read.value)
      const first = await this.#begin(agent, input, { id: occurrenceId(name, nextAtMs), by: `schedule:${name}` })
      const added = await this.store.schedule({
        name,
        agent: first.task.agent,
        cron,
        timezone,
        overlap,
        input,
        createdBy: text(by),
        createdAtMs: nowMs,
        reason: text(reason),
        nextAtMs,
      })
      if (added) return
      throw new Fault(
        'SCHEDULE_EXISTS',
        `There is a schedule ${name} already.`,
        `Choose another name, or remove it first: signalbox schedule remove ${name}.`,
      )
    })
  }

  /** Ends a schedule. Tasks that it has started go on; who ended it, when and why stays in the store. Throws SCHEDULE_UNKNOWN. */
  async unschedule(name: string, given: { by: string; reason: string }): Promise<void> {
    const { text } = this.#terms.redact
    const nowMs = this.#runtime.now()
    const by = { by: text(given.by), reason: text(given.reason), nowMs }
    if (!(await this.store.unschedule(name, by))) throw unknownSchedule(text(name))
  }

  /** Schedules by name, and what has become of each; with `removed` those that were ended, too. */
  schedules(filter: { removed?: boolean } = {}): Promise<readonly ScheduleRow[]> {
    return this.store.schedules(filter)
  }

  /** When a schedule will come round next, in ms since 1970. Throws SCHEDULE_UNKNOWN. */
  async upcoming(name: string, count = 5): Promise<readonly number[]> {
    const row = (await this.store.schedules()).find((known) => known.name === name)
    if (!row) throw unknownSchedule(this.#terms.redact.text(name))
    return occurrencesAfter(row, this.#runtime.now(), count)
  }

  /** The gates of models and tools: breakers, calls at once, calls that wait. */
  gates(): Promise<readonly GateRow[]> {
    return this.store.gates()
  }

  /** Closes a breaker and ends its pause. Throws BREAKER_UNKNOWN when none of that key has ever changed. */
  async resetBreaker(key: string, given: { by: string; reason: string }): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      const row = (await this.store.gates()).find((gate) => gate.key === key)
      if (!row || row.taskId === null) {
        throw new Fault('BREAKER_UNKNOWN', `No breaker ${key} has ever changed here.`, 'See them: signalbox breakers.')
      }
      const gate = { version: row.version, breaker: closedBreaker }
      const said = await this.#sayOnce(row.taskId, 'answer', (work) => resetBreaker(work, key, gate, given))
      if (said) return
      if (tries >= conflictsMax) throw conflict(row.taskId, tries)
    }
  }

  /**
   * Erases payloads of a task that has ended: all, or those that event `seq` carries. `wiped` is false while the files of the
   * store still hold the bytes, for others use them or we do not own them; asking again tries again. Throws TASK_RUNNING or PAYLOAD_UNKNOWN.
   */
  async erase(
    taskId: string,
    given: { seq?: number; by: string; reason: string },
  ): Promise<{ erased: number; wiped: boolean }> {
    const { contextOf } = await this.#row(taskId)
    const owner = contextOf === null ? undefined : await this.store.task(contextOf)
    if (owner && !isEnded(owner)) {
      const what = `Task ${taskId} wrote to the context of ${owner.taskId}, which has not ended.`
      throw new Fault('TASK_RUNNING', what, 'Wait until it has ended, or cancel it.')
    }
    for (let tries = 1; ; tries += 1) {
      const sealed = await this.store.readSealed(taskId)
      const places = erasable(taskId, sealed, await this.store.read(taskId, { limit: sealed.length }), given.seq)
      let stale = false
      const said = await this.#sayOnce(taskId, 'erase', (work) => {
        // What came late in the meantime is to be erased, too.
        stale = work.task.seq !== sealed.length
        if (!stale) erase(work, places, given)
      })
      if (said && !stale) return { erased: places.length, wiped: await this.store.wipe() }
      if (tries >= conflictsMax) throw conflict(taskId, tries)
    }
  }

  /**
   * Signs the heads of all tasks that have gone on, and appends to the file `anchors` every checkpoint that it does not have.
   * `key` is a private key as PEM. Throws KEY_INVALID, ANCHORS_INVALID, ANCHORS_AHEAD or ANCHORS_FAILED.
   */
  checkpoint({ key, anchors }: { key: string; anchors: string }): Promise<Checkpointed> {
    return anchor(this.store, anchors, signerOf(key), this.#runtime.now())
  }

  /** Proves the log of one task, or of all, whole; with anchors, also what no log can say of itself. Throws ANCHORS_INVALID. */
  async verify(taskId?: string, options: VerifyOptions = {}): Promise<Audit> {
    const keys = options.publicKeys && keysOf(options.publicKeys)
    // Read before the store: what is anchored while we look is then not taken for missing.
    const anchors = options.anchors === undefined ? undefined : anchorsIn(options.anchors)
    const proved = await this.store.verify(taskId, options.progress)
    if (!anchors) return { ...proved, anchors: 0, notProved: unanchored }
    const verdict = await judge(this.store, anchors, keys, taskId)
    const rest = Math.max(0, proved.events - verdict.events)
    return {
      ...proved,
      anchors: anchors.length,
      findings: [...proved.findings, ...verdict.findings],
      notProved: [
        ...(keys ? [] : ['that the anchors were signed by the holder of the key: give --public-key']),
        ...(rest > 0 ? [`that ${rest} events are as they were written: they are newer than the last anchor`] : []),
      ],
    }
  }

  /** A task as one file that stands for itself: its events and payloads, to be proved by whoever reads it. Throws TASK_UNKNOWN. */
  async export(taskId: string): Promise<string> {
    await this.#row(taskId)
    return writeExport(await this.store.takeOut(taskId))
  }

  /**
   * Takes in a task from a file, with its log, its labels and all that follows from them. Only one that has ended: any other
   * would go on in two places. Throws EXPORT_INVALID, LOG_NEWER, TASK_EXISTS or TASK_RUNNING; then nothing was written.
   */
  async import(text: string): Promise<TaskRow> {
    const whole = readExport(text)
    const { taskId, events } = whole
    const last = events.findLast(({ type }) => type === 'task.ended' || type === 'rollback.started')
    if (last?.type !== 'task.ended') {
      throw new Fault(
        'TASK_RUNNING',
        `Task ${taskId} had not ended when it was taken out.`,
        'It would go on in two places. Wait until it has ended, or cancel it, and take it out again.',
      )
    }
    const { parent } = dataOf(events[0]!)
    const parentId = isObject(parent) ? String(parent['task']) : undefined
    if (parentId !== undefined && (await this.store.task(parentId))) {
      const what = `Task ${taskId} is a child of ${parentId}, which is here, and not the one that it began.`
      throw new Fault('TASK_EXISTS', what, 'Take it into a store of its own.')
    }
    if (!(await this.#takeIn(whole))) {
      throw new Fault('TASK_EXISTS', `There is a task ${taskId} here already.`, `Look at it: signalbox show ${taskId}.`)
    }
    return this.#row(taskId)
  }

  /** A chain can be whole and tell what no engine has written: then no rows follow from it, and nothing is written. */
  async #takeIn(whole: WholeTask): Promise<boolean> {
    try {
      return await this.store.takeIn([whole])
    } catch (thrown) {
      if (isFault(thrown)) throw thrown
      throw exportInvalid(`its events tell of no task (${messageOf(thrown)})`)
    }
  }

  /**
   * Takes up a task that exists. One that is pinned to another definition is moved, where its agent here declares `migrate`.
   * Throws DEFINITION_CHANGED where it cannot be, or LOG_NEWER.
   */
  async adopt(taskId: string): Promise<TaskHandle> {
    const { agent, definition } = await this.#row(taskId)
    await this.store.load(taskId)
    if (this.#machines.has(definition)) return this.task(taskId)
    const to = this.#destinations.get(agent)
    const desk = { store: this.store, runtime: this.#runtime, terms: this.#terms }
    const moved = to && (await moveTask(desk, taskId, to))
    if (moved?.kind === 'moved') return this.task(taskId)
    throw new Fault(
      'DEFINITION_CHANGED',
      `Task ${taskId} is pinned to another definition of agent ${agent}${moved ? `, and is not moved: ${moved.why}` : ''}.`,
      'Go on with the file it was started with, or start a new task.',
    )
  }

  /** Who works on the store, in this process and in others, as they said themselves when they were last heard of. */
  workers(): Promise<readonly WorkerRow[]> {
    return this.store.workers()
  }

  /** What time it is by the clock that all workers of the store go by, in ms since 1970. */
  now(): number {
    return this.#runtime.now()
  }

  /** How the worker of this process is: whether it speaks to its store, and what it holds. Undefined where no work is done. */
  pulse(): Pulse | undefined {
    return this.#worker?.pulse()
  }

  /** Stops working: no new steps; those being performed may end within `drainMs` (default 10 s). */
  drain(drainMs = 10_000): Promise<void> {
    this.#drained ??= this.#drain(drainMs)
    return this.#drained
  }

  async #drain(drainMs: number): Promise<void> {
    const working = this.#worker?.stop(drainMs)
    this.#presence?.drains()
    await Promise.all([this.#migrator?.stop(), working, this.#notifier?.stop(), this.#scheduler?.stop()])
    await this.#presence?.stop()
    this.#stopClock()
  }

  /** Drains, and closes the store that this orchestrator opened. */
  async stop(drainMs = 10_000): Promise<void> {
    await this.drain(drainMs)
    if (this.#ownsStore) await this.store.close()
  }

  // ---- The one door ------------------------------------------------------------------------------------------------

  async #say(taskId: string, point: SayPoint, decide: (work: Draft) => void): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      if (await this.#sayOnce(taskId, point, decide)) return
      if (tries >= conflictsMax) throw conflict(taskId, tries)
    }
  }

  /** False when somebody else was first; then nothing was written. */
  async #sayOnce(taskId: string, point: SayPoint, decide: (work: Draft) => void): Promise<boolean> {
    // Only what calls steps off touches a gate: whoever probes for the task gives it back.
    const gates = gatesOf(point === 'cancel' || point === 'rollback' ? await this.store.gates() : [])
    const terms = { ...this.#terms, gate: (key: string) => gates.get(key) ?? openGate }
    return decideOn({ store: this.store, runtime: this.#runtime, terms }, taskId, point, (work) => {
      if (work.task.seq === 0) throw unknownTask(taskId)
      decide(work)
    })
  }

  /** What was said may be quoted in what is thrown; the secrets in it are not. */
  async #clean<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act()
    } catch (thrown) {
      throw cleanError(thrown, this.#terms.redact)
    }
  }

  async #row(taskId: string): Promise<TaskRow> {
    const row = await this.store.task(taskId)
    if (!row) throw unknownTask(this.#terms.redact.text(taskId))
    return row
  }

  /**
   * A task rests when it has ended or waits for somebody outside; one that waits for its children, when all of them do. At the
   * end of a root whose tree is worked on here, those below it that were called off have ended, too.
   */
  async #rest(taskId: string): Promise<TaskView> {
    for (let waitMs = pollMs; ; waitMs = Math.min(pollMaxMs, 2 * waitMs)) {
      const view = await this.#until(taskId, (task) => isEnded(task) || isAtRest(task))
      const isLeft = isEnded(view) && view.rootId === taskId && this.#worksOn(view.tree)
      if (view.waitsFor !== 'child' && !isLeft) return view
      const changed = this.#change('', waitMs)
      try {
        if (!(await this.store.isRestless(view.rootId ?? taskId))) return await this.show(taskId)
        await changed.promise
      } finally {
        changed.cancel()
      }
    }
  }

  #worksOn(tree: readonly TaskRow[]): boolean {
    return this.#worker !== undefined && tree.every(({ definition }) => this.#machines.has(definition))
  }

  async #until(taskId: string, done: (row: TaskRow) => boolean): Promise<TaskView> {
    for (let waitMs = pollMs; ; waitMs = Math.min(pollMaxMs, 2 * waitMs)) {
      const changed = this.#change(taskId, waitMs, done)
      try {
        if (done(await this.#row(taskId))) return await this.show(taskId)
        await changed.promise
      } finally {
        changed.cancel()
      }
    }
  }

  /** Fulfilled soon after the task was written to, here or, at the latest after a while, elsewhere. */
  #change(
    taskId: string,
    waitMs: number,
    matters: (row: TaskRow) => boolean = () => true,
  ): { promise: Promise<void>; cancel: () => void } {
    const stops: (() => void)[] = []
    const promise = new Promise<void>((resolve) => {
      stops.push(this.#runtime.setTimer(waitMs, resolve))
      stops.push(this.store.watch((row) => matters(row) && resolve(), taskId))
    })
    return { promise, cancel: () => stops.forEach((stop) => stop()) }
  }
}

type Labels = Readonly<Record<string, DeclaredLabel>>

/** What is said of each key: by the one, by the other, or by both. */
function both(a: Labels, b: Labels): Readonly<Record<string, readonly DeclaredLabel[]>> {
  const said = Map.groupBy([...Object.entries(a), ...Object.entries(b)], ([key]) => key)
  return Object.fromEntries([...said].map(([key, entries]) => [key, entries.map(([, label]) => label)]))
}

function conflict(taskId: string, tries: number): Fault {
  return new Fault(
    'LOG_CONFLICT',
    `Task ${taskId} was written to ${tries} times while it was spoken to.`,
    'Nothing was written; try again.',
  )
}

function unknownTask(taskId: string): Fault {
  return new Fault('TASK_UNKNOWN', `There is no task ${taskId} in this store.`, 'List them: signalbox tasks.')
}

function unknownSchedule(name: string): Fault {
  return new Fault(
    'SCHEDULE_UNKNOWN',
    `There is no schedule ${name} in this store.`,
    'List them: signalbox schedule list.',
  )
}
