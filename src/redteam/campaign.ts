// The battery, made from the machine itself: every kind of fault in every state that can meet it, orders through every
// source of strange words, loops, and what is left of every budget. Each play has a name that says it whole, and a seed that
// follows from the campaign's and that name: the same name is the same play, alone or among all others.

import type { Agent } from '../core/agent.ts'
import { compileChecked } from '../core/check.ts'
import { messageOf } from '../core/fault.ts'
import type { Limits } from '../core/limits.ts'
import { toolsOf, type Machine, type Node } from '../core/machine.ts'
import type { LoggedEvent } from '../store/store.ts'
import { sha256 } from '../store/log.ts'
import { injectionsThrough } from './corpus.ts'
import { faultKinds, type FaultKind } from './fault-kinds.ts'
import { invariants, type Invariant } from './invariants.ts'
import { Aim, fault, state, tool, writePoint } from './plan.ts'
import { writePoints, type WritePoint } from '../runtime.ts'
import { draw } from '../core/resilience.ts'
import { tellers } from './retold.ts'
import { loopsOf, targetsOf, teamOf, type Target } from './route.ts'
import { weaknesses } from './weakness.ts'
import type { Evidence } from './evidence.ts'
import type { Outside, Scene } from './scene.ts'
import { play } from './world.ts'

/** Something of your own that must hold: true, or what is wrong. */
export interface Expectation {
  readonly name: string
  readonly holds: (evidence: Evidence) => boolean | string
}

/** What a campaign attacks, and how far it goes. */
export interface CampaignOptions {
  readonly agent: Agent<any, any>
  readonly outside?: Outside
  readonly config?: Scene['config']
  readonly openStore?: Scene['openStore']
  /** Default 1. */
  readonly seed?: number
  /** Only plays that all of these words fit: a kind, a state, an agent, a tool, or the whole name of a play. */
  readonly only?: readonly string[]
  /** Every n-th play, beginning with the i-th, from 1. */
  readonly shard?: { readonly index: number; readonly of: number }
  /** Begin no more plays when this says so: the time is over, or real models were asked often enough. */
  readonly isOver?: () => boolean
  readonly kinds?: readonly FaultKind[]
  readonly expect?: readonly Expectation[]
  readonly progress?: (done: number, all: number, breaches: number) => void
}

/** What did not hold, with the one line that shows it again. */
export interface Breach {
  readonly invariant: string
  readonly problem: string
  readonly play: string
  readonly log: readonly LoggedEvent[]
}

/** A row of the matrix: a kind of fault, or an attack of another sort. */
export interface Row {
  readonly id: string
  readonly what: string
}

/** What became of one row in one state. */
export interface Cell {
  readonly row: string
  readonly agent: string
  readonly state: string
  readonly verdict: 'held' | 'weak' | 'breach' | 'not met'
  /** Why it was not met. */
  readonly reason?: string
  readonly plays: number
  readonly breaches: readonly Breach[]
  readonly weaknesses: readonly { readonly problem: string; readonly play: string }[]
}

/** What a campaign came to. */
export interface Campaign {
  readonly agent: string
  readonly seed: number
  readonly rows: readonly Row[]
  readonly states: readonly Target[]
  readonly cells: readonly Cell[]
  readonly plays: number
  /** Plays that were not begun, because of the budget. */
  readonly left: number
  /** The points of the engine's writes at which it was killed, and why it was not at the others. */
  readonly killedAt: readonly WritePoint[]
  readonly spared: readonly { readonly point: WritePoint; readonly reason: string }[]
}

/** Attacks that are no single fault. */
export const attacks: readonly Row[] = [
  { id: 'E1', what: 'the infinite tool call: a tool that always says "retry", and a model that does' },
  { id: 'E2', what: 'the context overflow: more data than the window holds, and a provider that says so' },
  { id: 'E3', what: 'the latency stress: a provider that takes 30 seconds, every time' },
  { id: 'X1', what: "a stranger's order, in every wording, for every tool that acts" },
  { id: 'L1', what: 'two states that hand over to each other for ever' },
  { id: 'B1', what: 'the tokens are used up on entry' },
  { id: 'B2', what: 'the steps are used up on entry' },
  { id: 'Q1', what: 'a provider that fails until its breaker opens, and once more when it is probed' },
  { id: 'R1', what: 'several faults at once, at random' },
]

