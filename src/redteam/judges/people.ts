// What must hold of what people agreed to.

import type { Event, EventData } from '../../core/event.ts'
import type { Told } from '../evidence.ts'

/** No gated effect without an approval of exactly it. */
export function approvals({ taskId, machine, events }: Told): string[] {
  const asked = new Map<string, Question>()
  const answers = new Map<string, number>()
  let visit = 0
  let beganAtMs = 0
  const agreed = new Map<string, Set<string>>()
  const used = new Map<string, number>()
  const wrong: string[] = []
  for (const event of events) {
    if (event.type === 'state.entered') visit = event.seq
    if (event.type === 'human.asked') asked.set(event.data.item, { ...event.data, visit })
    // Who stops a rollback asks again what was asked before it; the time that it took is nobody's.
    if (event.type === 'rollback.started') beganAtMs = event.at
    const again = event.type === 'rollback.stopped' && asked.get(event.data.item ?? '')
    if (again) asked.set(again.item, { ...again, expiresAtMs: (again.expiresAtMs ?? Infinity) + event.at - beganAtMs })
    if (event.type === 'human.answered') wrong.push(...answerProblems(event, asked.get(event.data.item), answers))
    if (event.type === 'human.answered' && ['approve', 'edit'].includes(event.data.decision)) {
      const names = agreed.get(event.data.item) ?? new Set()
      agreed.set(event.data.item, names.add(event.data.by))
    }
    if (event.type !== 'tool.called' || event.data.undoes !== undefined || event.data.reconciles) continue
    const { tool, approval, step } = event.data
    const where = `${taskId} #${event.seq}: ${tool}`
    if (approval === undefined) {
      if (machine.tools.get(tool)?.approval.always) wrong.push(`${where} was called, and nobody had agreed`)
      continue
    }
    const question = asked.get(approval)
    const by = agreed.get(approval) ?? new Set()
    if (!question) wrong.push(`${where} names the approval ${approval}, which nobody was asked for`)
    else if (by.size < (question.approval?.quorum ?? 1))
      wrong.push(`${where} has ${by.size} of ${question.approval?.quorum} approvals`)
    else if (question.approval && question.approval.tool !== tool) wrong.push(`${where}: another tool was approved`)
    else if (question.visit !== visit) wrong.push(`${where}: it was asked about in a visit that is over`)
    else if ((used.get(approval) ?? step) !== step) wrong.push(`${where}: the approval ${approval} was used before`)
    used.set(approval, step)
  }
  return wrong
}

/** A question, and the event that began the visit in which it was asked. */
type Question = EventData['human.asked'] & { readonly visit: number }

/** An answer counts once for each who has to agree, and in time. */
function answerProblems(
  { taskId, seq, at, data }: Extract<Event, { type: 'human.answered' }>,
  question: Question | undefined,
  answers: Map<string, number>,
): string[] {
  const { item } = data
  const many = (answers.get(item) ?? 0) + 1
  answers.set(item, many)
  const where = `${taskId} #${seq}`
  if (!question) return [`${where}: ${item} is answered, and was never asked`]
  const lateMs = at - (question.expiresAtMs ?? Infinity)
  const most = question.approval?.quorum ?? 1
  return [
    ...(lateMs >= 0 ? [`${where}: ${item} is answered ${lateMs} ms after it had expired`] : []),
    ...(many > most ? [`${where}: ${item} is answered ${many} times of ${most}`] : []),
  ]
}
