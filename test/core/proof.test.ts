// No way through a machine joins untrusted words, private data and an outward effect without a person in between, or it is
// told, with the path. Small machines by hand, and a thousand made by chance against a search that knows no short cut.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, type Agent, type State } from '../../src/core/agent.ts'
import { check, compileChecked } from '../../src/core/check.ts'
import { defineContext } from '../../src/core/context.ts'
import { compile } from '../../src/core/machine.ts'
import { prove } from '../../src/core/proof.ts'
import { defineTool, type Tool } from '../../src/core/tool.ts'
import { call, Play, used } from '../play.ts'

const inputSchema = z.object({ to: z.string(), text: z.string() })
const tool = (name: string, more: Partial<Tool> = {}): Tool =>
  defineTool({ name, description: 'd', inputSchema, execute: () => null, ...more } as Tool)
const readMail = tool('read_mail', { trust: 'untrusted' })
const readFile = tool('read_file', { privacy: 'private' })
const send = tool('send', { effect: 'external', sinks: ['to'] })
const text = z.string().optional()
const output = z.object({ note: z.string() })
const ends = { end: { type: 'final' } } as const

function machine(states: Record<string, State>, more: Partial<Agent> = {}): Agent {
  const context = defineContext({
    goal: z.string(),
    note: text,
    other: text,
    customer: { schema: text, privacy: 'private' },
  })
  const on = { $error: 'end', $timeout: 'end' }
  return defineAgent({
    name: 'a',
    version: '1',
    context,
    initial: 'read',
    on,
    states: { ...states, ...ends },
    ...more,
  } as never)
}

const read = (more: object = {}): State => {
  return { model: 'm', prompt: 'p', tools: [readMail], reads: ['goal'], on: { OK: { target: 'act', output } }, ...more }
}
const act = (more: object = {}): State => ({ tool: send, args: () => ({}), on: { DONE: 'end' }, ...more }) as State

/** The tools that are reported, with their states and the paths. */
function told(agent: Agent): string[] {
  const flows = prove(compile(agent)).ungated
  return flows.map(({ state, tool, path }) => `${tool} in ${state}: ${path}`)
}

test('A55 a path from what is untrusted over what is private to an outward effect is an error, and it is printed', () => {
  const problems = check(
    machine({
      read: read({ on: { OK: { target: 'look', output }, AGAIN: 'read' }, visits: 3 }),
      look: {
        model: 'm',
        prompt: 'p',
        tools: [readFile],
        on: { OK: { target: 'act', output: z.object({ other: z.string() }) } },
      },
      act: act({ reads: ['goal', 'other'] }),
    }),
  )
  expect(problems).toEqual([
    {
      severity: 'error',
      code: 'FLOW_UNGATED',
      place: 'a.states.act.tool.send',
      problem:
        'send acts outside, and nobody is asked, where untrusted words (what read_mail answers in read, carried by note, then other) ' +
        'and private data (what read_file answers in look, carried by other) have met. The path: read -OK-> look -OK-> act.',
      cure: expect.stringContaining("approval: 'always'") as string,
    },
  ])
})

