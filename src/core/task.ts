// What a task is: everything that is known of it at an event of its log, and what can be asked of that. How each event
// changes it is in `fold`; nothing here knows a machine, a clock or a store.

import type { Effects } from './effect.ts'
import type { Rung } from './approval.ts'
import type { ChildResult } from './agent.ts'
import type { AskedApproval, EventData, ItemKind, Parent, Prompt, StateKind } from './event.ts'
import type { Json } from './json.ts'
import type { Label } from './label.ts'
import type { Charged, Ledger, Reservation } from './ledger.ts'
import type { LimitName, RaisableLimit, TaskLimits } from './limits.ts'
import type { AnswerPart, Failure, Finish } from './model.ts'

/** Where a task stands. `waiting`: for a human, a signal, a time, its children or the budget of its tree. */
export type TaskStatus = 'running' | 'waiting' | 'done' | 'failed' | 'cancelled'

/** What a task has used. Costs are millionths of a dollar. */
export interface Usage {
  steps: number
  turns: number
  inputTokens: number
  outputTokens: number
  costMicros: number
  /** Calls whose price is not known: what they cost is not in `costMicros`. */
  unpriced: number
}

/** A step that was permitted and has no outcome yet. */
export type OpenStep = {
  readonly step: number
  readonly attempt: number
  readonly deadlineAtMs: number
  /** Failures with the same model or tool before this attempt, and the delay before it. */
  failures: number
  delayMs: number
  /** This model said that the request was too large, and is asked with a smaller one. */
  smaller: boolean
} & (
  | {
      readonly kind: 'model'
      readonly turn: number
      readonly model: string
      readonly outputTokensMax: number
      /** Undefined when it is charged already. */
      reserved: Reservation | undefined
    }
  | {
      readonly kind: 'tool'
      readonly tool: string
      readonly arguments: Json
      readonly idempotencyKey: string
      readonly idempotent: boolean
      readonly index?: number
      /** It is only asked whether it was done. */
      readonly reconciles?: true
      /** Of its arguments, and of whatever it answers. Absent: clear. */
      readonly label?: Label
      readonly answerLabel?: Label
      readonly rule?: string
      readonly approval?: string
      readonly binding?: string
      readonly effect?: EventData['tool.called']['effect']
      readonly undoable?: true
      /** It takes back what was done in this step. */
      readonly undoes?: number
    }
  | { readonly kind: 'function' }
  | ({ readonly kind: 'child' } & EventData['child.started'])
)

/** A step whose last attempt failed or was lost, and that is tried again at a time. */
export interface Delayed {
  readonly step: PerformedStep
  readonly atMs: number
  /** The model that is asked then, where it is another. */
  readonly model: string | undefined
  /** The largest request that is made then. */
  readonly inputTokensMax: number | undefined
  /** Whether the tool is only asked if the attempt before was done. */
  readonly reconciles: boolean
  /** It waits before its gate, and may be looked at earlier. */
  readonly queued: boolean
}

/** What came of one call in a turn; told to the model in the next. */
export interface TurnResult {
  readonly value: Json
  readonly failed: boolean
}

/** One answer of a model and what came of the calls in it. */
export interface Turn {
  readonly turn: number
  readonly content: readonly AnswerPart[]
  readonly finish: Finish
  /** By the call's place in `content`. */
  readonly results: Map<number, TurnResult>
  /** A correction of the whole answer. */
  note: string | undefined
}

/**
 * What of a visit's thread is no longer shown in full. Turns count from 1; a cut only gets deeper while the visit lasts.
 */
export interface Cut {
  /** The tool results of turns before this one are left out. */
  readonly resultsBefore: number
  /** Turns before this one are left out, calls and results together. */
  readonly turnsBefore: number
  /** A result of more characters is shown by its head; null: there was none so large yet. */
  readonly headChars: number | null
}

/** A cut that leaves nothing out. */
export const whole: Cut = { resultsBefore: 1, turnsBefore: 1, headChars: null }

