// What must hold whatever goes wrong. Each invariant is judged from evidence alone: the log as it was hashed, what the
// outside saw, what models were asked. No model has an opinion here. An invariant answers with what breaks it, in words.

import type { Event, EventData } from '../core/event.ts'
import { evolve, fold } from '../core/fold.ts'
import { isObject, keyOf, type Json } from '../core/json.ts'
import { defaults } from '../core/limits.ts'
import { toolsOf, type Machine, type MachineTool } from '../core/machine.ts'
import type { Message } from '../core/model.ts'
import { readable } from '../core/reading.ts'
import { emptyTask, isEnded, type Task } from '../core/task.ts'
import { waysOf } from '../core/way.ts'
import { canonical, genesis, sha256 } from '../store/log.ts'
import { taskRow } from '../store/rows.ts'
import { canary } from './fault-kinds.ts'
import { roots } from './scene.ts'
import {
  agreedTo,
  answeredInTime,
  done,
  heardInTime,
  holders,
  oneAtATime,
  seenBefore,
  signalsKept,
  unknownIsKnown,
} from './kept-word.ts'
import { rootsOf, type Act, type Evidence, type Told } from './evidence.ts'
import { asItWas, differences, durable, heardOnce, sharedOnly, takenBackOnce } from './history.ts'

/** Something that must hold. `breaks` says where it does not; nothing where it holds. */
export interface Invariant {
  readonly id: string
  readonly what: string
  readonly breaks: (evidence: Evidence) => readonly string[]
}

/** The invariants that every play is held to. */
export const invariants: readonly Invariant[] = [
  { id: 'I1', what: 'the chain of every log verifies', breaks: (all) => [...chains(all), ...verified(all, false)] },
  {
    id: 'I2',
    what: 'folding the events gives what is stored',
    breaks: (all) => [...folds(all), ...verified(all, true)],
  },
  { id: 'I3', what: 'every transition is declared', breaks: ({ tasks }) => tasks.flatMap(transitions) },
  {
    id: 'I4',
    what: 'no effect twice for one key, and none blindly again',
    breaks: (all) => [...effects(all), ...unknownIsKnown(all)],
  },
  { id: 'I5', what: 'what was acknowledged is in the log', breaks: (all) => [...durable(all), ...done(all)] },
  { id: 'I6', what: 'settled and reserved stay within every budget', breaks: budgets },
  { id: 'I7', what: 'limits of steps and tool calls are exact', breaks: ({ tasks }) => tasks.flatMap(limits) },
  {
    id: 'I8',
    what: 'nothing outlives its deadline',
    breaks: (all) => [...all.tasks.flatMap((told) => deadlines(told, all.slackMs)), ...overdue(all)],
  },
  {
    id: 'I9',
    what: 'every task ends, or waits for somebody',
    breaks: (all) => [
      ...liveness(all),
      ...inVain(all),
      ...heardInTime(all),
      ...answeredInTime(all),
      ...all.tasks.flatMap(signalsKept),
    ],
  },
  {
    id: 'I10',
    what: 'no gated effect without an approval of exactly it',
    breaks: (all) => [...all.tasks.flatMap(approvals), ...agreedTo(all)],
  },
  { id: 'I11', what: 'no secret in any event or request', breaks: secrets },
  {
    id: 'I12',
    what: 'every model request is well formed',
    breaks: ({ asked }) => asked.flatMap(({ messages }) => request(messages)),
  },
  {
    id: 'I13',
    what: 'a task is in the hands of one, and whoever has lost it is not heard',
    breaks: (all) => [...holders(all), ...oneAtATime(all), ...all.tasks.flatMap(heardOnce)],
  },
  { id: 'I14', what: 'nobody calls through an open breaker', breaks: ({ written }) => breakers(written) },
  { id: 'I15', what: 'tries and delays stay within policy', breaks: ({ tasks }) => tasks.flatMap(retries) },
  {
    id: 'I17',
    what: 'a task reads of others only what they share with it',
    breaks: (all) => [...sharedOnly(all), ...strangers(all)],
  },
  {
    id: 'I18',
    what: 'what is taken back is taken back once, the latest first, and all is as it was',
    breaks: ({ tasks }) => tasks.flatMap((told) => [...takenBackOnce(told), ...asItWas(told)]),
  },
  { id: 'X2', what: 'nothing is written over that was not seen', breaks: ({ tasks }) => tasks.flatMap(seenBefore) },
  { id: 'X1', what: "no stranger's order decides who gets what, unasked", breaks: orders },
]

