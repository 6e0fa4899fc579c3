// What an agent says of itself: its name, its limits, its default routes, its signals and its context.

import { engineExits, type Agent } from '../agent.ts'
import { checkKeyBoundary } from '../boundary.ts'
import { merges } from '../context.ts'
import { messageOf } from '../fault.ts'
import { checkFields } from '../field.ts'
import { limitProblems } from '../limits.ts'
import { isObject, quoted } from '../json.ts'
import { kindOf } from '../machine.ts'
import type { Report } from '../problem.ts'
import { isQueueName, queueOf } from '../queue.ts'
import { isSchema, validate } from '../schema.ts'
import { checkSchema, checkTargets, isCallName, isEngineExit, isName } from './parts.ts'

/** Everything of an agent but its states and its context. */
export function checkHead(agent: Agent, report: Report): void {
  checkFields('agent', agent, '', report)
  checkFields('limits', agent.limits ?? {}, '.limits', report)
  if (!isName(agent.name)) {
    report(
      'NAME_INVALID',
      '.name',
      `${quoted(agent.name)} cannot be an agent's name.`,
      'Use 1 to 64 letters, digits, ".", "_" or "-", a letter first.',
    )
  }
  if (typeof agent.version !== 'string' || agent.version === '') {
    report('NAME_INVALID', '.version', 'The version is missing.', "Give it one, such as '1'.")
  }
  if (!isQueueName(queueOf(agent))) {
    const problem = `${quoted(agent.queue)} cannot be a queue's name.`
    report('NAME_INVALID', '.queue', problem, 'Use 1 to 64 letters, digits, ".", "_" or "-".')
  }
  const states = Object.entries(agent.states)
  if (!Object.hasOwn(agent.states, agent.initial)) {
    report(
      'INITIAL_UNKNOWN',
      '.initial',
      `There is no state ${agent.initial}.`,
      `Name one of: ${states.map(([name]) => name).join(', ')}.`,
    )
  }
  if (!states.some(([, state]) => kindOf(state) === 'final')) {
    report('FINAL_MISSING', '.states', 'No state is final, so no task can ever end.', "Add a state { type: 'final' }.")
  }
  for (const [exit, target] of Object.entries(agent.on ?? {})) {
    if (!isEngineExit(exit)) {
      report(
        'NAME_RESERVED',
        `.on.${exit}`,
        `${exit} is not an exit of the engine.`,
        `Default routes are for: ${engineExits.join(', ')}.`,
      )
    }
    checkTargets(agent, `.on.${exit}`, target, report)
  }
  if (agent.migrate !== undefined && typeof agent.migrate !== 'function') {
    report('MIGRATION_INVALID', '.migrate', 'It is not a function.', 'Use migrate: ({ version, state, context }) => …')
  }
  for (const { field, problem, cure } of limitProblems(agent.limits ?? {}, Object.keys(agent.states))) {
    report('LIMIT_INVALID', `.limits.${field}`, problem, cure)
  }
  checkSignals(agent.signals, report)
}

function checkSignals(signals: unknown, report: Report): void {
  if (signals === undefined) return
  if (!isObject(signals)) {
    report('SCHEMA_INVALID', '.signals', 'Signals are schemas by name.', 'Write { paid: z.object({ … }) }.')
    return
  }
  for (const [name, schema] of Object.entries(signals)) {
    const place = `.signals.${name}`
    if (!isCallName(name)) {
      const problem = `${quoted(name)} cannot be a signal's name.`
      report('NAME_INVALID', place, problem, 'Use 1 to 64 letters, digits, "_" or "-", a letter first.')
    }
    checkSchema(schema, place, report)
  }
}

/** The keys that an agent has in its context. */
export function checkContext(agent: Agent, report: Report): void {
  for (const [name, key] of Object.entries(agent.context?.keys ?? {})) {
    const place = `.context.${name}`
    if (!isName(name)) {
      report(
        'NAME_INVALID',
        place,
        `${quoted(name)} cannot be a context key.`,
        'Use 1 to 64 letters, digits, ".", "_" or "-", a letter first.',
      )
    }
    const schema = isSchema(key) ? key : key?.schema
    if (!isSchema(schema)) {
      report('SCHEMA_INVALID', place, 'The key has no schema.', 'Give it a Standard Schema, such as z.string().')
      continue
    }
    if (isSchema(key)) continue
    checkKeyBoundary(key, place, report)
    if (key.merge !== undefined && typeof key.merge !== 'function' && !merges.includes(key.merge)) {
      const cure = `Use ${merges.join(', ')} or a function of what is there and what is given.`
      report('KEY_INVALID', place, `There is no merge ${quoted(key.merge)}.`, cure)
    }
    if (!('initial' in key)) continue
    try {
      const verdict = validate(schema, key.initial)
      if (!verdict.ok)
        report(
          'KEY_INVALID',
          place,
          `The initial value does not fit: ${verdict.problem}.`,
          'Change the value or the schema.',
        )
    } catch (thrown) {
      report('SCHEMA_INVALID', place, messageOf(thrown), 'Use a schema that answers at once.')
    }
  }
}