/** The children of an agent state: what each is started with, how many have been, and what came of them, by place. */
export interface Plan {
  readonly inputs: readonly Json[]
  readonly label: Label | undefined
  started: number
  readonly results: Map<number, ChildResult>
}

/** One stay in a state. */
export interface Visit {
  readonly state: string
  readonly kind: StateKind
  /** Who acts here: a state whose model does, or an agent; a transition from one to another is a hand-over. */
  readonly actor: string | undefined
  /** The versions of the context's keys when they were looked at last: a write on top of others is a clash. */
  base: ReadonlyMap<string, number>
  plan: Plan | undefined
  /** It moves by the time that a human takes over a limit or a doubt. */
  deadlineAtMs: number | undefined
  prompt: Prompt | undefined
  /** The join of everything that was seen in this visit. */
  label: Label
  cut: Cut
  readonly turns: Turn[]
  refusals: number
  /** The last turn that was counted as refused, so that five refusals in one answer count as one. */
  refusedTurn: number
  /** What each call of this visit was last answered, and how often in a row, by tool and canonical arguments. */
  readonly answers: Map<string, { readonly answer: Json; readonly times: number }>
  /** The most times that a call got the answer that it had got before. */
  repeats: number
  /** How the last step of a tool or run state ended, until a transition is taken. */
  ended: { readonly result: Json } | { readonly failure: Pick<Failure, 'class' | 'message'> } | undefined
  leaving: { readonly exit: string; readonly output: Json } | undefined
}

/** Something that waits for a human. `answer` is there from the answer until the task has moved on. */
export interface Item {
  readonly item: string
  readonly kind: ItemKind
  readonly state: string
  readonly options: readonly string[]
  readonly expiresAtMs: number | undefined
  readonly exit: string | undefined
  readonly step: number | undefined
  readonly limit: RaisableLimit | undefined
  readonly askedAtMs: number
  readonly ladder: readonly Rung[]
  /** Rungs that are behind. */
  rung: number
  readonly steps: readonly number[] | undefined
  /** Who may answer; anybody where nothing is said. */
  readonly by?: readonly string[]
  answer: EventData['human.answered'] | undefined
}

/** A call that waits for a human's yes. `answer` is there when it is decided, until the call is made or refused. */
export interface PendingApproval extends Item, AskedApproval {
  readonly arguments: Json
  /** Who has agreed so far. */
  readonly agreed: string[]
}

/** A context key's value, how often it was written, and what is known of it. */
export interface Kept {
  readonly value: Json
  readonly version: number
  readonly label: Label
  /** The other task of the tree that wrote it. */
  readonly writer?: string
}

/** A point that a rollback may go back to: the beginning of a visit. */
export interface Past {
  /** The event that began the visit. */
  readonly seq: number
  readonly state: string
  /** The checkpoint that the state declares. */
  readonly checkpoint: string | undefined
  readonly context: ReadonlyMap<string, Kept>
  /** The last step that had begun by then. */
  readonly lastStep: number
}

/** A rollback on its way. */
export interface Rollback extends Pick<
  EventData['rollback.started'],
  'to' | 'state' | 'lastStep' | 'restore' | 'remove' | 'exit' | 'ends'
> {
  readonly atMs: number
  /** What the task was at when it began; there again if it is stopped. */
  readonly aside: {
    readonly item: Item | undefined
    readonly wait: EventData['wait.started'] | undefined
    readonly delayed: readonly Delayed[]
    readonly ended: Pick<EventData['task.ended'], 'outcome' | 'status'> | undefined
  }
}

