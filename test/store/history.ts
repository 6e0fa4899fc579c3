// Random histories: an agent with every kind of state, driven by a list of choices. Each decision is committed to a
// store as a worker would, so that what the store holds can be held against what the events say.

import { z } from 'zod'
import { defineAgent, type Agent } from '../../src/core/agent.ts'
import { openGate, type Gate } from '../../src/core/breaker.ts'
import { answer, cancel, signal } from '../../src/core/command.ts'
import { defineContext } from '../../src/core/context.ts'
import { late, proceed, resume, settle, type Ending } from '../../src/core/decide.ts'
import { start } from '../../src/core/start.ts'
import { draft, type Draft, type Terms, noTerms } from '../../src/core/draft.ts'
import type { Event } from '../../src/core/event.ts'
import { isFault } from '../../src/core/fault.ts'
import type { Json } from '../../src/core/json.ts'
import type { AnswerPart } from '../../src/core/model.ts'
import { told } from '../../src/core/notice.ts'
import { checkpointOf, pastAt } from '../../src/core/past.ts'
import { boundsOf } from '../../src/core/quota.ts'
import { rollbackTo } from '../../src/core/rollback.ts'
import { isEnded, type OpenStep, type Task } from '../../src/core/task.ts'
import { compile } from '../../src/core/machine.ts'
import { defineTool, type Tool } from '../../src/core/tool.ts'
import { genesis, sha256 } from '../../src/store/log.ts'
import type { Head, Store } from '../../src/store/store.ts'

const tool = (name: string, idempotent: boolean, more: Partial<Tool> = {}) =>
  defineTool({
    ...more,
    name,
    description: name,
    inputSchema: z.object({ x: z.unknown() }),
    effect: 'external',
    idempotent,
    execute: () => null,
    ...(idempotent ? { undo: () => null } : {}),
  })
const safe = tool('safe', true, { trust: 'untrusted' })
const unsafe = tool('unsafe', false, { privacy: 'private' })
const asked = tool('asked', true, { approval: { expires: '8s', quorum: 2, escalate: [{ after: '2s', to: 'bo' }] } })

export const everyKind: Agent<any, any> = defineAgent({
  name: 'every-kind',
  version: '1',
  context: defineContext({
    goal: z.unknown(),
    list: { schema: z.array(z.json()), initial: [], merge: 'append' },
    last: { schema: z.json().optional(), outward: true },
    grade: z.boolean().optional(),
  }),
  limits: { steps: 16, tokens: 8_000, soft: 0.5 },
  initial: 'think',
  on: { $timeout: 'pause' },
  states: {
    think: {
      checkpoint: 'thought',
      model: ['main', 'backup'],
      prompt: 'p',
      tools: [safe, unsafe, asked],
      outputTokens: 400,
      turns: 4,
      visits: 4,
      refusals: 2,
      on: {
        NEXT: { target: 'act', output: z.object({ list: z.array(z.json()), last: z.json() }) },
        ASK: 'ask',
        $refused: 'ask',
      },
    },
    act: {
      tool: safe,
      args: ({ context }) => ({ x: context.last ?? null }),
      onFailure: 'rollback',
      on: { DONE: 'route' },
    },
    route: {
      run: () => 'OK',
      declassify: { trust: 'trusted', reason: 'a yes or a no' },
      on: { OK: { target: 'pause', output: z.object({ grade: z.boolean() }) }, AGAIN: 'think' },
    },
    ask: {
      human: { question: '?' },
      timeout: '1h',
      on: { yes: { target: 'think', output: z.object({ last: z.json() }).partial() }, no: 'failed' },
    },
    pause: {
      wait: { signal: 'go' },
      timeout: '1h',
      visits: 6,
      on: { DONE: { target: 'think', output: z.object({ last: z.json() }).partial() }, $timeout: 'done' },
    },
    done: { type: 'final' },
    failed: { type: 'final', failure: true },
  },
})

// It leaks, so that labels are in its histories: `check` would not let it run.
export const machine = compile(everyKind)