interface Play {
  readonly id: string
  readonly row: string
  readonly target: Target
  readonly tool?: string
  readonly scene: Omit<Scene, 'seed'>
  /** How many of its faults must have struck for it to say anything (default: one), and what must have come of them. */
  readonly strikes?: number
  readonly meets?: (evidence: Evidence) => boolean
}

type More = Partial<Scene> & { readonly mark?: string } & Pick<Play, 'tool' | 'strikes' | 'meets'>

type Planned = Play | { readonly row: string; readonly target: Target; readonly reason: string }

/** Attacks a machine in every way that it can meet. Throws AGENT_UNSOUND. */
export async function campaign(options: CampaignOptions): Promise<Campaign> {
  const { agent, seed = 1, kinds = faultKinds, outside, config, openStore } = options
  const root = compileChecked(agent)
  const base = {
    agent,
    ...(outside ? { outside } : {}),
    ...(config ? { config } : {}),
    ...(openStore ? { openStore } : {}),
  }
  const states = targetsOf(root).filter((target) => mayConcern(target, root, options.only))
  const planned: Planned[] = []
  // Models of a script, or real ones, go their own way, whatever state is meant: one look at it does for all.
  const alike = outside?.script && states[0] ? await play({ ...base, seed }) : undefined
  for (const target of states) {
    const calm = alike ?? (await play({ ...base, target, seed }))
    planned.push(...battery(root, target, base, kinds, calm))
  }
  const asked = planned.filter((one) => fits(one, options.only))
  const plays = breadthFirst(asked.filter((one) => 'id' in one))
  const { index, of } = options.shard ?? { index: 1, of: 1 }
  const mine = plays.filter((_, number) => number % of === index - 1)
  const played = new Map<Play, Outcome>()
  const wanted = [...invariants, ...(options.expect ?? []).map(asInvariant)]
  // A play is told again under the quotas that it was played with.
  const tellerOf = tellers()
  let breaches = 0
  for (const one of mine) {
    if (options.isOver?.()) break
    const outcome = await judge(one, seed, [...wanted, await tellerOf(agent, one.scene.config)])
    played.set(one, outcome)
    breaches += outcome.breaches.length
    options.progress?.(played.size, mine.length, breaches)
  }
  const rows = [...kinds.map(({ id, what }) => ({ id, what })), ...attacks]
  const cells = rows.flatMap(({ id }) =>
    states.map((target) =>
      cellOf(id, target, asked, played, (one) =>
        mine.includes(one) ? 'the budget was used up' : 'it is in another shard',
      ),
    ),
  )
  const killedAt = [...new Set([...played].flatMap(([one, { struck }]) => (struck ? killsOf(one) : [])))].sort()
  const met = cells.filter(({ reason }) => reason !== unasked)
  return {
    agent: agent.name,
    seed,
    rows,
    states,
    cells: met,
    plays: played.size,
    left: mine.length - played.size,
    killedAt,
    spared: sparedOf(planned, killedAt),
  }
}

/** The writes at which a play kills its worker. */
function killsOf({ row, scene }: Play): readonly WritePoint[] {
  return row === 'P01' ? (scene.faults ?? []).flatMap(({ place }) => place.point ?? []) : []
}