/** A task: everything that is known at the event `seq`. */
export interface Task {
  readonly id: string
  seq: number
  agent: string
  version: string
  definition: string
  by: string
  /** The ceilings as they stand, and as they were at the start. */
  limits: TaskLimits
  granted: TaskLimits
  seed: number
  parent: Parent | undefined
  /** The tree that it is in; undefined for a task alone. */
  tree: { readonly root: string; readonly depth: number } | undefined
  /** Other tasks of the tree may write to its context, but for keys that it has for itself. */
  sharing: boolean
  readonly locals: Set<string>
  /** What of the tree's budget it waits for. */
  awaits: EventData['budget.awaited'] | undefined
  onCancel: 'leave' | 'undo'
  startedAtMs: number
  updatedAtMs: number
  status: TaskStatus
  state: string
  readonly visits: Map<string, number>
  visit: Visit | undefined
  readonly context: Map<string, Kept>
  /** How often each key was written or removed. */
  readonly versions: Map<string, number>
  readonly open: Map<number, OpenStep>
  readonly delayed: Map<number, Delayed>
  readonly doubts: Map<number, PerformedStep>
  item: Item | undefined
  /** Calls that wait for a human's yes, by inbox item. */
  readonly approvals: Map<string, PendingApproval>
  wait: EventData['wait.started'] | undefined
  readonly signals: Map<string, Json[]>
  readonly signalKeys: Set<string>
  readonly usage: Usage
  /** Set aside for model calls that are being made. */
  readonly reserved: { tokens: number; costMicros: number }
  /** The budgets whose soft line is behind, under their present ceiling. */
  readonly neared: Set<'tokens' | 'cost'>
  /** How much more each model counts than is estimated. */
  readonly corrections: Map<string, number>
  /** What was charged by estimate, by `step.attempt`: a late answer corrects it. */
  readonly estimated: Map<string, Charged & { readonly model: string }>
  readonly toolCalls: Map<string, number>
  /** Steps that hold a place at a gate, or wait for one, and the gate's key. */
  readonly slots: Map<number, string>
  handovers: number
  /** How many of its payloads were erased. */
  erased: number
  /** The task's own deadline has passed and was acted on. */
  expired: boolean
  /** Why the state that the task stands at was not entered. */
  door: LimitName | undefined
  /** Who acted in the state that was left last, if it was a model or an agent. */
  handedFrom: string | undefined
  /** Counts what is progress: changes of the context, and whatever came from people, signals and time. */
  progress: number
  /** By state: the progress at the last entry, and the entries since then with no more of it. */
  readonly entries: Map<string, { readonly progress: number; readonly times: number }>
  outcome: string | undefined
  readonly effects: Effects
  /** Steps that took something back; they are not among those of `usage`. */
  undos: number
  /** Where the task has passed a checkpoint, oldest first. */
  checkpoints: readonly Past[]
  rollback: Rollback | undefined
  /** Rollbacks that the machine itself asked for. */
  rollbacks: number
  /** What it was forked from; a child has what its parent has. */
  fork: EventData['task.forked'] | undefined
  /** The definitions that the task was moved from, oldest first, each with the event that did it. */
  moves: readonly { readonly definition: string; readonly seq: number }[]
}

const noLimits: TaskLimits = {
  steps: 0,
  toolCalls: 0,
  handovers: 0,
  depth: 0,
  descendants: 0,
  durationMs: 0,
  tokens: 0,
  costMicros: null,
  soft: 1,
  onSoft: 'pause',
}

/** A task before its first event. */
export function emptyTask(id: string): Task {
  return {
    id,
    seq: 0,
    agent: '',
    version: '',
    definition: '',
    by: '',
    limits: noLimits,
    granted: noLimits,
    seed: 0,
    parent: undefined,
    tree: undefined,
    sharing: false,
    locals: new Set(),
    awaits: undefined,
    onCancel: 'leave',
    startedAtMs: 0,
    updatedAtMs: 0,
    status: 'running',
    state: '',
    visits: new Map(),
    visit: undefined,
    context: new Map(),
    versions: new Map(),
    open: new Map(),
    delayed: new Map(),
    doubts: new Map(),
    item: undefined,
    approvals: new Map(),
    wait: undefined,
    signals: new Map(),
    signalKeys: new Set(),
    usage: { steps: 0, turns: 0, inputTokens: 0, outputTokens: 0, costMicros: 0, unpriced: 0 },
    reserved: { tokens: 0, costMicros: 0 },
    neared: new Set(),
    corrections: new Map(),
    estimated: new Map(),
    toolCalls: new Map(),
    slots: new Map(),
    handovers: 0,
    erased: 0,
    expired: false,
    door: undefined,
    handedFrom: undefined,
    progress: 0,
    entries: new Map(),
    outcome: undefined,
    effects: new Map(),
    undos: 0,
    checkpoints: [],
    rollback: undefined,
    rollbacks: 0,
    fork: undefined,
    moves: [],
  }
}

