// What an orchestrator works with, read from its options and proved before a store is opened: agents made ready, with all
// that they may start, models found, prices, windows, bounds and rules. Whatever cannot work fails here.

import type { Agent } from './core/agent.ts'
import { compileChecked } from './core/check.ts'
import { noTerms, type Terms } from './core/draft.ts'
import { Fault } from './core/fault.ts'
import { isObject, quoted } from './core/json.ts'
import { childrenIn, describe, familyOf, type Machine } from './core/machine.ts'
import type { Model } from './core/model.ts'
import { textOf } from './core/pin.ts'
import type { Rule } from './core/policy.ts'
import { queueOf } from './core/queue.ts'
import { boundsOf, quotaProblem, type Bounds, type Quota } from './core/quota.ts'
import type { Redactor } from './core/redact.ts'
import { toJsonSchema } from './core/schema.ts'
import type { Tool } from './core/tool.ts'
import { loadPrices, loadWindows, type PriceTable } from './providers/prices.ts'
import { resolveModel, type ModelTable } from './providers/registry.ts'
import type { Secrets } from './secrets.ts'
import { canonical, sha256 } from './store/log.ts'

/** What an orchestrator is to work with. */
export interface OutfitOptions {
  /** The agents whose tasks may be started and worked on here. Default: none; then this only looks and speaks. */
  readonly agents?: readonly Agent<any, any>[]
  /** Models by the names that the agents use; AI SDK models and providers, our own, or aliases. */
  readonly models?: ModelTable
  /** What models cost, by the name that agents use or the provider's own. Before the list of `@pydantic/genai-prices`. */
  readonly prices?: PriceTable
  /** The tokens of a model's window, in and out, by the name that agents use. Before the list of prices; else 100,000. */
  readonly windows?: Readonly<Record<string, number>>
  /** How models may be asked, by the name that agents use: at once, how often, and when they are left alone. */
  readonly quotas?: Readonly<Record<string, Quota>>
  /** Rules that every step of every agent here is judged by, besides the agents' own. */
  readonly policy?: readonly Rule[]
  /** Where `SIGNALBOX_BASE_URL`, `SIGNALBOX_MODEL` and `SIGNALBOX_API_KEY` are read. Default: the process's own. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Work on tasks in this process. Default: true when there are agents. */
  readonly work?: boolean
  /** Work only on tasks of the agents whose `queue` is one of these. Anything else is done for all agents. Default: on those of all. */
  readonly queues?: readonly string[]
}

/** What it works with, ready. */
export interface Outfit {
  /** By the hash of their definition; those that may be started as children among them. */
  readonly machines: ReadonlyMap<string, { readonly agent: string; readonly machine: Machine }>
  readonly works: boolean
  /** Those whose tasks are worked on here, by the hash of their definition. */
  readonly worked: ReadonlyMap<string, Machine>
  /** The queues that those wait in. */
  readonly queues: readonly string[]
  readonly terms: Terms
  readonly model: (name: string) => Model
}

/** Reads it. Throws AGENT_UNSOUND, CONFIG_INVALID, MODEL_UNKNOWN or PRICE_UNKNOWN. */
export async function readOutfit(options: OutfitOptions, secrets: Secrets): Promise<Outfit> {
  const { redact } = secrets
  const { machines, definitions } = readMachines(options.agents ?? [])
  for (const [definition, { machine }] of machines) proveNames(machine, definition, redact)
  const works = options.work ?? machines.size > 0
  const worked = machinesIn(machines, options.queues)
  if (works) for (const { machine } of machines.values()) proveSecrets(machine, secrets)
  const models = works ? await resolveModels(machines, options) : new Map<string, Model>()
  const known = await readTerms(options, definitions, models, redact)
  const terms: Terms = works ? known : { ...noTerms, hash: sha256, redact }
  // Where no work is done nothing is paid for.
  if (works) for (const { machine } of machines.values()) provePrices(machine, machine.limits.costMicros, terms)
  const queues = [...new Set([...worked.values()].map(({ agent }) => queueOf(agent)))]
  return { machines, works, worked, queues, terms, model: (name) => models.get(name)! }
}

