// Loads FILE: a module that exports agents and, optionally, a default configuration.

import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { isAgent, type Agent } from '../core/agent.ts'
import { Fault, isFault, messageOf } from '../core/fault.ts'
import type { PriceTable } from '../providers/prices.ts'
import type { Quota } from '../core/quota.ts'
import type { ModelTable } from '../providers/registry.ts'
import { knownValues, type Redaction, type SecretTable } from '../secrets.ts'
import { redactor } from '../core/redact.ts'
import { redactWith } from './terminal.ts'

/** What a module says. */
export interface Loaded {
  readonly agents: readonly Agent[]
  readonly models: ModelTable
  readonly prices: PriceTable
  readonly quotas: Readonly<Record<string, Quota>>
  readonly windows: Readonly<Record<string, number>>
  readonly secrets: SecretTable
  readonly redact: Redaction
  readonly store: string | undefined
}

const configKeys = ['agents', 'models', 'prices', 'quotas', 'windows', 'secrets', 'redact', 'store']

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
  const config = readConfig(file, module['default'])
  const exported = Object.values(module).filter((value) => isAgent(value))
  const agents = [...new Set([...config.agents, ...exported])]
  if (agents.length === 0) {
    throw new Fault(
      'CONFIG_INVALID',
      `${file} exports no agent.`,
      'Export what defineAgent returns, or a default { agents: [ … ] }.',
    )
  }
  return { ...config, agents }
}

function readConfig(file: string, value: unknown): Loaded {
  const none = {
    agents: [],
    models: {},
    prices: {},
    quotas: {},
    windows: {},
    secrets: {},
    redact: {},
    store: undefined,
  }
  if (value === undefined || isAgent(value)) return none
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
  const {
    agents = [],
    models = {},
    prices = {},
    quotas = {},
    windows = {},
    secrets = {},
    redact = {},
    store,
  } = value as Readonly<Record<string, unknown>>
  if (!Array.isArray(agents) || !agents.every(isAgent)) throw invalid('agents is not a list of agents')
  if (typeof models !== 'object' || models === null) throw invalid('models is not an object')
  if (typeof prices !== 'object' || prices === null) throw invalid('prices is not an object')
  if (typeof quotas !== 'object' || quotas === null) throw invalid('quotas is not an object')
  if (typeof windows !== 'object' || windows === null) throw invalid('windows is not an object')
  if (typeof secrets !== 'object' || secrets === null) throw invalid('secrets is not an object')
  if (typeof redact !== 'object' || redact === null) throw invalid('redact is not an object')
  const { patterns = [] } = redact as { readonly patterns?: unknown }
  if (!Array.isArray(patterns) || !patterns.every((pattern) => pattern instanceof RegExp)) {
    throw invalid('redact.patterns is not a list of regular expressions')
  }
  // From here on nothing of it is told to anyone.
  redactWith(redactor({ secrets: knownValues(secrets as SecretTable), patterns }))
  if (store !== undefined && typeof store !== 'string') throw invalid('store is not a text')
  return {
    agents,
    models: models as ModelTable,
    prices: prices as PriceTable,
    quotas: quotas as Loaded['quotas'],
    windows: windows as Loaded['windows'],
    secrets: secrets as SecretTable,
    redact: { patterns },
    store,
  }
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
