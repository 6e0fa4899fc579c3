// A notice tells the outside that something waits for a human. It is delivered at least once: tried again, later and later,
// until it is taken, the item is closed, or it is given up, and what came of each try is in the task's log.

import { emit, type Draft } from './draft.ts'
import { seqOf } from './item.ts'
import { defaults } from './limits.ts'
import type { Failure } from './model.ts'
import { draw, planRetry } from './resilience.ts'

/** A notice that is to be delivered. `attempt` counts from 1; `delayMs` is the delay before it. */
export interface Notice {
  readonly item: string
  readonly noticeId: string
  readonly attempt: number
  readonly delayMs: number
}

/** What came of a try. */
export type Delivery =
  | { readonly ok: true; readonly status: number; readonly latencyMs: number }
  | { readonly ok: false; readonly failure: Failure; readonly latencyMs: number }

const policy = { attempts: defaults.noticeAttempts, baseMs: defaults.noticeBaseMs, capMs: defaults.noticeCapMs }

/** Records what came of a try, and when the next is. */
export function told(work: Draft, { item, noticeId, attempt, delayMs }: Notice, delivery: Delivery): void {
  const { latencyMs } = delivery
  if (delivery.ok) {
    emit(work, 'notice.sent', { item, noticeId, attempt, status: delivery.status, latencyMs })
    return
  }
  const { failure } = delivery
  const retry = planRetry(policy, {
    failure,
    failures: attempt - 1,
    previousMs: delayMs,
    deadlineAtMs: Infinity,
    nowMs: work.nowMs,
    random: draw(work.task.seed, seqOf(item), attempt),
  })
  const { class: kind, message, status } = failure
  emit(work, 'notice.failed', {
    item,
    noticeId,
    attempt,
    class: kind,
    message,
    latencyMs,
    ...(status === undefined ? {} : { status }),
    ...(retry ? { retry: { ...retry, atMs: work.nowMs + retry.delayMs } } : {}),
  })
}