describe('a flow', () => {
  const both = tool('both', { trust: 'untrusted', privacy: 'secret' })
  const human = (more: object = {}): State => ({ human: { question: '?' }, on: { yes: 'act' }, ...more }) as State
  const asks = { ...send, approval: 'always' } as const
  const quarantine = { trust: 'trusted', reason: 'a number' } as const
  const viaHuman = (more: object, last: object = {}) =>
    machine({ read: read({ on: { OK: { target: 'ask', output } } }), ask: human(more), act: act(last) })
  const found = ['send in act: read -OK-> act']

  const cases: readonly (readonly [string, Agent, readonly string[]])[] = [
    ['of both over a key', machine({ read: read(), act: act() }), found],
    ['of untrusted words alone is none', machine({ read: read(), act: act({ reads: ['note'] }) }), []],
    ['of private data alone is none', machine({ read: read({ tools: [readFile] }), act: act() }), []],
    [
      'within one model state',
      machine({ read: read({ tools: [both, send] }), act: act() }),
      ['send in read: read', ...found],
    ],
    [
      'of what the outward tool itself answers, into its next call',
      machine({
        read: read({ tools: [{ ...send, ...both, name: 'fetch', effect: 'external' }] }),
        act: act({ reads: ['goal'] }),
      }),
      ['fetch in read: read'],
    ],
    [
      'into a tool state is not of what its tool answers',
      machine({ read: read({ tools: [] }), act: act({ tool: { ...send, ...both } }) }),
      [],
    ],
    [
      'into a read that speaks to a host',
      machine({ read: read(), act: act({ tool: tool('get', { egress: ['a.example'] }) }) }),
      ['get in act: read -OK-> act'],
    ],
    [
      'into a write that stays here is none',
      machine({ read: read(), act: act({ tool: tool('save', { effect: 'write' }) }) }),
      [],
    ],
    ['with an approval is none', machine({ read: read(), act: act({ tool: asks }) }), []],
    [
      'with an approval only when asked',
      machine({ read: read(), act: act({ tool: { ...send, approval: { when: 'asked' } } }) }),
      found,
    ],
    ['in strict mode is none, since a person is asked', machine({ read: read(), act: act() }, { strict: true }), []],
    ['over a person who has seen it is none', viaHuman({}), []],
    ['over a person who may not read it', viaHuman({ reads: ['goal'] }), ['send in act: read -OK-> ask -yes-> act']],
    [
      'over a person who did not answer',
      viaHuman({ timeout: '1h', on: { yes: 'end', $timeout: 'act' } }),
      ['send in act: read -OK-> ask -$timeout-> act'],
    ],
    [
      'past the soft line of a budget',
      machine(
        {
          read: read({ on: { OK: { target: 'rest', output } } }),
          rest: { run: () => 'DONE', on: { DONE: 'end' } },
          act: act(),
        },
        { limits: { onSoft: 'act' } },
      ),
      ['send in act: read -OK-> rest -$limit-> act'],
    ],
    [
      'after a failure that nothing routes',
      machine(
        {
          read: read({ on: { OK: { target: 'rest', output } } }),
          rest: { run: () => 'DONE', on: { DONE: 'end' } },
          act: act(),
        },
        { on: {}, onFailure: 'act' },
      ),
      ['send in act: read -OK-> rest -$error-> act'],
    ],
    [
      'that a rollback takes back is none',
      machine(
        { read: read({ checkpoint: 'start', on: { OK: { target: 'end', output }, BAD: 'act' } }), act: act() },
        { onFailure: 'rollback' },
      ),
      [],
    ],
    [
      'of a key that is replaced by our own words is none',
      machine({
        read: read({ on: { OK: { target: 'clean', output } } }),
        clean: { run: () => 'DONE', reads: ['goal'], on: { DONE: { target: 'act', output } } },
        act: act(),
      }),
      [],
    ],
    [
      'of a key that may be replaced, and may not',
      machine({
        read: read({ on: { OK: { target: 'clean', output } } }),
        clean: {
          run: () => 'DONE',
          reads: ['goal'],
          on: { DONE: { target: 'act', output: z.object({ note: text }) } },
        },
        act: act(),
      }),
      ['send in act: read -OK-> clean -DONE-> act'],
    ],
    [
      'of a key that a function hands over without a schema',
      machine({
        read: { run: () => 'DONE', writes: ['note'], reads: ['customer'], on: { DONE: 'look' } },
        look: read({ reads: ['note'], tools: [readMail, send] }),
        act: act({ reads: ['goal'] }),
      }),
      ['send in look: read -DONE-> look'],
    ],
    ['over a quarantine is none', machine({ read: read({ declassify: quarantine }), act: act() }), []],
    [
      'over a quarantine for privacy only',
      machine({ read: read({ tools: [both], declassify: { privacy: 'public', reason: 'r' } }), act: act() }),
      found,
    ],
    [
      'of a signal is none',
      machine({ read: { wait: { signal: 's' }, on: { DONE: { target: 'act', output } } }, act: act() }),
      [],
    ],
    [
      'of a declared key',
      machine(
        { read: read({ tools: [], reads: ['customer'] }), act: act({ reads: ['note', 'x'] }) },
        {
          context: defineContext({
            goal: z.string(),
            note: { schema: text, trust: 'untrusted' },
            customer: { schema: text, privacy: 'private' },
            x: text,
          }),
        },
      ),
      found,
    ],
    [
      'of private data that a person has seen, and of new untrusted words',
      machine({
        read: { run: () => 'DONE', reads: ['customer'], on: { DONE: { target: 'ask', output } } },
        ask: human({ on: { yes: 'look' } }),
        look: read({ reads: ['note'], tools: [readMail, send] }),
        act: act({ reads: ['goal'] }),
      }),
      ['send in look: read -DONE-> ask -yes-> look'],
    ],
    ...(['human', 'signal'] as const).map((who) => {
      const next = {
        human: human({ writes: ['mail'] }),
        signal: { wait: { signal: 's' }, writes: ['mail'], on: { DONE: 'act' } },
      }
      const mail = { schema: text, trust: 'untrusted' } as const
      const agent = machine(
        { read: human({ on: { yes: 'next' } }), next: next[who] as State, act: act() },
        { context: defineContext({ goal: z.string(), mail, customer: { schema: text, privacy: 'private' } }) },
      )
      const exit = who === 'human' ? 'yes' : 'DONE'
      return [
        `of a declared key that a ${who} writes anew`,
        agent,
        [`send in act: read -yes-> next -${exit}-> act`],
      ] as const
    }),
  ]

  test.each(cases)('%s', (_, agent, flows) => {
    expect(told(agent)).toEqual(flows)
  })

  test('of a list that grows keeps what it had', () => {
    const list = (merge: 'append' | 'replace') =>
      machine(
        {
          read: read({ on: { OK: { target: 'more', output: z.object({ list: z.array(z.string()) }) } } }),
          more: {
            run: () => 'DONE',
            reads: [],
            on: { DONE: { target: 'act', output: z.object({ list: z.array(z.string()) }) } },
          },
          act: act(),
        },
        {
          context: defineContext({
            goal: z.string(),
            list: { schema: z.array(z.string()), initial: [], merge },
            customer: { schema: text, privacy: 'private' },
          }),
        },
      )
    expect(told(list('append'))).toEqual(['send in act: read -OK-> more -DONE-> act'])
    expect(told(list('replace'))).toEqual([])
  })
})

