// What must hold of a log, and of the rows that follow from it.

import { evolve, fold } from '../../core/fold.ts'
import type { Json } from '../../core/json.ts'
import { readable } from '../../core/reading.ts'
import { emptyTask } from '../../core/task.ts'
import { waysOf } from '../../core/way.ts'
import { canonical, genesis, sha256 } from '../../store/log.ts'
import { taskRow } from '../../store/rows.ts'
import type { Evidence, Told } from '../evidence.ts'
import { differences } from './history.ts'

/** Every event is hashed onto the one before. */
export function chains({ tasks }: Evidence): string[] {
  return tasks.flatMap(({ taskId, sealed }) => {
    let { seq, hash: previous } = genesis
    for (const { hash, ...event } of sealed) {
      seq += 1
      if (event.seq !== seq) return [`${taskId}: event ${seq} is missing`]
      if (event.prevHash !== previous) return [`${taskId}: event ${seq} does not follow the one before`]
      const hashed = { ...event, data: JSON.parse(event.data) as Json }
      if (sha256(canonical(hashed)) !== hash) return [`${taskId}: event ${seq} is not as it was written`]
      previous = hash
    }
    return []
  })
}

/** What the store itself finds wrong: in its logs, or in the rows that follow from them. */
export function verified({ verification }: Evidence, derived: boolean): string[] {
  return verification.findings
    .filter(({ kind }) => (kind === 'derived') === derived)
    .map(({ taskId, problem }) => `${taskId ?? 'store'}: ${problem}`)
}

/** Folding the events gives what is stored. */
export function folds({ tasks }: Evidence): string[] {
  return tasks.flatMap(({ taskId, events, row }) => {
    const { seq, hash } = events.at(-1) ?? genesis
    const differs = differences(row, taskRow(fold(emptyTask(taskId), events), { seq, hash }))
    return differs.map((problem) => `${taskId}: ${problem}`)
  })
}

/** Every transition is declared. */
export function transitions({ taskId, machine, events }: Told): string[] {
  let at: string | undefined
  let next: string | undefined = machine.initial
  const wrong: string[] = []
  const task = emptyTask(taskId)
  for (const event of events) {
    if (event.type === 'transition.taken') {
      const { source, exit, target, output = {} } = event.data
      const node = machine.states.get(source)
      const declared = node && waysOf(machine, node).some((way) => way.exit === exit && way.target === target)
      // A state that may not be entered once more is left before it is entered.
      const isBarred = source === next && ['$visits', '$stuck'].includes(exit)
      if (source !== at && !isBarred) wrong.push(`${taskId} #${event.seq}: leaves ${source} while in ${at}`)
      if (!declared) wrong.push(`${taskId} #${event.seq}: ${source} has no exit ${exit} to ${target}`)
      // What is seen is the context before the output is written.
      const candidates = node?.exits.get(exit)?.candidates ?? []
      const given = { context: node ? readable(machine, task, node) : {}, output }
      const holds = candidates.find(({ guard }) => !guard || guard(given) === true)
      if (candidates.length > 0 && holds?.target !== target)
        wrong.push(`${taskId} #${event.seq}: the guards of ${exit} lead to ${holds?.target}, and it goes to ${target}`)
      next = target
    }
    evolve(task, event)
    if (event.type === 'task.rolledBack' || event.type === 'task.migrated') next = event.data.state
    // A person who has it tried again may have the state entered again.
    if (event.type === 'human.answered' && event.data.decision === 'retry') next ??= at
    if (event.type !== 'state.entered') continue
    if (event.data.state !== next) wrong.push(`${taskId} #${event.seq}: enters ${event.data.state}, not ${next}`)
    at = event.data.state
    next = undefined
  }
  return wrong
}