/**
 * Reads what it takes to decide again what was decided, with nothing to call: a model that cannot be found here has no id but its
 * name, and secrets are known only by what `redact` takes out. Throws AGENT_UNSOUND or CONFIG_INVALID.
 */
export async function readToTell(
  options: OutfitOptions,
  redact: Redactor,
): Promise<Pick<Outfit, 'machines' | 'terms'>> {
  const { machines, definitions } = readMachines(options.agents ?? [])
  const { models = {}, env = process.env } = options
  const found = new Map<string, Model>()
  for (const name of modelsOf(machines)) {
    const model = await resolveModel(name, { models, env }).catch(() => undefined)
    if (model) found.set(name, model)
  }
  return { machines, terms: await readTerms(options, definitions, found, redact) }
}

async function readTerms(
  options: OutfitOptions,
  definitions: ReadonlyMap<Agent, string>,
  models: ReadonlyMap<string, Model>,
  redact: Redactor,
): Promise<Terms> {
  return {
    ...noTerms,
    price: await loadPrices(options.prices ?? {}, (name) => models.get(name)?.modelId),
    bounds: readQuotas(options.quotas ?? {}),
    window: await loadWindows(options.windows ?? {}, (name) => models.get(name)?.modelId),
    policy: policyOf(options.policy ?? []),
    definition: (agent) => definitions.get(agent)!,
    hash: sha256,
    redact,
  }
}

/** Makes agents ready, and whoever they may start, each once. */
function readMachines(agents: readonly Agent[]): Pick<Outfit, 'machines'> & {
  readonly definitions: ReadonlyMap<Agent, string>
} {
  const machines = new Map<string, { agent: string; machine: Machine }>()
  const definitions = new Map<Agent, string>()
  for (const agent of new Set(agents.flatMap(familyOf))) {
    const machine = compileChecked(agent)
    const definition = definitionOf(agent)
    if (machines.has(definition)) {
      throw new Fault('CONFIG_INVALID', `Two different agents are named ${agent.name}.`, 'Rename one.')
    }
    machines.set(definition, { agent: agent.name, machine })
    definitions.set(agent, definition)
  }
  const names = [...machines.values()].map(({ agent }) => agent)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) {
    throw new Fault('CONFIG_INVALID', `Two agents are named ${twice}.`, 'Rename one.')
  }
  return { machines, definitions }
}

/** The machines whose tasks wait in these queues. Throws CONFIG_INVALID when there are none in one of them. */
function machinesIn(machines: Outfit['machines'], queues: readonly string[] | undefined): ReadonlyMap<string, Machine> {
  const all = [...machines].map(([definition, { machine }]) => [definition, machine] as const)
  if (queues === undefined) return new Map(all)
  const known = new Set(all.map(([, { agent }]) => queueOf(agent)))
  if (!Array.isArray(queues) || queues.length === 0) {
    throw new Fault('CONFIG_INVALID', 'The queues are not a list of names.', `Name some of: ${[...known].join(', ')}.`)
  }
  const unknown = queues.find((queue) => !known.has(queue))
  if (unknown !== undefined) {
    const what = `No agent's tasks wait in the queue ${quoted(unknown)}.`
    throw new Fault('CONFIG_INVALID', what, `Known queues: ${[...known].join(', ') || 'none'}.`)
  }
  return new Map(all.filter(([, { agent }]) => queues.includes(queueOf(agent))))
}

async function resolveModels(
  machines: ReadonlyMap<string, { readonly machine: Machine }>,
  options: OutfitOptions,
): Promise<ReadonlyMap<string, Model>> {
  const { models = {}, env = process.env } = options
  const resolved = [...modelsOf(machines)].map(
    async (name) => [name, await resolveModel(name, { models, env })] as const,
  )
  return new Map(await Promise.all(resolved))
}

function modelsOf(machines: ReadonlyMap<string, { readonly machine: Machine }>): ReadonlySet<string> {
  const nodes = [...machines.values()].flatMap(({ machine }) => [...machine.states.values()])
  return new Set(nodes.flatMap((node) => (node.kind === 'model' ? node.models : [])))
}

