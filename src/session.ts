// One task in a worker's hands: decides, appends, performs what was permitted, and appends what came of it together with
// the next permission, until the task rests, has ended, or is no longer ours. Then everything that is still done for it is
// dropped: whoever has the task now decides without it.

import type { Gate } from './core/breaker.ts'
import { late, proceed, resume, settle, type Outcome } from './core/decide.ts'
import { draft, type Draft } from './core/draft.ts'
import { Fault } from './core/fault.ts'
import { evolve, fold } from './core/fold.ts'
import { hear, heed, type Kin } from './core/kin.ts'
import { defaults } from './core/limits.ts'
import type { Machine } from './core/machine.ts'
import { park } from './core/park.ts'
import { hasDecided, isEnded, isIdle, isWaiting, nextRetryAtMs, type Task } from './core/task.ts'
import { commitSurely, decideOn } from './door.ts'
import type { Gates } from './gates.ts'
import { patiently, type Waiting, type WaitingRoom } from './patience.ts'
import { perform, type Ports } from './perform.ts'
import type { WritePoint } from './runtime.ts'
import type { Claim, Commit, Committed, Head, Loaded, Store } from './store/store.ts'

/** What the sessions of one worker share. */
export interface Workbench extends WaitingRoom {
  readonly store: Store
  /** Machines by the hash of their definition. */
  readonly machines: ReadonlyMap<string, Machine>
  readonly ports: Ports
  readonly leaseMs: number
  readonly gates: Gates
  /** Tasks that wait, as they were when they came to rest: the latest last. One that is taken up again need not be told whole. */
  readonly resting: Map<string, Loaded>
  /** Told that something came of a task that had been delivered before. */
  readonly onProgress: (taskId: string) => void
  /** Told that a place before a gate may have become free. */
  readonly onFreed: () => void
}

/** No step waits for a place. */
const noneFull: ReadonlyMap<number, number> = new Map()

// How many tasks that wait are remembered.
const restingMax = 64

// How often in a row what was decided may be refused, because others were first: nobody is that unlucky.
const refusalsMax = 100

/** A task in a worker's hands. */
export class Session implements Waiting {
  readonly claim: Claim
  /** What was heard of the family, as it counts its news. */
  heard = 0
  /** It is no longer ours. */
  lost = false
  /** Ends whatever is waited for. */
  wake: (() => void) | undefined
  readonly #bench: Workbench
  readonly #machine: Machine
  #task: Task
  #head: Head
  /** Steps being performed, or performed with an outcome that is not in the log yet, by `step.attempt`. */
  readonly #running = new Map<string, AbortController>()
  readonly #outcomes: Outcome[] = []
  /** Outcomes that are being decided on. */
  #settling: readonly Outcome[] = []
  /** The first commit takes over what another worker left; every later one records what came of a step. */
  #point: WritePoint = 'permit'
  /** How often it was given to somebody since anything came of it. */
  #deliveries: number
  /** How often in a row what was decided was refused. */
  #refused = 0
  /** Until when there is no place for a step, as the store said. */
  #full = noneFull
  /** The gates were just looked at. */
  #looked = false
  /** A place may have become free for a step that waits before its gate. */
  #looksAgain = false
  /** The furthest that the log is known to have come, by whoever wrote it. */
  #seenSeq: number
  /** The family has told more since it was listened to. */
  #hasNews = false

  private constructor(claim: Claim, bench: Workbench, machine: Machine, { task, head }: Loaded) {
    this.claim = claim
    this.#bench = bench
    this.#machine = machine
    this.#task = task
    this.#head = head
    this.#deliveries = claim.deliveries
    this.#seenSeq = head.seq
  }

  /** Loads a task that was claimed. Undefined: it was moved to a definition that is not here before it could be looked at. */
  static async open(claim: Claim, bench: Workbench): Promise<Session | undefined> {
    const loaded = await load(claim.taskId, bench)
    const machine = bench.machines.get(loaded.task.definition)
    return machine && new Session(claim, bench, machine, loaded)
  }