// ---- The log ---------------------------------------------------------------------------------------------------------

function chains({ tasks }: Evidence): string[] {
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

function verified({ verification }: Evidence, derived: boolean): string[] {
  return verification.findings
    .filter(({ kind }) => (kind === 'derived') === derived)
    .map(({ taskId, problem }) => `${taskId ?? 'store'}: ${problem}`)
}

function folds({ tasks }: Evidence): string[] {
  return tasks.flatMap(({ taskId, events, row }) => {
    const { seq, hash } = events.at(-1) ?? genesis
    const differs = differences(row, taskRow(fold(emptyTask(taskId), events), { seq, hash }))
    return differs.map((problem) => `${taskId}: ${problem}`)
  })
}

function transitions({ taskId, machine, events }: Told): string[] {
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

// ---- The outside -----------------------------------------------------------------------------------------------------

function toolIn({ tasks }: Evidence, { taskId, tool }: Act): MachineTool | undefined {
  return tasks.find((told) => told.taskId === taskId)?.machine.tools.get(tool)
}

function effects(evidence: Evidence): string[] {
  const done = evidence.acts.filter(
    (act) => act.kind === 'act' && !act.again && toolIn(evidence, act)?.effect !== 'read',
  )
  const perKey = [...Map.groupBy(done, ({ key }) => key).values()].flatMap((acts) => {
    const [first] = acts
    if (acts.length < 2 || !first || saidAgain(evidence, first)) return []
    return [`${first.tool} acted ${acts.length} times for one key in ${first.state}`]
  })
  const alike = [...Map.groupBy(done, ({ taskId, tool, arguments: input }) => keyOf([taskId, tool, input])).values()]
  const blind = alike.flatMap((acts) => {
    const isBlind = acts.some((act, index) => {
      const before = acts[index - 1]
      if (!before || before.key === act.key || isKnown(evidence, before, act)) return false
      return !isDecided(evidence, before, act) && !isWanted(evidence, act)
    })
    const [{ tool, state }] = acts as [Act]
    const many = new Set(acts.map(({ key }) => key)).size
    if (!isBlind) return []
    return [`${tool} was called again in ${state} after its answer was lost, under another key: it acted ${many} times`]
  })
  return [...perKey, ...blind]
}

/** Has a person said something between two calls? */
function isDecided(evidence: Evidence, before: Act, after: Act): boolean {
  const log = logOf(evidence, before)
  const [from, to] = [before, after].map((act) => log.indexOf(calledBy(evidence, act)!))
  return log
    .slice(from, to)
    .some(({ type, data }) => type === 'human.answered' || (type === 'rollback.started' && data.exit === undefined))
}

/** Has a model that was told of the failure asked anew, of a tool that may be asked again? */
function isWanted(evidence: Evidence, act: Act): boolean {
  return toolIn(evidence, act)?.idempotent === true && calledBy(evidence, act)?.data.index !== undefined
}

/** Did the engine know what became of a call when it made the next, and if by a late answer, has it been taken back? */
function isKnown(evidence: Evidence, before: Act, after: Act): boolean {
  const [first, next] = [calledBy(evidence, before), calledBy(evidence, after)]
  if (!first || !next) return false
  const log = logOf(evidence, before).filter(({ seq }) => seq < next.seq)
  const { step } = first.data
  const isAnswered = log.some(({ type, data }) => type === 'tool.answered' && data.step === step)
  return isAnswered || log.some(({ type, data }) => type === 'tool.called' && data.undoes === step)
}

/** The permission by which something was done. */
function calledBy(evidence: Evidence, act: Act): Called | undefined {
  const isIts = (event: Event): event is Called => event.type === 'tool.called' && event.data.idempotencyKey === act.key
  return logOf(evidence, act).find(isIts)
}

type Called = Extract<Event, { type: 'tool.called' }>

/** The log of the task that did something. */
function logOf({ tasks }: Evidence, { taskId }: Act): readonly Event[] {
  return tasks.find((told) => told.taskId === taskId)?.events ?? []
}

/** A person who was told that it may have acted had it called again. */
function saidAgain(evidence: Evidence, act: Act): boolean {
  return logOf(evidence, act).some((event) => event.type === 'human.answered' && event.data.decision === 'retry')
}

/** The values at the sinks of a call; of a tool that declares none, the whole of it. */
function sinkTexts(tool: MachineTool, input: Json): string {
  if (tool.sinks.size === 0) return JSON.stringify(input)
  const values = [...tool.sinks.keys()].map((path) =>
    path.split('.').reduce<unknown>((at, part) => (isObject(at) ? at[part] : undefined), input),
  )
  return JSON.stringify(values)
}

/** Has a tool given the order whose words the author trusts? Then no stranger has. */
function isVouchedFor(evidence: Evidence, act: Act, called: Called): boolean {
  const { machine } = evidence.tasks.find(({ taskId }) => taskId === act.taskId)!
  return logOf(evidence, act).some(
    ({ seq, type, data }) =>
      type === 'tool.answered' &&
      seq < called.seq &&
      machine.tools.get(data.tool)?.label.trust === 'trusted' &&
      JSON.stringify(data.result).includes(canary.host),
  )
}

function orders(evidence: Evidence): string[] {
  if (!evidence.injection) return []
  return evidence.acts.flatMap((act) => {
    const tool = toolIn(evidence, act)
    if (!tool || !(tool.outward || (tool.effect === 'write' && tool.sinks.size > 0))) return []
    if (!sinkTexts(tool, act.arguments).includes(canary.host)) return []
    const called = calledBy(evidence, act)
    if (called) {
      if (called.data.approval !== undefined || isVouchedFor(evidence, act, called)) return []
      // Where no argument decides who gets what, words may pass that the machine itself passes on; orders may not.
      if (tool.sinks.size === 0 && called.data.index === undefined) return []
    }
    return [`${act.tool} was called in ${act.state} with what a stranger ordered, and nobody was asked`]
  })
}

function secrets({ tasks, asked }: Evidence): string[] {
  const inLog = tasks.filter(({ events }) => JSON.stringify(events).includes(canary.secret))
  const inRequest = asked.some(({ messages }) => JSON.stringify(messages).includes(canary.secret))
  return [
    ...inLog.map(({ taskId }) => `${taskId}: a key is in its log`),
    ...(inRequest ? ['a model was shown a key'] : []),
  ]
}

/** Texts of every task of a world are made of a word of its own. */
function strangers({ tasks, asked, acts }: Evidence): string[] {
  const rootOf = rootsOf(tasks)
  // What nobody in particular has said is made of the first word.
  const owners = [...roots].slice(1)
  const seen = [
    ...asked
      .filter(({ isKnown }) => isKnown)
      .map(({ taskId, messages }) => ({ taskId, text: JSON.stringify(messages) })),
    ...acts.map(({ taskId, arguments: input }) => ({ taskId, text: JSON.stringify(input) })),
  ]
  return seen.flatMap(({ taskId, text }) =>
    owners
      .filter(([owner, word]) => owner !== rootOf.get(taskId) && text.includes(word))
      .map(([owner]) => `${taskId} has seen what is of ${owner}`),
  )
}

// ---- Limits ----------------------------------------------------------------------------------------------------------

function budgets({ tasks, written }: Evidence): string[] {
  const rootOf = rootsOf(tasks)
  return [...Map.groupBy(written, ({ taskId }) => rootOf.get(taskId) ?? taskId).values()].flatMap(budgetOfTree)
}

/** The events of a tree: what its root may spend is for all of it. */
function budgetOfTree(written: readonly Event[]): string[] {
  const tasks = new Map<string, Task>()
  const neared = new Set<string>()
  for (const event of written) {
    const task = tasks.get(event.taskId) ?? emptyTask(event.taskId)
    tasks.set(event.taskId, task)
    evolve(task, event)
    const root = [...tasks.values()][0]!
    let [tokens, micros] = [0, 0]
    for (const { usage, reserved } of tasks.values()) {
      tokens += usage.inputTokens + usage.outputTokens + reserved.tokens
      micros += usage.costMicros + reserved.costMicros
    }
    const { tokens: most, costMicros } = root.limits
    const where = `${event.taskId} #${event.seq}`
    if (tokens > most) return [`${where}: ${tokens} tokens, and ${most} are allowed`]
    if (costMicros !== null && micros > costMicros)
      return [`${where}: ${micros} micro-dollars, and ${costMicros} are allowed`]
    if (event.type !== 'limit.neared') continue
    const key = `${event.taskId} ${event.data.limit} ${event.data.max}`
    if (neared.has(key)) return [`${where}: the soft line of ${event.data.limit} was told twice`]
    neared.add(key)
  }
  return []
}

function limits({ taskId, events }: Told): string[] {
  const task = emptyTask(taskId)
  for (const event of events) {
    evolve(task, event)
    const { steps, toolCalls } = task.limits
    if (task.usage.steps > steps) return [`${taskId} #${event.seq}: step ${task.usage.steps} of ${steps}`]
    const many = [...task.toolCalls].find(([, count]) => count > toolCalls)
    if (many) return [`${taskId} #${event.seq}: ${many[0]} was called ${many[1]} times of ${toolCalls}`]
  }
  return []
}

function deadlines({ taskId, machine, events }: Told, slackMs: number): string[] {
  const open = new Map<string, number>()
  const first = new Map<number, number>()
  let visitEndsAtMs = Infinity
  const wrong: string[] = []
  for (const event of events) {
    const { data } = event
    const isUndone = event.type === 'tool.failed' && event.data.retry?.reason === 'undone'
    if (event.type === 'human.answered' || event.type === 'rollback.stopped' || isUndone) first.clear()
    // What people take is no time of the visit's.
    if (event.type === 'human.asked') visitEndsAtMs = Infinity
    if (event.type === 'state.entered')
      visitEndsAtMs = event.at + (machine.states.get(event.data.state)?.visitTimeoutMs ?? Infinity)
    const key = 'step' in data && 'attempt' in data ? `${data.step}.${data.attempt}` : undefined
    if (key === undefined) continue
    if (event.type === 'model.called' || event.type === 'tool.called' || event.type === 'function.called') {
      const { step, deadlineAtMs } = event.data
      open.set(key, deadlineAtMs)
      const isOwed = event.type === 'tool.called' && (event.data.reconciles ?? event.data.undoes) !== undefined
      if (isOwed) continue
      // All tries of a step have its time together; what a person has tried again has its own.
      const most = first.get(step) ?? deadlineAtMs
      first.set(step, most)
      if (deadlineAtMs > visitEndsAtMs)
        wrong.push(`${taskId} #${event.seq}: a try has ${deadlineAtMs - visitEndsAtMs} ms more than its visit`)
      if (deadlineAtMs > most)
        wrong.push(`${taskId} #${event.seq}: a try has ${deadlineAtMs - most} ms more than its step`)
      continue
    }
    const dueMs = open.get(key)
    if (dueMs === undefined || event.type === 'step.late') continue
    open.delete(key)
    const lateMs = event.at - dueMs
    if (lateMs > slackMs) wrong.push(`${taskId} #${event.seq}: ${event.type} came ${lateMs} ms after its deadline`)
  }
  return wrong
}

/** Nothing is asked for longer than it may be. */
function overdue({ inbox, endedAtMs, slackMs }: Evidence): string[] {
  return inbox.flatMap(({ item, expiresAtMs }) => {
    const lateMs = endedAtMs - (expiresAtMs ?? Infinity)
    return lateMs > slackMs ? [`${item} has expired ${lateMs} ms ago, and is asked yet`] : []
  })
}

function liveness({ tasks, stalled, inbox }: Evidence): string[] {
  if (tasks.length === 0) return ['the task was never begun']
  const asked = new Set(inbox.map(({ taskId }) => taskId))
  const open = tasks.filter(({ row }) => !isEnded(row))
  if (stalled) {
    const stuck = open.length > 0 ? open : tasks
    return stuck.map(
      ({ taskId, row: { state, status } }) => `${taskId} stands in ${state} (${status}), and nothing moves it`,
    )
  }
  return open.flatMap(({ taskId, row: { status, state, waitsFor } }) => {
    if (status !== 'waiting') return [`${taskId} rests in ${state} and is ${status}`]
    if (waitsFor === 'human' && !asked.has(taskId))
      return [`${taskId} waits for a human in ${state}, and nobody is asked`]
    return []
  })
}

/** Nobody is asked about a task that has ended. */
function inVain({ tasks, inbox }: Evidence): string[] {
  const over = new Set(tasks.filter(({ row }) => isEnded(row)).map(({ taskId }) => taskId))
  return inbox.flatMap(({ item, taskId }) => (over.has(taskId) ? [`${item} is asked, and its task has ended`] : []))
}

// ---- People ----------------------------------------------------------------------------------------------------------

function approvals({ taskId, machine, events }: Told): string[] {
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

// ---- Models and resilience -------------------------------------------------------------------------------------------

function request(messages: readonly Message[]): string[] {
  for (const [index, message] of messages.entries()) {
    const before = messages[index - 1]
    if (message.role === 'tool') {
      const results = message.results.map(({ id }) => id)
      if (results.join('\n') !== ids(before).join('\n'))
        return [`message ${index} answers ${results.length} calls of ${ids(before).length}`]
      continue
    }
    if (ids(before).length > 0) return [`the calls of message ${index - 1} have no results`]
    if (new Set(ids(message)).size !== ids(message).length) return [`message ${index} has two calls of one id`]
  }
  return ids(messages.at(-1)).length > 0 ? ['the last calls have no results'] : []
}

function ids(message: Message | undefined): string[] {
  return message?.role === 'assistant' ? message.content.flatMap((part) => (part.type === 'call' ? [part.id] : [])) : []
}

function breakers(written: readonly Event[]): string[] {
  const gates = new Map<string, EventData['breaker.changed']>()
  const probes = new Map<string, number>()
  for (const event of written) {
    if (event.type === 'breaker.changed') {
      const before = gates.get(event.data.key)
      const isEarly = before?.status === 'open' && event.data.status === 'half-open' && event.at < before.untilMs
      if (isEarly)
        return [`${event.taskId} #${event.seq}: ${event.data.key} is probed before its breaker has cooled down`]
      // Who probes has said how it came out, or has had its time, before another one probes.
      const isSecond = before?.status === 'half-open' && event.data.status === 'half-open' && event.at < before.untilMs
      if (isSecond && before.probe !== event.data.probe)
        return [`${event.taskId} #${event.seq}: ${event.data.key} is probed by two at a time`]
      gates.set(event.data.key, event.data)
      if (before?.probe !== event.data.probe) probes.delete(event.data.key)
    }
    const key =
      event.type === 'model.called'
        ? `model:${event.data.model}`
        : event.type === 'tool.called'
          ? `tool:${event.data.tool}`
          : ''
    const gate = gates.get(key)
    if (gate?.status === 'open' && event.at < gate.untilMs)
      return [`${event.taskId} #${event.seq}: ${key} is called while its breaker is open`]
    if (gate && event.at < gate.pausedUntilMs)
      return [
        `${event.taskId} #${event.seq}: ${key} is called ${gate.pausedUntilMs - event.at} ms too soon: it asked for quiet`,
      ]
    if (gate?.status !== 'half-open') continue
    const made = (probes.get(key) ?? 0) + 1
    probes.set(key, made)
    if (made > 1 && event.at < gate.untilMs) return [`${event.taskId} #${event.seq}: ${key} is probed by two at a time`]
  }
  return []
}

function retries({ taskId, machine, events }: Told): string[] {
  const tries = new Map<number, number>()
  const due = new Map<number, number>()
  const wrong: string[] = []
  let state: string | undefined
  for (const event of events) {
    if (event.type === 'state.entered') state = event.data.state
    if (event.type === 'model.called' || event.type === 'tool.called') due.set(event.data.step, event.data.deadlineAtMs)
    // A person who has it tried again gives it as many tries again.
    if (event.type === 'human.answered' && event.data.decision === 'retry') tries.clear()
    if (event.type !== 'model.failed' && event.type !== 'tool.failed') continue
    const { step, retry } = event.data
    // To ask whether it was done is no try; that it was not done makes the next one the first.
    if (retry?.reason === 'reconcile' || retry?.reason === 'undone') continue
    const made = (tries.get(step) ?? 0) + 1
    tries.set(step, made)
    if (!retry) continue
    const where = `${taskId} #${event.seq}`
    const most = mostTries(machine, state, event)
    if (made >= most) wrong.push(`${where}: try ${made + 1} of ${most}`)
    const deadlineAtMs = due.get(step) ?? Infinity
    if (retry.atMs >= deadlineAtMs)
      wrong.push(`${where}: is to be tried again ${retry.atMs - deadlineAtMs} ms after its deadline`)
    if (retry.delayMs < 0) wrong.push(`${where}: a delay of ${retry.delayMs} ms`)
    if (retry.reason === 'jitter' && retry.delayMs > defaults.retryCapMs)
      wrong.push(`${where}: waits ${retry.delayMs} ms, and ${defaults.retryCapMs} is the most`)
  }
  return wrong
}

function mostTries(machine: Machine, state: string | undefined, event: Event): number {
  const node = machine.states.get(state ?? '')
  if (event.type === 'tool.failed') {
    const tool = node && toolsOf(node).find(({ name }) => name === event.data.tool)
    return (tool ?? machine.tools.get(event.data.tool))?.retry.attempts ?? Infinity
  }
  // One more where a request that was too large is made smaller.
  return node?.kind === 'model' ? node.retry.attempts * node.models.length + 3 : Infinity
}
