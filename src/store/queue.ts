// The queue: tasks that are due are given to whoever asks, under a lease that is kept alive.

import { noLimit } from './statements.ts'
import type { Claim, ClaimRequest, Head, Renewal, Renewed } from './store.ts'
import { all, one, run, type Tx } from './tx.ts'

/** Gives out tasks that are due, each under the lease of the request. */
export function* claim(request: ClaimRequest): Tx<Claim[]> {
  const { definitions, nowMs, taskId, except = [], limit, worker, lease, leaseMs, delivered = {} } = request
  const { min = 0, max = noLimit } = delivered
  const claims: Claim[] = []
  const not = JSON.stringify(except)
  for (const definition of definitions) {
    const room = limit - claims.length
    if (room <= 0) break
    const due =
      taskId === undefined
        ? all<Omit<Claim, 'lease'>>('due', definition, nowMs, not, room, min, max)
        : all<Omit<Claim, 'lease'>>('dueOfTask', definition, nowMs, taskId, not, room)
    for (const row of yield* due) claims.push({ ...row, lease })
  }
  if (claims.length > 0)
    yield* run('lease', nowMs + leaseMs, worker, lease, JSON.stringify(claims.map((claimed) => claimed.taskId)))
  return claims
}

/** When the next task of some definitions is due that nobody holds; null: none waits for a time. */
export function* nextDue(
  definitions: readonly string[],
  taskId: string | undefined,
  except: string,
  { min = 0, max = noLimit }: NonNullable<ClaimRequest['delivered']>,
): Tx<number | null> {
  let next: number | null = null
  for (const definition of definitions) {
    const row: { due: number | null } | undefined =
      taskId === undefined
        ? yield* one('nextDue', definition, except, min, max)
        : yield* one('nextDueOfTask', definition, except, taskId)
    const due = row?.due ?? null
    if (due !== null && (next === null || due < next)) next = due
  }
  return next
}

/** Keeps leases alive until a time, those that are held still; tells of each task how far it has come. */
export function* renew(leases: readonly Renewal[], wantedMs: number): Tx<Renewed[]> {
  type Held = Head & { taskId: string; lease: string | null; untilMs: number; news: number }
  const taskIds = JSON.stringify(leases.map(({ taskId }) => taskId))
  yield* run('renew', wantedMs, taskIds, JSON.stringify([...new Set(leases.map(({ lease }) => lease))]))
  const found = new Map((yield* all<Held>('held', taskIds)).map((row) => [row.taskId, row]))
  return leases.map(({ taskId, lease }) => {
    const { seq = 0, untilMs = 0, news = 0, lease: its } = found.get(taskId) ?? {}
    return { taskId, held: its === lease, untilMs, seq, news }
  })
}
