// The event catalogue: every fact that a task's log can hold. Past tense, noun first. A `*.called` event is a
// permission: it is committed before the call it permits is made. docs/DATA.md lists them for people.

import type { Breaker, Closure } from './breaker.ts'
import type { Rung } from './approval.ts'
import type { Deed } from './fork.ts'
import type { Json } from './json.ts'
import type { Label } from './label.ts'
import type { Charge, Reservation } from './ledger.ts'
import type { LimitName, Limits, RaisableLimit, TaskLimits } from './limits.ts'
import type { AnswerPart, FailureClass, Finish, TokenUsage } from './model.ts'
import type { Effect } from './tool.ts'

/** The kinds of state. */
export type StateKind = 'model' | 'tool' | 'run' | 'human' | 'wait' | 'agent' | 'final'

/** Why something was refused. */
export type RefusalReason =
  | 'answer-cut'
  | 'answer-withheld'
  | 'no-call'
  | 'empty-name'
  | 'unknown-tool'
  | 'tool-not-allowed'
  | 'undeclared-exit'
  | 'invalid-json'
  | 'invalid-arguments'
  | 'invalid-output'
  | 'two-exits'
  | 'exit-not-alone'
  | 'guard-failed'
  | 'undeclared-read'
  | 'undeclared-write'
  | 'duplicate-call'
  | 'policy-denied'
  | 'approval-rejected'
  | 'approval-expired'
  | 'price-unknown'
  | 'tool-changed'
  | 'stale-write'
  | 'invalid-signal'

/**
 * Kinds of inbox item: a question of the machine's, an engine exit that no route takes, an outcome nobody knows, a
 * limit that may be raised, a call that a human must agree to, effects that a rollback cannot take back.
 */
export type ItemKind = 'question' | 'escalation' | 'doubt' | 'budget' | 'approval' | 'rollback'

/** Why an answer to an inbox item did not count. */
export type AnswerProblem =
  | 'unknown-item'
  | 'unknown-decision'
  | 'other-arguments'
  | 'not-entitled'
  | 'agreed-already'
  | 'answered'
  | 'expired'
  | 'closed'
  | 'ended'

/** A call that a human must agree to, and on what terms. `hash` binds tool, arguments and policy. */
export interface AskedApproval {
  readonly tool: string
  readonly hash: string
  /** The place of the call in the model's answer; absent in a tool state. */
  readonly index?: number
  readonly quorum: number
  /** Only these may decide; absent: anyone. */
  readonly by?: readonly string[]
  /** Of the arguments. */
  readonly label?: Label
}

/** Why a step has to wait: the breaker is open, or is being probed; the outside wants quiet; too many at once. */
export type QueueReason = Closure | 'busy'

/** A step that could not be permitted at once. */
export type QueuedCall =
  | { readonly kind: 'model'; readonly turn: number; readonly model: string; readonly deadlineAtMs: number }
  | {
      readonly kind: 'tool'
      readonly tool: string
      readonly idempotencyKey: string
      readonly idempotent: boolean
      readonly deadlineAtMs: number
      readonly index?: number
      readonly label?: Label
      readonly answerLabel?: Label
      readonly rule?: string
      readonly approval?: string
      readonly undoes?: number
    }

/** Where a child comes from. */
export interface Parent {
  readonly task: string
  readonly step: number
  /** The task at the root of the tree, and how deep below it this one is. */
  readonly root: string
  readonly depth: number
  /** Until when its parent waits for it. */
  readonly deadlineAtMs: number
  /** The task whose context this one shares; absent where it has its own. */
  readonly shares?: string
}

/** What was shown to a model at the start of a visit. */
export interface Prompt {
  readonly system: string
  readonly user: string
}

/** Another try that was planned: after how long, when, and why then. */
export interface PlannedRetry {
  readonly delayMs: number
  readonly atMs: number
  /** `fallback`: the next model of the chain. `reconcile`: the tool is asked whether it was done. `undone`: it was not. */
  readonly reason: 'jitter' | 'retry-after' | 'smaller' | 'fallback' | 'reconcile' | 'undone'
  /** The largest request that is made then, in estimated tokens, where the last was too large. */
  readonly inputTokensMax?: number
  /** The model that is asked then, where it is another. */
  readonly model?: string
}

/** A context key as it is written again by a rollback. */
export interface Restored {
  readonly key: string
  readonly value: Json
  readonly label?: Label
}

