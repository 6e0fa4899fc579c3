// A task by values: no store, no model, no clock. What happens to it is judged by the engine's own functions, and what they
// decide is its log. It calls nothing; prompts, mappers, guards and rules are asked, because they are part of deciding.

import type { Agent } from '../core/agent.ts'
import { gateOf, openGate, type Gate } from '../core/breaker.ts'
import { compileChecked } from '../core/check.ts'
import type { ContextShape } from '../core/context.ts'
import { proceed, settle, type Ending } from '../core/decide.ts'
import { draft, noTerms, type Draft, type Terms } from '../core/draft.ts'
import type { Event } from '../core/event.ts'
import { Fault } from '../core/fault.ts'
import { fold } from '../core/fold.ts'
import type { DeclaredLabel } from '../core/label.ts'
import { defaults, type Limits } from '../core/limits.ts'
import type { Machine } from '../core/machine.ts'
import type { Rule } from '../core/policy.ts'
import { costOf, type Price } from '../core/price.ts'
import { start } from '../core/start.ts'
import { dueAtMs, emptyTask, isEnded, isWaiting, type OpenStep, type Task } from '../core/task.ts'
import { policyOf } from '../outfit.ts'
import { sha256 } from '../store/log.ts'

/** What is tried: an agent, and what an orchestrator and whoever starts the task would say besides. */
export interface Subject<Shape extends ContextShape = any> {
  readonly agent: Agent<Shape, any>
  /** Ceilings of this task alone. */
  readonly limits?: Limits
  /** What is known of the input, by key. */
  readonly labels?: Readonly<Record<string, DeclaredLabel>>
  /** By the name that agents use. What has no price costs nothing here. */
  readonly prices?: Readonly<Record<string, Price>>
  /** The tokens of a model's window. */
  readonly windows?: Readonly<Record<string, number>>
  /** The orchestrator's rules. */
  readonly policy?: readonly Rule[]
}

const beginMs = 1_700_000_000_000

/** One task, and all that has happened to it. */
export class Trial {
  readonly machine: Machine
  readonly task: Task
  /** Every event so far. */
  readonly log: Event[]
  nowMs: number
  readonly #terms: Terms
  readonly #gates = new Map<string, Gate>()

