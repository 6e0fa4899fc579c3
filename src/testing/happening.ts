// What can happen to a task, in a word each: a model answers, a tool fails, a person decides, time passes, a worker dies. Each is
// a value that `given` and `when` take; what follows from it the engine decides.

import { answer as decideAnswer, cancel as decideCancel, signal as decideSignal } from '../core/command.ts'
import { hearEnded } from '../core/child.ts'
import { resume } from '../core/decide.ts'
import { toMs, type Duration } from '../core/duration.ts'
import { Fault } from '../core/fault.ts'
import { quoted, toJson, type Json } from '../core/json.ts'
import { childrenIn } from '../core/machine.ts'
import type { FailureClass } from '../core/model.ts'
import { checkpointOf, pastAt } from '../core/past.ts'
import { rollbackTo } from '../core/rollback.ts'
import type { OpenStep } from '../core/task.ts'
import { toReply, type ScriptAnswer } from '../providers/scripted.ts'
import type { Trial } from './trial.ts'

/** Something that happens to a task. */
export interface Happening {
  /** As it is told where it cannot happen. */
  readonly what: string
  readonly happen: (trial: Trial) => void
}

type StepOf<Kind extends OpenStep['kind']> = Extract<OpenStep, { kind: Kind }>

const isModel = (step: OpenStep): step is StepOf<'model'> => step.kind === 'model'
const isFunction = (step: OpenStep): step is StepOf<'function'> => step.kind === 'function'
const isTool =
  (name: string) =>
  (step: OpenStep): step is StepOf<'tool'> =>
    step.kind === 'tool' && step.tool === name
const isChild =
  (agent: string) =>
  (step: OpenStep): step is StepOf<'child'> =>
    step.kind === 'child' && step.agent === agent

// ---- What models, tools, functions and children say --------------------------------------------------------------------

/** The model calls a tool, or takes an exit, with these arguments. For several calls at once, prose or counts of tokens: `modelSays`. */
export function modelCalls(name: string, input: Json = {}): Happening {
  return says(`modelCalls(${quoted(name)})`, { calls: [{ name, arguments: input }] })
}

/** The model answers as a script says it: with text, calls, usage; or with an HTTP status, or a connection that breaks. */
export function modelSays(said: ScriptAnswer): Happening {
  return says('modelSays(…)', said)
}

function says(what: string, { hang, delayMs = 0, ...said }: ScriptAnswer): Happening {
  return {
    what,
    happen: (trial) => {
      const step = trial.step(isModel, `${what}: no model is asked`)
      // A model that hangs is given up at its deadline.
      if (hang) return trial.pass(step.deadlineAtMs - trial.nowMs)
      if (delayMs > 0) trial.pass(delayMs)
      const reply = toReply(said, step.model, trial.nowMs)
      const late = trial.task.open.get(step.step)?.attempt !== step.attempt
      if (late)
        throw new Fault('GIVEN_INVALID', `${what} comes after its deadline.`, 'Let it hang instead: hang: true.')
      return trial.settle(
        step,
        reply.ok ? { kind: 'model', answer: reply.answer } : { kind: 'failed', failure: reply.failure },
      )
    },
  }
}

/** The model fails in this way. */
export function modelFails(kind: FailureClass, message = 'It failed.'): Happening {
  const what = `modelFails(${quoted(kind)})`
  return {
    what,
    happen: (trial) =>
      trial.settle(trial.step(isModel, `${what}: no model is asked`), {
        kind: 'failed',
        failure: { class: kind, message },
      }),
  }
}

/** The tool answers. Of several calls of it the first is meant that is at work. */
export function toolAnswers(name: string, result: unknown = null): Happening {
  const what = `toolAnswers(${quoted(name)})`
  return {
    what,
    happen: (trial) => {
      const step = trial.step(isTool(name), `${what}: it is not called`)
      const json = toJson(result)
      if (!json.ok)
        throw new Fault('GIVEN_INVALID', `${what}: its answer cannot be kept: ${json.problem}.`, 'Give plain JSON.')
      trial.settle(step, { kind: 'tool', result: json.value })
    },
  }
}

/** The tool throws. `timeout` is that it did not answer in time: one that must not be called twice is in doubt then. */
export function toolFails(name: string, message = 'It failed.', kind: FailureClass = 'error'): Happening {
  const what = `toolFails(${quoted(name)})`
  return {
    what,
    happen: (trial) =>
      trial.settle(trial.step(isTool(name), `${what}: it is not called`), {
        kind: 'failed',
        failure: { class: kind, message },
      }),
  }
}

