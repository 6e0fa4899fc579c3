// A worker claims a task, loads it, decides, appends, performs what was permitted, and appends what came of it together
// with the next permission. It holds a task under a lease that it keeps alive; when the lease is lost, another worker
// has the task, and everything this one still does for it is dropped.

import type { Gate } from './core/breaker.ts'
import { draft } from './core/draft.ts'
import { Fault, isFault } from './core/fault.ts'
import { late, proceed, resume, settle, type Outcome } from './core/decide.ts'
import { defaults } from './core/limits.ts'
import { park } from './core/park.ts'
import { hear, heed, type Kin } from './core/kin.ts'
import type { Machine } from './core/machine.ts'
import { evolve, fold } from './core/fold.ts'
import { hasDecided, isEnded, isIdle, isWaiting, nextRetryAtMs, type Task } from './core/task.ts'
import { Alarm } from './alarm.ts'
import { commitSurely, decideOn } from './door.ts'
import { Gates } from './gates.ts'
import { perform, type Ports } from './perform.ts'
import type { WritePoint } from './runtime.ts'
import type { Claim, ClaimRequest, Commit, Committed, Head, Loaded, Store } from './store/store.ts'

/** How a worker works. Durations are in milliseconds. */
export interface WorkerOptions {
  readonly store: Store
  /** Machines by the hash of their definition. */
  readonly machines: ReadonlyMap<string, Machine>
  readonly ports: Ports
  /** Tasks at a time. */
  readonly concurrency: number
  /** How long a task is held without a sign of life. */
  readonly leaseMs: number
  /** How often the queue is looked at when nothing says that it changed; where others say so, less and less often, down to `pollMaxMs`. */
  readonly pollMs: number
  readonly pollMaxMs: number
  /** Work on this task only. */
  readonly taskId?: string
  /** Told about failures that the worker survives: the store was locked, a lease was lost. */
  readonly onFault: (fault: unknown, taskId?: string) => void
}

/** How a worker is, as far as it knows itself. */
export interface Pulse {
  /** It goes on looking for tasks, or was told to stop. */
  readonly alive: boolean
  /** It was told to stop: it takes no more tasks, and what it holds may come to its end. */
  readonly draining: boolean
  /** How long ago its store last answered, in ms; null: it has not yet. */
  readonly silentMs: number | null
  /** How long a task is held without a sign of life. */
  readonly leaseMs: number
  /** Tasks in its hands. */
  readonly held: number
}

/** A task in this worker's hands. */
interface Session {
  readonly claim: Claim
  readonly machine: Machine
  task: Task
  head: Head
  /** Steps being performed, or performed with an outcome that is not in the log yet, by `step.attempt`. */
  readonly running: Map<string, AbortController>
  readonly outcomes: Outcome[]
  /** The furthest that the log is known to have come, by whoever wrote it. */
  seenSeq: number
  wake: (() => void) | undefined
  /** A place may have become free for a step that waits before its gate. */
  looksAgain: boolean
  /** What was heard of the family, as it counts its news, and whether there is more. */
  heard: number
  hasNews: boolean
  lost: boolean
}

/** A task that is given more often than this, without anything coming of it, may be what takes its workers down. */
const trusted = { max: 2 }
const suspected = { min: 3 }
const suspectsWaitMs = 30_000

// How long a worker waits before it speaks again to a store that is away.
const awayMinMs = 100
const awayMaxMs = 5_000

/** No step waits for a place. */
const noneFull: ReadonlyMap<number, number> = new Map()

// How many tasks that wait are remembered.
const restingMax = 64

// How often in a row what was decided may be refused, because others were first: nobody is that unlucky.
const refusalsMax = 100

/** Failures of a store that pass. One that is damaged, or somebody else's, is not waited for. */
function isAway(thrown: unknown): boolean {
  return (['STORE_FAILED', 'STORE_FULL', 'STORE_LOCKED'] as const).some((code) => isFault(thrown, code))
}

