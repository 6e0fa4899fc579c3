// Checks the boundaries that an agent declares: labels, sinks, hosts, approvals, secrets, policy, checkpoints and what a
// failure leads to. A boundary that is written wrongly protects nothing, so nothing is passed over.

import type { Agent, State } from './agent.ts'
import type { Escalation } from './approval.ts'
import { durationProblem, toMs, type Duration } from './duration.ts'
import { hostProblem } from './egress.ts'
import { checkFields } from './field.ts'
import { isObject, quoted, type JsonObject } from './json.ts'
import { nameProblem } from './known-secrets.ts'
import { labelValues } from './label.ts'
import { defaults, isCeiling } from './limits.ts'
import type { Report } from './problem.ts'
import { isSchema, toJsonSchema } from './schema.ts'
import type { Tool } from './tool.ts'

/** Is this a word that is given as a name, of a person or a key? */
const isText = (value: unknown): value is string => typeof value === 'string' && value.trim() !== ''

const isNamed = (name: unknown): boolean => typeof name === 'string' && /^[A-Za-z_][\w.-]{0,63}$/.test(name)

// ---- Labels --------------------------------------------------------------------------------------------------------

/** Reports labels that are none. */
export function checkLabel(declared: object, place: string, report: Report): void {
  for (const [field, values] of Object.entries(labelValues)) {
    const value: unknown = (declared as Record<string, unknown>)[field]
    if (value === undefined || (values as readonly unknown[]).includes(value)) continue
    const problem = `There is no ${field} ${quoted(value)}.`
    report('LABEL_INVALID', `${place}.${field}`, problem, `Use ${values.join(' or ')}.`)
  }
}

/** Reports what is wrong with the boundaries of a context key that is more than a schema. */
export function checkKeyBoundary(key: object, place: string, report: Report): void {
  checkFields('key', key, place, report)
  checkLabel(key, place, report)
  checkFlag((key as { outward?: unknown }).outward, `${place}.outward`, report)
}

function checkFlag(value: unknown, place: string, report: Report): void {
  if (value === undefined || typeof value === 'boolean') return
  report('LABEL_INVALID', place, `${quoted(value)} is neither true nor false.`, 'Use true or false.')
}

// ---- Tools ---------------------------------------------------------------------------------------------------------

/** Reports what is wrong with the boundaries of a tool. */
export function checkToolBoundary(agent: Agent, tool: Tool, place: string, report: Report): void {
  checkLabel(tool, place, report)
  if (tool.origin !== undefined && tool.origin !== 'own' && tool.origin !== 'outside') {
    report('TOOL_INVALID', `${place}.origin`, `There is no origin ${quoted(tool.origin)}.`, 'Use own or outside.')
  }
  checkSinks(agent, tool, place, report)
  checkEgress(tool.egress, `${place}.egress`, report)
  checkSecrets(tool.secrets, `${place}.secrets`, report)
  checkApproval(tool.approval, `${place}.approval`, report)
  if (tool.pin !== undefined && !isText(tool.pin)) {
    report('TOOL_INVALID', `${place}.pin`, `${quoted(tool.pin)} is not a pin.`, 'Give what pinOf answers.')
  }
  for (const field of ['reconcile', 'undo', 'current'] as const) {
    if (tool[field] === undefined || typeof tool[field] === 'function') continue
    report('TOOL_INVALID', `${place}.${field}`, `${field} is not a function.`, 'Give a function, or remove it.')
  }
}