/** The gates of a store, as its histories have made them. */
const gatesOf = new WeakMap<Store, Map<string, Gate>>()
const bounds = boundsOf({ concurrency: 2, breaker: { failures: 2, coolDown: '2s' } })

/** One model has a price, the other has none; breakers open soon. */
export const historyTerms: Terms = {
  ...noTerms,
  price: (model, { outputTokens }) =>
    model === 'main' ? { costMicros: outputTokens * 7, source: 'configured' } : null,
  window: () => 1_500,
  bounds: () => bounds,
  hash: sha256,
}

/** What is known of a store besides: places are full now and then. */
const termsOf = (store: Store, nowMs: number, full: () => boolean): Terms => ({
  ...historyTerms,
  gate: (key) => gatesOf.get(store)?.get(key) ?? openGate,
  fullUntilMs: () => (full() ? nowMs + 1_000 : undefined),
})

/** Draws the next choice: a number below `n`. */
type Draw = (n: number) => number

/** Plays one task by choices and commits every decision. Answers with the events and the task as the worker saw it. */
export async function playHistory(
  store: Store,
  taskId: string,
  input: Json,
  choices: readonly number[],
  values: readonly Json[],
): Promise<{ events: Event[]; task: Task }> {
  let at = 0
  const draw: Draw = (n) => (choices[at++ % choices.length] ?? 0) % n
  // Looks at the choices and takes none.
  const peek: Draw = (n) => ((choices[at % choices.length] ?? 0) + at) % n
  const value = (): Json => values[draw(values.length)] ?? null
  let nowMs = 1_700_000_000_000
  const log: Event[] = []
  let head: Head = genesis
  const commit = async (work: Draft, point: 'start' | 'settle'): Promise<void> => {
    const committed = await store.commit({ point, head, events: work.events, task: work.task })
    if (!committed.ok) throw new Error(committed.reason)
    const gates = gatesOf.get(store) ?? new Map<string, Gate>()
    for (const [key, { version, breaker }] of work.gates) gates.set(key, { version, breaker })
    gatesOf.set(store, gates)
    head = committed.head
    log.push(...work.events)
  }
  const begun = start(machine, { taskId, definition: 'd', input: { goal: input }, by: 'test', seed: 1 }, nowMs)
  const { task } = begun
  await commit(begun, 'start')
  while (at < choices.length && (!isEnded(task) || goesBack(task, draw))) {
    nowMs += draw(3) * 1_000
    const work = draft(
      task,
      nowMs,
      termsOf(store, nowMs, () => draw(20) === 0),
    )
    if (isEnded(task) || peek(60) === 0) takeBack(work, log, draw)
    else move(work, draw, value)
    await commit(work, 'settle')
  }
  return { events: log, task }
}

/** Some tasks that have ended go back and run again. */
function goesBack({ status }: Task, draw: Draw): boolean {
  return status !== 'cancelled' && draw(3) === 0
}

/** A human takes the task back to any point, or to one that cannot be. */
function takeBack(work: Draft, log: readonly Event[], draw: Draw): void {
  const { task } = work
  const to = draw(4) === 0 ? 'thought' : draw(task.seq + 2)
  try {
    const past = typeof to === 'number' ? pastAt(task.id, log, to) : checkpointOf(task, to)
    rollbackTo(work, past, { asked: to, by: 'ana', reason: 'r' })
  } catch (thrown) {
    if (!isFault(thrown, 'ROLLBACK_INVALID') || work.events.length > 0) throw thrown
  }
}