/** The data of every event, by type. Times that end in `AtMs` are milliseconds since 1970; durations end in `Ms`. */
export interface EventData {
  'task.started': {
    readonly agent: string
    readonly version: string
    /** The hash of the definition that the task is pinned to. */
    readonly definition: string
    readonly input: Json
    readonly by: string
    /** The task whose context some of the input was taken from, with its labels. */
    readonly from?: string
    readonly limits: TaskLimits
    /** Those of them that are this task's alone, as they were given, and not its agent's. */
    readonly given?: Limits
    /** The format of the log, where it is not 1; `format.ts` says which an engine can read. */
    readonly format?: number
    /** What the task's own random numbers are made from. */
    readonly seed: number
    /** When it is cancelled it takes back what it did, before it ends: who cancels it needs no machine. */
    readonly onCancel?: 'undo'
    /** Of a child: where it comes from. */
    readonly parent?: Parent
  }
  /** The task begins where another was, at the beginning of a visit. Its context and state follow in the same commit. */
  'task.forked': {
    /** That task, the event that began the visit, and what was asked for: an event of that visit, or a checkpoint. */
    readonly from: string
    readonly seq: number
    readonly asked: number | string
    readonly state: string
    /** What was done outside by that task, and those below it: it stands, and is not done again unasked. */
    readonly deeds: readonly Deed[]
    readonly by: string
    readonly reason: string
  }
  /** The task goes on under another definition of its agent. Its context and state follow in the same commit. */
  'task.migrated': {
    readonly from: { readonly version: string; readonly definition: string; readonly state: string }
    readonly version: string
    readonly definition: string
    readonly state: string
  }
  'state.entered': {
    readonly state: string
    readonly kind: StateKind
    readonly visit: number
    /** When the visit has lasted as long as it may, where the state says so. */
    readonly deadlineAtMs?: number
    /** The name under which a rollback may come back here. */
    readonly checkpoint?: string
    /** Who does it, where it is a child. */
    readonly agent?: string
  }
  /** What another task of the tree has written to the shared context, as it is seen from here on. */
  'context.synced': {
    readonly key: string
    readonly version: number
    /** Absent: a rollback went to where the key had no value. */
    readonly value?: Json
    readonly label?: Label
    readonly writer: string
  }
  'context.written': {
    readonly key: string
    readonly version: number
    readonly value: Json
    readonly source: 'input' | 'initial' | 'exit' | 'rollback' | 'migration' | 'fork'
    /** Absent: trusted and public, as everywhere. */
    readonly label?: Label
  }
  /** Links that nobody of ours gave were taken out of what is shown outside. */
  'links.removed': { readonly key: string; readonly links: readonly string[] }
  /** A declared declassification: what is written to a key has a weaker label than what it was made of. */
  'label.weakened': {
    readonly key: string
    readonly from: Label
    readonly to: Label
    readonly state: string
    readonly reason: string
  }
  /** A rollback went to where the key had no value. `version` counts this as a write. */
  'context.removed': { readonly key: string; readonly version: number }
  'model.called': {
    readonly step: number
    readonly attempt: number
    readonly turn: number
    readonly model: string
    /** Models before it in the chain that were not to be asked now. */
    readonly passed?: readonly string[]
    /** On the first turn of a visit, with the label of what it was made of. */
    readonly prompt?: Prompt
    readonly label?: Label
    readonly outputTokensMax: number
    /** The worst that this attempt may use, taken out of the budgets until it is known what it used. */
    readonly reserved: Reservation
    readonly deadlineAtMs: number
  }
  'model.answered': {
    readonly step: number
    readonly attempt: number
    readonly turn: number
    readonly provider: string
    readonly modelId: string
    readonly content: readonly AnswerPart[]
    readonly finish: Finish
    /** As the provider said. */
    readonly usage: TokenUsage
    /** As it was counted. */
    readonly charge: Charge
    readonly latencyMs: number
    /** Of all that the model had seen. */
    readonly label?: Label
  }
  'model.failed': {
    readonly step: number
    readonly attempt: number
    readonly turn: number
    readonly class: FailureClass
    readonly message: string
    readonly status?: number
    readonly latencyMs: number
    /** What it burned; absent when the provider charges nothing for it. */
    readonly charge?: Charge
    /** When it is tried again; absent when it is not. */
    readonly retry?: PlannedRetry
  }
  'tool.called': {
    readonly step: number
    readonly attempt: number
    readonly tool: string
    readonly arguments: Json
    readonly idempotencyKey: string
    readonly idempotent: boolean
    readonly deadlineAtMs: number
    /** The place of the call in the model's answer; absent in a tool state. */
    readonly index?: number
    /** The tool is not called: it is asked whether the call before was done. */
    readonly reconciles?: true
    /** Of its arguments, and of whatever it will answer. */
    readonly label?: Label
    readonly answerLabel?: Label
    /** The rule that allowed it, where it is not the default. */
    readonly rule?: string
    /** The inbox item in which it was approved, and the hash of what was. */
    readonly approval?: string
    readonly binding?: string
    /** What it does outside, where that is more than reading; and that the tool can take it back. */
    readonly effect?: Exclude<Effect, 'read'>
    readonly undoable?: true
    /** The tool is not called: what it did in this step is taken back. */
    readonly undoes?: number
  }
  'tool.answered': {
    readonly step: number
    readonly attempt: number
    readonly tool: string
    readonly result: Json
    readonly latencyMs: number
    /** Who said so, because the answer itself was lost: a human, or `reconcile`. */
    readonly by?: string
    /** Of the result: the tool's own, joined with that of the arguments. */
    readonly label?: Label
  }
  'tool.failed': {
    readonly step: number
    readonly attempt: number
    readonly tool: string
    readonly class: FailureClass
    readonly message: string
    readonly latencyMs: number
    /** Of the message. */
    readonly label?: Label
    readonly retry?: PlannedRetry
  }
  /** The outcome of a tool that is not idempotent was lost: it may have acted. */
  'tool.doubted': { readonly step: number; readonly attempt: number; readonly tool: string }
  'function.called': {
    readonly step: number
    readonly attempt: number
    readonly deadlineAtMs: number
    /** Of all that it may read. */
    readonly label?: Label
  }
  'function.returned': {
    readonly step: number
    readonly attempt: number
    readonly exit: string
    readonly output: Json
    readonly latencyMs: number
  }
  /** A function of the machine threw: a run state's, or a prompt, guard, mapper, question or time (then without a step). */
  'function.failed': {
    readonly step?: number
    readonly attempt?: number
    readonly what: 'run' | 'prompt' | 'args' | 'exit' | 'guard' | 'question' | 'input' | 'output' | 'wait'
    readonly class: FailureClass
    readonly message: string
    readonly latencyMs?: number
    /** When it runs again, because another task was first to write what it wrote. */
    readonly retry?: PlannedRetry
  }
  /** What the children of an agent state are started with, in order; said once, when the state is entered. */
  'children.planned': { readonly state: string; readonly inputs: readonly Json[]; readonly label?: Label }
  /** A child task begins: with the same commit, its own log. */
  'child.started': {
    readonly step: number
    readonly child: string
    readonly agent: string
    /** It works on the shared context of the tree. */
    readonly shares: boolean
    readonly deadlineAtMs: number
    /** Its place in the plan of an agent state. */
    readonly branch?: number
    /** The tool that it is to a model, what that asked for, and its place in the answer. */
    readonly tool?: string
    readonly arguments?: Json
    readonly index?: number
    readonly label?: Label
    readonly rule?: string
    readonly approval?: string
    readonly binding?: string
    /** Somewhere below it a tool does more than read. */
    readonly acts?: true
  }
  /** A child came to its end, as its own log says at `seq`. */
  'child.ended': {
    readonly step: number
    readonly child: string
    readonly seq: number
    readonly status: 'done' | 'failed' | 'cancelled'
    readonly outcome: string
    readonly output: Json
    /** Of what it had seen. */
    readonly label?: Label
    /** Something that it did outside stands. */
    readonly acted?: true
  }
  /** A child is not waited for any more: it is cancelled. */
  'child.calledOff': {
    readonly step: number
    readonly child: string
    readonly class: 'timeout' | 'abort'
    readonly by: string
    readonly reason: string
  }
  /**
   * The budget of the tree has no room for this task now. `reserved`: what others hold may come back. `paused`: the root
   * has to decide at its soft line. `short`: nothing is held, and there is too little.
   */
  'budget.awaited': {
    readonly limit: 'tokens' | 'cost'
    readonly why: 'reserved' | 'paused' | 'short'
    readonly max: number
  }
  /** The worker that performed this attempt went away without an outcome. A model may have charged for it all the same. */
  'step.lost': { readonly step: number; readonly attempt: number; readonly charge?: Charge }
  /** The result of an attempt that was given up came after all: kept, counted, not applied. */
  'step.late': {
    readonly step: number
    readonly attempt: number
    readonly kind: 'model' | 'tool' | 'function'
    readonly result: Json
    readonly latencyMs: number
    readonly usage?: TokenUsage
    /** What corrects the estimate that was charged; may be negative. */
    readonly charge?: Charge
  }
  'step.refused': {
    readonly reason: RefusalReason
    readonly state: string
    /** The tool, exit or key that was asked for. */
    readonly asked: string
    /** What exactly was wrong, and what may be done instead; a model is told this. */
    readonly correction: string
    /** The rule that said so, where one did. */
    readonly rule?: string
    /** The key that another task has changed, and the label of its value, which is told. */
    readonly key?: string
    readonly label?: Label
    readonly turn?: number
    /** The place of the refused call in the model's answer. */
    readonly index?: number
  }
  /** What a model is shown of this visit had to become less, by the rule of the window. */
  'window.cut': {
    readonly state: string
    readonly model: string
    /** `window`: it would not fit. `overflow`: the provider said that it did not. */
    readonly reason: 'window' | 'overflow'
    readonly inputTokensMax: number
    /** The estimate before, and after. */
    readonly tokensBefore: number
    readonly tokens: number
    /** Results of turns before this one are left out, and turns before that one, whole. */
    readonly resultsBefore: number
    readonly turnsBefore: number
    /** Results of more characters are shown by their head. */
    readonly headChars: number | null
  }
  /** A step has to wait before it may be performed: its model or tool is not to be asked now. */
  'step.queued': {
    readonly step: number
    readonly key: string
    readonly reason: QueueReason
    /** When it is looked at again, at the latest. */
    readonly untilMs: number
    /** Of a step that gets time of its own, because a human wants it tried again. */
    readonly deadlineAtMs?: number
    /** What is to be permitted then; absent for a step that was permitted before. */
    readonly call?: QueuedCall
    readonly arguments?: Json
    readonly prompt?: Prompt
    readonly label?: Label
  }
  /** A place among the calls that a model or tool takes at once, or in a stretch of time. */
  'slot.taken': {
    readonly key: string
    readonly step: number
    readonly concurrency: number | null
    readonly periodMs: number | null
    /** Until when it is held at most. */
    readonly untilMs: number
  }
  /** The place, or the wait for one, is over. */
  'slot.freed': { readonly key: string; readonly step: number }
  /** What an outcome, or a human, made of the breaker of a model or tool. `version` counts its changes in the store. */
  'breaker.changed': Breaker & {
    readonly key: string
    readonly version: number
    readonly by?: string
    readonly reason?: string
  }
  'transition.taken': {
    readonly source: string
    readonly exit: string
    readonly target: string
    readonly output?: Json
  }
  'limit.reached': { readonly limit: LimitName; readonly max: number; readonly state: string }
  /** A budget is used up to its soft line; once for each ceiling. */
  'limit.neared': {
    readonly limit: 'tokens' | 'cost'
    readonly max: number
    readonly used: number
    readonly soft: number
  }
  'limit.raised': {
    readonly limit: RaisableLimit
    readonly max: number
    /** What the tree had used of it, where there is one. */
    readonly used?: number
    readonly by: string
    readonly reason: string
  }
  'deadline.passed': {
    readonly of: 'question' | 'wait' | 'state'
    readonly state: string
    readonly deadlineAtMs: number
  }
  'wait.started': {
    readonly state: string
    readonly signal?: string
    readonly untilMs: number
    /** The machine named that time: it does not move when something else took time. */
    readonly absolute?: true
  }
  'signal.received': {
    readonly name: string
    readonly data: Json
    readonly by: string
    readonly key?: string
  }
  'signal.consumed': { readonly name: string }
  'human.asked': {
    readonly item: string
    readonly kind: ItemKind
    readonly state: string
    readonly question: string
    readonly show?: Json
    readonly options: readonly string[]
    readonly assignee?: string
    readonly expiresAtMs?: number
    /** The engine exit that nothing routes, for an escalation. */
    readonly exit?: string
    /** The step whose outcome is unknown, for a doubt. */
    readonly step?: number
    /** The limit that may be raised, for a budget. */
    readonly limit?: RaisableLimit
    /** The steps that cannot be taken back, for a rollback. */
    readonly steps?: readonly number[]
    readonly approval?: AskedApproval
    /** Who may answer, of a doubt: who may agree to the call. */
    readonly by?: readonly string[]
    /** To whom it goes next, and after how long since it was asked. */
    readonly ladder?: readonly Rung[]
  }
  /** Nobody has answered: it is somebody else's now. */
  'human.escalated': { readonly item: string; readonly to: string }
  /** It waits no longer, and not because somebody answered: its time is over, or what it was about is. */
  'item.closed': { readonly item: string; readonly why: 'expired' | 'withdrawn' | 'outdated' | 'unfit' | 'unseen' }
  /** A webhook has taken the news that an item waits. */
  'notice.sent': {
    readonly item: string
    /** The same for every try, and another after an escalation. */
    readonly noticeId: string
    readonly attempt: number
    readonly status: number
    readonly latencyMs: number
  }
  'notice.failed': {
    readonly item: string
    readonly noticeId: string
    readonly attempt: number
    readonly class: FailureClass
    readonly message: string
    readonly status?: number
    readonly latencyMs: number
    readonly retry?: PlannedRetry
  }
  /** An answer that did not count, and why. */
  'answer.refused': {
    readonly item: string
    readonly decision: string
    readonly by: string
    readonly reason: string
    readonly problem: AnswerProblem
  }
  'human.answered': {
    readonly item: string
    readonly decision: string
    readonly by: string
    readonly reason: string
    readonly data?: Json
    /** Of an approval: the hash of what was approved. */
    readonly hash?: string
    /** How many others must agree before it counts. */
    readonly more?: number
  }
  /** A payload was taken out of the store for good. The event that carries it stays, and its hash. */
  'payload.erased': {
    /** Where it was stored: with which event, and under which hash. */
    readonly seq: number
    readonly hash: string
    readonly by: string
    readonly reason: string
  }
  /**
   * The task goes back to the beginning of the visit it was in at an earlier event; or, with `ends`, takes back all that it did and
   * ends where it stands. Until then, or until the rollback is stopped, it does nothing else.
   */
  'rollback.started': {
    /** The event that began the visit, and what was asked for: an event of that visit, or a checkpoint. Both 0 with `ends`. */
    readonly to: number
    readonly asked: number | string
    readonly state: string
    /** The last step that had begun by then. */
    readonly lastStep: number
    /** Effects that will be taken back, in that order, and those that cannot be; what is in flight may add to them. */
    readonly undo: readonly number[]
    readonly without: readonly number[]
    /** What the context's keys are set to, and those that had no value. */
    readonly restore: readonly Restored[]
    readonly remove: readonly string[]
    readonly by: string
    readonly reason: string
    /** The engine exit that the machine answers with a rollback. */
    readonly exit?: string
    /** How the task ends when everything is taken back that can be; what cannot be is left as it is. */
    readonly ends?: 'cancelled'
  }
  /** A human said that an effect stands although the task goes back. */
  'effect.kept': { readonly step: number; readonly tool: string; readonly by: string; readonly reason: string }
  /** The task goes on where it was. `item` is open again: it was, when the rollback began. */
  'rollback.stopped': {
    readonly by: string
    readonly reason: string
    readonly item?: string
    /** The time that the rollback took is nobody's: the item has as much left as it had. */
    readonly expiresAtMs?: number
  }
  /** Everything is taken back that can be; the context and the state follow. */
  'task.rolledBack': { readonly to: number; readonly state: string }
  'task.cancelled': { readonly by: string; readonly reason: string }
  'task.ended': {
    readonly outcome: string
    readonly status: 'done' | 'failed' | 'cancelled'
    /** What a child hands over to its parent, with the label of what it had seen. */
    readonly output?: Json
    readonly label?: Label
    /** Something that it did outside stands. */
    readonly acted?: true
  }
}

