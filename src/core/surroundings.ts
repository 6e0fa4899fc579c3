// What a task did not know by itself when it decided, as far as its log tells: whether the gate of a model or tool let it
// pass, whether there was a place, what was left of the budget of its tree. A log holds what came of that, and so, read from
// the place where it was decided, says what it must have been. Only what is decided anew is given this; it decides nothing.

import { admit, closedBreaker, openGate, type Breaker, type Gate } from './breaker.ts'
import type { Terms } from './draft.ts'
import { outcomes, type Event, type EventData } from './event.ts'
import { keyOfModel, keyOfTool } from './gate.ts'
import { ledgerOf, type Task } from './task.ts'
import { isRoot, type Tree, type TreeBudget } from './tree.ts'

/** What stood around a task at a place in its log. */
export type Surroundings = Pick<Terms, 'gate' | 'fullUntilMs' | 'tree'>

/**
 * What stood around a task where it decided the events that `ahead` begins with: all of one moment, and whatever comes after.
 * `gates` are those that its own log has changed so far, `descendants` the children that it had begun.
 */
export function surroundings(
  task: Task,
  ahead: readonly Event[],
  gates: ReadonlyMap<string, Gate>,
  descendants: number,
): Surroundings {
  const [first] = ahead
  const end = ahead.findIndex(({ at, type }, index) => at !== first?.at || (index > 0 && said.has(type)))
  const moment = end < 0 ? ahead : ahead.slice(0, end)
  return {
    gate: (key) => gateAt(key, task, moment, gates.get(key)),
    fullUntilMs: (step) => fullUntil(step, task, moment),
    tree: task.tree && { ...treeAt(task, untilLetThrough(moment)), ...room(task, ahead, descendants) },
  }
}

/** A moment up to where something is let through, or answered again: much may happen in one, and then the tree may be another. */
function untilLetThrough(moment: readonly Event[]): readonly Event[] {
  const next = moment.findIndex(({ type }, index) => passes.has(type) || (index > 0 && answers.has(type)))
  return next < 0 ? moment : moment.slice(0, next + 1)
}

/** What is written down by itself, so that whatever comes after it was decided later. */
const said: ReadonlySet<Event['type']> = new Set(['human.answered', 'signal.received'])
const passes: ReadonlySet<Event['type']> = new Set([
  'model.called',
  'tool.called',
  'function.called',
  'child.started',
  'step.queued',
])
/** Who waited for the tree waits no more, or for something else. */
const ends: ReadonlySet<Event['type']> = new Set(['transition.taken', 'human.asked', 'limit.reached', 'budget.awaited'])
const answers: ReadonlySet<Event['type']> = new Set([...outcomes, 'child.ended', 'human.answered'])

// ---- Gates ---------------------------------------------------------------------------------------------------------

/** A gate as it must have been for what the log says of it next. */
function gateAt(key: string, task: Task, moment: readonly Event[], known: Gate | undefined): Gate {
  const version = known?.version ?? 0
  for (const event of moment) {
    const { type, data } = event
    if (type === 'breaker.changed' && data.key === key && data.by === undefined) {
      if (known?.version === data.version - 1) return known
      return { version: data.version - 1, breaker: before(data, event.at, isLimited(key, task, moment)) }
    }
    if (type === 'model.called' && data.passed?.some((model) => keyOfModel(model) === key))
      return shut(version, Infinity)
    if (type === 'step.queued' && isHeld(key, data)) {
      // It may have been shut for longer since; how long is told no further than the deadline.
      const found = known && admit(known.breaker, `${task.id}.${data.step}`, event.at, 0)
      if (known && found?.admitted === false && found.untilMs >= data.untilMs) return known
      return data.key === key ? shut(version, data.untilMs, data.reason) : shut(version, Infinity)
    }
    // Whom the budget of the tree stops had come through the gate, and nothing more was decided then.
    if (type === 'budget.awaited') return { version, breaker: closedBreaker }
    const failed = type === 'model.failed' || type === 'tool.failed'
    // A failure that changes nothing at a breaker found it open.
    if (failed && counts(data.class) && keyOfFailed(task, data) === key && !isTold(key, moment)) {
      return shut(version, event.at)
    }
    if (keyOfCalled(event) === key) return { version, breaker: closedBreaker }
  }
  return known ?? openGate
}

/** Is a gate shut when this step has to wait? Of a chain the model is named that may be asked first; those before it are shut, too. */
function isHeld(key: string, { key: its, reason }: EventData['step.queued']): boolean {
  return its === key ? reason !== 'busy' : its.startsWith('model:') && key.startsWith('model:')
}

function keyOfCalled({ type, data }: Event): string | undefined {
  return type === 'model.called' ? keyOfModel(data.model) : type === 'tool.called' ? keyOfTool(data.tool) : undefined
}

function isTold(key: string, moment: readonly Event[]): boolean {
  return moment.some((event) => event.type === 'breaker.changed' && event.data.key === key)
}

function counts(kind: EventData['tool.failed']['class']): boolean {
  return (['overload', 'transport', 'timeout', 'malformed', 'error'] as const).some((counted) => counted === kind)
}

function keyOfFailed(task: Task, { step }: { readonly step: number }): string | undefined {
  const open = task.open.get(step)
  return open?.kind === 'model' ? keyOfModel(open.model) : open?.kind === 'tool' ? keyOfTool(open.tool) : undefined
}

