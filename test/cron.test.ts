// When a cron expression comes round: summer time, the ends of months, and what is no expression.

import { describe, expect, test } from 'vitest'
import { occurrencesAfter, occurrencesUntil } from '../src/cron.ts'

const berlin = (cron: string) => ({ cron, timezone: 'Europe/Berlin' })
const after = (recurrence: { cron: string; timezone: string }, from: string, count: number): string[] =>
  occurrencesAfter(recurrence, Date.parse(from), count).map((time) =>
    new Date(time).toISOString().replace(/:00\.000Z$/, 'Z'),
  )

describe('in the night that has no hour from two to three', () => {
  const before = '2026-03-28T12:00:00Z'
  test('a daily time in it comes when it is over, at three, once', () => {
    expect(after(berlin('30 2 * * *'), before, 2)).toEqual(['2026-03-29T01:00Z', '2026-03-30T00:30Z'])
  })
  test('every half hour goes on without it', () => {
    expect(after(berlin('*/30 1-3 * * *'), before, 4)).toEqual([
      '2026-03-29T00:00Z',
      '2026-03-29T00:30Z',
      '2026-03-29T01:00Z',
      '2026-03-29T01:30Z',
    ])
  })
})

describe('in the night that has the hour from two to three twice', () => {
  const before = '2026-10-24T12:00:00Z'
  test('a daily time in it comes once, the first time', () => {
    expect(after(berlin('30 2 * * *'), before, 2)).toEqual(['2026-10-25T00:30Z', '2026-10-26T01:30Z'])
  })
  test('every half hour comes in both', () => {
    expect(after(berlin('*/30 2 * * *'), before, 5)).toEqual([
      '2026-10-25T00:00Z',
      '2026-10-25T00:30Z',
      '2026-10-25T01:00Z',
      '2026-10-25T01:30Z',
      '2026-10-26T01:00Z',
    ])
  })
})

test('eight in the morning is eight where the schedule is, in summer and in winter, whatever the machine thinks', () => {
  expect(after(berlin('0 8 * * *'), '2026-10-24T00:00:00Z', 2)).toEqual(['2026-10-24T06:00Z', '2026-10-25T07:00Z'])
  expect(after({ cron: '0 8 * * 1-5', timezone: 'UTC' }, '2026-11-27T08:00:00Z', 1)).toEqual(['2026-11-30T08:00Z'])
})

test('an occurrence is after the time that is asked about, never at it, also between two seconds', () => {
  const daily = { cron: '0 8 * * *', timezone: 'UTC' }
  expect(after(daily, '2026-01-01T07:59:59.500Z', 1)).toEqual(['2026-01-01T08:00Z'])
  expect(after(daily, '2026-01-01T08:00:00.000Z', 1)).toEqual(['2026-01-02T08:00Z'])
  expect(after(daily, '2026-01-01T08:00:00.500Z', 1)).toEqual(['2026-01-02T08:00Z'])
})

test('occurrences that are past are read in pieces that follow one another', () => {
  const recurrence = { cron: '* * * * *', timezone: 'UTC' }
  const [fromMs, minute] = [Date.UTC(2026, 0, 1), 60_000]
  const untilMs = fromMs + 9.5 * minute
  const piece = occurrencesUntil(recurrence, { fromMs, untilMs, max: 4 })
  expect(piece).toEqual({ times: [0, 1, 2, 3].map((n) => fromMs + n * minute), nextAtMs: fromMs + 4 * minute })
  const rest = occurrencesUntil(recurrence, { fromMs: piece.nextAtMs!, untilMs, max: 100 })
  expect([rest.times.length, rest.nextAtMs]).toEqual([6, fromMs + 10 * minute])
})

test.each([
  ['nothing', '', 'UTC'],
  ['four fields', '* * * *', 'UTC'],
  ['seven fields', '* * * * * * *', 'UTC'],
  ['a minute that there is not', '61 * * * *', 'UTC'],
  ['a word', 'daily', 'UTC'],
  ['a date', '2026-01-01T00:00:00', 'UTC'],
  ['the start of a machine', '@reboot', 'UTC'],
  ['a book', '1,'.repeat(500), 'UTC'],
  ['no text', 5 as never, 'UTC'],
  ['a timezone that there is not', '* * * * *', 'Europe/Atlantis'],
  ['no timezone', '* * * * *', ''],
  ['a timezone that is no text', '* * * * *', null as never],
])('%s is refused by name', (_, cron, timezone) => {
  expect(() => occurrencesAfter({ cron, timezone }, 0, 1)).toThrow(/^SCHEDULE_INVALID /)
})

test('where both a day of the month and of the week are given, either counts', () => {
  expect(after({ cron: '0 0 1 * 1', timezone: 'UTC' }, '2026-01-25T00:00:00Z', 3)).toEqual([
    '2026-01-26T00:00Z',
    '2026-02-01T00:00Z',
    '2026-02-02T00:00Z',
  ])
})

test('a day that never comes has no occurrences, and a nickname has', () => {
  expect(occurrencesAfter({ cron: '0 0 30 2 *', timezone: 'UTC' }, 0, 1)).toEqual([])
  expect(after({ cron: '@daily', timezone: 'UTC' }, '2026-01-01T00:00:00Z', 1)).toEqual(['2026-01-02T00:00Z'])
})