function checkSinks(agent: Agent, { sinks, inputSchema }: Tool, place: string, report: Report): void {
  if (sinks === undefined) return
  const where = `${place}.sinks`
  if (!isObject(sinks) && !(Array.isArray(sinks) && sinks.every(isText))) {
    const cure = "Write ['to'], or { to: { in: 'contacts' }, url: true }."
    report('SINK_INVALID', where, 'Sinks are names of arguments, or an object of them.', cure)
    return
  }
  const json = inputOf(inputSchema)
  const paths: readonly string[] = Array.isArray(sinks) ? sinks : Object.keys(sinks)
  for (const path of paths) {
    if (!json || leadsSomewhere(json, path.split('.'))) continue
    const known = Object.keys((json['properties'] ?? {}) as object).join(', ')
    const cure = `Its arguments are: ${known}. Of a list in which each place has its own meaning, or an object of any names, take the whole.`
    report('SINK_INVALID', `${where}.${path}`, `The input has no ${path}.`, cure)
  }
  if (isObject(sinks))
    for (const [path, sink] of Object.entries(sinks)) checkSink(agent, sink, `${where}.${path}`, report)
}

function checkSink({ context }: Agent, sink: unknown, place: string, report: Report): void {
  if (sink === true) return
  if (!isObject(sink) || !isText(sink['in'])) {
    report('SINK_INVALID', place, 'A sink is true, or names a key.', "Write true, or { in: 'contacts' }.")
    return
  }
  checkFields('sink', sink, place, report)
  const key = context.keys[sink['in']]
  if (!Object.hasOwn(context.keys, sink['in']) || key === undefined) {
    const known = Object.keys(context.keys).join(', ')
    report('KEY_UNKNOWN', `${place}.in`, `The context has no key ${sink['in']}.`, `Its keys are: ${known}.`)
  } else if (!isSchema(key) && isObject(key) && key['trust'] === 'untrusted') {
    const problem = `The key ${sink['in']} is untrusted, so nothing in it allows anything.`
    report('SINK_INVALID', `${place}.in`, problem, 'Name a key that only trusted words are written to.')
  }
}

function inputOf(schema: unknown): JsonObject | undefined {
  try {
    return isSchema(schema) ? toJsonSchema(schema) : undefined
  } catch {
    // What is wrong with the schema is reported with the tool.
    return undefined
  }
}

/** Does a path name something? Where a schema says neither what there is nor that there is nothing more, it may. */
function leadsSomewhere(json: unknown, [name, ...rest]: readonly string[]): boolean {
  if (name === undefined || !isObject(json)) return true
  const { items, prefixItems, properties, additionalProperties } = json
  // The parts of a tuple, and of an object with names of the model's choice, have no names to write down: take it whole.
  if (prefixItems !== undefined || (properties === undefined && isObject(additionalProperties))) return false
  if (isObject(items)) return leadsSomewhere(items, [name, ...rest])
  if (isObject(properties) && Object.hasOwn(properties, name)) return leadsSomewhere(properties[name], rest)
  return additionalProperties === undefined ? properties === undefined : additionalProperties !== false
}

function checkEgress(egress: unknown, place: string, report: Report): void {
  if (egress === undefined) return
  if (!Array.isArray(egress)) {
    report('EGRESS_INVALID', place, 'Egress is a list of hosts.', "Write ['api.example.com'].")
    return
  }
  for (const host of egress) {
    const problem = isText(host) ? hostProblem(host) : 'it is not a text'
    if (problem === undefined) continue
    const cure = 'Write api.example.com, or *.example.com: no scheme, port or path.'
    report('EGRESS_INVALID', place, `${quoted(host)}: ${problem}.`, cure)
  }
}

function checkSecrets(secrets: unknown, place: string, report: Report): void {
  if (secrets === undefined) return
  if (!Array.isArray(secrets)) {
    report('NAME_INVALID', place, 'Secrets are a list of names.', "Write ['API_KEY'].")
    return
  }
  for (const name of secrets) {
    const problem = isText(name) ? nameProblem(name) : 'it is not a text'
    if (problem !== undefined) report('NAME_INVALID', place, `${quoted(name)}: ${problem}.`, 'Rename it.')
  }
}

// ---- Approvals -----------------------------------------------------------------------------------------------------

