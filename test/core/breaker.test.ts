// The circuit breaker as a value: against an established library, for any interleaving of callers, and by example. I14,
// and T12 of SCENARIOS.

import { BrokenCircuitError, circuitBreaker, CircuitState, ConsecutiveBreaker, handleAll } from 'cockatiel'
import fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { admit, closedBreaker, failed, succeeded, type Breaker } from '../../src/core/breaker.ts'
import type { FailureClass } from '../../src/core/model.ts'

afterEach(() => {
  vi.useRealTimers()
})

const overload = { class: 'overload' } as const

test('2,000 random histories agree with an established breaker: who is let through, and what state it leaves', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  const states = {
    [CircuitState.Closed]: 'closed',
    [CircuitState.Open]: 'open',
    [CircuitState.HalfOpen]: 'half-open',
    [CircuitState.Isolated]: 'isolated',
  }
  const seen = { histories: 0, opened: 0, probes: 0 }
  const moves = fc.array(fc.oneof(fc.constantFrom('ok', 'fail', 'fail'), fc.integer({ min: 0, max: 200 })), {
    minLength: 5,
    maxLength: 60,
  })
  const histories = fc.asyncProperty(
    moves,
    fc.integer({ min: 1, max: 5 }),
    fc.integer({ min: 10, max: 100 }),
    async (all, failures, coolDownMs) => {
      vi.setSystemTime(1_000_000)
      const theirs = circuitBreaker(handleAll, { halfOpenAfter: coolDownMs, breaker: new ConsecutiveBreaker(failures) })
      let ours: Breaker = closedBreaker
      for (const move of all) {
        if (typeof move === 'number') {
          vi.setSystemTime(Date.now() + move)
          continue
        }
        let asked = false
        const call = theirs.execute(() => {
          asked = true
          if (move === 'fail') throw new Error('down')
        })
        const refused = await call.then(
          () => false,
          (thrown: unknown) => thrown instanceof BrokenCircuitError,
        )
        const admission = admit(ours, 'c', Date.now(), Date.now() + 1_000_000)
        expect(admission.admitted).toBe(asked)
        expect(admission.admitted).toBe(!refused)
        if (!admission.admitted) continue
        if (admission.breaker.status === 'half-open') seen.probes += 1
        ours =
          move === 'ok'
            ? succeeded(admission.breaker, 'c')
            : failed(admission.breaker, { failures, coolDownMs }, 'c', overload, Date.now())
        expect(ours.status).toBe(states[theirs.state])
        if (ours.status === 'open') seen.opened += 1
      }
      seen.histories += 1
    },
  )
  await fc.assert(histories, { numRuns: 2_000 })
  expect(seen.histories).toBe(2_000)
  // And the histories were worth it.
  expect(seen.opened).toBeGreaterThan(2_000)
  expect(seen.probes).toBeGreaterThan(1_000)
})