/** The function of a run state returns. */
export function functionReturns(exit: string, output: Json = {}): Happening {
  const what = `functionReturns(${quoted(exit)})`
  return {
    what,
    happen: (trial) =>
      trial.settle(trial.step(isFunction, `${what}: no function is at work`), {
        kind: 'function',
        leaving: { exit, output },
      }),
  }
}

/** The function of a run state throws. */
export function functionFails(message = 'It failed.'): Happening {
  return {
    what: 'functionFails()',
    happen: (trial) =>
      trial.settle(trial.step(isFunction, 'functionFails(): no function is at work'), {
        kind: 'failed',
        failure: { class: 'error', message },
      }),
  }
}

/** A child of that agent comes to its end, in one of its final states or by an exit of the engine. */
export function childEnds(agent: string, outcome: string, output: Json = {}): Happening {
  const what = `childEnds(${quoted(agent)}, ${quoted(outcome)})`
  return {
    what,
    happen: (trial) => {
      const { step, child } = trial.step(isChild(agent), `${what}: no such child is at work`)
      const its = childrenIn(trial.machine.states.values()).find(({ machine }) => machine.name === agent)
      const node = its?.machine.states.get(outcome)
      const isEnd = node?.kind === 'final' || outcome === 'cancelled' || outcome.startsWith('$')
      if (!isEnd) throw new Fault('GIVEN_INVALID', `${what}: ${agent} has no final state ${outcome}.`, `See ${child}.`)
      const status = outcome === 'cancelled' ? outcome : node?.kind === 'final' && !node.failure ? 'done' : 'failed'
      trial.decide((work) => hearEnded(work, [{ step, seq: 1, ended: { status, outcome, output } }]))
    },
  }
}

// ---- What people say ---------------------------------------------------------------------------------------------------

/** Who answers what, where it is not said by the decision alone. */
export interface Saying {
  readonly by?: string
  readonly reason?: string
  /** What the decision hands over. */
  readonly data?: Json
  /** The hash that was shown, of an approval. */
  readonly hash?: string
  /** The approval that is meant, by its tool, where several are asked for. */
  readonly tool?: string
  /** The inbox item that is meant. Default: the one that is asked, of several the first. */
  readonly item?: string
}

/** A person decides about what is asked. */
export function answer(
  decision: string,
  { by = 'ana', reason = 'because', tool, item, ...more }: Saying = {},
): Happening {
  const what = `answer(${quoted(decision)})`
  return {
    what,
    happen: (trial) => {
      const { task } = trial
      const asked = task.item ?? [...task.approvals.values()].find((one) => tool === undefined || one.tool === tool)
      const meant = item ?? asked?.item
      if (meant === undefined)
        throw new Fault('GIVEN_INVALID', `${what}: nobody is asked: ${trial.stands()}.`, 'Say first what leads there.')
      let refused: Fault | undefined
      trial.decide((work) => (refused = decideAnswer(work, meant, { decision, by, reason, ...more })))
      if (refused) throw refused
    },
  }
}

/** A signal comes. `key`: of two with the same one the second does not count. */
export function signal(
  name: string,
  data: Json = {},
  { by = 'test', key }: { by?: string; key?: string } = {},
): Happening {
  return {
    what: `signal(${quoted(name)})`,
    happen: (trial) =>
      trial.decide((work) => {
        decideSignal(work, { name, data, by, ...(key === undefined ? {} : { key }) }, trial.machine)
      }),
  }
}

/** A person cancels the task. */
export function cancel(by = 'ana', reason = 'because'): Happening {
  return { what: 'cancel()', happen: (trial) => trial.decide((work) => decideCancel(work, { by, reason })) }
}

/** A person takes the task back, to an event or a checkpoint. */
export function rollback(to: number | string, by = 'ana', reason = 'because'): Happening {
  return {
    what: `rollback(${quoted(to)})`,
    happen: (trial) =>
      trial.decide((work) => {
        const past = typeof to === 'number' ? pastAt(work.task.id, trial.log, to) : checkpointOf(work.task, to)
        rollbackTo(work, past, { asked: to, by, reason })
      }),
  }
}

// ---- What befalls it ---------------------------------------------------------------------------------------------------

/** Time passes, and nobody says anything: deadlines come, questions expire, retries are due. */
export function timePasses(duration: Duration): Happening {
  return { what: `timePasses(${quoted(duration)})`, happen: (trial) => trial.pass(toMs(duration)) }
}

/** The worker dies with everything that was under way, and another takes the task over. */
export function workerDies(): Happening {
  return { what: 'workerDies()', happen: (trial) => trial.decide((work) => resume(trial.machine, work)) }
}