/** Does a step take back what another one did? */
export function isUndo(step: OpenStep): boolean {
  return step.kind === 'tool' && step.undoes !== undefined
}

/** The number of the last step that has begun, whatever it was for. */
export function lastStep({ usage, undos }: Task): number {
  return usage.steps + undos
}

/** The version of a key's next value. Versions never go back, also when the key does. */
export function nextVersion(task: Task, key: string): number {
  return (task.versions.get(key) ?? 0) + 1
}

/** The point where the task stands, right after it has begun a visit. */
export function pastOf(task: Task, checkpoint?: string): Past {
  const { seq, state, context } = task
  return { seq, state, checkpoint, context: new Map(context), lastStep: lastStep(task) }
}

/** The task's budgets: what they allow, what is spent, what is set aside. */
export function ledgerOf({ limits, usage, reserved }: Task): Ledger {
  const settled = usage.inputTokens + usage.outputTokens
  return {
    tokens: { max: limits.tokens, settled, reserved: reserved.tokens },
    cost: { max: limits.costMicros, settled: usage.costMicros, reserved: reserved.costMicros },
  }
}

/** When the task has lasted as long as it may, or its parent waits no longer, in ms since 1970. */
export function deadlineAtMs({ startedAtMs, limits, parent }: Task): number {
  return Math.min(startedAtMs + limits.durationMs, parent?.deadlineAtMs ?? Infinity)
}

/** Has the task come to its end? */
export function isEnded({ status }: Pick<Task, 'status'>): boolean {
  return status === 'done' || status === 'failed' || status === 'cancelled'
}

/** The steps that are children: their outcome comes from elsewhere, and nobody here is at work for them. */
export function childrenOf({ open }: Task): readonly ChildStep[] {
  return [...open.values()].filter((step) => step.kind === 'child')
}

/** A child that runs. */
export type ChildStep = Extract<OpenStep, { kind: 'child' }>

/** A step that a worker performs: anything but a child, which is a task of its own. */
export type PerformedStep = Exclude<OpenStep, ChildStep>

/** Is nothing at work for this task but its children? */
export function isIdle(task: Task): boolean {
  for (const { kind } of task.open.values()) if (kind !== 'child') return false
  return true
}

/** Is a human asked about a budget? */
export function isAsking({ item }: Task): boolean {
  return item?.kind === 'budget' && !item.answer && (item.limit === 'tokens' || item.limit === 'cost')
}

/** The task whose context this one works on, if not its own. */
export function ownerOf({ id, parent }: Task): string {
  return parent?.shares ?? id
}

/** Is the context that a task works on its own, even if it lends it to others? */
export function ownsContext({ parent }: Task): boolean {
  return parent?.shares === undefined
}

/** Does the task wait, for a human, a signal, a time, its children or its tree? */
export function isWaiting(task: Task): boolean {
  if (task.item !== undefined) return task.item.answer === undefined
  if (hasDecided(task)) return false
  const { delayed, approvals, open, awaits } = task
  if (delayed.size > 0 || approvals.size > 0 || open.size > 0 || awaits) return isIdle(task)
  if (task.wait === undefined) return false
  return task.wait.signal === undefined || !task.signals.get(task.wait.signal)?.length
}

/**
 * Has a human decided about a call that can now be made or refused? A call that a ceiling forbids waits for what is under way
 * beside it: only then the limit is reached.
 */
