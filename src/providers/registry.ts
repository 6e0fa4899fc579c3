// From a model's name to a model: what the configuration says, then a provider it names, then the endpoint that the
// environment names. Nothing is ever reached for that nobody configured.

import { Fault, messageOf } from '../core/fault.ts'
import type { Model } from '../core/model.ts'
import { fromAiSdk, isLanguageModel, type LanguageModelLike } from './ai-sdk.ts'

/** An AI SDK provider: makes models by their ids. */
export interface ProviderLike {
  languageModel(modelId: string): unknown
}

/** Models by name: ours, AI SDK models, AI SDK providers (for `provider/model`), or the name of another entry. */
export type ModelTable = Readonly<Record<string, Model | LanguageModelLike | ProviderLike | string>>

/** What a name is resolved against. */
export interface Resolving {
  readonly models: ModelTable
  readonly env: Readonly<Record<string, string | undefined>>
}

const aliasesMax = 8

/** Finds a model by name. Throws MODEL_UNKNOWN, PEER_MISSING or CONFIG_INVALID. */
export async function resolveModel(name: string, { models, env }: Resolving): Promise<Model> {
  let target = name
  for (let hop = 0; hop <= aliasesMax; hop += 1) {
    const entry = Object.hasOwn(models, target) ? models[target] : undefined
    if (typeof entry === 'string') {
      target = entry
      continue
    }
    return toModel(entry) ?? fromProvider(target, models) ?? fromEnvironment(target, models, env)
  }
  throw new Fault(
    'MODEL_UNKNOWN',
    `The model name ${name} leads in a circle, over ${target}.`,
    'Let one of the names stand for a model.',
  )
}

function toModel(entry: unknown): Model | undefined {
  if (isLanguageModel(entry)) return fromAiSdk(entry)
  return isModel(entry) ? entry : undefined
}

function isModel(entry: unknown): entry is Model {
  return typeof entry === 'object' && entry !== null && 'call' in entry && typeof entry.call === 'function'
}

/** `provider/model` or `provider:model`, at the first of the two signs. */
function fromProvider(name: string, models: ModelTable): Model | undefined {
  const [, provider, modelId] = /^([\w.-]+)[/:](.+)$/.exec(name) ?? []
  if (provider === undefined || modelId === undefined || !Object.hasOwn(models, provider)) return undefined
  const entry = models[provider] as Partial<ProviderLike> | undefined
  if (typeof entry?.languageModel !== 'function') return undefined
  try {
    return toModel(entry.languageModel(modelId))
  } catch (cause) {
    throw new Fault(
      'MODEL_UNKNOWN',
      `The provider ${provider} makes no model ${modelId}: ${messageOf(cause)}.`,
      'Check the name of the model.',
      { cause },
    )
  }
}

async function fromEnvironment(name: string, models: ModelTable, env: Resolving['env']): Promise<Model> {
  const address = env['SIGNALBOX_BASE_URL']
  if (address === undefined || address === '') {
    const known = Object.keys(models).join(', ') || 'none'
    throw new Fault(
      'MODEL_UNKNOWN',
      `There is no model ${name} (known: ${known}).`,
      'Add it to models, or point SIGNALBOX_BASE_URL and SIGNALBOX_MODEL at an OpenAI-compatible endpoint.',
    )
  }
  if (!URL.canParse(address) || !/^https?:$/.test(new URL(address).protocol)) {
    throw new Fault(
      'CONFIG_INVALID',
      `SIGNALBOX_BASE_URL is ${JSON.stringify(address)}, which is no http address.`,
      'Write it like http://127.0.0.1:8080/v1.',
    )
  }
  const { createOpenAICompatible } = await import('@ai-sdk/openai-compatible').catch((cause: unknown) => {
    throw new Fault(
      'PEER_MISSING',
      'The package @ai-sdk/openai-compatible is needed to speak to SIGNALBOX_BASE_URL.',
      'Install it: npm install @ai-sdk/openai-compatible',
      { cause },
    )
  })
  const apiKey = env['SIGNALBOX_API_KEY']
  const provider = createOpenAICompatible({
    name: 'endpoint',
    baseURL: address.replace(/\/+$/, ''),
    includeUsage: true,
    ...(apiKey ? { apiKey } : {}),
  })
  return fromAiSdk(provider(env['SIGNALBOX_MODEL'] || name))
}
