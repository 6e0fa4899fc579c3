// Starts tasks when their schedules say so. A schedule and how far it has come are a row in the store; an occurrence's task is
// begun and the row moved on in one transaction, so that it begins once, whoever dies in between and however many workers
// there are. Whatever comes while nobody is there is not made up for, but for the latest.

import { Alarm } from './alarm.ts'
import type { Draft } from './core/draft.ts'
import { Fault, isFault, messageOf } from './core/fault.ts'
import { head } from './core/json.ts'
import { failed, occurrenceId, plan, started, type Progress } from './core/schedule.ts'
import { isEnded } from './core/task.ts'
import { occurrencesUntil } from './cron.ts'
import { commitSurely, type Desk } from './door.ts'
import { genesis } from './store/log.ts'
import type { ScheduleChange, ScheduleRow } from './store/store.ts'

/** What a scheduler needs. */
export interface SchedulerOptions extends Pick<Desk, 'store' | 'runtime'> {
  /** The agents whose schedules it looks after. */
  readonly agents: ReadonlySet<string>
  /**
   * The first events of an occurrence's task. *Contract*: nothing is written. It throws a Fault when the task cannot be
   * started; one that does not start with `STORE_` will be as true later.
   */
  readonly begin: (schedule: ScheduleRow, taskId: string) => Promise<Draft>
  /** How soon it is found that schedules were added elsewhere. What is due is started on time. */
  readonly pollMs: number
  readonly onFault: (fault: unknown, taskId?: string) => void
}

/** How many occurrences are looked at at once: bounds how long a look holds the event loop. */
const atOnce = 500

/** Starts what is due until it is stopped. */
export class Scheduler {
  readonly #options: SchedulerOptions
  readonly #alarm: Alarm
  #stopped = false
  #unwatch: () => void = () => undefined
  #loop: Promise<void> | undefined

  constructor(options: SchedulerOptions) {
    this.#options = options
    this.#alarm = new Alarm(options.runtime)
  }

  /** Begins to look. */
  start(): void {
    // Another may wait for this one to end.
    this.#unwatch = this.#options.store.watch((task) => {
      if (isEnded(task) && task.startedBy.startsWith('schedule:')) this.#alarm.ring()
    })
    this.#loop ??= this.#run()
  }

  /** Starts nothing more. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#unwatch()
    this.#alarm.ring()
    await this.#loop
  }

  async #run(): Promise<void> {
    const { runtime, pollMs } = this.#options
    while (!this.#stopped) {
      const { moved, nextAtMs } = await this.#round()
      if (this.#stopped) return
      if (!moved) await this.#alarm.sleep(Math.max(0, Math.min(pollMs, nextAtMs - runtime.now())))
    }
  }

  /** Looks at every schedule that may be due before the next round. Says whether any was moved on, and when the next one is due. */
  async #round(): Promise<{ moved: boolean; nextAtMs: number }> {
    const { store, runtime, agents, pollMs } = this.#options
    const rows = await this.#survive([], () => store.schedules({ dueMs: runtime.now() + pollMs }))
    let [moved, nextAtMs] = [false, Infinity]
    for (const row of rows) {
      if (this.#stopped || !agents.has(row.agent)) continue
      const nowMs = runtime.now()
      if (row.waiting.length === 0 && row.nextAtMs! > nowMs) nextAtMs = Math.min(nextAtMs, row.nextAtMs!)
      else if (await this.#survive(false, () => this.#look(row, nowMs))) moved = true
    }
    return { moved, nextAtMs }
  }

  /** What fails for one schedule, or for now, does not keep the others from their time. */
  async #survive<T>(otherwise: T, act: () => Promise<T>): Promise<T> {
    try {
      return await act()
    } catch (thrown) {
      if (!this.#stopped) this.#options.onFault(thrown)
      return otherwise
    }
  }

  /** Does what one schedule asks for now. False when that is nothing. */
  async #look(row: ScheduleRow, nowMs: number): Promise<boolean> {
    const { store, begin, onFault } = this.#options
    const { id, version, nextAtMs } = row
    const past =
      nextAtMs === null || nextAtMs > nowMs
        ? { times: [], nextAtMs }
        : occurrencesUntil(row, { fromMs: nextAtMs, untilMs: nowMs, max: atOnce })
    const planned = plan(row.overlap, row, { ...past, nowMs, busy: await this.#isBusy(row) })
    if (!planned) return false
    const change = (progress: Progress): ScheduleChange => ({ id, version, progress })
    const { startAtMs, progress } = planned
    if (startAtMs === undefined) {
      await store.advanceSchedule(change(progress))
      return true
    }
    const taskId = occurrenceId(row.name, startAtMs)
    let begun: Draft
    try {
      await this.#proveFree(taskId)
      begun = await begin(row, taskId)
    } catch (thrown) {
      // A store may come back. What does not fit the agent would not fit a moment later either, and the next one is to come.
      if (isFault(thrown) && thrown.code.startsWith('STORE_')) throw thrown
      const told = await store.advanceSchedule(change(failed(progress, head(messageOf(thrown), 500))))
      if (told) onFault(thrown, taskId)
      return true
    }
    // When somebody else was first nothing was written, and the next round finds what they did.
    const { events, task } = begun
    const schedule = change(started(progress, startAtMs, taskId))
    await commitSurely(store, { point: 'start', head: genesis, events, task, schedule })
    return true
  }

  async #isBusy({ overlap, lastTaskId }: ScheduleRow): Promise<boolean> {
    if (overlap === 'allow' || lastTaskId === null) return false
    const last = await this.#options.store.task(lastTaskId)
    return last !== undefined && !isEnded(last)
  }

  /** Whoever starts an occurrence moves its schedule on with it; so a task that is there already is not the schedule's. */
  async #proveFree(taskId: string): Promise<void> {
    const row = await this.#options.store.task(taskId)
    if (!row) return
    throw new Fault(
      'TASK_EXISTS',
      `Task ${taskId} exists, started by ${row.startedBy}; the schedule's task was not started.`,
      `Look at it: signalbox show ${taskId}.`,
    )
  }
}