  get taskId(): string {
    return this.claim.taskId
  }

  // ---- What others tell it -----------------------------------------------------------------------------------------

  /** The log has come to `seq`. */
  see(seq: number, news: boolean): void {
    this.#seenSeq = Math.max(this.#seenSeq, seq)
    this.#hasNews ||= news
    if (this.#hasNews || this.#seenSeq > this.#head.seq) this.wake?.()
  }

  /** A place may have become free: who frees one wakes only the queue, and not who waits for it in somebody's hands. */
  lookAgain(): void {
    if (!isQueued(this.#task)) return
    this.#looksAgain = true
    this.wake?.()
  }

  /** Gives the task up: whoever has it now, or takes it next, decides without what is still being performed here. */
  abandon(): void {
    this.lost = true
    this.callOff()
    this.wake?.()
  }

  /** Calls off whatever is being performed. */
  callOff(): void {
    for (const controller of this.#running.values()) controller.abort(calledOff())
  }

  // ---- Step by step ------------------------------------------------------------------------------------------------

  /** Decides, appends, performs, until the task rests, has ended, or is no longer ours. */
  async work(): Promise<void> {
    while (!isEnded(this.#task) && !this.lost) {
      const kin = await this.#hear()
      // Who stops begins nothing more, and hears nothing that would have to be acted on.
      const heard = this.#bench.stopping() ? undefined : kin
      const work = this.#decide(kin, heard)
      if (!this.#looked && waitsForBreaker(work)) {
        this.#looked = true
        await this.#patiently(() => this.#bench.gates.refresh())
        await this.#reload()
        continue
      }
      this.#looked = false
      const keep = !isIdle(this.#task) || this.#dueSoon()
      const committed = await this.#commit(work, keep, kin && { ...kin, news: heard?.news ?? 0 })
      if (!committed.ok) {
        if (committed.reason === 'lease-lost') return
        await this.#giveWay(committed)
        continue
      }
      this.#accept(work, committed.head)
      if (!keep) return this.#rest()
      this.#performOpen()
      await this.#nextOutcome()
      this.#settling = this.#outcomes.splice(0)
    }
  }

  /** What the family has to tell; nothing of a task that has none. */
  async #hear(): Promise<Kin | undefined> {
    if (!this.#task.tree) return undefined
    this.#hasNews = false
    const kin = await this.#patiently(() => this.#bench.store.kin(this.#task))
    this.heard = kin.news
    return kin
  }

  #decide(kin: Kin | undefined, heard: Kin | undefined): Draft {
    const { ports, gates, stopping } = this.#bench
    const machine = this.#machine
    const gate = (key: string): Gate => gates.get(key)
    const fullUntilMs = (step: number): number | undefined => this.#full.get(step)
    const work = draft(this.#task, ports.runtime.now(), { ...ports.terms, gate, fullUntilMs, tree: kin?.tree })
    if (this.#point === 'permit' && this.#deliveries > defaults.deliveries) park(machine, work, this.#deliveries - 1)
    else if (this.#point === 'permit') resume(machine, work)
    if (heard) hear(machine, work, heard)
    for (const outcome of this.#settling) settle(machine, work, outcome)
    if (heard) heed(work, heard)
    if (!stopping()) proceed(machine, work)
    return work
  }

  /** Commits. What was not written has not changed a gate either, whatever the reason. */
  async #commit(work: Draft, keep: boolean, kin: Kin | undefined): Promise<Committed> {
    const { store, gates, leaseMs } = this.#bench
    const { admits, takes, events, children, nowMs } = work
    const commit: Commit = {
      point: keep ? this.#point : 'rest',
      head: this.#head,
      events,
      task: this.#task,
      lease: this.claim.lease,
      keep,
      progress: this.#hasProgress,
      gates: { admits, takes, nowMs },
      kin,
      children,
    }
    gates.propose(work.gates)
    try {
      const committed = await this.#patiently(() => commitSurely(store, commit, { leaseMs, nowMs }))
      if (!committed.ok) await this.#patiently(() => gates.refresh())
      return committed
    } catch (thrown) {
      gates.forget()
      throw thrown
    }
  }

  /** Something came of a task that had been delivered before. */
  get #hasProgress(): boolean {
    return this.#deliveries > 1 && this.#settling.length > 0
  }

  /** Somebody was first: the same outcomes are decided on again, on the log and the gates as they are now. */
  #giveWay(refused: Exclude<Committed, { readonly ok: true }>): Promise<void> {
    if (refused.reason === 'gates') this.#full = new Map([...this.#full, ...refused.full])
    this.#refused += 1
    if (this.#refused >= refusalsMax) {
      for (const outcome of this.#settling) keepLate(this.taskId, outcome, this.#bench)
      throw stuck(this.taskId, refused.reason)
    }
    return this.#reload()
  }

  #accept({ gates, events }: Draft, head: Head): void {
    this.#head = head
    this.#refused = 0
    this.#full = noneFull
    this.#bench.gates.accept(gates)
    if (this.#hasProgress) {
      this.#deliveries = 1
      this.#bench.onProgress(this.taskId)
    }
    // Only now: until what came of a step is in the log the step looks as if nobody performed it.
    for (const { step, attempt } of this.#settling) this.#running.delete(`${step}.${attempt}`)
    this.#point = 'settle'
    if (events.some(({ type }) => type === 'slot.freed' || type === 'breaker.changed')) this.#bench.onFreed()
  }

  /** A task that waits is likely to be taken up here again, and its log only gets longer. */
  #rest(): void {
    if (!isWaiting(this.#task)) return
    const { resting } = this.#bench
    resting.set(this.taskId, { task: this.#task, head: this.#head })
    const [oldest] = resting.keys()
    if (resting.size > restingMax) resting.delete(oldest!)
  }

  #performOpen(): void {
    const { ports } = this.#bench
    const onLate = (outcome: Outcome): void => keepLate(this.taskId, outcome, this.#bench)
    for (const step of this.#task.open.values()) {
      if (step.kind === 'child') continue
      const key = `${step.step}.${step.attempt}`
      if (this.#running.has(key)) continue
      const controller = new AbortController()
      this.#running.set(key, controller)
      void perform(step, this.#task, this.#machine, ports, controller, onLate).then((outcome) => {
        this.#outcomes.push(outcome)
        this.wake?.()
      })
    }
  }

  // ---- What it waits for -------------------------------------------------------------------------------------------

  /** A step that is tried again within the lease stays in hand; a longer delay gives the task back to the queue. */
  #dueSoon(): boolean {
    const { ports, leaseMs, stopping } = this.#bench
    const { delayed, awaits, item } = this.#task
    // What waits before a gate is let in by whoever frees a place, so it goes back to the queue; and nothing is due while a
    // human is asked what is to become of the task.
    if (stopping() || delayed.size === 0 || isQueued(this.#task) || awaits || item) return false
    return nextRetryAtMs(this.#task) - ports.runtime.now() <= leaseMs
  }

  /** Waits for an outcome, for a step's next try, or for news from outside, which is folded in. */
  async #nextOutcome(): Promise<void> {
    const { ports, stopping } = this.#bench
    let due = false
    const cancel =
      this.#task.delayed.size === 0
        ? undefined
        : ports.runtime.setTimer(nextRetryAtMs(this.#task) - ports.runtime.now(), () => {
            due = true
            this.wake?.()
          })
    try {
      const moved = (): boolean => hasDecided(this.#task) || hasNothing(this.#task)
      const mayStop = (): boolean => stopping() && this.#running.size === 0
      this.#looksAgain = false
      await this.#await(() => due || this.#looksAgain || this.#hasNews || moved() || mayStop())
    } finally {
      cancel?.()
    }
  }

  /** Until there is an outcome, or `over` holds. A task that somebody else has ended is lost. */
  async #await(over: () => boolean): Promise<void> {
    while (this.#outcomes.length === 0 && !this.lost && !over()) {
      if (this.#seenSeq > this.#head.seq) await this.#catchUp()
      else
        await new Promise<void>((resolve) => {
          this.wake = resolve
        })
      this.wake = undefined
    }
  }

  async #catchUp(): Promise<void> {
    const news = await this.#patiently(() => this.#bench.store.read(this.taskId, { afterSeq: this.#head.seq }))
    for (const event of news) evolve(this.#task, event)
    const last = news.at(-1)
    if (last) this.#head = { seq: last.seq, hash: last.hash }
    this.#seenSeq = this.#head.seq
    if (isEnded(this.#task)) this.abandon()
    this.#letGo()
  }

  async #reload(): Promise<void> {
    const { task, head } = await this.#patiently(() => this.#bench.store.load(this.taskId))
    this.#task = task
    this.#head = head
    this.#letGo()
  }

  /** A task that somebody has moved is for whoever has its definition, and what is decided without is not performed any further. */
  #letGo(): void {
    if (this.#bench.machines.get(this.#task.definition) !== this.#machine) this.abandon()
    for (const [key, controller] of this.#running) {
      const [step, attempt] = key.split('.').map(Number)
      if (this.#task.open.get(step!)?.attempt !== attempt) controller.abort(calledOff())
    }
  }

  #patiently<T>(speak: () => Promise<T>): Promise<T> {
    return patiently(this, this.#bench, speak)
  }
}

async function load(taskId: string, { store, resting }: Workbench): Promise<Loaded> {
  const rested = resting.get(taskId)
  resting.delete(taskId)
  if (!rested) return store.load(taskId)
  const { task, head } = rested
  const news = await store.read(taskId, { afterSeq: head.seq })
  if (news.some(({ type }) => type === 'payload.erased')) return store.load(taskId)
  const last = news.at(-1)
  return { task: fold(task, news), head: last ? { seq: last.seq, hash: last.hash } : head }
}

/** Writes down a result that nobody waits for any more, whoever has the task by now. */
function keepLate(taskId: string, outcome: Outcome, bench: Workbench): void {
  const { store, ports, stopping, onFault } = bench
  const desk = { store, runtime: ports.runtime, terms: ports.terms }
  // The task may be in other hands, or in none: it is waited for apart from its session.
  const waiting = { taskId, lost: false, wake: undefined }
  const write = (): Promise<boolean> => decideOn(desk, taskId, 'settle', (work) => late(work, outcome))
  const keep = async (): Promise<void> => {
    while (!(await patiently(waiting, bench, write)));
  }
  keep().catch((thrown: unknown) => {
    // A store that was closed in the meantime is the end of this process's work, and no news.
    if (!stopping()) onFault(thrown, taskId)
  })
}

/** Does a step wait for a place before its gate? */
function isQueued({ delayed }: Task): boolean {
  return [...delayed.values()].some(({ queued }) => queued)
}

/** Before a step waits for a breaker, or fails because of one, the breaker is looked at as it is now. */
function waitsForBreaker({ events }: Draft): boolean {
  return events.some(({ type, data }) => type === 'step.queued' && data.reason !== 'busy')
}

/** Nothing is at work and nothing is due: somebody outside has decided, and something else is to be done. */
function hasNothing(task: Task): boolean {
  return isIdle(task) && task.delayed.size === 0
}

function stuck(taskId: string, reason: string): Fault {
  return new Fault(
    'LOG_CONFLICT',
    `What was decided on task ${taskId} was refused ${refusalsMax} times in a row (${reason}).`,
    'It is tried again; if that does not help either, the task goes to the inbox.',
  )
}

function calledOff(): DOMException {
  return new DOMException('The task was called off.', 'AbortError')
}
