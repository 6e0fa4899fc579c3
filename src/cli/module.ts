// Loads FILE: a module that exports agents and, optionally, a default configuration.

import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { isAgent, type Agent } from '../core/agent.ts'
import { Fault, isFault, messageOf } from '../core/fault.ts'
import { isObject } from '../core/json.ts'
import type { OrchestratorOptions } from '../orchestrator.ts'
import { knownValues } from '../secrets.ts'
import { redactor } from '../core/redact.ts'
import { redactWith } from './terminal.ts'

/** What a module may configure besides its agents: options of the orchestrator, under the same names. */
export type Config = Pick<
  OrchestratorOptions,
  'models' | 'prices' | 'quotas' | 'windows' | 'policy' | 'webhook' | 'secrets' | 'redact'
>

/** What a module says. */
export interface Loaded {
  readonly agents: readonly Agent[]
  readonly config: Config
  readonly store: string | undefined
}

/** What each of them has to be; what is in it is looked at by whoever uses it. */
const shapes: Readonly<Record<keyof Config, readonly [string, (value: unknown) => boolean]>> = {
  models: ['an object', isObject],
  prices: ['an object', isObject],
  quotas: ['an object', isObject],
  windows: ['an object', isObject],
  policy: ['a list of rules', Array.isArray],
  webhook: ['an object', isObject],
  secrets: ['an object', isObject],
  redact: ['an object', isObject],
}

const configKeys = ['agents', ...Object.keys(shapes), 'store']

/** Imports a file of the user's. Throws MODULE_MISSING or MODULE_FAILED. */
export async function importFile(file: string): Promise<Record<string, unknown>> {
  const path = resolve(file)
  if (!existsSync(path)) throw new Fault('MODULE_MISSING', `There is no file ${file}.`, 'Check the path.')
  try {
    if (path.endsWith('.json')) {
      return (await import(pathToFileURL(path).href, { with: { type: 'json' } })) as Record<string, unknown>
    }
    return (await import(pathToFileURL(path).href)) as Record<string, unknown>
  } catch (thrown) {
    if (isFault(thrown)) throw thrown
    throw new Fault(
      'MODULE_FAILED',
      `${file} could not be loaded: ${messageOf(thrown)}.`,
      'Run it by itself to see where: node ' + file,
      { cause: thrown },
    )
  }
}

/** Loads a module's agents and configuration. Throws CONFIG_INVALID when there is no agent in it. */
export async function loadModule(file: string): Promise<Loaded> {
  const module = await importFile(file)
  const loaded = readConfig(file, module['default'])
  const exported = Object.values(module).filter((value) => isAgent(value))
  const agents = [...new Set([...loaded.agents, ...exported])]
  if (agents.length === 0) {
    throw new Fault(
      'CONFIG_INVALID',
      `${file} exports no agent.`,
      'Export what defineAgent returns, or a default { agents: [ … ] }.',
    )
  }
  return { ...loaded, agents }
}

/** Reads what a module exports as default. Throws CONFIG_INVALID. */
export function readConfig(file: string, value: unknown): Loaded {
  if (value === undefined || isAgent(value)) return { agents: [], config: {}, store: undefined }
  const invalid = (problem: string): Fault => {
    return new Fault(
      'CONFIG_INVALID',
      `The default export of ${file}: ${problem}.`,
      `It may have: ${configKeys.join(', ')}.`,
    )
  }
  if (typeof value !== 'object' || value === null) throw invalid('it is neither an agent nor a configuration')
  const unknown = Object.keys(value).find((key) => !configKeys.includes(key))
  if (unknown !== undefined) throw invalid(`${unknown} is not something to configure`)
  const { agents = [], store, ...given } = value as Readonly<Record<string, unknown>>
  if (!Array.isArray(agents) || !agents.every(isAgent)) throw invalid('agents is not a list of agents')
  if (store !== undefined && typeof store !== 'string') throw invalid('store is not a text')
  for (const [key, [what, holds]] of Object.entries(shapes)) {
    if (given[key] !== undefined && !holds(given[key])) throw invalid(`${key} is not ${what}`)
  }
  const config = given as Config
  const { patterns = [] } = config.redact ?? {}
  if (!Array.isArray(patterns) || !patterns.every((pattern) => pattern instanceof RegExp)) {
    throw invalid('redact.patterns is not a list of regular expressions')
  }
  // From here on nothing of it is told to anyone.
  redactWith(redactor({ secrets: knownValues(config.secrets ?? {}), patterns }))
  return { agents, config, store }
}

/** The agent that is meant: by name, or the only one. Throws AGENT_UNKNOWN. */
export function chooseAgent(agents: readonly Agent[], name: string | undefined): Agent {
  const found =
    name === undefined ? (agents.length === 1 ? agents[0] : undefined) : agents.find((agent) => agent.name === name)
  if (found) return found
  const known = agents.map((agent) => agent.name).join(', ')
  const what = name === undefined ? 'The file has several agents.' : `The file has no agent ${name}.`
  throw new Fault('AGENT_UNKNOWN', what, `Choose one with --agent: ${known}.`)
}