describe('I14: with any number of callers, who come back in any order or never', () => {
  const neutral = [
    'abort',
    'auth',
    'invalid-request',
    'content-filter',
    'context-overflow',
    'spend-limit',
    'lost',
  ] as const
  const classes: readonly FailureClass[] = [
    ...neutral,
    'overload',
    'transport',
    'timeout',
    'malformed',
    'error',
    'rate-limit',
  ]
  const moves = fc.array(
    fc.record({
      kind: fc.constantFrom('ask', 'ask', 'ok', 'fail', 'vanish', 'time'),
      pick: fc.nat(1_000),
      failure: fc.constantFrom(...classes),
      ms: fc.integer({ min: 1, max: 80 }),
    }),
    { minLength: 10, maxLength: 120 },
  )

  test('there is one probe at a time, none is let through while it is open or paused, and no prober blocks it for ever', () => {
    const policy = { failures: 3, coolDownMs: 50 }
    fc.assert(
      fc.property(moves, (all) => {
        let [nowMs, number] = [1_000, 0]
        let breaker: Breaker = closedBreaker
        const out: { caller: string; probeUntilMs: number | undefined }[] = []
        for (const { kind, pick, failure, ms } of all) {
          if (kind === 'time') nowMs += ms
          else if (kind === 'ask') {
            const caller = `c${(number += 1)}`
            const admission = admit(breaker, caller, nowMs, nowMs + 40)
            if (!admission.admitted) {
              expect(admission.untilMs).toBeGreaterThan(nowMs)
              continue
            }
            expect(breaker.pausedUntilMs).toBeLessThanOrEqual(nowMs)
            if (breaker.status !== 'closed') {
              // A probe: whoever probed before has had its time.
              expect(breaker.untilMs).toBeLessThanOrEqual(nowMs)
              expect(out.filter(({ probeUntilMs = 0 }) => probeUntilMs > nowMs)).toEqual([])
              expect(admission.breaker).toMatchObject({ status: 'half-open', probe: caller })
            }
            out.push({ caller, probeUntilMs: breaker.status === 'closed' ? undefined : nowMs + 40 })
            breaker = admission.breaker
          } else if (out.length > 0) {
            const [{ caller }] = out.splice(pick % out.length, 1) as [(typeof out)[number]]
            const before = breaker
            if (kind === 'ok') breaker = succeeded(breaker, caller)
            if (kind === 'fail')
              breaker = failed(breaker, policy, caller, { class: failure, retryAfterMs: pick % 90 }, nowMs)
            if (
              kind === 'fail' &&
              before.status === 'closed' &&
              (failure === 'rate-limit' || neutral.includes(failure as never))
            ) {
              expect([breaker.status, breaker.failures]).toEqual(['closed', before.failures])
            }
            expect(breaker.pausedUntilMs).toBeGreaterThanOrEqual(before.pausedUntilMs)
          }
        }
        // Whatever happened: in the end somebody is let through.
        expect(admit(breaker, 'last', nowMs + 100, nowMs + 200).admitted).toBe(true)
      }),
      { numRuns: 1_000 },
    )
  })
})

describe('T12: at its threshold', () => {
  const policy = { failures: 3, coolDownMs: 1_000 }
  const after = (...outcomes: readonly ('ok' | 'fail')[]): Breaker =>
    outcomes.reduce<Breaker>(
      (breaker, outcome) => (outcome === 'ok' ? succeeded(breaker, 'c') : failed(breaker, policy, 'c', overload, 0)),
      closedBreaker,
    )

  test('it opens at the third failure in a row, not at the second, and a success in between begins anew', () => {
    expect(after('fail', 'fail').status).toBe('closed')
    expect(after('fail', 'fail', 'fail')).toMatchObject({ status: 'open', untilMs: 1_000 })
    expect(after('fail', 'fail', 'ok', 'fail', 'fail').status).toBe('closed')
  })

  test('a success of a healthy one changes nothing, not even the object', () => {
    expect(succeeded(closedBreaker, 'c')).toBe(closedBreaker)
  })

  test('what was asked before it opened says nothing afterwards', () => {
    const open = after('fail', 'fail', 'fail')
    expect(succeeded(open, 'early')).toBe(open)
    expect(failed(open, policy, 'early', overload, 500)).toBe(open)
    const probing = admit(open, 'probe', 1_000, 2_000)
    if (!probing.admitted) throw new Error('the probe was not admitted')
    expect(succeeded(probing.breaker, 'early')).toBe(probing.breaker)
    expect(succeeded(probing.breaker, 'probe')).toMatchObject({ status: 'closed', failures: 0, probe: null })
    expect(failed(probing.breaker, policy, 'probe', overload, 1_500)).toMatchObject({ status: 'open', untilMs: 2_500 })
  })

  test('a rate limit that asks for a thousand years of quiet pauses the key, which is shared, for an hour', () => {
    const asked = { class: 'rate-limit', retryAfterMs: 365 * 86_400_000_000 } as const
    expect(failed(closedBreaker, policy, 'c', asked, 5)).toMatchObject({ pausedUntilMs: 5 + 3_600_000 })
  })

  test('a probe that tells nothing lets another probe at once; one that is told to wait has found it well', () => {
    const probing = admit(after('fail', 'fail', 'fail'), 'probe', 1_000, 2_000)
    if (!probing.admitted) throw new Error('the probe was not admitted')
    expect(failed(probing.breaker, policy, 'probe', { class: 'abort' }, 1_200)).toMatchObject({
      status: 'open',
      untilMs: 1_200,
    })
    expect(failed(probing.breaker, policy, 'probe', { class: 'rate-limit', retryAfterMs: 300 }, 1_200)).toMatchObject({
      status: 'closed',
      pausedUntilMs: 1_500,
    })
  })
})
