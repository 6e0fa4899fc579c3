// Why a task ended badly, in a line: what was wrong last, before the engine gave up, or the way out that was chosen.

import { stripVTControlCharacters } from 'node:util'
import type { EventType } from '../core/event.ts'
import type { TaskStatus } from '../core/task.ts'
import type { LoggedEvent } from '../store/store.ts'
import { describe } from './timeline.ts'

/** A reason, and the event that tells it. */
export interface Why {
  readonly seq: number
  readonly text: string
}

const wrongs: ReadonlySet<EventType> = new Set<EventType>([
  'model.failed',
  'tool.failed',
  'tool.doubted',
  'function.failed',
  'step.lost',
  'step.refused',
  'limit.reached',
  'deadline.passed',
])

/** Why a task ended as failed or cancelled; undefined where its log does not say. */
export function whyOf(events: readonly LoggedEvent[], status: TaskStatus): Why | undefined {
  if (status !== 'failed' && status !== 'cancelled') return undefined
  // What comes late is logged behind the end.
  const before = events.slice(
    0,
    events.findLastIndex(({ type }) => type === 'task.ended'),
  )
  const cancelled = before.findLast(({ type }) => type === 'task.cancelled')
  if (status === 'cancelled') return cancelled && tell(cancelled)
  const left = before.findLast((event) => event.type === 'transition.taken')
  const entered = before.findLast((event) => event.type === 'state.entered')
  const isChosen = left && !left.data.exit.startsWith('$') && entered?.data.kind === 'final'
  if (isChosen) return chosen(before, left)
  const wrong = before.findLast(({ type }) => wrongs.has(type))
  return wrong && tell(wrong)
}

/** A way out that was declared was chosen: by whom, where it was a human. */
function chosen(before: readonly LoggedEvent[], left: Extract<LoggedEvent, { type: 'transition.taken' }>): Why {
  const { source, exit } = left.data
  const answered = before.findLast((event) => event.type === 'human.answered' && event.seq < left.seq)
  const asked = before.findLast((event) => event.type === 'state.entered' && event.seq < left.seq)
  const byHuman = asked?.type === 'state.entered' && asked.data.kind === 'human' && answered
  return { seq: left.seq, text: `${source} was left by ${exit}${byHuman ? `: ${tell(answered).text}` : ''}` }
}

function tell(event: LoggedEvent): Why {
  return { seq: event.seq, text: stripVTControlCharacters(describe(event) ?? event.type).trim() }
}