/** The types of events. */
export type EventType = keyof EventData

/** A fact, before it has its place in the log. */
export type Fact = {
  [Type in EventType]: {
    readonly type: Type
    readonly data: EventData[Type]
    /** Milliseconds since 1970. */
    readonly at: number
    /** What it cost, in millionths of a dollar; null when a price is unknown. */
    readonly costMicros: number | null
  }
}[EventType]

/** A fact in its place: number `seq` of a task's log, counted from 1 without gaps. */
export type Event = Fact & { readonly taskId: string; readonly seq: number }

/** What came of an attempt. */
export const outcomes: ReadonlySet<EventType> = new Set<EventType>([
  'model.answered',
  'model.failed',
  'tool.answered',
  'tool.failed',
  'function.returned',
  'function.failed',
])

/** Fields whose values are kept as payloads, apart from the event, which carries their hash. */
export const payloadFields: { readonly [Type in EventType]?: readonly (keyof EventData[Type])[] } = {
  'task.started': ['input'],
  'task.forked': ['deeds'],
  'context.written': ['value'],
  'context.synced': ['value'],
  'children.planned': ['inputs'],
  'child.started': ['arguments'],
  'child.ended': ['output'],
  'task.ended': ['output'],
  'links.removed': ['links'],
  'model.called': ['prompt'],
  'model.answered': ['content'],
  'tool.called': ['arguments'],
  'tool.answered': ['result'],
  'function.returned': ['output'],
  'step.late': ['result'],
  'step.queued': ['arguments', 'prompt'],
  'transition.taken': ['output'],
  'signal.received': ['data'],
  'human.asked': ['question', 'show'],
  'human.answered': ['data'],
  'rollback.started': ['restore'],
}