/** The orchestrator's rules. Their text tells one policy from another: what it calls elsewhere is not seen. */
export function policyOf(rules: readonly Rule[]): Terms['policy'] {
  const isRule = (rule: unknown): boolean =>
    isObject(rule) && typeof rule['name'] === 'string' && rule['name'] !== '' && typeof rule['judge'] === 'function'
  if (!Array.isArray(rules) || !rules.every(isRule)) {
    throw new Fault('CONFIG_INVALID', 'A rule of the policy has no name or no judge.', 'Give it both, in a list.')
  }
  return { rules, version: sha256(canonical(rules.map(({ name, judge }) => [name, String(judge)]))) }
}

/** Throws CONFIG_INVALID. */
const quotaFields: readonly string[] = ['concurrency', 'rate', 'breaker']

function readQuotas(quotas: Readonly<Record<string, Quota>>): (model: string) => Bounds {
  const read = new Map<string, Bounds>()
  for (const [model, quota] of Object.entries(quotas)) {
    const unknown = isObject(quota) ? Object.keys(quota).find((field) => !quotaFields.includes(field)) : undefined
    const problem = unknown === undefined ? quotaProblem(quota) : `there is no field ${unknown}`
    if (problem !== undefined)
      throw new Fault(
        'CONFIG_INVALID',
        `The quota of ${model}: ${problem}.`,
        `Its fields are: ${quotaFields.join(', ')}.`,
      )
    read.set(model, boundsOf(quota))
  }
  const none = boundsOf({})
  return (model) => read.get(model) ?? none
}

/** The names that a machine is made of must come through the redactor, or its tasks could not go on. Throws CONFIG_INVALID. */
function proveNames(machine: Machine, definition: string, redact: Redactor): void {
  const names = new Set([machine.name, machine.version, definition, ...machine.context.keys(), ...machine.exitNames])
  for (const name of [...machine.states.keys(), ...machine.tools.keys()]) names.add(name)
  for (const node of machine.states.values()) {
    if (node.kind === 'model') for (const model of node.models) names.add(model)
    if (node.kind === 'wait' && node.signal !== undefined) names.add(node.signal)
  }
  for (const name of machine.signals?.keys() ?? []) names.add(name)
  const touched = [...names].find((name) => redact.text(name) !== name)
  if (touched === undefined) return
  throw new Fault(
    'CONFIG_INVALID',
    `A name of the agent ${machine.name} would be taken for a secret: ${touched}.`,
    'Choose another name, or another secret or pattern to redact.',
  )
}

/** Throws CONFIG_INVALID when a tool lists a secret that is not there. */
function proveSecrets(machine: Machine, secrets: Secrets): void {
  for (const { tool } of machine.tools.values()) {
    const unknown = tool.secrets?.find((name) => !secrets.has(name))
    if (unknown === undefined) continue
    throw new Fault(
      'CONFIG_INVALID',
      `The tool ${tool.name} lists the secret ${unknown}, which is not there.`,
      `Give it: secrets: { ${unknown}: … }.`,
    )
  }
}

/** Where money has a ceiling every model needs a price. Throws PRICE_UNKNOWN. */
export function provePrices(machine: Machine, costMicros: number | null, terms: Terms): void {
  if (costMicros === null) return
  const { price } = terms
  for (const { machine: child } of childrenIn(machine.states.values())) provePrices(child, costMicros, terms)
  const one = {
    inputTokens: 1,
    outputTokens: 1,
    cachedInputTokens: null,
    cacheWriteTokens: null,
    reasoningTokens: null,
  }
  for (const node of machine.states.values()) {
    const unknown = node.kind === 'model' ? node.models.find((name) => price(name, one) === null) : undefined
    if (unknown === undefined) continue
    throw new Fault(
      'PRICE_UNKNOWN',
      `The agent ${machine.name} has a ceiling on money, and its model ${unknown} has no price.`,
      `Give it one: prices: { ${quoted(unknown)}: { inputUsdPerMillion: …, outputUsdPerMillion: … } }.`,
    )
  }
}

/** The hash of an agent's definition, which its tasks are pinned to. */
export function definitionOf(agent: Agent): string {
  return sha256(canonical(describe(agent)))
}

/** The hash of a tool's text (name, description, schema), to be pinned: `defineTool({ …, pin: '…' })`. */
export function pinOf(tool: Tool<any>): string {
  return sha256(textOf({ name: tool.name, tool, inputJson: toJsonSchema(tool.inputSchema) }))
}