test('a machine that leaks does not run, unless all its leaks go into tools whose sinks are judged at run time', () => {
  const bare = tool('post', { effect: 'external' })
  const leaks = (last: Tool) => machine({ read: read(), act: act({ tool: last }) })
  expect(() => compileChecked(leaks(bare))).toThrow('FLOW_UNGATED a.states.act.tool.post')
  expect(compileChecked(leaks(send)).name).toBe('a')
  const both = machine({ read: read({ tools: [readMail, readFile, send] }), act: act({ tool: bare }) })
  expect(() => compileChecked(both)).toThrow('has 2 errors')
  expect(() => compileChecked({ ...leaks(send), version: '' })).toThrow('NAME_INVALID')
})

test('an outward tool without sinks that untrusted words reach is a warning, once a tool, and no error', () => {
  const bare = tool('post', { effect: 'external' })
  const states = { read: read({ reads: ['goal'], tools: [readMail, bare] }), act: act({ tool: bare, reads: ['note'] }) }
  expect(check(machine(states)).map(({ severity, code, place }) => `${severity} ${code} ${place}`)).toEqual([
    'warning SINKS_MISSING a.states.read.tools.post',
  ])
  const always = { ...bare, approval: 'always' } as const
  const asked = { read: read({ tools: [readMail, always] }), act: act({ tool: always, reads: ['note'] }) }
  expect(check(machine(asked))).toEqual([])
})