  /** Begins a task; with a log, goes on from there. Throws AGENT_UNSOUND, INPUT_INVALID or GIVEN_INVALID. */
  constructor(subject: Subject, from: { readonly input: unknown } | { readonly log: readonly Event[] }) {
    this.machine = compileChecked(subject.agent)
    this.#terms = { ...termsOf(subject), gate: (key) => this.#gates.get(key) ?? openGate }
    if ('log' in from) {
      this.log = [...from.log]
      this.task = fold(emptyTask(taskOf(this.log, this.machine)), this.log)
      this.nowMs = this.log.at(-1)!.at
      for (const event of this.log) this.#hear(event)
      return
    }
    this.nowMs = beginMs
    const { limits = {}, labels: said = {} } = subject
    const labels = Object.fromEntries(Object.entries(said).map(([key, label]) => [key, [label]]))
    const definition = this.machine.name
    const given = { taskId: 't', definition, input: from.input, by: 'test', seed: 1, limits, labels }
    const begun = start(this.machine, given, this.nowMs, this.#terms)
    this.task = begun.task
    this.log = [...begun.events]
    this.decide()
  }

  /** Something is said, and the task goes on from there as far as it can. Whatever was decided is in the log, also when it throws. */
  decide(say: (work: Draft) => void = () => undefined): void {
    const work = draft(this.task, this.nowMs, this.#terms)
    try {
      say(work)
      proceed(this.machine, work)
    } finally {
      this.log.push(...work.events)
      for (const event of work.events) this.#hear(event)
    }
  }

  /** How an attempt ended. */
  settle({ step, attempt }: OpenStep, ending: Ending): void {
    this.decide((work) => settle(this.machine, work, { ...ending, step, attempt, latencyMs: 1 }))
  }

  /** The step that this is said of. Where none is at work and a try is due later, time passes until then. */
  step<Step extends OpenStep>(is: (step: OpenStep) => step is Step, wanted: string): Step {
    for (;;) {
      const found = [...this.task.open.values()].find(is)
      if (found) return found
      const later = [...this.task.delayed.values()].filter(({ step }) => is(step)).map(({ atMs }) => atMs)
      if (later.length === 0)
        throw new Fault('GIVEN_INVALID', `${wanted}: ${this.stands()}.`, 'Say first what leads there.')
      const before = this.log.length
      this.pass(Math.max(0, Math.min(...later) - this.nowMs))
      if (this.log.length === before)
        throw new Fault('GIVEN_INVALID', `${wanted}: its gate is shut. ${this.stands()}.`, 'Let time pass first.')
    }
  }

  /** Time passes: deadlines, expiries and other tries come in their order, each at its time. */
  pass(ms: number): void {
    const untilMs = this.nowMs + ms
    for (;;) {
      const late = [...this.task.open.values()].filter(({ kind }) => kind !== 'child')
      const next = late.reduce<OpenStep | undefined>(
        (a, b) => (a && a.deadlineAtMs <= b.deadlineAtMs ? a : b),
        undefined,
      )
      const dueMs = (isWaiting(this.task) ? dueAtMs(this.task) : null) ?? Infinity
      const atMs = Math.min(dueMs, next?.deadlineAtMs ?? Infinity)
      if (atMs > untilMs || isEnded(this.task)) break
      const before = this.log.length
      this.nowMs = Math.max(this.nowMs, atMs)
      if (next && next.deadlineAtMs <= atMs) {
        this.settle(next, { kind: 'failed', failure: { class: 'timeout', message: 'It did not answer in time.' } })
      } else this.decide()
      // What is due and moves nothing is due for somebody else.
      if (this.log.length === before) break
    }
    this.nowMs = Math.max(this.nowMs, untilMs)
    this.decide()
  }

  /** Where the task stands, in words. */
  stands(): string {
    const { task } = this
    if (isEnded(task)) return `the task has ended (${task.outcome})`
    const open = [...task.open.values()].map((step) => {
      if (step.kind === 'model') return `the model ${step.model} is asked`
      if (step.kind === 'tool') return `the tool ${step.tool} is called`
      return step.kind === 'child' ? `the child ${step.agent} is at work` : 'the function is at work'
    })
    const asked = [...(task.item ? [task.item] : []), ...task.approvals.values()].map(
      ({ kind, options }) => `somebody is asked (${kind}: ${options.join(', ')})`,
    )
    const waits = task.wait?.signal === undefined ? [] : [`the signal ${task.wait.signal} is waited for`]
    const all = [...open, ...asked, ...waits].join(', and ') || `it is ${task.status}`
    return `the task is in ${task.state}, where ${all}`
  }

  #hear(event: Event): void {
    if (event.type === 'breaker.changed') this.#gates.set(event.data.key, gateOf(event.data))
  }
}

function taskOf(log: readonly Event[], { name }: Machine): string {
  const [first] = log
  const wrong = (what: string): Fault =>
    new Fault('GIVEN_INVALID', what, "Give a task's events from the first on, and its own agent.")
  if (first?.type !== 'task.started') throw wrong('The events that are given do not begin with task.started.')
  const gap = log.find(({ seq, taskId }, index) => seq !== index + 1 || taskId !== first.taskId)
  if (gap) throw wrong(`Event ${gap.seq} of task ${gap.taskId} does not follow the one before.`)
  if (first.data.agent !== name)
    throw wrong(`The events are of a task of ${first.data.agent}, and the agent is ${name}.`)
  return first.taskId
}

function termsOf({ prices = {}, windows = {}, policy = [] }: Subject): Terms {
  return {
    ...noTerms,
    price: (model, usage) => {
      const costMicros = Object.hasOwn(prices, model) ? costOf(prices[model]!, usage) : 0
      return { costMicros, source: 'configured' }
    },
    window: (model) => (Object.hasOwn(windows, model) ? windows[model]! : defaults.windowTokens),
    policy: policyOf(policy),
    hash: sha256,
  }
}
