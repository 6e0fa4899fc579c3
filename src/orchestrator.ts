// Wires the house together: agents, models, a store and a worker. Everything that a caller may ask for is one method
// here, and each writes through the same door: load, decide, commit, and again if somebody else was first.

import { anchor, type Checkpointed } from './anchors.ts'
import { audit, type Audit, type VerifyOptions } from './requests/audit.ts'
import { beginTask, startTask, type Platform, type StartOptions } from './requests/begin.ts'
import type { Agent } from './core/agent.ts'
import { closedBreaker } from './core/breaker.ts'
import { answer, cancel, resetBreaker, signal, type HumanAnswer, type Signal } from './core/command.ts'
import type { ContextShape, InputOf } from './core/context.ts'
import type { Draft } from './core/draft.ts'
import type { Effect } from './core/effect.ts'
import { Fault, isFault } from './core/fault.ts'
import { taskOf } from './core/item.ts'
import { checkpointOf, pastAt, type Plan } from './core/past.ts'
import { rollbackTo } from './core/rollback.ts'
import { isEnded } from './core/task.ts'
import { byClockOf } from './clock.ts'
import { insist, rowOf, say, sayOnce } from './door.ts'
import { eraseTask, type Erased, type EraseOptions } from './requests/erase.ts'
import { follow, type FollowOptions } from './follow.ts'
import { forkTask, type Forked, type ForkOptions } from './requests/fork.ts'
import { importTask } from './requests/import.ts'
import { Migrator, moveTask, type Destination } from './migrator.ts'
import { Notifier, proveWebhook, type Webhook } from './notifier.ts'
import { Onlooker } from './requests/onlooker.ts'
import { readOutfit, type Outfit, type OutfitOptions } from './outfit.ts'
import type { Ports } from './perform.ts'
import { Presence } from './presence.ts'
import { systemRuntime, type Runtime } from './runtime.ts'
import { Scheduler } from './scheduler.ts'
import { cleanError, Secrets, type Redaction, type SecretTable } from './secrets.ts'
import { writeExport } from './store/export.ts'
import { signerOf } from './store/key.ts'
import { openStore } from './store/open.ts'
import {
  treeMax,
  type GateRow,
  type InboxRow,
  type LoggedEvent,
  type ScheduleRow,
  type Store,
  type TaskFilter,
  type TaskRow,
  type WorkerRow,
} from './store/store.ts'
import { Timetable, type ScheduleOptions } from './requests/timetable.ts'
import type { TaskView } from './view.ts'
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

