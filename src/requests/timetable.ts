// The schedules of a store, as people change and read them. What is due is started by the scheduler.

import type { Agent } from '../core/agent.ts'
import { Fault } from '../core/fault.ts'
import { quoted, toJson } from '../core/json.ts'
import { isScheduleName, occurrenceId, overlaps, type Overlap } from '../core/schedule.ts'
import { beginTask, type Platform } from './begin.ts'
import { occurrencesAfter } from '../cron.ts'
import type { ScheduleRow } from '../store/store.ts'

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

/** The schedules of a store. */
export class Timetable {
  readonly #platform: Platform

  constructor(platform: Platform) {
    this.#platform = platform
  }

  /** Throws AGENT_UNKNOWN, INPUT_INVALID, SCHEDULE_INVALID or SCHEDULE_EXISTS; then nothing was written. */
  async add(name: string, given: ScheduleOptions): Promise<void> {
    const { agent, cron, timezone = 'UTC', overlap = 'skip', by, reason } = given
    const { store, runtime, terms } = this.#platform
    if (!isScheduleName(name)) {
      const cure = 'Use 1 to 100 letters, digits, ".", ":", "_" or "-".'
      throw new Fault('SCHEDULE_INVALID', `${quoted(name)} cannot be a schedule's name.`, cure)
    }
    if (!overlaps.includes(overlap)) {
      throw new Fault('SCHEDULE_INVALID', `There is no overlap ${quoted(overlap)}.`, `Use ${overlaps.join(', ')}.`)
    }
    const nowMs = runtime.now()
    const [nextAtMs] = occurrencesAfter({ cron, timezone }, nowMs, 1)
    if (nextAtMs === undefined) {
      throw new Fault('SCHEDULE_INVALID', `${quoted(cron)} never comes round.`, 'Check the day and the month.')
    }
    const { text, value } = terms.redact
    const read = toJson(given.input ?? {})
    if (!read.ok) {
      throw new Fault('INPUT_INVALID', `The input of ${name}: ${read.problem}.`, 'Give a JSON object.')
    }
    // As it will be kept. What a task cannot be started with is told now, and not at night.
    const input = value(read.value)
    const occurrence = { id: occurrenceId(name, nextAtMs), by: `schedule:${name}` }
    const first = await beginTask(this.#platform, agent, input, occurrence)
    const added = await store.schedule({
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
  }

  /** Throws SCHEDULE_UNKNOWN. */
  async remove(name: string, given: { by: string; reason: string }): Promise<void> {
    const { store, runtime, terms } = this.#platform
    const { text } = terms.redact
    const by = { by: text(given.by), reason: text(given.reason), nowMs: runtime.now() }
    if (!(await store.unschedule(name, by))) throw this.#unknown(name)
  }

  /** By name, and what has become of each. */
  rows(filter: { removed?: boolean }): Promise<readonly ScheduleRow[]> {
    return this.#platform.store.schedules(filter)
  }

  /** When a schedule will come round next, in ms since 1970. Throws SCHEDULE_UNKNOWN. */
  async upcoming(name: string, count: number): Promise<readonly number[]> {
    const row = (await this.rows({})).find((known) => known.name === name)
    if (!row) throw this.#unknown(name)
    return occurrencesAfter(row, this.#platform.runtime.now(), count)
  }

  #unknown(name: string): Fault {
    const what = `There is no schedule ${this.#platform.terms.redact.text(name)} in this store.`
    return new Fault('SCHEDULE_UNKNOWN', what, 'List them: signalbox schedule list.')
  }
}
