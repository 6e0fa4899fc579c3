// What a schedule does about its occurrences: which one begins, which waits, and which never will. It decides on times that
// somebody else read off the cron expression and on whether the task before has ended; nothing is started here.

/** What becomes of an occurrence while the task of the one before has not ended: it is left out, it waits, or it begins. */
export const overlaps = ['skip', 'queue', 'allow'] as const

/** One of the rules. */
export type Overlap = (typeof overlaps)[number]

/** What a schedule remembers of its occurrences. Each one that is past is counted once: started, skipped, missed, failed, or it waits. */
export interface Progress {
  /** The first occurrence that nothing was decided about; null when there is none any more. */
  readonly nextAtMs: number | null
  /** The occurrences that wait until the one before has ended, in order. */
  readonly waiting: readonly number[]
  /** The occurrence that was started last, and its task. */
  readonly lastAtMs: number | null
  readonly lastTaskId: string | null
  readonly started: number
  /** Left out because the one before had not ended. */
  readonly skipped: number
  /** Came when nobody was there to start them. */
  readonly missed: number
  /** Could not be started: the newest one because of `problem`, which a later one that begins takes away. */
  readonly failed: number
  readonly problem: string | null
}

/** What is known when a schedule is looked at. */
export interface Look {
  /** The occurrences since `nextAtMs` that are past, in order; the first of them when there are too many to look at once. */
  readonly times: readonly number[]
  /** The one after those. */
  readonly nextAtMs: number | null
  readonly nowMs: number
  /** The task of the occurrence that was started last has not ended. */
  readonly busy: boolean
}

/** How many occurrences of one schedule wait at most; more are skipped. */
export const waitingMax = 100

/**
 * Decides about all occurrences that are past. Of several the latest counts, the others were missed. Answers with the one to
 * be started, if any, and with what is to be remembered besides that; undefined when there is nothing to do.
 */
export function plan(
  overlap: Overlap,
  progress: Progress,
  { times, nextAtMs, nowMs, busy }: Look,
): { readonly startAtMs: number | undefined; readonly progress: Progress } | undefined {
  const isLate = nextAtMs !== null && nextAtMs <= nowMs
  const fresh = isLate ? [] : times.slice(-1)
  const queue = [...progress.waiting, ...fresh]
  const free = overlap === 'allow' || !busy
  const startAtMs = free ? queue[0] : undefined
  const rest = free ? queue.slice(1) : queue
  if (times.length === 0 && startAtMs === undefined) return undefined
  const waiting = rest.slice(0, overlap === 'queue' ? waitingMax : 0)
  return {
    startAtMs,
    progress: {
      ...progress,
      nextAtMs,
      waiting,
      skipped: progress.skipped + rest.length - waiting.length,
      missed: progress.missed + times.length - fresh.length,
    },
  }
}

/** An occurrence was started. */
export function started(progress: Progress, atMs: number, taskId: string): Progress {
  return { ...progress, started: progress.started + 1, lastAtMs: atMs, lastTaskId: taskId, problem: null }
}

/** An occurrence cannot be started, now or later. */
export function failed(progress: Progress, problem: string): Progress {
  return { ...progress, failed: progress.failed + 1, problem }
}

/** The id of an occurrence's task: the same whoever starts it. `NAME.20261126T080000Z`. */
export function occurrenceId(name: string, atMs: number): string {
  return `${name}.${new Date(atMs).toISOString().replaceAll(/[-:]|\.\d+/g, '')}`
}

/** Whether something can be a schedule's name: a task's id begins with it. */
export function isScheduleName(name: string): boolean {
  return /^[\w.:-]{1,100}$/.test(name)
}