test('past the bound what is known is joined: nothing is left out, and the report says that it may be too much', () => {
  const agent = machine({ read: read({ on: { A: { target: 'act', output }, B: 'act' } }), act: act() })
  const exact = prove(compile(agent))
  const joined = prove(compile(agent), 1)
  expect([exact.exact, joined.exact]).toEqual([true, false])
  expect(joined.ungated.map(({ state, tool }) => [state, tool])).toEqual(
    exact.ungated.map(({ state, tool }) => [state, tool]),
  )
})

test.each(['at once', 'one after the other'])('more cases than the bound, made %s, are joined soon', (how) => {
  // Each of many keys may be marked as untrusted or as private: most of the cases cover no other.
  const keys = Array.from({ length: 16 }, (_, index) => `k${index}`)
  const all = z.object(Object.fromEntries(keys.map((key) => [key, text])))
  const one = (key: string, target: string) => [key, { target, output: z.object({ [key]: z.string() }) }] as const
  const mark = (label: Partial<Tool>, next: string): State => {
    const ways =
      how === 'at once' ? { OK: { target: next, output: all } } : Object.fromEntries(keys.map((key) => one(key, next)))
    return { model: 'm', prompt: 'p', reads: [], visits: 3, tools: [tool(`t_${next}`, label)], on: ways } as State
  }
  const agent = machine(
    {
      read: mark({ trust: 'untrusted' }, 'two'),
      two: mark({ privacy: 'private' }, 'act'),
      act: act({ on: { DONE: 'read', END: 'end' }, exit: () => 'DONE' }),
    },
    { context: defineContext({ ...Object.fromEntries(keys.map((key) => [key, text])), goal: z.string() }) },
  )
  const begun = performance.now()
  const problems = check(agent)
  expect(performance.now() - begun).toBeLessThan(5_000)
  expect(problems.map(({ code }) => code)).toEqual(['FLOW_UNGATED'])
  expect(problems[0]?.problem).toContain('this may be a flow that no task has')
})

// ---- By chance, against brute force ----------------------------------------------------------------------------------

const names = ['k0', 'k1', 'k2'] as const
type Name = (typeof names)[number]
const states = ['s0', 's1', 's2', 's3'] as const
type Label = { trust: string; privacy: string }

/** What a machine is made from, and what the brute force reads: it never looks at the machine. */
interface Plan {
  keys: Record<Name, Label & { append: boolean }>
  tools: (Label & { effect: string; egress: boolean; approval: string; sinks: boolean })[]
  states: {
    kind: 'model' | 'tool' | 'run' | 'human' | 'signal' | 'delay'
    reads: Name[] | undefined
    writes: Name[] | undefined
    tools: number[]
    exits: { target: number; schema: 'none' | 'named' | 'loose'; keys: { name: Name; optional: boolean }[] }[]
    engine: { exit: string; target: number }[]
    mapper: boolean
    declassify: Partial<Label> | undefined
    onFailure: number | undefined
  }[]
  routes: { exit: string; target: number }[]
  onSoft: number | undefined
  onFailure: number | undefined
}

