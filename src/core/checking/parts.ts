// What may stand in many places of a declaration: names, exits, schemas, ceilings, durations.

import { engineExits, type Agent } from '../agent.ts'
import { durationProblem, type Duration } from '../duration.ts'
import { isFault } from '../fault.ts'
import { checkFields } from '../field.ts'
import { isCeiling } from '../limits.ts'
import { quoted } from '../json.ts'
import { candidatesOf } from '../machine.ts'
import type { Report } from '../problem.ts'
import { isSchema, toJsonSchema, validate } from '../schema.ts'

/** Is it what agents, states and keys may be called? */
export const isName = (name: unknown): boolean => typeof name === 'string' && /^[A-Za-z][\w.-]{0,63}$/.test(name)
/** What every provider takes as a tool's name. */
export const isCallName = (name: unknown): boolean => typeof name === 'string' && /^[A-Za-z_][\w-]{0,63}$/.test(name)

/** Is it an exit that the engine takes by itself? */
export function isEngineExit(name: string): boolean {
  return (engineExits as readonly string[]).includes(name)
}

/** Where an exit leads to. */
export function checkTargets(agent: Agent, place: string, exit: unknown, report: Report): void {
  const candidates = candidatesOf(exit)
  if (candidates.length === 0) report('EXIT_INVALID', place, 'The exit has no target.', 'Name a state.')
  for (const candidate of candidates) {
    if (typeof candidate === 'object' && candidate !== null) checkFields('exit', candidate, place, report)
    const target = candidate?.target
    if (typeof target === 'string' && Object.hasOwn(agent.states, target)) continue
    report(
      'TARGET_UNKNOWN',
      place,
      `There is no state ${quoted(target)}.`,
      `Name one of: ${Object.keys(agent.states).join(', ')}.`,
    )
  }
}

/** What an exit hands over. */
export function checkOutput(exit: string, place: string, definition: unknown, report: Report): void {
  const outputs = candidatesOf(definition).flatMap((candidate) =>
    candidate?.output === undefined ? [] : [candidate.output],
  )
  for (const output of outputs) checkSchema(output, `${place}.output`, report)
  if (exit.startsWith('$') && outputs.length > 0) {
    report('EXIT_INVALID', `${place}.output`, 'An exit of the engine hands nothing over.', 'Remove the output.')
  }
  if (new Set(outputs).size > 1) {
    report(
      'EXIT_INVALID',
      `${place}.output`,
      'The candidates of one exit have different outputs.',
      'Give the output once; guards may look into it.',
    )
  }
}

/** The schema of an object that is handed over. */
export function checkSchema(schema: unknown, place: string, report: Report): void {
  if (!isSchema(schema)) {
    report('SCHEMA_INVALID', place, 'This is not a schema.', 'Give it a Standard Schema, such as z.object({ … }).')
    return
  }
  try {
    if (toJsonSchema(schema)['type'] !== 'object') {
      report('SCHEMA_INVALID', place, 'What is handed over must be an object.', 'Wrap it: z.object({ … }).')
    }
    validate(schema, {})
  } catch (thrown) {
    if (!isFault(thrown)) throw thrown
    report('SCHEMA_INVALID', place, thrown.message, 'Change the schema.')
  }
}

/** A limit on a count. */
export function checkCeiling(value: unknown, place: string, report: Report): void {
  if (value === undefined || isCeiling(value)) return
  report('LIMIT_INVALID', place, `${quoted(value)} is not a limit.`, 'Use a whole number from 1 to 1,000,000.')
}

/** A limit on a time. */
export function checkDuration(value: Duration | undefined, place: string, report: Report): void {
  const problem = value === undefined ? undefined : durationProblem(value)
  if (problem !== undefined) report('LIMIT_INVALID', place, problem, 'Change it.')
}
