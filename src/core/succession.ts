// Whether running tasks of one definition of an agent can go on in another, as far as the two definitions say: for every
// state in which a task of the old one may stand, `migrate` is asked where it goes on, with the values that are known
// beforehand. What depends on the values of a task is not known, and is said.

import { messageOf } from './fault.ts'
import { isObject, keyOf, type Json } from './json.ts'
import { softTarget } from './limits.ts'
import type { ContextKey, Machine } from './machine.ts'
import { severityOf, type Problem, type Report } from './problem.ts'
import { toJsonSchema, validate } from './schema.ts'

/** Where tasks of a state go on. `target` is undefined where they do not, or where that cannot be told. */
export interface Passage {
  readonly state: string
  readonly target: string | undefined
}

/** What is known before any task is moved. */
export interface Succession {
  readonly passages: readonly Passage[]
  readonly problems: readonly Problem[]
  /** What only the values of a task can say. */
  readonly notProved: readonly string[]
}

/** Holds a new machine against the one before. `definition` is the hash that tasks of the old one are pinned to. */
export function judgeSuccession(before: Machine, after: Machine, definition: string): Succession {
  const problems: Problem[] = []
  const report: Report = (code, place, problem, cure) => {
    problems.push({ severity: severityOf(code), code, place: `${after.name}${place}`, problem, cure })
  }
  if (!after.migrate) {
    report(
      'MIGRATION_MISSING',
      '.migrate',
      `The definition has changed, and nothing says how tasks of version ${before.version} go on: they stay with workers that have the old file.`,
      'Keep a worker with the old file until they have ended, or declare migrate.',
    )
    return { passages: [], problems, notProved: [] }
  }
  const soft = softTarget(before.limits)
  if (soft !== undefined && !after.states.has(soft)) {
    report(
      'MIGRATION_STATE',
      '.limits.onSoft',
      `Tasks keep their limits, whose onSoft leads to ${soft}, and there is no such state any more: none can move.`,
      `Keep the state ${soft}.`,
    )
  }
  const set = new Set<string>()
  const passages = [...before.states.values()]
    .filter(({ kind }) => kind !== 'final')
    .map(({ name }) => ({ state: name, target: pass(before, after, definition, name, set, report) }))
  return { passages, problems, notProved: unknown(before, after, set) }
}

/** Where a task goes on that stands in a state, if anywhere. */
function pass(
  before: Machine,
  after: Machine,
  definition: string,
  state: string,
  set: Set<string>,
  report: Report,
): string | undefined {
  const place = `.migrate.${state}`
  const { context, read } = sample(before)
  const untold = (what: string): undefined => {
    const cure = `Hold it against real tasks: --store; or make it answer without ${[...read].join(', ')}.`
    report('MIGRATION_UNTOLD', place, `Whether tasks in ${state} can move depends on their context: ${what}.`, cure)
  }
  const stays = (what: string): undefined => {
    report('MIGRATION_STATE', place, `Tasks in ${state} cannot move: ${what}.`, 'Let migrate name a state for them.')
  }
  let answer: unknown
  try {
    answer = after.migrate!(Object.freeze({ version: before.version, definition, state, context }))
  } catch (thrown) {
    const what = `migrate threw: ${messageOf(thrown)}`
    return read.size > 0 ? untold(what) : stays(what)
  }
  if (answer === undefined) {
    const what = `migrate leaves them to workers that have version ${before.version}`
    return read.size > 0 ? untold(what) : stays(what)
  }
  if (!isObject(answer) || 'then' in answer) return stays('migrate must answer at once, with { state, context }')
  const { state: target = state, context: given = {} } = answer
  if (typeof target !== 'string' || !after.states.has(target)) {
    return stays(`version ${after.version} has no state ${JSON.stringify(target)}`)
  }
  const keys = new Set(isObject(given) ? Object.keys(given) : [])
  for (const key of keys) set.add(key)
  const missing = missingKeys(before, after, keys)
  const foreign = [...keys].filter((key) => !after.context.has(key))
  for (const [key, why] of [
    ...missing,
    ...foreign.map((key) => [key, `migrate sets ${key}, which is no key of the new context`] as const),
  ]) {
    report('MIGRATION_KEY', place, `Tasks in ${state} cannot move: ${why}.`, `Let migrate set ${key}, or correct it.`)
  }
  return missing.length + foreign.length > 0 ? undefined : target
}

/** Keys that the new context must have and that no task of the old one brings with it. */
function missingKeys(before: Machine, after: Machine, set: ReadonlySet<string>): (readonly [string, string])[] {
  return [...after.context.values()].flatMap((key) => {
    if (set.has(key.name) || isOptional(key)) return []
    const old = before.context.get(key.name)
    if (old && !mayBeAbsent(old)) return []
    const why = old
      ? `${key.name} may have no value, and must have one now`
      : `${key.name} is new, and must have a value`
    return [[key.name, why] as const]
  })
}

function isOptional({ schema, initial }: ContextKey): boolean {
  return validate(schema, initial).ok
}

function mayBeAbsent({ schema, initial }: ContextKey): boolean {
  return initial === undefined && validate(schema, undefined).ok
}

/** The context of a task of which nothing is known: initial values; what is asked for besides is taken down. */
function sample(before: Machine): { context: Record<string, Json>; read: ReadonlySet<string> } {
  const read = new Set<string>()
  const context = Object.create(null) as Record<string, Json>
  for (const { name, initial } of before.context.values()) {
    Object.defineProperty(context, name, {
      enumerable: true,
      get: () => {
        read.add(name)
        return initial
      },
    })
  }
  return { context: Object.freeze(context), read }
}

function unknown(before: Machine, after: Machine, set: ReadonlySet<string>): string[] {
  const changed = [...after.context.values()].filter(({ name, schema }) => {
    const old = before.context.get(name)
    return old && !set.has(name) && keyOf(toJsonSchema(old.schema)) !== keyOf(toJsonSchema(schema))
  })
  return [
    ...changed.map(({ name }) => `that the values of ${name} fit its new schema`),
    ...(set.size > 0 ? [`that what migrate sets fits: ${[...set].join(', ')}`] : []),
    'that migrate answers for the values of every task as it did here',
  ]
}
