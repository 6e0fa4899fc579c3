// What a state declares, each kind of its own.

import { engineExits, type Agent, type ModelState, type State, type WaitState } from '../agent.ts'
import { checkStateBoundary } from '../boundary.ts'
import { checkFields } from '../field.ts'
import { defaults } from '../limits.ts'
import { isObject, quoted } from '../json.ts'
import { kindOf } from '../machine.ts'
import type { Report } from '../problem.ts'
import { checkAgentState } from '../team.ts'
import { checkCeiling, checkDuration, checkOutput, checkTargets, isCallName, isEngineExit, isName } from './parts.ts'

/** One state. */
export function checkState(agent: Agent, name: string, state: State, report: Report): void {
  const place = `.states.${name}`
  if (name.startsWith('$'))
    report('NAME_RESERVED', place, "Names that start with $ are the engine's.", 'Rename the state.')
  else if (!isName(name))
    report(
      'NAME_INVALID',
      place,
      `${quoted(name)} cannot be a state's name.`,
      'Use 1 to 64 letters, digits, ".", "_" or "-", a letter first.',
    )
  const kind = kindOf(state)
  if (kind === undefined) {
    report(
      'STATE_KIND',
      place,
      "A state is exactly one of model, tool, run, human, wait, agent, or type: 'final'.",
      'Declare one of them.',
    )
    return
  }
  checkFields(kind === 'agent' ? 'agentState' : kind, state, place, report)
  if (kind === 'final') {
    checkRights(agent, state as Rights, place, report)
    return
  }
  checkStateBoundary(agent, state, place, report)
  const { on, visits, timeout, visitTimeout, repeats } = state as Exclude<State, { type: 'final' }>
  for (const [exit, definition] of Object.entries(on ?? {})) {
    const where = `${place}.on.${exit}`
    if (exit.startsWith('$') && !isEngineExit(exit)) {
      report(
        'NAME_RESERVED',
        where,
        `${exit} is not an exit of the engine.`,
        `Exits that start with $ are: ${engineExits.join(', ')}.`,
      )
    } else if (!exit.startsWith('$') && !isCallName(exit)) {
      report(
        'NAME_INVALID',
        where,
        `${quoted(exit)} cannot be an exit's name.`,
        'Use 1 to 64 letters, digits, "_" or "-", a letter first.',
      )
    }
    checkTargets(agent, where, definition, report)
    checkOutput(exit, where, definition, report)
  }
  checkRights(agent, state as Rights, place, report)
  checkCeiling(visits, `${place}.visits`, report)
  checkCeiling(repeats, `${place}.repeats`, report)
  checkDuration(timeout, `${place}.timeout`, report)
  checkDuration(visitTimeout, `${place}.visitTimeout`, report)
  if (state.model !== undefined) checkModel(state, place, report)
  if (state.agent !== undefined) checkAgentState(state, place, report)
  if (state.tool?.agent !== undefined) {
    report(
      'TOOL_INVALID',
      `${place}.tool`,
      'An agent is a tool for a model only.',
      'Make this an agent state: { agent, input }.',
    )
  }
  if (state.wait !== undefined) checkWait(agent, state, place, report)
}

type Rights = { readonly reads?: readonly string[]; readonly writes?: readonly string[] }

function checkRights(agent: Agent, { reads, writes }: Rights, place: string, report: Report): void {
  for (const [rights, keys] of [
    ['reads', reads],
    ['writes', writes],
  ] as const) {
    for (const key of keys ?? []) {
      if (Object.hasOwn(agent.context.keys, key)) continue
      report(
        'KEY_UNKNOWN',
        `${place}.${rights}`,
        `The context has no key ${key}.`,
        `Its keys are: ${Object.keys(agent.context.keys).join(', ')}.`,
      )
    }
  }
}

function checkWait(agent: Agent, { wait, timeout }: WaitState, place: string, report: Report): void {
  const { delay, signal, until } = wait
  checkFields('awaited', wait, `${place}.wait`, report)
  checkDuration(delay, `${place}.wait.delay`, report)
  checkAwaited(agent, signal, `${place}.wait.signal`, report)
  const given = [delay, signal, until].filter((one) => one !== undefined)
  const fits = (signal === undefined || isCallName(signal)) && (until === undefined || typeof until === 'function')
  if (given.length !== 1 || !fits) {
    report(
      'STATE_KIND',
      `${place}.wait`,
      'A wait is for a delay, for one named signal, or until the time that a function says.',
      "Write { delay: '5m' }, { signal: 'paid' } or { until: ({ context }) => context.due }.",
    )
  } else if (until && timeout !== undefined) {
    const problem = 'The wait ends at its own time, so its timeout would be passed over.'
    report('LIMIT_INVALID', `${place}.timeout`, problem, 'Remove it, or set visitTimeout: past it, $timeout.')
  }
}

/** Where signals are declared, a wait for another would be for one that nobody can send. */
function checkAwaited({ signals }: Agent, signal: string | undefined, place: string, report: Report): void {
  if (signal === undefined || !isObject(signals) || Object.hasOwn(signals, signal)) return
  const cure = `Declare it in signals, or name one of: ${Object.keys(signals).join(', ')}.`
  report('SIGNAL_UNKNOWN', place, `The agent has no signal ${quoted(signal)}.`, cure)
}

function checkModel(state: Extract<State, { model: any }>, place: string, report: Report): void {
  const models = typeof state.model === 'string' ? [state.model] : state.model
  if (
    !Array.isArray(models) ||
    models.length === 0 ||
    models.some((model) => typeof model !== 'string' || model === '') ||
    new Set(models).size !== models.length
  ) {
    report(
      'STATE_KIND',
      `${place}.model`,
      'A model state names a model, or several different ones.',
      "Write model: 'main' or model: ['main', 'backup'].",
    )
  }
  if (typeof state.prompt !== 'string' && typeof state.prompt !== 'function') {
    report('STATE_KIND', `${place}.prompt`, 'The prompt is missing.', 'Give a text or a function of the context.')
  }
  checkCeiling(state.turns, `${place}.turns`, report)
  checkCeiling(state.refusals, `${place}.refusals`, report)
  checkCeiling(state.retry?.attempts, `${place}.retry.attempts`, report)
  checkCeiling(state.outputTokens, `${place}.outputTokens`, report)
  checkCeiling(state.outputTokensMin, `${place}.outputTokensMin`, report)
  checkWindow(state, place, report)
}

function checkWindow(state: ModelState, place: string, report: Report): void {
  const { windowTokens, outputTokens = defaults.outputTokens, outputTokensMin = defaults.outputTokensMin } = state
  if (windowTokens === undefined) return
  const isWhole = Number.isSafeInteger(windowTokens)
  if (isWhole && windowTokens > Math.min(outputTokens, outputTokensMin)) return
  report(
    'LIMIT_INVALID',
    `${place}.windowTokens`,
    `${quoted(windowTokens)} leaves no room for input beside the answer.`,
    'Use a whole number above outputTokensMin.',
  )
}
