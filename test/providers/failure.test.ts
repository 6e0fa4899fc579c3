// What a provider's refusal means, by values: the class that decides whether another try is worth it.

import { expect, test } from 'vitest'
import type { FailureClass } from '../../src/core/model.ts'
import { classify, retryAfter, type Exchange } from '../../src/providers/failure.ts'

const now = Date.parse('2026-11-24T12:00:00Z')
const error = (fields: object): string => JSON.stringify({ error: { message: 'CANARY of the prompt', ...fields } })

test.each<[Exchange, FailureClass]>([
  [{}, 'transport'],
  [{ status: 500, body: '<html>CANARY</html>' }, 'overload'],
  [{ status: 502 }, 'overload'],
  [{ status: 503, body: error({ type: 'overloaded_error' }) }, 'overload'],
  [{ status: 529 }, 'overload'],
  [{ status: 408 }, 'overload'],
  [{ status: 409 }, 'overload'],
  [{ status: 429, body: error({ code: 'rate_limit_exceeded' }) }, 'rate-limit'],
  [{ status: 429, body: error({ code: 'insufficient_quota' }) }, 'spend-limit'],
  [{ status: 400, body: error({ message: 'Your credit balance is too low' }) }, 'spend-limit'],
  [{ status: 401 }, 'auth'],
  [{ status: 403, body: error({ type: 'permission_error' }) }, 'auth'],
  [{ status: 400, body: error({ code: 'context_length_exceeded' }) }, 'context-overflow'],
  [{ status: 400, body: error({ message: 'prompt is too long: 210000 tokens > 200000 maximum' }) }, 'context-overflow'],
  [{ status: 413, body: error({ message: 'input is too long' }) }, 'context-overflow'],
  [{ status: 400, body: error({ code: 'content_filter' }) }, 'content-filter'],
  [{ status: 400, body: error({ code: 'invalid_value' }) }, 'invalid-request'],
  [{ status: 404, body: error({ code: 'model_not_found' }) }, 'invalid-request'],
  [{ status: 422 }, 'invalid-request'],
  [{ status: 200, body: 'CANARY' }, 'malformed'],
])('%j is of class %s, and its message holds nothing of the prompt', (exchange, kind) => {
  const failure = classify(exchange, now)
  expect(failure.class).toBe(kind)
  expect(failure.status).toBe(exchange.status)
  expect(JSON.stringify(failure)).not.toContain('CANARY')
})

test("the provider's own short code is kept, a sentence in its place is not", () => {
  expect(classify({ status: 404, body: error({ code: 'model_not_found' }) }, now).message).toContain('model_not_found')
  expect(classify({ status: 404, body: error({ code: 'CANARY is a sentence' }) }, now).message).not.toContain('CANARY')
})

test.each<[Record<string, string>, number | undefined]>([
  [{ 'retry-after': '3' }, 3_000],
  [{ 'retry-after': '0' }, 0],
  [{ 'retry-after': '1.5' }, 1_500],
  [{ 'retry-after-ms': '250', 'retry-after': '9' }, 250],
  [{ 'retry-after': 'Tue, 24 Nov 2026 12:00:30 GMT' }, 30_000],
  [{ 'retry-after': 'Tue, 24 Nov 2026 11:00:00 GMT' }, 0],
  [{ 'retry-after': '-5' }, undefined],
  [{ 'retry-after': 'soon' }, undefined],
  [{ 'retry-after': 'maybe 7' }, undefined],
  [{ 'retry-after': '' }, undefined],
  [{ 'retry-after': `1${'0'.repeat(400)}` }, 366 * 86_400_000],
  [{}, undefined],
])('M06: Retry-After %j is %s ms', (headers, ms) => {
  expect(retryAfter(headers, now)).toBe(ms)
})
