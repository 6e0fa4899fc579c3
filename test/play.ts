// Plays a machine by values, without a store or a clock: decide, be told what is permitted, say what came of it.

import type { Agent } from '../src/core/agent.ts'
import { openGate, type Gate } from '../src/core/breaker.ts'
import { compileChecked } from '../src/core/check.ts'
import { answer, cancel, signal, type HumanAnswer, type Signal } from '../src/core/command.ts'
import { late, proceed, resume, settle, type Ending } from '../src/core/decide.ts'
import { start } from '../src/core/start.ts'
import { draft, noTerms, type Terms } from '../src/core/draft.ts'
import type { Event, EventData, EventType } from '../src/core/event.ts'
import type { Machine } from '../src/core/machine.ts'
import type { Limits } from '../src/core/limits.ts'
import { checkpointOf, pastAt } from '../src/core/past.ts'
import { rollbackTo } from '../src/core/rollback.ts'
import type { AnswerPart, Failure, Finish, TokenUsage } from '../src/core/model.ts'
import { fold } from '../src/core/fold.ts'
import { emptyTask, type OpenStep, type Task } from '../src/core/task.ts'

/** A call in a model's answer. */
export function call(name: string, input?: unknown, raw?: string): AnswerPart {
  return { type: 'call', id: '', name, ...(raw === undefined ? { arguments: (input ?? {}) as never } : { raw }) }
}

/** What a provider says was used: 10 tokens in, 5 out, unless said otherwise. */
export function used(said: Partial<TokenUsage> = {}): TokenUsage {
  const none = { cachedInputTokens: null, cacheWriteTokens: null, reasoningTokens: null }
  return { inputTokens: 10, outputTokens: 5, ...none, ...said }
}

export class Play {
  readonly machine: Machine
  task: Task
  /** Every event so far. */
  readonly log: Event[] = []
  nowMs = 1_000_000
  readonly terms: Terms
  /** The gates of models and tools, as the log so far has made them. */
  readonly gates = new Map<string, Gate>()

  /** Takes a machine too, for one that `check` would not let run. */
  constructor(agent: Agent<any, any> | Machine, input: unknown = {}, terms: Partial<Terms> = {}, limits: Limits = {}) {
    this.terms = { ...noTerms, gate: (key) => this.gates.get(key) ?? openGate, ...terms }
    this.machine = 'exitNames' in agent ? agent : compileChecked(agent)
    const begun = start(this.machine, { taskId: 't', definition: 'd', input, by: 'test', seed: 1, limits }, this.nowMs)
    this.task = begun.task
    this.log.push(...begun.events)
    this.go()
  }

  /** Goes on; answers with the events that were decided. */
  go(before: (work: ReturnType<typeof draft>) => void = () => undefined): Event[] {
    const work = draft(this.task, this.nowMs, this.terms)
    before(work)
    proceed(this.machine, work)
    for (const [key, gate] of work.gates) this.gates.set(key, gate)
    this.log.push(...work.events)
    return work.events
  }

  /** A new worker takes over: the task is folded anew, as it would be from the log. */
  crash(): Event[] {
    this.task = fold(emptyTask('t'), this.log)
    return this.go((work) => resume(this.machine, work))
  }

  /** The only step that is open. */
  get open(): OpenStep {
    const steps = [...this.task.open.values()]
    if (steps.length !== 1) throw new Error(`${steps.length} steps are open`)
    return steps[0]!
  }

  end(ending: Ending, step: OpenStep = this.open): Event[] {
    return this.go((work) =>
      settle(this.machine, work, { ...ending, step: step.step, attempt: step.attempt, latencyMs: 1 }),
    )
  }

  /** The model answers. */
  model(content: readonly AnswerPart[], finish: Finish = 'tool-calls', said: Partial<TokenUsage> = {}): Event[] {
    return this.end({ kind: 'model', answer: { provider: 'p', modelId: 'm', content, finish, usage: used(said) } })
  }

  /** An attempt that was given up answers after all. */
  late(ending: Ending, step: { step: number; attempt: number }): Event[] {
    const { step: number, attempt } = step
    return this.go((work) => late(work, { ...ending, step: number, attempt, latencyMs: 1 }))
  }

  fail(failure: Failure['class'], message = 'it failed'): Event[] {
    return this.end({ kind: 'failed', failure: { class: failure, message } })
  }

  /** Fails in the same way until no other try of the same model or tool is planned. Answers with the last events. */
  exhaust(failure: Failure['class'], message = 'it failed'): Event[] {
    for (;;) {
      const events = this.fail(failure, message)
      const [delayed] = this.task.delayed.values()
      if (!delayed) return events
      this.nowMs = delayed.atMs
      this.go()
    }
  }

  /** A human decides about what waits; throws what they are told when it does not count. */
  answer(given: Partial<HumanAnswer> & { decision: string }, item = this.asked): Event[] {
    const work = draft(this.task, this.nowMs, this.terms)
    const refused = answer(work, item, { by: 'ana', reason: 'because', ...given })
    this.log.push(...work.events)
    if (refused) throw refused
    return this.go()
  }

  /** The inbox item that waits; of several the first. */
  get asked(): string {
    const item = this.task.item ?? [...this.task.approvals.values()][0]
    if (!item) throw new Error('nobody is asked')
    return item.item
  }

  cancel(): Event[] {
    return this.go((work) => cancel(work, { by: 'ana', reason: 'because' }))
  }

  /** A human takes the task back to an event or a checkpoint. */
  rollback(to: number | string): Event[] {
    const past = typeof to === 'number' ? pastAt('t', this.log, to) : checkpointOf(this.task, to)
    return this.go((work) => rollbackTo(work, past, { asked: to, by: 'ana', reason: 'because' }))
  }

  /** Told without the machine, as from a command line; `knowing`: by somebody who has it. */
  signal(given: Pick<Signal, 'name'> & Partial<Signal>, knowing?: Machine): Event[] {
    return this.go((work) => signal(work, { data: {}, by: 'test', ...given }, knowing))
  }

  /** The data of every event of a type. */
  all<Type extends EventType>(type: Type): EventData[Type][] {
    return this.log.filter((event) => event.type === type).map((event) => event.data as EventData[Type])
  }

  /** The exits that were taken, in order. */
  get exits(): string[] {
    return this.all('transition.taken').map(({ source, exit, target }) => `${source} ${exit} ${target}`)
  }
}