// What no worker of a campaign writes, and where a process is killed at it; and what it takes for the others to be written.
const beyond: { readonly [Point in WritePoint]?: string } = {
  rollback: 'nobody takes a task back here: test/crash/crash.test.ts, test/rollback.test.ts',
  erase: 'nothing is erased while a task is worked on: test/crash/crash.test.ts',
  checkpoint: 'a store in memory is not signed: test/crash/crash.test.ts',
  schedule: 'tasks are not begun by the clock here: test/crash/crash.test.ts, test/schedules.test.ts',
  migrate: 'there is one version of the agent: test/crash/crash.test.ts',
}
const wanting: { readonly [Point in WritePoint]?: string } = {
  renew: 'no model and no tool works in the states that were attacked',
  release: 'no model and no tool works in the states that were attacked',
  signal: 'none of the states that were attacked waits for a signal',
  answer: 'nobody is asked in the states that were attacked',
  cancel: 'a person cancels who is asked, and nobody is asked in the states that were attacked',
  start: 'the state that a task begins in was not attacked',
}

function sparedOf(planned: readonly Planned[], killedAt: readonly WritePoint[]): Campaign['spared'] {
  const aimedAt = new Set(planned.flatMap((one) => ('id' in one ? killsOf(one) : [])))
  const unmet = (point: WritePoint): string =>
    aimedAt.has(point)
      ? 'no play of it was begun, or came so far'
      : (wanting[point] ?? 'nothing is written at it in the states that were attacked')
  return writePoints
    .filter((point) => !killedAt.includes(point))
    .map((point) => ({ point, reason: beyond[point] ?? unmet(point) }))
}

/** The first play of every cell, then the second: whoever has little time sees something of all. */
function breadthFirst(plays: readonly Play[]): readonly Play[] {
  const seen = new Map<string, number>()
  const ranked = plays.map((one) => {
    const cell = `${one.row} ${one.target.agent}.${one.target.state}`
    const rank = (seen.get(cell) ?? 0) + 1
    seen.set(cell, rank)
    return { one, rank }
  })
  return ranked.sort((a, b) => a.rank - b.rank).map(({ one }) => one)
}

const unasked = 'it was not asked for'