const label = {
  trust: fc.constantFrom('trusted', 'trusted', 'untrusted'),
  privacy: fc.constantFrom('public', 'public', 'private', 'secret'),
}
const target = fc.nat(states.length)
const seldom = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 4 })
const route = fc.record({ exit: fc.constantFrom('$error', '$timeout', '$doubt', '$visits'), target })
const key = fc.record({ ...label, append: fc.boolean() })
const plan: fc.Arbitrary<Plan> = fc.record({
  keys: fc.record({ k0: key, k1: key, k2: key }),
  tools: fc.array(
    fc.record({
      ...label,
      effect: fc.constantFrom('read', 'write', 'external', 'external'),
      egress: fc.boolean(),
      approval: fc.constantFrom('none', 'none', 'none', 'asked', 'always'),
      sinks: fc.boolean(),
    }),
    { minLength: 3, maxLength: 3 },
  ),
  states: fc.array(
    fc.record({
      kind: fc.constantFrom('model', 'model', 'tool', 'run', 'human', 'signal', 'delay'),
      reads: fc.option(fc.subarray([...names]), { nil: undefined, freq: 2 }),
      writes: seldom(fc.subarray([...names])),
      tools: fc.uniqueArray(fc.nat(2), { maxLength: 2 }),
      exits: fc.array(
        fc.record({
          target,
          schema: fc.constantFrom('none', 'named', 'named', 'named', 'loose'),
          keys: fc.uniqueArray(fc.record({ name: fc.constantFrom(...names), optional: fc.boolean() }), {
            selector: ({ name }) => name,
          }),
        }),
        { minLength: 1, maxLength: 2 },
      ),
      engine: fc.uniqueArray(route, { maxLength: 1 }),
      mapper: fc.boolean(),
      declassify: seldom(
        fc.record({ trust: fc.constantFrom('trusted', 'untrusted'), privacy: label.privacy }, { requiredKeys: [] }),
      ),
      onFailure: seldom(target),
    }),
    { minLength: states.length, maxLength: states.length },
  ),
  routes: fc.uniqueArray(route, { selector: ({ exit }) => exit, maxLength: 2 }),
  onSoft: seldom(target),
  onFailure: seldom(target),
}) as fc.Arbitrary<Plan>

const words = { to: 'x', text: 'y' }
const nameOf = (index: number): string => states[index] ?? 'end'
const exitName = (index: number): string => `E${index}`

function build(given: Plan): Agent {
  const tools = given.tools.map(({ trust, privacy, effect, egress, approval, sinks }, index) =>
    tool(`t${index}`, {
      trust,
      privacy,
      effect,
      ...(egress ? { egress: ['a.example'] } : {}),
      ...(approval === 'none' ? {} : { approval: { when: approval } }),
      ...(sinks ? { sinks: ['to'] } : {}),
    } as Partial<Tool>),
  )
  const value = z.array(z.string())
  const keys = names.map((name) => {
    const { append, ...marks } = given.keys[name]
    return [name, { schema: value.optional(), merge: append ? 'append' : 'replace', ...marks }]
  })
  const made = given.states.map((state, index) => {
    const exits = state.exits.map(({ target: to, schema, keys: of }, at) => {
      const shape = Object.fromEntries(of.map(({ name, optional }) => [name, optional ? value.optional() : value]))
      const made = schema === 'none' ? {} : { output: schema === 'loose' ? z.looseObject(shape) : z.object(shape) }
      return [exitName(at), { target: nameOf(to), ...made }]
    })
    const engine = state.engine.map(({ exit, target: to }) => [exit, nameOf(to)])
    const common = {
      on: Object.fromEntries([...exits, ...engine]) as object,
      ...(state.reads ? { reads: state.reads } : {}),
      ...(state.writes ? { writes: state.writes } : {}),
      ...(state.onFailure === undefined ? {} : { onFailure: nameOf(state.onFailure) }),
    }
    const declassify = state.declassify ? { declassify: { ...state.declassify, reason: 'r' } } : {}
    const kinds = {
      model: { model: 'm', prompt: 'p', tools: state.tools.map((one) => tools[one]), ...declassify },
      tool: { tool: tools[state.tools[0] ?? 0], args: () => words, ...(state.mapper ? { exit: () => 'E0' } : {}) },
      run: { run: () => 'E0', ...declassify },
      human: { human: { question: '?' } },
      signal: { wait: { signal: 's' } },
      delay: { wait: index % 2 === 0 ? { delay: '1s' } : { until: () => 1_000_000 } },
    }
    return [nameOf(index), { ...common, ...kinds[state.kind] }]
  })
  return defineAgent({
    name: 'a',
    version: '1',
    context: defineContext(Object.fromEntries(keys) as never),
    initial: 's0',
    on: Object.fromEntries(given.routes.map(({ exit, target: to }) => [exit, nameOf(to)])),
    limits: given.onSoft === undefined ? {} : { onSoft: nameOf(given.onSoft) },
    ...(given.onFailure === undefined ? {} : { onFailure: nameOf(given.onFailure) }),
    states: { ...Object.fromEntries(made), end: { type: 'final' } },
  } as never)
}