function checkApproval(approval: unknown, place: string, report: Report): void {
  if (approval === undefined || approval === 'always') return
  if (!isObject(approval)) {
    const problem = `${quoted(approval)} is not an approval.`
    report('APPROVAL_INVALID', place, problem, "Write 'always', or { by: ['ana'], quorum: 1, expires: '1h' }.")
    return
  }
  checkFields('approval', approval, place, report)
  const { when, by, quorum, expires, assignee, escalate } = approval
  const say = (field: string, problem: string, cure: string): void =>
    report('APPROVAL_INVALID', `${place}.${field}`, problem, cure)
  if (when !== undefined && when !== 'always' && when !== 'asked') {
    say('when', `There is no ${quoted(when)}.`, 'Use always or asked.')
  }
  const people = Array.isArray(by) && by.length > 0 && by.every(isText) && new Set(by).size === by.length
  if (by !== undefined && !people) {
    say('by', 'It does not name different people.', "Write ['ana', 'ben'], or leave it out.")
  }
  const most = people ? by.length : Infinity
  if (quorum !== undefined && (!isCeiling(quorum) || quorum > most)) {
    const cure = `Use a whole number from 1${people ? ` to ${most}, as many as may decide` : ''}.`
    say('quorum', `${quoted(quorum)} of them can never agree.`, cure)
  }
  if (assignee !== undefined && !isText(assignee)) say('assignee', 'It names nobody.', 'Name a person.')
  const expiry = expires === undefined ? undefined : durationProblem(expires as Duration)
  if (expiry !== undefined) say('expires', expiry, 'Change it.')
  const endMs =
    expires === undefined ? defaults.approvalMs : expiry === undefined ? toMs(expires as Duration) : Infinity
  checkLadder(escalate, endMs, `${place}.escalate`, report)
}

/** Reports what is wrong with an escalation ladder that ends after `endMs`. */
function checkLadder(ladder: unknown, endMs: number, place: string, report: Report): void {
  if (ladder === undefined) return
  const say = (problem: string, cure: string): void => report('ESCALATION_INVALID', place, problem, cure)
  if (!Array.isArray(ladder) || !ladder.every(isObject)) {
    say('An escalation is a list of { after, to }.', "Write [{ after: '15m', to: 'lead' }].")
    return
  }
  let beforeMs = 0
  for (const rung of ladder as unknown as readonly Escalation[]) {
    checkFields('escalation', rung, place, report)
    const problem = durationProblem(rung.after)
    if (problem !== undefined) {
      say(problem, 'Change it.')
      continue
    }
    const afterMs = toMs(rung.after)
    if (!isText(rung.to)) say(`After ${rung.after} it goes to nobody.`, 'Name a person in to.')
    if (afterMs <= beforeMs) say(`${rung.after} is not later than the one before.`, 'Put them in order.')
    if (afterMs >= endMs) say(`After ${rung.after} nobody is asked any more.`, 'Escalate earlier, or wait longer.')
    beforeMs = afterMs
  }
}

// ---- States and the agent ------------------------------------------------------------------------------------------

/** Reports what is wrong with the boundaries of a state. */
export function checkStateBoundary(agent: Agent, state: State, place: string, report: Report): void {
  if (state.type === 'final') return
  checkFailureRoute(agent, state.onFailure, `${place}.onFailure`, report)
  if (state.human !== undefined) {
    checkFields('question', state.human, `${place}.human`, report)
    const { timeout } = state
    const endMs = timeout === undefined || durationProblem(timeout) !== undefined ? Infinity : toMs(timeout)
    checkLadder(state.human.escalate, endMs, `${place}.human.escalate`, report)
  }
  const declassify: unknown = 'declassify' in state ? state.declassify : undefined
  if (declassify === undefined) return
  if (!isObject(declassify)) {
    const cure = "Write { trust: 'trusted', reason: '…' }."
    report('DECLASSIFY_INVALID', `${place}.declassify`, 'This is not a declassification.', cure)
    return
  }
  checkFields('declassify', declassify, `${place}.declassify`, report)
  checkLabel(declassify, `${place}.declassify`, report)
}