/** Works on tasks until it is stopped. */
export class Worker {
  /** What its claims are under, and what it is called where workers are listed. */
  readonly name: string
  readonly #options: WorkerOptions
  readonly #gates: Gates
  readonly #sessions = new Map<string, Session | undefined>()
  readonly #driving = new Set<Promise<void>>()
  /** Tasks that wait, as they were when they came to rest: the latest last. One that is taken up again need not be told whole. */
  readonly #resting = new Map<string, { readonly task: Task; readonly head: Head }>()
  /** Tasks with a log that only a newer engine can read: they are left to one. */
  readonly #newer = new Set<string>()
  #stopping = false
  readonly #alarm: Alarm
  #unwatch: () => void = () => undefined
  #stopHeartbeat: () => void = () => undefined
  #loop: Promise<void> | undefined
  #alive = false
  #answeredAtMs: number | undefined
  #pauseMs = 0
  /** Until when each task in hand is held, as far as it is known. */
  readonly #untilMs = new Map<string, number>()
  /** A task that is worked on alone, and when there was last time for one. */
  #suspect: string | undefined
  #suspectsAtMs = Infinity

  constructor(options: WorkerOptions) {
    this.#options = options
    this.#gates = new Gates(options.store)
    this.#alarm = new Alarm(options.ports.runtime)
    this.name = `${options.ports.runtime.id()}@${process.pid}`
  }