const order = ['public', 'private', 'secret']
const worse = (a: Label, b: Label): Label => ({
  trust: a.trust === 'untrusted' || b.trust === 'untrusted' ? 'untrusted' : 'trusted',
  privacy: order[Math.max(order.indexOf(a.privacy), order.indexOf(b.privacy))]!,
})
const clear: Label = { trust: 'trusted', privacy: 'public' }
type Labels = Record<Name, Label>
type Walk = { state: number; labels: Labels; steps: number }

function subsets<T>(of: readonly T[]): T[][] {
  return of.reduce<T[][]>((all, one) => [...all, ...all.map((some) => [...some, one])], [[]])
}

/** Every step that a walk may go on by, one label at a time. */
function onward(given: Plan, { state, labels, steps }: Walk): Walk[] {
  const at = given.states[state]
  if (!at) return []
  const to = (target: number, after = labels): Walk => ({ state: target, labels: after, steps: steps + 1 })
  const next: Walk[] = []
  const routed = new Map([...given.routes, ...at.engine].map(({ exit, target: to }) => [exit, to]))
  for (const target of routed.values()) next.push(to(target))
  const failure = at.onFailure ?? given.onFailure
  if (failure !== undefined && ['$error', '$timeout', '$doubt'].some((exit) => !routed.has(exit)))
    next.push(to(failure))
  if (given.onSoft !== undefined && given.onSoft !== state) next.push(to(given.onSoft))
  const seen = seenBy(given, at, labels)
  const toolState = at.kind === 'tool' ? worse(seen, given.tools[at.tools[0] ?? 0]!) : seen
  const from = { model: seen, tool: toolState, run: seen, human: clear, signal: clear, delay: clear }[at.kind]
  const shown = { ...labels }
  if (at.kind === 'human') for (const name of at.reads ?? names) shown[name] = { ...labels[name], trust: 'trusted' }
  const may =
    at.writes ??
    names.filter((name) =>
      at.exits.some(({ schema, keys }) => schema !== 'none' && keys.some((one) => one.name === name)),
    )
  for (const { target, schema, keys } of at.exits) {
    const declared = schema === 'none' ? [] : keys.filter(({ name }) => may.includes(name))
    const anything =
      schema === 'loose' ||
      (schema === 'none' && (['run', 'human', 'signal'].includes(at.kind) || (at.kind === 'tool' && at.mapper)))
    const rest = anything ? may.filter((name) => !declared.some((one) => one.name === name)) : []
    const sure = declared.filter(({ optional }) => !optional).map(({ name }) => name)
    const unsure = [...declared.filter(({ optional }) => optional).map(({ name }) => name), ...rest]
    for (const some of subsets(unsure)) {
      const after = { ...shown }
      for (const name of [...sure, ...some]) after[name] = written(given, at, name, from, shown[name])
      next.push(to(target, after))
    }
  }
  return next
}

