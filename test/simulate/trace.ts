// A world in words, for people: its scene in one line, and what was written in it, event by event.

import type { Event } from '../../src/core/event.ts'
import type { Scene } from '../../src/redteam/scene.ts'

const textMax = 160

/** A scene in one line. */
export function sayScene({ agent, seed, tasks, workers, wander, lagMs, limits, whims, faults = [] }: Scene): string {
  return [
    `seed ${seed}: ${agent.name}, ${tasks ?? 1} tasks, ${workers ?? 1} workers`,
    ...(wander ? [`models wander at ${wander}`] : []),
    ...(lagMs ? [`writes take up to ${lagMs} ms`] : []),
    ...(limits ? [`limits ${JSON.stringify(limits)}`] : []),
    ...(whims ? [`people act unasked at ${whims.share}`] : []),
    faults.length > 0 ? `faults ${faults.join(' ')}` : 'no faults',
  ].join(', ')
}

/** What was written, one line for each event, in order. */
export function sayEvents(written: readonly Event[]): readonly string[] {
  const began = written[0]?.at ?? 0
  return written.map(({ taskId, seq, type, at, data }) => {
    const text = JSON.stringify(data)
    const cut = text.length > textMax ? `${text.slice(0, textMax)}…` : text
    return `${((at - began) / 1_000).toFixed(1).padStart(9)} s  ${taskId} #${seq} ${type} ${cut}`
  })
}