  /** Begins to claim tasks. */
  start(): void {
    const { store } = this.#options
    this.#unwatch = store.watch(({ taskId, seq }, news) => this.#notice(taskId, seq, news))
    this.#beat()
    this.#suspectsAtMs = this.#options.ports.runtime.now()
    this.#alive = true
    this.#loop ??= this.#run().finally(() => {
      this.#alive = this.#stopping
    })
  }

  /** How it is now. */
  pulse(): Pulse {
    const { ports, leaseMs } = this.#options
    const silentMs = this.#answeredAtMs === undefined ? null : Math.max(0, ports.runtime.now() - this.#answeredAtMs)
    return { alive: this.#alive, draining: this.#stopping, silentMs, leaseMs, held: this.#sessions.size }
  }

  /**
   * Claims nothing more, lets the steps that are being performed come to their end for at most `drainMs`, then calls
   * the rest off: another worker will perform those again.
   */
  async stop(drainMs: number): Promise<void> {
    this.#stopping = true
    this.#alarm.ring()
    for (const session of this.#sessions.values()) session?.wake?.()
    await this.#loop
    const { runtime } = this.#options.ports
    let cancelTimer: () => void = () => undefined
    const late = new Promise<void>((resolve) => {
      cancelTimer = runtime.setTimer(drainMs, resolve)
    })
    await Promise.race([Promise.all(this.#driving), late])
    cancelTimer()
    for (const session of this.#sessions.values()) if (session) this.#abandon(session)
    await Promise.all(this.#driving)
    this.#stopHeartbeat()
    this.#unwatch()
  }

  // ---- The queue ---------------------------------------------------------------------------------------------------

  async #run(): Promise<void> {
    const { store, machines, ports, concurrency, leaseMs, pollMs, pollMaxMs, taskId } = this.#options
    const definitions = [...machines.keys()]
    await this.#gates.refresh().catch(this.#options.onFault)
    const idleMaxMs = store.tells ? pollMaxMs : pollMs
    let idleMs = pollMs
    while (!this.#stopping) {
      let waitMs = idleMs
      try {
        const nowMs = ports.runtime.now()
        const except = this.#notOurs(nowMs)
        const request = { worker: this.name, lease: ports.runtime.id(), leaseMs, definitions, except, nowMs }
        const limit = (await this.#mustEmpty(nowMs)) ? 0 : concurrency - this.#sessions.size
        const which = taskId === undefined ? { delivered: trusted } : { taskId }
        const claims = limit > 0 ? await store.claim({ ...request, limit, ...which }) : []
        if (limit > 0) this.#answeredAtMs = ports.runtime.now()
        for (const claim of claims) this.#take(claim, nowMs)
        idleMs = claims.length > 0 ? pollMs : Math.min(idleMaxMs, 2 * idleMs)
        if (claims.length > 0 && claims.length === limit) continue
        const isEmpty = this.#sessions.size === 0 && taskId === undefined
        const delivered = taskId !== undefined || isEmpty ? {} : trusted
        const dueMs =
          limit > claims.length || isEmpty ? await store.nextDueMs(definitions, taskId, except, delivered) : null
        if (isEmpty && dueMs !== null && dueMs <= nowMs) await this.#takeSuspect(request)
        if (dueMs !== null) waitMs = Math.min(waitMs, Math.max(1, dueMs - ports.runtime.now()))
        this.#pauseMs = 0
      } catch (thrown) {
        this.#options.onFault(thrown)
        this.#pauseMs = Math.min(awayMaxMs, Math.max(awayMinMs, this.#pauseMs * 2))
        waitMs = this.#pauseMs
      }
      if (!this.#stopping) await this.#alarm.sleep(waitMs)
    }
  }

  /** What is not to be claimed. Leases that were not renewed in time may be over, and what is still worked on here look free. */
  #notOurs(nowMs: number): readonly string[] {
    const late = [...this.#untilMs].filter(([, untilMs]) => untilMs - nowMs < this.#options.leaseMs / 2)
    return [...this.#newer, ...late.map(([taskId]) => taskId)]
  }

  async #takeSuspect(request: Omit<ClaimRequest, 'limit'>): Promise<void> {
    this.#suspectsAtMs = request.nowMs
    for (const claim of await this.#options.store.claim({ ...request, limit: 1, delivered: suspected })) {
      this.#suspect = claim.taskId
      this.#take(claim, request.nowMs)
    }
  }

  /**
   * Is nothing more to be taken until the hands are empty? A task with which workers have gone away is worked on alone, so
   * that no other is blamed for it, or goes down with it. A worker that is never idle makes room for one now and then.
   */
  async #mustEmpty(nowMs: number): Promise<boolean> {
    if (this.#suspect !== undefined) return true
    if (nowMs - this.#suspectsAtMs <= suspectsWaitMs || this.#options.taskId !== undefined) return false
    const { store, machines } = this.#options
    const dueMs = await store.nextDueMs([...machines.keys()], undefined, this.#notOurs(nowMs), suspected)
    if (dueMs !== null && dueMs <= nowMs) return true
    this.#suspectsAtMs = nowMs
    return false
  }

  #take(claim: Claim, nowMs: number): void {
    this.#sessions.set(claim.taskId, undefined)
    this.#untilMs.set(claim.taskId, nowMs + this.#options.leaseMs)
    const driving = this.#drive(claim)
      .catch((thrown: unknown) => this.#options.onFault(thrown, claim.taskId))
      .finally(() => {
        this.#sessions.delete(claim.taskId)
        this.#untilMs.delete(claim.taskId)
        if (this.#suspect === claim.taskId) this.#suspect = undefined
        this.#driving.delete(driving)
        this.#alarm.ring()
      })
    this.#driving.add(driving)
  }

  /** Something was committed in this process: by a session, or for a task that nobody here holds yet. */
  #notice(taskId: string, seq: number, news: boolean): void {
    const session = this.#sessions.get(taskId)
    if (session) this.#see(session, seq, news)
    else if (!this.#sessions.has(taskId)) this.#alarm.ring()
  }

  #see(session: Session, seq: number, news: boolean): void {
    session.seenSeq = Math.max(session.seenSeq, seq)
    session.hasNews ||= news
    if (session.hasNews || session.seenSeq > session.head.seq) session.wake?.()
  }

  /** Keeps the leases alive, and looks whether somebody outside wrote to the tasks that are held. */
  #beat(): void {
    const { store, ports, leaseMs } = this.#options
    this.#stopHeartbeat = ports.runtime.setTimer(Math.ceil(Math.min(leaseMs / 3, 1_000)), () => {
      if (this.#gates.someShut) this.#gates.refresh().catch(this.#options.onFault)
      const nowMs = ports.runtime.now()
      const held = [...this.#sessions.values()].filter((session) => session !== undefined)
      const renewal =
        held.length === 0
          ? Promise.resolve([])
          : store.renew(
              held.map(({ claim }) => claim),
              leaseMs,
              nowMs,
            )
      renewal
        .then((renewed) => {
          if (held.length > 0) this.#answeredAtMs = ports.runtime.now()
          for (const { taskId, held: kept, untilMs, seq, news } of renewed) {
            const session = this.#sessions.get(taskId)
            if (!session) continue
            if (kept) {
              this.#untilMs.set(taskId, untilMs)
              this.#see(session, seq, news > session.heard)
            } else this.#abandon(session)
          }
          // Another process may have freed a place.
          this.#callUp()
        })
        .catch((thrown: unknown) => this.#options.onFault(thrown))
        .finally(() => {
          if (!this.#stopping || this.#sessions.size > 0) this.#beat()
        })
    })
  }

  // ---- One task ----------------------------------------------------------------------------------------------------

  async #drive(claim: Claim): Promise<void> {
    try {
      await this.#hold(claim)
    } catch (thrown) {
      if (isFault(thrown, 'LOG_NEWER')) {
        this.#newer.add(claim.taskId)
        await this.#giveBack(claim)
      }
      throw thrown
    }
  }

  async #hold(claim: Claim): Promise<void> {
    const session = await this.#load(claim)
    // Moved to another definition before it could be looked at.
    if (!session) return this.#giveBack(claim)
    this.#sessions.set(claim.taskId, session)
    try {
      await this.#work(session)
    } finally {
      this.#callOff(session)
    }
    // What was called off in the middle is free for another worker at once. After a failure of ours it is not: the task
    // is tried again when its lease runs out, so one that always fails cannot keep a worker busy.
    if (session.lost) await this.#giveBack(claim)
  }

  #giveBack(claim: Claim): Promise<void> {
    return this.#options.store.release([claim], this.#options.ports.runtime.now())
  }

  /** Decides, appends, performs, until the task rests, has ended, or is no longer ours. */
  async #work(session: Session): Promise<void> {
    const { ports } = this.#options
    const { machine, claim } = session
    let outcomes: Outcome[] = []
    let point: WritePoint = 'permit'
    let full = noneFull
    let looked = false
    let refused = 0
    let delivered = claim.deliveries
    while (!isEnded(session.task) && !session.lost) {
      const gate = (key: string): Gate => this.#gates.get(key)
      const fullUntilMs = (step: number): number | undefined => full.get(step)
      const kin = await this.#hear(session)
      const nowMs = ports.runtime.now()
      const work = draft(session.task, nowMs, { ...ports.terms, gate, fullUntilMs, tree: kin?.tree })
      // The first commit takes over what another worker left; every later one records what came of a step.
      if (point === 'permit' && delivered > defaults.deliveries) park(machine, work, delivered - 1)
      else if (point === 'permit') resume(machine, work)
      // Who stops begins nothing more, and hears nothing that would have to be acted on.
      const heard = this.#stopping ? undefined : kin
      if (heard) hear(machine, work, heard)
      for (const outcome of outcomes) settle(machine, work, outcome)
      if (heard) heed(work, heard)
      if (!this.#stopping) proceed(machine, work)
      // Before a step waits for a breaker, or fails because of one, it is looked at as it is now.
      if (!looked && work.events.some(({ type, data }) => type === 'step.queued' && data.reason !== 'busy')) {
        looked = true
        await this.#patiently(session, () => this.#gates.refresh())
        await this.#reload(session)
        continue
      }
      looked = false
      const keep = !isIdle(session.task) || this.#dueSoon(session.task)
      this.#gates.propose(work.gates)
      const { head, task } = session
      const { lease } = claim
      const { admits, takes, events } = work
      const gates = { admits, takes, nowMs }
      const { children } = work
      const commit: Commit = {
        point: keep ? point : 'rest',
        head,
        events,
        task,
        lease,
        keep,
        progress: delivered > 1 && outcomes.length > 0,
        gates,
        kin: kin && { ...kin, news: heard?.news ?? 0 },
        children,
      }
      const committed = await this.#commit(session, commit, nowMs)
      if (!committed.ok) {
        if (committed.reason === 'lease-lost') return
        if (committed.reason === 'gates') full = new Map([...full, ...committed.full])
        if ((refused += 1) >= refusalsMax) {
          for (const outcome of outcomes) this.#keepLate(claim, outcome)
          throw stuck(claim.taskId, committed.reason)
        }
        // Somebody was first: the same outcomes are decided on again, on the log and the gates as they are now.
        await this.#reload(session)
        continue
      }
      refused = 0
      session.head = committed.head
      this.#gates.accept(work.gates)
      if (commit.progress) {
        delivered = 1
        if (this.#suspect === claim.taskId) this.#suspect = undefined
      }
      // Only now: until what came of a step is in the log the step looks as if nobody performed it.
      for (const { step, attempt } of outcomes) session.running.delete(`${step}.${attempt}`)
      full = noneFull
      if (events.some(({ type }) => type === 'slot.freed' || type === 'breaker.changed')) {
        this.#alarm.ring()
        this.#callUp()
      }
      if (!keep) {
        this.#rest(session)
        return
      }
      this.#performOpen(session)
      await this.#nextOutcome(session)
      if (session.lost) return
      outcomes = session.outcomes.splice(0)
      point = 'settle'
    }
  }

  /** Commits. What was not written has not changed a gate either, whatever the reason. */
  async #commit(session: Session, commit: Commit, nowMs: number): Promise<Committed> {
    const lasting = { leaseMs: this.#options.leaseMs, nowMs }
    try {
      const committed = await this.#patiently(session, () => commitSurely(this.#options.store, commit, lasting))
      if (!committed.ok) await this.#patiently(session, () => this.#gates.refresh())
      return committed
    } catch (thrown) {
      this.#gates.forget()
      throw thrown
    }
  }

  /**
   * Speaks to the store, and waits while it is away: what came of a step is not thrown away because it could not be written
   * at once. Whether the task is still ours is for the store to say when it is back.
   */
  async #patiently<T>(session: Pick<Session, 'claim' | 'lost' | 'wake'>, speak: () => Promise<T>): Promise<T> {
    const { ports, onFault } = this.#options
    for (let pauseMs = awayMinMs; ; pauseMs = Math.min(awayMaxMs, 2 * pauseMs)) {
      try {
        return await speak()
      } catch (thrown) {
        if (!isAway(thrown) || this.#stopping || session.lost) throw thrown
        onFault(thrown, session.claim.taskId)
      }
      await new Promise<void>((resolve) => {
        session.wake = resolve
        ports.runtime.setTimer(pauseMs, resolve)
      })
    }
  }

  /** Tasks in hand look again whether a step that waits before its gate may pass: who frees a place wakes only the queue. */
  #callUp(): void {
    for (const session of this.#sessions.values()) {
      if (!session || ![...session.task.delayed.values()].some(({ queued }) => queued)) continue
      session.looksAgain = true
      session.wake?.()
    }
  }

  /** What the family has to tell; nothing, when nothing more is begun here. */
  async #hear(session: Session): Promise<Kin | undefined> {
    if (!session.task.tree) return undefined
    session.hasNews = false
    const kin = await this.#patiently(session, () => this.#options.store.kin(session.task))
    session.heard = kin.news
    return kin
  }

  /** A task that waits is likely to be taken up here again, and its log only gets longer. */
  #rest({ claim: { taskId }, task, head }: Session): void {
    if (!isWaiting(task)) return
    this.#resting.set(taskId, { task, head })
    const [oldest] = this.#resting.keys()
    if (this.#resting.size > restingMax) this.#resting.delete(oldest!)
  }

  async #loadTask(taskId: string): Promise<Loaded> {
    const { store } = this.#options
    const resting = this.#resting.get(taskId)
    this.#resting.delete(taskId)
    if (!resting) return store.load(taskId)
    const { task, head } = resting
    const news = await store.read(taskId, { afterSeq: head.seq })
    if (news.some(({ type }) => type === 'payload.erased')) return store.load(taskId)
    const last = news.at(-1)
    return { task: fold(task, news), head: last ? { seq: last.seq, hash: last.hash } : head }
  }

  async #load(claim: Claim): Promise<Session | undefined> {
    const { task, head } = await this.#loadTask(claim.taskId)
    const machine = this.#options.machines.get(task.definition)
    if (!machine) return undefined
    const base = { claim, machine, task, head, running: new Map<string, AbortController>(), outcomes: [] }
    const unheard = { heard: 0, hasNews: false }
    return { ...base, ...unheard, seenSeq: head.seq, wake: undefined, looksAgain: false, lost: false }
  }

  async #reload(session: Session): Promise<void> {
    const { claim } = session
    Object.assign(session, await this.#patiently(session, () => this.#options.store.load(claim.taskId)))
    this.#abandonMoved(session)
    this.#callOffClosed(session)
  }

  #performOpen(session: Session): void {
    for (const step of session.task.open.values()) {
      if (step.kind === 'child') continue
      const key = `${step.step}.${step.attempt}`
      if (session.running.has(key)) continue
      const controller = new AbortController()
      session.running.set(key, controller)
      const { ports } = this.#options
      const onLate = (outcome: Outcome): void => this.#keepLate(session.claim, outcome)
      void perform(step, session.task, session.machine, ports, controller, onLate).then((outcome) => {
        session.outcomes.push(outcome)
        session.wake?.()
      })
    }
  }

  /** Writes down a result that nobody waits for any more, whoever has the task by now. */
  #keepLate(claim: Claim, outcome: Outcome): void {
    const { store, ports, onFault } = this.#options
    const desk = { store, runtime: ports.runtime, terms: ports.terms }
    // The task may be in other hands, or in none: it is waited for apart from its session.
    const waiting = { claim, lost: false, wake: undefined }
    const write = (): Promise<boolean> => decideOn(desk, claim.taskId, 'settle', (work) => late(work, outcome))
    const keep = async (): Promise<void> => {
      while (!(await this.#patiently(waiting, write)));
    }
    keep().catch((thrown: unknown) => {
      // A store that was closed in the meantime is the end of this process's work, and no news.
      if (!this.#stopping) onFault(thrown, claim.taskId)
    })
  }

  /** A step that is tried again within the lease stays in hand; a longer delay gives the task back to the queue. */
  #dueSoon(task: Task): boolean {
    const { ports, leaseMs } = this.#options
    // What waits before a gate is let in by whoever frees a place, so it goes back to the queue; and nothing is due while a
    // human is asked what is to become of the task.
    const waits = [...task.delayed.values()].some(({ queued }) => queued)
    if (this.#stopping || task.delayed.size === 0 || waits || task.awaits || task.item) return false
    return nextRetryAtMs(task) - ports.runtime.now() <= leaseMs
  }

  /** Waits for an outcome, for a step's next try, or for news from outside, which is folded in. */
  async #nextOutcome(session: Session): Promise<void> {
    const { runtime } = this.#options.ports
    let due = false
    const cancel =
      session.task.delayed.size === 0
        ? undefined
        : runtime.setTimer(nextRetryAtMs(session.task) - runtime.now(), () => {
            due = true
            session.wake?.()
          })
    try {
      const moved = (): boolean => hasDecided(session.task) || hasNothing(session.task)
      session.looksAgain = false
      await this.#await(
        session,
        () => due || session.looksAgain || session.hasNews || moved() || (this.#stopping && session.running.size === 0),
      )
    } finally {
      cancel?.()
    }
  }

  /** Until there is an outcome, or `over` holds. A task that somebody else has ended is lost. */
  async #await(session: Session, over: () => boolean): Promise<void> {
    while (session.outcomes.length === 0 && !session.lost && !over()) {
      if (session.seenSeq > session.head.seq) await this.#catchUp(session)
      else
        await new Promise<void>((resolve) => {
          session.wake = resolve
        })
      session.wake = undefined
    }
  }

  async #catchUp(session: Session): Promise<void> {
    const { taskId } = session.claim
    const { seq } = session.head
    const news = await this.#patiently(session, () => this.#options.store.read(taskId, { afterSeq: seq }))
    for (const event of news) evolve(session.task, event)
    const last = news.at(-1)
    if (last) session.head = { seq: last.seq, hash: last.hash }
    session.seenSeq = session.head.seq
    if (isEnded(session.task)) this.#abandon(session)
    this.#abandonMoved(session)
    this.#callOffClosed(session)
  }

  /** A task that somebody has moved to another definition is for whoever has that. */
  #abandonMoved(session: Session): void {
    if (this.#options.machines.get(session.task.definition) !== session.machine) this.#abandon(session)
  }

  /** What somebody outside has decided without is not performed any further. */
  #callOffClosed({ task, running }: Session): void {
    for (const [key, controller] of running) {
      const [step, attempt] = key.split('.').map(Number)
      if (task.open.get(step!)?.attempt !== attempt) controller.abort(calledOff())
    }
  }

  /** Gives a task up: whoever has it now, or takes it next, decides without what is still being performed here. */
  #abandon(session: Session): void {
    session.lost = true
    this.#callOff(session)
    session.wake?.()
  }

  #callOff(session: Session): void {
    for (const controller of session.running.values()) controller.abort(calledOff())
  }
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