function written(
  given: Plan,
  { declassify, kind }: Plan['states'][number],
  name: Name,
  from: Label,
  before: Label,
): Label {
  let out = from
  if (declassify && (kind === 'model' || kind === 'run')) {
    const { trust, privacy } = declassify
    out = {
      trust: trust === 'trusted' ? 'trusted' : from.trust,
      privacy: privacy !== undefined && order.indexOf(privacy) < order.indexOf(from.privacy) ? privacy : from.privacy,
    }
  }
  const { append, ...floor } = given.keys[name]
  return worse(worse(out, floor), append ? before : clear)
}

function seenBy(given: Plan, { kind, reads, tools }: Plan['states'][number], labels: Labels): Label {
  let seen = clear
  for (const name of reads ?? names) seen = worse(seen, labels[name])
  if (kind === 'model') for (const one of tools) seen = worse(seen, given.tools[one]!)
  return seen
}

/**
 * All walks, the shorter first, and what they do: `tool in state`, with the length of the first. A walk that ends as another
 * has ended, in the same state under the same labels, is not gone on: whatever follows it follows the other too. So
 * these are the ends of all walks of any length, and there are at most 5 states times 6 labels to the power of 3 keys.
 */
function bruteForce(given: Plan): { ungated: Map<string, number>; unsunk: Set<string> } {
  const [ungated, unsunk, ends] = [new Map<string, number>(), new Set<string>(), new Set<string>()]
  const { k0, k1, k2 } = given.keys
  const floor = ({ trust, privacy }: Label): Label => ({ trust, privacy })
  let walks: Walk[] = [{ state: 0, labels: { k0: floor(k0), k1: floor(k1), k2: floor(k2) }, steps: 0 }]
  while (walks.length > 0) {
    const longer: Walk[] = []
    for (const walk of walks) {
      const end = JSON.stringify([walk.state, walk.labels])
      if (ends.has(end)) continue
      ends.add(end)
      const at = given.states[walk.state]
      const called = at?.kind === 'model' ? at.tools : at?.kind === 'tool' ? [at.tools[0] ?? 0] : []
      for (const one of called) {
        const { effect, egress, approval, sinks } = given.tools[one]!
        const { trust, privacy } = seenBy(given, at!, walk.labels)
        if ((effect !== 'external' && !egress) || approval === 'always' || trust === 'trusted') continue
        const what = `t${one} in ${nameOf(walk.state)}`
        if (privacy !== 'public' && !ungated.has(what)) ungated.set(what, walk.steps)
        if (!sinks) unsunk.add(`t${one}`)
      }
      longer.push(...onward(given, walk))
    }
    walks = longer
  }
  for (const what of ungated.keys()) unsunk.delete(what.split(' ')[0]!)
  return { ungated, unsunk }
}

test('A55 on 1,000 random machines the search finds what brute force finds, by paths that are no longer', () => {
  const counts = { machines: 0, withFlows: 0, flows: 0, long: 0 }
  fc.assert(
    fc.property(plan, (given) => {
      const proof = prove(compile(build(given)))
      const brute = bruteForce(given)
      const length = (path: string): number => path.split('-> ').length - 1
      const found = proof.ungated.map(({ state, tool: name, path }) => [`${name} in ${state}`, length(path)] as const)
      expect(new Map(found)).toEqual(brute.ungated)
      expect(new Set(proof.unsunk.map(({ tool: name }) => name))).toEqual(brute.unsunk)
      const joined = prove(compile(build(given)), 0)
      const covered = new Set(joined.ungated.map(({ state, tool: name }) => `${name} in ${state}`))
      for (const what of brute.ungated.keys()) expect(covered).toContain(what)
      counts.machines += 1
      counts.withFlows += found.length > 0 ? 1 : 0
      counts.flows += found.length
      counts.long += found.filter(([, steps]) => steps >= 2).length
    }),
    { numRuns: 1_000 },
  )
  expect(counts.machines).toBe(1_000)
  // A thousand machines of which none leaks, or all do at once, would show nothing.
  expect(counts.withFlows).toBeGreaterThan(200)
  expect(counts.withFlows).toBeLessThan(900)
  expect(counts.long).toBeGreaterThan(50)
})

