// A worker claims tasks, each under a lease that it keeps alive as long as the task is in its hands (see session). When a
// lease is lost, another worker has the task, and this one gives it up. Told to stop, it claims nothing more, and what it
// holds may come to its end.

import { isFault } from './core/fault.ts'
import type { Machine } from './core/machine.ts'
import { Alarm } from './alarm.ts'
import { Gates } from './gates.ts'
import { awayMaxMs, awayMinMs } from './patience.ts'
import type { Ports } from './perform.ts'
import { Session, type Workbench } from './session.ts'
import type { Claim, ClaimRequest, Store } from './store/store.ts'

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

/** A task that is given more often than this, without anything coming of it, may be what takes its workers down. */
const trusted = { max: 2 }
const suspected = { min: 3 }
const suspectsWaitMs = 30_000

/** Works on tasks until it is stopped. */
export class Worker {
  /** What its claims are under, and what it is called where workers are listed. */
  readonly name: string
  readonly #options: WorkerOptions
  readonly #gates: Gates
  readonly #sessions = new Map<string, Session | undefined>()
  readonly #driving = new Set<Promise<void>>()
  readonly #bench: Workbench
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
    const { store, machines, ports, leaseMs, onFault } = options
    this.#options = options
    this.#gates = new Gates(options.store)
    this.#alarm = new Alarm(options.ports.runtime)
    this.#bench = {
      store,
      machines,
      ports,
      leaseMs,
      onFault,
      gates: this.#gates,
      resting: new Map(),
      stopping: () => this.#stopping,
      onProgress: (taskId) => {
        if (this.#suspect === taskId) this.#suspect = undefined
      },
      onFreed: () => {
        this.#alarm.ring()
        this.#callUp()
      },
    }
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
    for (const session of this.#sessions.values()) session?.abandon()
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
    if (session) session.see(seq, news)
    else if (!this.#sessions.has(taskId)) this.#alarm.ring()
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
              session.see(seq, news > session.heard)
            } else session.abandon()
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
    const session = await Session.open(claim, this.#bench)
    // Moved to another definition before it could be looked at.
    if (!session) return this.#giveBack(claim)
    this.#sessions.set(claim.taskId, session)
    try {
      await session.work()
    } finally {
      session.callOff()
    }
    // What was called off in the middle is free for another worker at once. After a failure of ours it is not: the task
    // is tried again when its lease runs out, so one that always fails cannot keep a worker busy.
    if (session.lost) await this.#giveBack(claim)
  }

  #giveBack(claim: Claim): Promise<void> {
    return this.#options.store.release([claim], this.#options.ports.runtime.now())
  }

  /** Tasks in hand look again whether a step that waits before its gate may pass. */
  #callUp(): void {
    for (const session of this.#sessions.values()) session?.lookAgain()
  }
}