/** A first look, so that states which nobody asks for cost nothing. */
function mayConcern({ agent, state: name }: Target, root: Machine, only: readonly string[] | undefined): boolean {
  const all = targetsOf(root)
  const named = (only ?? []).flatMap((word) => {
    const place = /@([^:>!#~]+)/.exec(word)?.[1] ?? word
    return all.filter(
      (target) => place === target.state || place === target.agent || place === `${target.agent}.${target.state}`,
    )
  })
  return named.length === 0 || named.some((target) => target.agent === agent && target.state === name)
}

function fits(one: Planned, only: readonly string[] | undefined): boolean {
  const { row, target } = one
  const its = 'id' in one ? [one.id, one.tool] : []
  const words = [row, target.agent, target.state, `${target.agent}.${target.state}`, ...its]
  return (only ?? []).every((word) => words.includes(word))
}

// ---- The battery -----------------------------------------------------------------------------------------------------

// A crash is tried at every point where the engine writes in a state, so often at each; other faults of the store and the
// process strike at so few writes.
const writesMax = 6
const fewMax = 2
// Plays of a state in which several faults strike at once, so many and so often.
const mixes = 8
const mixedKinds = 4
const mixedShare = 0.2

/** `calm` is a play in which nothing goes wrong. */
function battery(
  root: Machine,
  target: Target,
  base: Pick<Scene, 'agent' | 'outside' | 'config' | 'openStore'>,
  kinds: readonly FaultKind[],
  calm: Evidence,
): readonly Planned[] {
  const node = teamOf(root).get(target.agent)!.states.get(target.state)!
  const place = `${target.agent}.${target.state}`
  const writes = calm.writes.get(place) ?? new Map<WritePoint, number>()
  const skip = (row: string, reason: string): Planned => ({ row, target, reason })
  if (writes.size === 0) {
    const reason = 'the models of the campaign find no way here'
    return [...kinds, ...attacks].map(({ id }) => skip(id, reason))
  }
  const at = (aim: Aim): Aim => aim.at(state(target.state, target.agent))
  const one = (row: string, aims: readonly Aim[], more: More = {}): Play => {
    const { mark, tool: its, strikes = 1, meets = () => true, ...scene } = more
    const id = mark ?? aims.map(String).join('+')
    return {
      id,
      row,
      target,
      strikes,
      meets,
      ...(its === undefined ? {} : { tool: its }),
      scene: { ...base, target, faults: aims, ...scene },
    }
  }
  const tools = toolsOf(node).filter(({ name, child }) => name !== 'read_result' && !child)
  const ofKind = (kind: FaultKind): readonly Planned[] => {
    const { id, layer } = kind
    if ('elsewhere' in kind) return [skip(id, kind.elsewhere)]
    const aim = at(fault(kind))
    if (layer === 'model') {
      if (node.kind !== 'model') return [skip(id, 'no model is asked here')]
      return [one(id, [aim]), one(id, [aim.always()])]
    }
    if (layer === 'tool') {
      if (tools.length === 0) return [skip(id, 'no tool is called here')]
      return tools.flatMap(({ name }) =>
        [aim.at(tool(name)), aim.at(tool(name)).always()].map((its) => one(id, [its], { tool: name })),
      )
    }
    if (layer === 'human') {
      return calm.peopleAsked.has(place) ? [one(id, [aim])] : [skip(id, 'nobody is asked here')]
    }
    const everywhere = id === 'P01' || id === 'D01' || id === 'D02'
    const count = [...writes.values()].reduce((sum, times) => sum + times, 0)
    const aims = everywhere
      ? [...writes].flatMap(([point, count]) =>
          // Signs of life are many, and all alike.
          numbered(point === 'renew' ? 1 : Math.min(count, writesMax)).map((number) =>
            aim.at(writePoint(point)).attempt(number),
          ),
        )
      : numbered(Math.min(count, fewMax)).map((number) => aim.attempt(number))
    const all: readonly (readonly Aim[])[] = [...aims.map((its) => [its]), ...(id === 'P01' ? rareWrites(kind) : [])]
    if (!('happens' in kind) || kind.happens.length === 1) return all.map((its) => one(id, its))
    return all.flatMap(([its, ...others]) =>
      kind.happens.map((way) => {
        const thus = new Aim({ ...kind, happens: [way] }, its!.place, its!.when)
        const mark = `${[its, ...others].map(String).join('+')}~${way}`
        return one(id, [thus, ...others], { mark, strikes: 1 + others.length })
      }),
    )
  }
  /** Writes that nobody comes to where all goes well: something else has to go wrong first, and another worker to be killed then. */
  const rareWrites = (kind: FaultKind): readonly (readonly Aim[])[] => {
    const slow = node.kind === 'model' ? fault('M01') : tools[0] && fault('T07').at(tool(tools[0].name))
    const first: { readonly [Point in WritePoint]?: readonly Aim[] } = {
      ...(slow ? { renew: [slow], release: [fault('P02').at(writePoint('renew')), slow] } : {}),
      ...(calm.peopleAsked.has(place) ? { cancel: [fault('H02')] } : {}),
    }
    return (Object.keys(first) as WritePoint[])
      .filter((point) => !writes.has(point))
      .map((point) => [at(fault(kind)).at(writePoint(point)), ...first[point]!.map(at)])
  }
  const isLed = base.outside?.script === undefined
  return [...kinds.flatMap(ofKind), ...attacksOn(root, target, node, calm, { one, skip, at, kinds, isLed, base })]
}

const numbered = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index + 1)

/** Faults of any layers, as a name has it. */
function mixOf(name: string, kinds: readonly FaultKind[]): readonly Aim[] {
  const seed = seedOf(1, name)
  const playable = kinds.filter((kind) => !('elsewhere' in kind))
  return numbered(mixedKinds).map((number) => {
    const kind = playable[Math.floor(draw(seed, number, 1) * playable.length)]!
    return fault(kind).chance(mixedShare)
  })
}

// A breaker that one task alone can open, with its tries.
const brittle = { breaker: { failures: 2, coolDown: '20s' } } as const

function brittleConfig(config: Scene['config'] = {}, models: readonly string[]): NonNullable<Scene['config']> {
  const quotas = models.map((model) => [model, { ...config.quotas?.[model], ...brittle }])
  return { ...config, quotas: { ...config.quotas, ...Object.fromEntries(quotas) } }
}

function opened({ written }: Evidence): boolean {
  return written.some(({ type, data }) => type === 'breaker.changed' && data.status === 'open')
}

interface Making {
  /** Whether models go where they are led. */
  readonly isLed: boolean
  readonly kinds: readonly FaultKind[]
  readonly base: Pick<Scene, 'config'>
  readonly one: (row: string, aims: readonly Aim[], more?: More) => Play
  readonly skip: (row: string, reason: string) => Planned
  readonly at: (aim: Aim) => Aim
}

function attacksOn(
  root: Machine,
  target: Target,
  node: Node,
  calm: Evidence,
  { one, skip, at, kinds, isLed, base }: Making,
): readonly Planned[] {
  const machine = teamOf(root).get(target.agent)!
  const place = `${target.agent}.${target.state}`
  const isModel = node.kind === 'model'
  const tools = toolsOf(node).filter(({ name, child }) => name !== 'read_result' && !child)
  const whole = (row: string, aims: readonly Aim[], more: More = {}): Play =>
    one(row, aims, { mark: `${row}@${place}`, ...more })
  const noModel = 'no model is asked here'
  const loops = loopsOf(machine).filter((loop) => loop[0] === target.state)
  const strange = tools.filter(({ label }) => label.trust === 'untrusted')
  const foreign = [...root.context.values()].some(({ label }) => label.trust === 'untrusted')
  const sources = [
    ...strange.map(({ name }): string | undefined => name),
    ...(foreign && place === `${root.name}.${root.initial}` ? [undefined] : []),
  ]
  const injected = sources.flatMap((source) =>
    injectionsThrough(root, source).map(({ name, ...injection }) =>
      one('X1', [], {
        mark: `X1@${place}:${source ?? 'input'}>${injection.tool}~${name}`,
        injection,
        ...(source === undefined ? {} : { tool: source }),
      }),
    ),
  )
  const before = spentBefore(calm, target)
  const limited = (row: string, limits: Limits | undefined, why: string): Planned =>
    limits ? whole(row, [], { limits }) : skip(row, why)
  return [
    tools.length > 0
      ? whole('E1', [at(fault('T02')).always()], { insists: true })
      : skip('E1', 'no tool is called here'),
    tools.length > 0 || isModel
      ? whole(
          'E2',
          [
            ...(tools.length > 0 ? [at(fault('T06')).always()] : []),
            ...(isModel ? [at(fault('M09')).attempt(tools.length > 0 ? 2 : 1)] : []),
          ],
          { insists: true },
        )
      : skip('E2', 'neither a model nor a tool works here'),
    isModel ? whole('E3', [at(fault('M01')).always()]) : skip('E3', noModel),
    ...(injected.length > 0 ? injected : [skip('X1', "no stranger's words come in here")]),
    ...(loops.length === 0
      ? [skip('L1', 'no two models can hand over to each other from here')]
      : isLed
        ? loops.map((loop) => one('L1', [], { mark: `L1@${place}>${loop[1]}`, loop }))
        : [skip('L1', 'models of a script, or real ones, are not led in circles')]),
    limited('B1', isModel ? before.tokens : undefined, noModel),
    limited(
      'B2',
      node.kind === 'human' || node.kind === 'wait' ? undefined : before.steps,
      'nothing that counts is done here',
    ),
    node.kind === 'model'
      ? whole(
          'Q1',
          numbered(brittle.breaker.failures + 1).map(() => at(fault('M05'))),
          { config: brittleConfig(base.config, node.models), strikes: brittle.breaker.failures + 1, meets: opened },
        )
      : skip('Q1', noModel),
    ...numbered(mixes).map((number) => {
      const mark = `R1@${place}~${number}`
      return one('R1', mixOf(mark, kinds), { mark })
    }),
  ]
}

/** Ceilings of the root that are reached when a state is entered for the first time. */
function spentBefore(
  { written, tasks }: Evidence,
  target: Target,
): { tokens: Limits | undefined; steps: Limits | undefined } {
  const agentOf = new Map(tasks.map(({ taskId, machine }) => [taskId, machine.name]))
  let [tokens, steps] = [0, 0]
  for (const event of written) {
    if (
      event.type === 'state.entered' &&
      event.data.state === target.state &&
      agentOf.get(event.taskId) === target.agent
    ) {
      return { tokens: { tokens: tokens + 50 }, steps: { steps: Math.max(1, steps) } }
    }
    if (event.type === 'model.answered') tokens += event.data.charge.inputTokens + event.data.charge.outputTokens
    const counts = ['model.called', 'tool.called', 'function.called', 'child.started'].includes(event.type)
    if (counts && event.taskId === 't') steps += 1
  }
  return { tokens: undefined, steps: undefined }
}

// ---- Verdicts --------------------------------------------------------------------------------------------------------

interface Outcome {
  readonly breaches: readonly Breach[]
  readonly weaknesses: readonly string[]
  readonly struck: boolean
}

/** The seed of a play: the campaign's, and its name. */
function seedOf(seed: number, id: string): number {
  return Number.parseInt(sha256(`${seed} ${id}`).slice(0, 8), 16)
}

async function judge(one: Play, seed: number, wanted: readonly Invariant[]): Promise<Outcome> {
  let evidence: Evidence
  try {
    evidence = await play({ ...one.scene, seed: seedOf(seed, one.id) })
  } catch (thrown) {
    // Whatever was thrown out of the engine, a promise of it is broken.
    const problem = `the engine threw: ${messageOf(thrown)}`
    return { breaches: [{ invariant: 'I0', problem, play: one.id, log: [] }], weaknesses: [], struck: true }
  }
  const breaches = wanted.flatMap(({ id, breaks }) =>
    breaks(evidence).map((problem) => ({
      invariant: id,
      problem,
      play: one.id,
      log: evidence.tasks.flatMap(({ events }) => events),
    })),
  )
  return {
    breaches,
    weaknesses: weaknesses(evidence, one.scene.limits),
    struck:
      ((one.scene.faults ?? []).length === 0 || evidence.struck >= (one.strikes ?? 1)) &&
      (one.meets === undefined || one.meets(evidence)),
  }
}

function asInvariant({ name, holds }: Expectation): Invariant {
  return { id: 'your own', what: name, breaks: (all) => said(name, holds(all)) }
}

function said(name: string, verdict: boolean | string): readonly string[] {
  if (verdict === true) return []
  return [verdict === false ? name : `${name}: ${verdict}`]
}

function cellOf(
  row: string,
  target: Target,
  planned: readonly Planned[],
  played: ReadonlyMap<Play, Outcome>,
  why: (one: Play) => string,
): Cell {
  const its = planned.filter((one) => one.row === row && one.target === target)
  const plays = its.filter((one) => 'id' in one)
  const done = plays.flatMap((one) => (played.has(one) ? [{ one, outcome: played.get(one)! }] : []))
  const struck = done.filter(({ outcome }) => outcome.struck)
  const breaches = done.flatMap(({ outcome }) => outcome.breaches)
  const weak = done.flatMap(({ one, outcome }) => outcome.weaknesses.map((problem) => ({ problem, play: one.id })))
  const base = { row, ...target, plays: done.length, breaches, weaknesses: weak }
  if (breaches.length > 0) return { ...base, verdict: 'breach' }
  if (struck.length > 0) return { ...base, verdict: weak.length > 0 ? 'weak' : 'held' }
  const skipped = its.find((one) => 'reason' in one)
  const [first] = plays
  const reason = skipped
    ? skipped.reason
    : done.length > 0
      ? 'it had no occasion to strike'
      : first
        ? why(first)
        : unasked
  return { ...base, verdict: 'not met', reason }
}