function move(work: Draft, draw: Draw, value: () => Json): void {
  const { task } = work
  const open = [...task.open.values()]
  const [pending] = task.approvals.values()
  const waiting = pending ?? task.item
  if (waiting && draw(8) === 0) {
    const failure = { class: draw(2) ? 'overload' : 'invalid-request', message: 'm' } as const
    const delivery = draw(2)
      ? ({ ok: true, status: 200, latencyMs: 1 } as const)
      : ({ ok: false, failure, latencyMs: 1 } as const)
    told(
      work,
      {
        item: waiting.item,
        noticeId: `${waiting.item}.${waiting.item.split('.')[1]}`,
        attempt: 1 + draw(3),
        delayMs: 0,
      },
      delivery,
    )
  }
  if (pending && !pending.answer && draw(3) > 0) {
    const decision = ['approve', 'approve', 'reject', 'nonsense'][draw(4)]!
    answer(work, pending.item, { decision, by: ['ana', 'bo'][draw(2)]!, reason: 'r' })
  } else if (open.length > 0) {
    if (draw(10) === 0) {
      resume(machine, work)
      // The worker that was given up answers after all.
      const step = open[draw(open.length)]!
      if (draw(2)) late(work, { ...ending(step, draw, value), step: step.step, attempt: step.attempt, latencyMs: 1 })
    } else {
      const step = open[draw(open.length)]!
      settle(machine, work, {
        ...ending(step, draw, value),
        step: step.step,
        attempt: step.attempt,
        latencyMs: draw(50),
      })
    }
  } else if (task.item && !task.item.answer && work.nowMs < (task.item.expiresAtMs ?? Infinity) && draw(4) > 0) {
    const { item, options } = task.item
    const decision = options[draw(options.length)]!
    const data = decision !== 'raise' && draw(2) ? { data: { last: value() } } : {}
    answer(work, item, { decision, by: 'ana', reason: 'r', ...data })
  } else if (draw(60) === 0) cancel(work, { by: 'ana', reason: 'r' })
  else if (draw(3) === 0)
    signal(work, { name: 'go', data: { last: value() }, by: 'test', ...(draw(2) ? { key: String(draw(3)) } : {}) })
  else if (task.wait && draw(4) === 0) (work as { nowMs: number }).nowMs = task.wait.untilMs
  if (draw(4) > 0) proceed(machine, work)
}

function ending(step: OpenStep, draw: Draw, value: () => Json): Ending {
  if (draw(6) === 0) return { kind: 'failed', failure: { class: draw(2) ? 'timeout' : 'overload', message: 'm' } }
  if (step.kind === 'tool') return { kind: 'tool', result: draw(4) ? value() : 'much '.repeat(800) }
  if (step.kind === 'function')
    return { kind: 'function', leaving: { exit: ['OK', 'AGAIN', 'NO'][draw(3)]!, output: { grade: draw(2) === 0 } } }
  const answers: (() => AnswerPart)[] = [
    () => ({ type: 'call', id: '', name: 'safe', arguments: { x: value() } }),
    () => ({ type: 'call', id: '', name: 'unsafe', arguments: { x: value() } }),
    () => ({ type: 'call', id: '', name: 'asked', arguments: { x: value() } }),
    () => ({ type: 'call', id: '', name: 'NEXT', arguments: { list: [value()], last: value() } }),
    () => ({ type: 'call', id: '', name: 'NEXT', arguments: { list: [], last: 'see https://elsewhere.example/x' } }),
    () => ({ type: 'call', id: '', name: 'NEXT', arguments: { list: [], last: 'and www.elsewhere.example' } }),
    () => ({ type: 'call', id: '', name: 'ASK', arguments: {} }),
    () => ({ type: 'text', text: 'prose' }),
    () => ({ type: 'call', id: '', name: 'nope', raw: '{' }),
  ]
  // An exit counts only when it is alone.
  const content = Array.from({ length: 1 + (draw(2) ? 0 : draw(3)) }, () => answers[draw(answers.length)]!())
  const usage = {
    inputTokens: draw(100),
    outputTokens: draw(2) ? draw(50) : null,
    cachedInputTokens: null,
    cacheWriteTokens: null,
    reasoningTokens: null,
  }
  return {
    kind: 'model',
    answer: { provider: 'p', modelId: 'm', content, finish: draw(9) === 0 ? 'length' : 'tool-calls', usage },
  }
}