/** Has its provider said only that it is asked too often? That opens no breaker. */
function isLimited(key: string, task: Task, moment: readonly Event[]): boolean {
  return moment.some(
    ({ type, data }) => type === 'model.failed' && data.class === 'rate-limit' && keyOfFailed(task, data) === key,
  )
}

/** A breaker as it must have been for this to become of it, whoever changed it before. */
function before({ status, failures, pausedUntilMs, untilMs }: Breaker, at: number, limited: boolean): Breaker {
  if (status === 'half-open') return { ...closedBreaker, status: 'open', failures, untilMs: at }
  if (status === 'open' && limited) return { ...closedBreaker, status, failures, untilMs }
  const quiet = pausedUntilMs > at ? failures : failures - 1
  return { ...closedBreaker, failures: failures === 0 && pausedUntilMs <= at ? 1 : Math.max(0, quiet) }
}

function shut(version: number, untilMs: number, reason = 'open'): Gate {
  if (reason === 'paused') return { version, breaker: { ...closedBreaker, pausedUntilMs: untilMs } }
  const status = reason === 'probing' ? 'half-open' : 'open'
  return { version, breaker: { ...closedBreaker, status, failures: 1, untilMs, probe: null } }
}

/** Until when there was no place for a step; of one that waits already, and of which nothing is said now, until it is looked at. */
function fullUntil(step: number, { delayed }: Task, moment: readonly Event[]): number | undefined {
  for (const event of moment) {
    // Whom the budget stops had come to a place.
    if (event.type === 'budget.awaited' || (event.type === 'limit.reached' && isBudget(event.data.limit)))
      return undefined
    if (event.type !== 'step.queued' && event.type !== 'model.called' && event.type !== 'tool.called') continue
    if (event.data.step !== step) continue
    return event.type === 'step.queued' && event.data.reason === 'busy' ? event.data.untilMs : undefined
  }
  const waiting = delayed.get(step)
  return waiting?.queued ? waiting.atMs : undefined
}

// ---- The tree ------------------------------------------------------------------------------------------------------

const budgets = ['tokens', 'cost'] as const
const nothing = { settled: 0, reserved: 0 }

/** The tree as it must have been for what the log says of its budget next. */
function treeAt(task: Task, moment: readonly Event[]): Omit<Tree, 'descendants' | 'descendantsMax'> {
  const own = ledgerOf(task)
  const root = isRoot(task)
  const tree = {
    max: { tokens: root ? own.tokens.max! : Infinity, cost: root ? own.cost.max : null } as Record<TreeBudget, any>,
    others: { tokens: nothing, cost: nothing } as Record<TreeBudget, { settled: number; reserved: number }>,
    soft: task.limits.soft,
    neared: new Set<TreeBudget>(budgets),
    asks: false,
    short: undefined as TreeBudget | undefined,
  }
  const used = (limit: TreeBudget, sum: number): void => {
    tree.others[limit] = { settled: Math.max(0, sum - own[limit].settled), reserved: 0 }
  }
  const awaited = ({ limit, why, ...told }: EventData['budget.awaited']): void => {
    // The first logs do not say it.
    const max = told.max ?? Math.max(1, own[limit].settled)
    if (!root) tree.max[limit] = max
    // What was used by then may have been told just before.
    const { settled } = tree.others[limit]
    tree.others[limit] = why === 'reserved' ? { settled, reserved: max } : { settled: max, reserved: 0 }
    tree.asks = why === 'paused'
  }
  // Who waits for the tree, and of whom nothing else is told, waits yet: that is said once.
  if (task.awaits && !moment.some(({ type }) => passes.has(type) || ends.has(type))) awaited(task.awaits)
  for (const { type, data } of moment) {
    if (type === 'budget.awaited') {
      awaited(data)
      return tree
    }
    if (type === 'limit.neared') used(data.limit, data.used)
    if (type === 'limit.raised') {
      if (isBudget(data.limit) && data.used !== undefined) used(data.limit, data.used)
      return tree
    }
    if (type === 'limit.reached') {
      const { limit, max } = data
      if (!isBudget(limit) || (!root && own[limit].max === max)) return tree
      tree.max[limit] = max
      // It had not come to its soft line, unless that was told.
      const isNear = !root || task.neared.has(limit)
      used(limit, isNear ? max - own[limit].reserved : Math.ceil(task.limits.soft * max) - 1)
      tree.short = limit
    }
    if (type === 'human.asked') {
      // What was told to a human says it to the token.
      const sum = (data.show as { readonly used?: unknown } | undefined)?.used
      if (root && data.limit !== undefined && isBudget(data.limit) && typeof sum === 'number') used(data.limit, sum)
      return tree
    }
  }
  return tree
}

/** How much room a tree had: for as many tasks as began here before a log says that there was none. */
function room(task: Task, ahead: readonly Event[], begun: number): Pick<Tree, 'descendants' | 'descendantsMax'> {
  const full = ahead.findIndex(({ type, data }) => type === 'limit.reached' && data.limit === 'descendants')
  const told = ahead[full]
  if (told?.type === 'limit.reached') {
    const more = ahead.slice(0, full).filter(({ type }) => type === 'child.started').length
    return { descendants: told.data.max - more, descendantsMax: told.data.max }
  }
  return { descendants: begun, descendantsMax: isRoot(task) ? task.limits.descendants : Infinity }
}

function isBudget(limit: string): limit is TreeBudget {
  return limit === 'tokens' || limit === 'cost'
}