export function hasDecided(task: Task): boolean {
  if (task.approvals.size === 0 || task.item) return false
  return [...task.approvals.values()].some(({ answer, tool }) => {
    if (!answer) return false
    const alone = task.open.size + task.delayed.size === 0
    return alone || answer.decision === 'reject' || ceilingOf(task, tool) === undefined
  })
}

/** The ceiling of the task that forbids one more step, of a tool or of any kind. */
export function ceilingOf({ limits, usage, toolCalls, expired }: Task, tool?: string): RaisableLimit | undefined {
  if (expired) return 'duration'
  if (usage.steps >= limits.steps) return 'steps'
  return tool !== undefined && (toolCalls.get(tool) ?? 0) >= limits.toolCalls ? 'toolCalls' : undefined
}

/** What a waiting task waits for. */
export type WaitsFor = 'human' | 'signal' | 'time' | 'child' | 'budget'

/** What the task waits for, or null when it does not wait. */
export function waitsFor(task: Task): WaitsFor | null {
  if (task.status !== 'waiting') return null
  if (task.item || (task.approvals.size > 0 && task.delayed.size === 0)) return 'human'
  if (task.open.size > 0) return 'child'
  if (task.awaits) return 'budget'
  return task.wait?.signal === undefined ? 'time' : 'signal'
}

/**
 * When a worker should look at this task: a time in ms since 1970, or null when only a human, a signal or nobody can
 * move it. `updatedAtMs` means at once.
 */
export function dueAtMs(task: Task): number | null {
  if (isEnded(task)) return null
  if (task.status === 'running') return task.updatedAtMs
  // An escalation waits for a human and for nothing else; what is asked beside it ends in its time.
  if (task.item !== undefined && task.item.kind !== 'question') return nextExpiryAtMs(task)
  // Nothing but the rollback moves it, so no other deadline counts.
  if (task.rollback) return task.delayed.size > 0 ? nextRetryAtMs(task) : null
  // What is decided has no expiry any more: it waits for what is under way beside it.
  const items = (task.item ? [task.item] : [...task.approvals.values()]).filter(({ answer }) => !answer)
  const dueMs = Math.min(
    ...items.map((item) => Math.min(item.expiresAtMs ?? Infinity, nextRungAtMs(item))),
    // A visit ends with its time, but not before what was begun in it and is still owed an answer.
    task.delayed.size > 0
      ? task.awaits
        ? Math.min(...[...task.delayed.values()].map(({ step }) => step.deadlineAtMs))
        : nextRetryAtMs(task)
      : Math.min(task.wait?.untilMs ?? Infinity, task.visit?.deadlineAtMs ?? Infinity),
    ...childrenOf(task).map((child) => child.deadlineAtMs),
    task.expired ? Infinity : deadlineAtMs(task),
  )
  return Number.isFinite(dueMs) ? dueMs : null
}

/** Has nobody answered an item in its time? */
export function hasExpired({ expiresAtMs, answer }: Item, nowMs: number): boolean {
  return !answer && expiresAtMs !== undefined && nowMs >= expiresAtMs
}

function nextExpiryAtMs({ approvals }: Task): number | null {
  const open = [...approvals.values()].filter(({ answer }) => !answer)
  const atMs = Math.min(...open.map(({ expiresAtMs }) => expiresAtMs ?? Infinity))
  return Number.isFinite(atMs) ? atMs : null
}

/** When an item goes to somebody else because nobody has answered, in ms since 1970; infinite when there is nobody. */
export function nextRungAtMs({ askedAtMs, ladder, rung }: Item): number {
  const next = ladder[rung]
  return next === undefined ? Infinity : askedAtMs + next.afterMs
}

/** When the next delayed step is tried again, in ms since 1970; infinite when there is none. */
export function nextRetryAtMs(task: Task): number {
  return Math.min(...[...task.delayed.values()].map(({ atMs }) => atMs))
}
