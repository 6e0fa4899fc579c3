// What a schedule decides about its occurrences, by values.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  failed,
  isScheduleName,
  occurrenceId,
  overlaps,
  plan,
  started,
  waitingMax,
  type Look,
  type Progress,
} from '../../src/core/schedule.ts'

const fresh: Progress = {
  nextAtMs: 10,
  waiting: [],
  lastAtMs: null,
  lastTaskId: null,
  started: 0,
  skipped: 0,
  missed: 0,
  failed: 0,
  problem: null,
}
const look = (times: readonly number[], busy: boolean): Look => ({ times, nextAtMs: 100, nowMs: 50, busy })

describe('an occurrence', () => {
  test.each(overlaps)('begins when nothing stands in its way (%s)', (overlap) => {
    const planned = plan(overlap, fresh, look([10], false))
    expect(planned).toEqual({ startAtMs: 10, progress: { ...fresh, nextAtMs: 100 } })
  })

  test('that comes while the one before goes on is left out, waits, or begins, as the schedule says', () => {
    expect(plan('skip', fresh, look([10], true))).toEqual({
      startAtMs: undefined,
      progress: { ...fresh, nextAtMs: 100, skipped: 1 },
    })
    expect(plan('queue', fresh, look([10], true))).toEqual({
      startAtMs: undefined,
      progress: { ...fresh, nextAtMs: 100, waiting: [10] },
    })
    expect(plan('allow', fresh, look([10], true))!.startAtMs).toBe(10)
  })

  test('that waits begins before a later one', () => {
    const waiting = { ...fresh, waiting: [3, 6] }
    expect(plan('queue', waiting, look([10], false))).toMatchObject({ startAtMs: 3, progress: { waiting: [6, 10] } })
    expect(plan('queue', { ...waiting, nextAtMs: 100 }, look([], false))).toMatchObject({ startAtMs: 3 })
    expect(plan('queue', { ...waiting, nextAtMs: 100 }, look([], true))).toBe(undefined)
  })

  test('for which there is no room to wait is skipped', () => {
    const waiting = Array.from({ length: waitingMax }, (_, index) => index)
    const planned = plan('queue', { ...fresh, waiting }, look([10], true))
    expect(planned!.progress).toMatchObject({ waiting, skipped: 1 })
  })

  test('that came when nobody was there is missed, but for the latest; when there are too many to look at, all of those are', () => {
    expect(plan('skip', fresh, look([10, 20, 30], false))).toMatchObject({ startAtMs: 30, progress: { missed: 2 } })
    const more = { times: [10, 20, 30], nextAtMs: 40, nowMs: 50, busy: false }
    expect(plan('skip', fresh, more)).toMatchObject({ startAtMs: undefined, progress: { missed: 3, nextAtMs: 40 } })
  })

  test('that began takes away the problem of one that could not', () => {
    const bad = failed(fresh, 'no')
    expect(bad).toMatchObject({ failed: 1, problem: 'no', lastTaskId: null })
    expect(started(bad, 10, 't')).toMatchObject({ started: 1, failed: 1, problem: null, lastAtMs: 10, lastTaskId: 't' })
  })

  test('has a task whose id says which one it is, and which can be an id', () => {
    expect(occurrenceId('report', Date.UTC(2026, 10, 26, 8))).toBe('report.20261126T080000Z')
    expect(occurrenceId('a'.repeat(100), Date.UTC(9999, 11, 31, 23, 59, 59))).toMatch(/^[\w.:-]{1,128}$/)
    expect(['a.b:c-d_1', '', 'a b', 'a@b', 'a'.repeat(101)].map(isScheduleName)).toEqual([
      true,
      false,
      false,
      false,
      false,
    ])
  })
})

test('whatever comes when, every occurrence is counted once, none begins twice, and those that begin are in order', () => {
  const steps = fc.array(fc.record({ passMs: fc.nat(70), busy: fc.boolean(), fails: fc.boolean() }), { maxLength: 60 })
  fc.assert(
    fc.property(fc.constantFrom(...overlaps), steps, (overlap, played) => {
      // An occurrence every 10 ms, the first at 10; at most 4 are looked at at once.
      let [progress, nowMs]: [Progress, number] = [fresh, 0]
      const begun: number[] = []
      for (const { passMs, busy, fails } of played) {
        nowMs += passMs
        const times: number[] = []
        let next = progress.nextAtMs!
        for (; next <= nowMs && times.length < 4; next += 10) times.push(next)
        const planned = plan(overlap, progress, { times, nextAtMs: next, nowMs, busy })
        if (!planned) continue
        progress = planned.progress
        const { startAtMs } = planned
        if (startAtMs === undefined) continue
        if (overlap !== 'allow') expect(busy).toBe(false)
        begun.push(startAtMs)
        progress = fails ? failed(progress, 'no') : started(progress, startAtMs, `t${startAtMs}`)
      }
      const { waiting, skipped, missed, ...rest } = progress
      expect(rest.started + rest.failed).toBe(begun.length)
      expect(begun.length + waiting.length + skipped + missed).toBe((progress.nextAtMs! - 10) / 10)
      expect([...begun, ...waiting]).toEqual([...new Set([...begun, ...waiting])].sort((a, b) => a - b))
    }),
  )
})