// How often something is looked for that nobody has told of: less and less, as long as nothing happens.
const pollMs = 200
const pollMaxMs = 1_000
const schedulesPollMs = 1_000

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
  readonly #platform: Platform
  readonly #onlooker: Onlooker
  readonly #timetable: Timetable
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
    const { runtime, terms } = ports
    this.#platform = { store, runtime, terms, machines, works }
    this.#timetable = new Timetable(this.#platform)
    const worksOn = (tree: readonly TaskRow[]): boolean =>
      works && tree.every(({ definition }) => machines.has(definition))
    this.#onlooker = new Onlooker({ ...this.#platform, pollMs, pollMaxMs, worksOn })
    this.#ownsStore = typeof options.store === 'string'
    const tellFault =
      options.onFault ?? ((fault: unknown) => console.error(fault instanceof Error ? fault.message : fault))
    const onFault = (fault: unknown, taskId?: string): void => tellFault(cleanError(fault, terms.redact), taskId)
    if (options.webhook) {
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
    this.#presence = new Presence({ store, runtime, worker: this.#worker, about, onFault })
    this.#presence.start()
    const agents = new Set([...machines.values()].map(({ agent }) => agent))
    const begin = ({ name, agent, input }: ScheduleRow, id: string): Promise<Draft> =>
      this.#clean(() => beginTask(this.#platform, agent, input, { id, by: `schedule:${name}` }))
    this.#scheduler = new Scheduler({ store, runtime, agents, begin, pollMs: schedulesPollMs, onFault })
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
    return this.task(await this.#clean(() => startTask(this.#platform, agent, input, options)))
  }

  /** A task by its id, whether it exists or not. */
  task(id: string): TaskHandle {
    return {
      id,
      events: (options) => this.events(id, options),
      result: () => this.#onlooker.ended(id),
      rest: () => this.#onlooker.rest(id),
    }
  }

  /** A task's events, those there are and then live ones, until it has ended. Throws TASK_UNKNOWN or LOG_NEWER. */
  events(taskId: string, options: { afterSeq?: number } = {}): AsyncGenerator<LoggedEvent, void, void> {
    return this.#onlooker.events(taskId, options)
  }

  /**
   * Events of a task and of all below it: those there are, by time, then live ones, until all of them have ended. `after` says
   * for each task which event was the last that is known already. Once `signal` is aborted, only what there is. Throws TASK_UNKNOWN.
   */
  treeEvents(taskId: string, options: FollowOptions = {}): AsyncGenerator<LoggedEvent, void, void> {
    return follow({ store: this.store, runtime: this.#platform.runtime, pollMs }, taskId, options)
  }

  /** Where a task stands, with its context and what it waits for. Throws TASK_UNKNOWN. */
  show(taskId: string): Promise<TaskView> {
    return this.#onlooker.show(taskId)
  }

  /** Tasks, newest first. */
  tasks(filter?: TaskFilter): Promise<readonly TaskRow[]> {
    return this.store.tasks(filter)
  }

  /** What waits for a human, oldest first: of all tasks, or of one and all below it. */
  inbox({ taskId }: { taskId?: string } = {}): Promise<readonly InboxRow[]> {
    return taskId === undefined ? this.store.inbox({ status: 'open' }) : this.#onlooker.inbox(taskId)
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
      await say(this.#platform, taskId, 'answer', (work) => {
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
      say(this.#platform, taskId, 'signal', (work) =>
        signal(work, given, this.#platform.machines.get(work.task.definition)?.machine),
      ),
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
    await say(this.#platform, taskId, 'cancel', (work) => cancel(work, given))
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
    await say(this.#platform, taskId, 'rollback', (work) => {
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
  fork(taskId: string, options: ForkOptions): Promise<Forked> {
    return this.#clean(() => forkTask(this.#platform, taskId, options))
  }

  /**
   * Starts tasks by a cron expression from now on, wherever a worker has the agent. Throws AGENT_UNKNOWN, INPUT_INVALID,
   * SCHEDULE_INVALID or SCHEDULE_EXISTS; then nothing was written.
   */
  schedule(name: string, given: ScheduleOptions): Promise<void> {
    return this.#clean(() => this.#timetable.add(name, given))
  }

  /** Ends a schedule. Tasks that it has started go on; who ended it, when and why stays in the store. Throws SCHEDULE_UNKNOWN. */
  unschedule(name: string, given: { by: string; reason: string }): Promise<void> {
    return this.#timetable.remove(name, given)
  }

  /** Schedules by name, and what has become of each; with `removed` those that were ended, too. */
  schedules(filter: { removed?: boolean } = {}): Promise<readonly ScheduleRow[]> {
    return this.#timetable.rows(filter)
  }

  /** When a schedule will come round next, in ms since 1970. Throws SCHEDULE_UNKNOWN. */
  upcoming(name: string, count = 5): Promise<readonly number[]> {
    return this.#timetable.upcoming(name, count)
  }

  /** The gates of models and tools: breakers, calls at once, calls that wait. */
  gates(): Promise<readonly GateRow[]> {
    return this.store.gates()
  }

  /** Closes a breaker and ends its pause. Throws BREAKER_UNKNOWN when none of that key has ever changed. */
  async resetBreaker(key: string, given: { by: string; reason: string }): Promise<void> {
    await insist(`the task that tells of breaker ${key}`, async () => {
      const row = (await this.store.gates()).find((gate) => gate.key === key)
      if (!row || row.taskId === null) {
        throw new Fault('BREAKER_UNKNOWN', `No breaker ${key} has ever changed here.`, 'See them: signalbox breakers.')
      }
      const gate = { version: row.version, breaker: closedBreaker }
      return sayOnce(this.#platform, row.taskId, 'answer', (work) => resetBreaker(work, key, gate, given))
    })
  }

  /**
   * Erases payloads of a task that has ended: all, or those that event `seq` carries. `wiped` is false while the files of the
   * store still hold the bytes, for others use them, we do not own them, or the disk is full; asking again tries again. Throws TASK_RUNNING or PAYLOAD_UNKNOWN.
   */
  erase(taskId: string, given: EraseOptions): Promise<Erased> {
    return eraseTask(this.#platform, taskId, given)
  }

  /**
   * Signs the heads of all tasks that have gone on, and appends to the file `anchors` every checkpoint that it does not have.
   * `key` is a private key as PEM. Throws KEY_INVALID, ANCHORS_INVALID, ANCHORS_AHEAD or ANCHORS_FAILED.
   */
  checkpoint({ key, anchors }: { key: string; anchors: string }): Promise<Checkpointed> {
    return anchor(this.store, anchors, signerOf(key), this.now())
  }

  /** Proves the log of one task, or of all, whole; with anchors, also what no log can say of itself. Throws ANCHORS_INVALID. */
  verify(taskId?: string, options: VerifyOptions = {}): Promise<Audit> {
    return audit(this.store, taskId, options)
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
    return this.#row(await importTask(this.store, text))
  }

  /**
   * Takes up a task that exists. One that is pinned to another definition is moved, where its agent here declares `migrate`.
   * Throws DEFINITION_CHANGED where it cannot be, or LOG_NEWER.
   */
  async adopt(taskId: string): Promise<TaskHandle> {
    const { agent, definition } = await this.#row(taskId)
    await this.store.load(taskId)
    if (this.#platform.machines.has(definition)) return this.task(taskId)
    const to = this.#destinations.get(agent)
    const moved = to && (await moveTask(this.#platform, taskId, to))
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
    return this.#platform.runtime.now()
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

  /** What was said may be quoted in what is thrown; the secrets in it are not. */
  async #clean<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act()
    } catch (thrown) {
      throw cleanError(thrown, this.#platform.terms.redact)
    }
  }

  #row(taskId: string): Promise<TaskRow> {
    return rowOf(this.#platform, taskId)
  }
}