function checkFailureRoute({ states }: Agent, route: unknown, place: string, report: Report): void {
  if (route === undefined || route === 'escalate') return
  if (route === 'rollback') {
    if (Object.values(states).some((state) => 'checkpoint' in state && state.checkpoint !== undefined)) return
    const cure = "Name a point: checkpoint: '…' on the state to go back to."
    report('TARGET_UNKNOWN', place, 'No state is a checkpoint to roll back to.', cure)
    return
  }
  if (typeof route === 'string' && Object.hasOwn(states, route)) return
  const cure = `Use rollback, escalate, or one of: ${Object.keys(states).join(', ')}.`
  report('TARGET_UNKNOWN', place, `There is no state ${quoted(route)}.`, cure)
}

/** Reports what is wrong with the boundaries of an agent as a whole. */
export function checkAgentBoundary(agent: Agent, report: Report): void {
  checkFailureRoute(agent, agent.onFailure, '.onFailure', report)
  checkCancel(agent, report)
  checkFlag(agent.strict, '.strict', report)
  checkPolicy(agent.policy, report)
  const checkpoints = new Set<string>()
  for (const [name, state] of Object.entries(agent.states)) {
    const checkpoint: unknown = 'checkpoint' in state ? state.checkpoint : undefined
    if (checkpoint === undefined) continue
    const place = `.states.${name}.checkpoint`
    if (typeof checkpoint !== 'string' || !isNamed(checkpoint)) {
      const cure = 'Use 1 to 64 letters, digits, ".", "_" or "-", a letter or "_" first.'
      report('NAME_INVALID', place, `${quoted(checkpoint)} cannot be a checkpoint's name.`, cure)
    } else if (checkpoints.has(checkpoint)) {
      const problem = `Two states are the checkpoint ${checkpoint}.`
      report('NAME_TWICE', place, problem, 'Rename one; a rollback could not tell them apart.')
    } else checkpoints.add(checkpoint)
  }
}

function checkCancel({ onCancel, states }: Agent, report: Report): void {
  if (onCancel === undefined || onCancel === 'leave') return
  if (onCancel !== 'undo') {
    report('TARGET_UNKNOWN', '.onCancel', `There is no onCancel ${quoted(onCancel)}.`, 'Use leave or undo.')
    return
  }
  const tools = Object.values(states).flatMap(({ model, tool, ...state }) => {
    return model !== undefined && 'tools' in state ? (state.tools ?? []) : tool === undefined ? [] : [tool]
  })
  if (tools.some((tool) => tool?.undo !== undefined)) return
  const cure = 'Give undo to the tools that can take back what they did, or remove onCancel.'
  report('TOOL_INVALID', '.onCancel', 'No tool has an undo, so nothing could be taken back.', cure)
}

function checkPolicy(policy: unknown, report: Report): void {
  if (policy === undefined) return
  if (!Array.isArray(policy)) {
    report('POLICY_INVALID', '.policy', 'A policy is a list of rules.', "Write [{ name: 'no-friday', judge: … }].")
    return
  }
  const names = new Set<unknown>()
  for (const [index, rule] of policy.entries()) {
    const place = `.policy.${index}`
    const { name, judge } = (isObject(rule) ? rule : {}) as { name?: unknown; judge?: unknown }
    if (!isText(name))
      report('POLICY_INVALID', place, 'The rule has no name.', 'Name it; the log says which rule held.')
    else if (names.has(name)) report('POLICY_INVALID', place, `Two rules are named ${name}.`, 'Rename one.')
    if (typeof judge !== 'function') {
      report('POLICY_INVALID', place, 'The rule has no judge.', 'Give it a function of the step.')
    }
    names.add(name)
  }
}