// ---- Against the engine ----------------------------------------------------------------------------------------------

/** What a state hands over by an exit: all that it names, or what it must. */
function handOver(at: Plan['states'][number], exit: number, all: boolean): Record<string, string[]> {
  const { schema, keys } = at.exits[exit]!
  const named = schema === 'none' ? [] : keys.filter(({ optional }) => all || !optional)
  return Object.fromEntries(named.map(({ name }) => [name, ['z']]))
}

/** Plays a task by a row of numbers, with a person who says yes to every call and answers no question. */
function playOut(given: Plan, row: readonly number[]): Play {
  const play = new Play(compile(build(given)))
  for (const move of row) {
    const { task } = play
    const at = given.states[Number(task.state.slice(1))]
    const [step] = task.open.values()
    if (!at || task.outcome !== undefined) break
    const exit = move % at.exits.length
    const output = handOver(at, exit, move % 2 === 0)
    if (step?.kind === 'model') {
      const asked =
        at.tools.length > 0 && move % 3 > 0 ? call(`t${at.tools[move % at.tools.length]}`, words) : undefined
      const content = [asked ?? call(exitName(exit), output)]
      play.end(
        { kind: 'model', answer: { provider: 'p', modelId: 'm', content, finish: 'tool-calls', usage: used() } },
        step,
      )
    } else if (step?.kind === 'tool') play.end({ kind: 'tool', result: move }, step)
    else if (step) play.end({ kind: 'function', leaving: { exit: exitName(exit), output } }, step)
    else if (task.approvals.size > 0) play.answer({ decision: 'approve' })
    else if (task.item) break
    else if (at.kind === 'signal' && move % 2 === 0) play.signal({ name: 's', data: output })
    else {
      play.nowMs = Math.max(task.wait?.untilMs ?? 0, play.nowMs + 1)
      play.go()
    }
  }
  return play
}

/** Machines whose policy seldom stands in the way: no sinks, no approvals, nothing secret. */
const careless = plan.map((given): Plan => {
  const open = <T extends Label>(one: T): T => ({ ...one, privacy: one.privacy === 'secret' ? 'private' : one.privacy })
  const { k0, k1, k2 } = given.keys
  const tools = given.tools.map((one) => ({ ...open(one), sinks: false, approval: 'none' }))
  return { ...given, keys: { k0: open(k0), k1: open(k1), k2: open(k2) }, tools }
})

test('what the engine lets untrusted and private windows do unasked has been told by the proof, on random machines', () => {
  const counts = { calls: 0, leaks: 0 }
  const rows = fc.array(fc.nat(1_000), { minLength: 40, maxLength: 40 })
  fc.assert(
    fc.property(fc.noBias(careless), fc.noBias(rows), (given, row) => {
      const told = new Set(prove(compile(build(given))).ungated.map(({ state, tool: name }) => `${name} in ${state}`))
      const outward = (name: string): boolean => {
        const { effect, egress } = given.tools[Number(name.slice(1))]!
        return effect === 'external' || egress
      }
      let state = ''
      for (const { type, data } of playOut(given, row).log) {
        if (type === 'state.entered') state = data.state
        if (type !== 'tool.called' || !outward(data.tool)) continue
        counts.calls += 1
        const { trust, privacy } = data.label ?? clear
        if (trust === 'trusted' || privacy === 'public' || data.approval !== undefined) continue
        counts.leaks += 1
        expect(told).toContain(`${data.tool} in ${state}`)
      }
    }),
    { numRuns: 1_000 },
  )
  expect(counts.calls).toBeGreaterThan(100)
  expect(counts.leaks).toBeGreaterThan(50)
})
