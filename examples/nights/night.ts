// What the three nights have in common: a store that is thrown away, models behind a real socket, and a table of what
// happened, taken from the log and from nowhere else.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { createOrchestrator, startMockServer } from 'signalbox'
import type { Agent, EventData, EventType, Quota, Script } from 'signalbox'

/** A night: agents, a script for each model's provider, and how the models may be asked. */
export interface Night {
  readonly agents: readonly Agent<any, any>[]
  readonly providers: Readonly<Record<string, Script>>
  readonly quotas?: Readonly<Record<string, Quota>>
}

/** Dollars for a million tokens: those of a middling model. */
const price = { inputUsdPerMillion: 2.5, outputUsdPerMillion: 10 }

/** Makes the night's world, lets `live` happen in it, and takes it down again. */
export async function night(
  { agents, providers, quotas = {} }: Night,
  live: (world: {
    box: Awaited<ReturnType<typeof createOrchestrator>>
    /** How often a provider was asked, on the wire. */
    asked: (model: string) => number
  }) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-night-'))
  const names = Object.keys(providers)
  const servers = new Map(
    await Promise.all(names.map(async (name) => [name, await startMockServer(providers[name]!)] as const)),
  )
  const models = Object.fromEntries(
    [...servers].map(([name, { url }]) => [name, createOpenAICompatible({ name, baseURL: url })(name)]),
  )
  const prices = Object.fromEntries(names.map((name) => [name, price]))
  const box = await createOrchestrator({ store: `sqlite:${join(folder, 'night.db')}`, agents, models, prices, quotas })
  try {
    await live({ box, asked: (model) => servers.get(model)!.requests })
  } finally {
    await box.stop()
    for (const server of servers.values()) await server.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Prints what happened in a task: when, what, and what it cost. */
export async function tell(box: Awaited<ReturnType<typeof createOrchestrator>>, taskId: string): Promise<void> {
  const events = await box.store.read(taskId)
  const begunMs = events[0]!.at
  const rows = events.flatMap((event): string[][] => {
    const what = (told[event.type] as ((data: unknown) => string | undefined) | undefined)?.(event.data)
    if (what === undefined) return []
    const cost = 'charge' in event.data && event.data.charge ? dollars(event.costMicros) : ''
    return [[`+${((event.at - begunMs) / 1_000).toFixed(2)} s`, what, cost]]
  })
  const { outcome, status, usage } = await box.show(taskId)
  const total = [
    '',
    `${outcome ?? `${status}, for a human`}: ${usage.steps} steps, ${usage.turns} turns, ${usage.inputTokens + usage.outputTokens} tokens`,
    dollars(usage.costMicros),
  ]
  const width = Math.max(...[...rows, total].map(([, what]) => what!.length))
  console.log(`\n${taskId}`)
  for (const [at, what, cost] of rows) console.log(`  ${at!.padStart(8)}  ${what!.padEnd(width)}  ${cost}`.trimEnd())
  console.log(`  ${''.padStart(8)}  ${''.padEnd(width + 11, '-')}`)
  console.log(`  ${''.padStart(8)}  ${total[1]!.padEnd(width)}  ${total[2]}`)
}

/** The events that the tables tell, in words. */
const told: { readonly [Type in EventType]?: (data: EventData[Type]) => string | undefined } = {
  'state.entered': ({ kind, state }) => (kind === 'final' ? undefined : `[${state}]`),
  'model.called': ({ model, attempt }) => `asks ${model}${attempt > 1 ? `, attempt ${attempt}` : ''}`,
  'model.answered': ({ usage }) => `an answer, ${usage.inputTokens} tokens in, ${usage.outputTokens} out`,
  'model.failed': ({ status, class: kind, retry }) => `${status ?? kind}${retry ? `; then ${again(retry)}` : ''}`,
  'tool.answered': ({ tool, result }) => `${tool} says ${JSON.stringify(result)}`,
  'breaker.changed': ({ key, status, failures }) =>
    status === 'closed' && failures > 0 ? undefined : `breaker ${key} is ${status}`,
  'limit.neared': ({ limit, soft }) => `${Math.round(soft * 100)} % of ${limit} used`,
  'limit.reached': ({ limit, max }) => `limit reached: ${limit} (${max})`,
  'transition.taken': ({ exit, target }) => `${exit} → ${target}`,
  'human.asked': ({ options }) => `waits for a human: ${options.join(', ')}`,
}

function again({ reason, delayMs, model }: { reason: string; delayMs: number; model?: string }): string {
  return model === undefined ? `again in ${(delayMs / 1_000).toFixed(2)} s (${reason})` : `${model}, the ${reason}`
}

function dollars(micros: number | null): string {
  return micros === null ? 'unknown' : `$${(micros / 1_000_000).toFixed(6)}`
}
