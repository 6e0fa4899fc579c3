// Runs a task once more from what it was told: by the agent of today, in memory, with models, tools and people that say what
// they said then, and a clock that skips what nobody waits for. No tool's body is run and nothing outside is reached; the
// functions of run states are, because they are the agent's own. For tests that `signalbox testify` writes.

import { isAgent, type Agent } from './core/agent.ts'
import { familyOf } from './core/machine.ts'
import { Fault } from './core/fault.ts'
import { isObject, keyOf, type Json } from './core/json.ts'
import type { Model } from './core/model.ts'
import { cameTo, type SaidByTool, type Testimony } from './core/testimony.ts'
import type { Tool } from './core/tool.ts'
import { isEnded } from './core/task.ts'
import { createOrchestrator, type Orchestrator, type OrchestratorOptions } from './orchestrator.ts'
import type { TaskView } from './view.ts'
import { VirtualClock } from './virtual-clock.ts'

/** How a rehearsal came out. */
export interface Rehearsed {
  /** The outcome; or, where the task has not ended, `waiting in STATE`. */
  readonly came: string
  readonly task: TaskView
  /** Calls that nothing was said of: they failed. */
  readonly unheard: readonly string[]
}

/**
 * Runs a task once more. `module` is what the agent's file exports. Throws AGENT_UNKNOWN, AGENT_UNSOUND, or INPUT_INVALID where
 * the agent does not take its input any more.
 */
export async function rehearse(module: object, testimony: Testimony): Promise<Rehearsed> {
  const config = configOf(module)
  const agent = agentIn(module, config, testimony.agent)
  const stage = new Stage(testimony)
  const clock = new VirtualClock()
  clock.advance(Date.now() - clock.now())
  const { policy, redact, quotas = {}, prices = {}, windows = {} } = config
  const named = stage.agentOf(agent)
  const box = await createOrchestrator({
    store: 'sqlite::memory:',
    agents: [named],
    models: Object.fromEntries([...stage.models].map(([name]) => [name, stage.modelOf(name)])),
    // What nobody has a price for costs nothing here: else a ceiling on money would forbid to ask.
    prices: { ...stage.under({ inputUsdPerMillion: 0, outputUsdPerMillion: 0 }), ...stage.renamed(prices) },
    windows: stage.renamed(windows),
    quotas: stage.renamed(quotas),
    secrets: stage.secretsOf(agent),
    ...(policy ? { policy } : {}),
    ...(redact ? { redact } : {}),
    env: {},
    runtime: clock,
    onFault: () => undefined,
  })
  try {
    return await play(box, named, testimony, stage, clock)
  } finally {
    await clock.until(box.stop(0))
  }
}

async function play(
  box: Orchestrator,
  agent: Agent,
  { input, limits, labels, signals, people }: Testimony,
  stage: Stage,
  clock: VirtualClock,
): Promise<Rehearsed> {
  const id = 'rehearsal'
  const said = { ...(limits ? { limits } : {}), ...(labels ? { labels } : {}) }
  const task = await box.start(agent, input as never, { id, by: 'rehearsal', ...said })
  // One that has ended already hears no more.
  for (const signal of signals) await box.signal(id, { ...signal, by: 'rehearsal' }).catch(() => undefined)
  const left = [...people]
  for (;;) {
    const view = await clock.until(task.rest())
    if (isEnded(view)) return { came: cameTo(view), task: view, unheard: stage.unheard }
    const item = view.inbox.find(({ kind, state }) =>
      left.some((known) => known.kind === kind && known.state === state),
    )
    if (item) {
      const place = left.findIndex(({ kind, state }) => kind === item.kind && state === item.state)
      const [{ decision, data }] = left.splice(place, 1) as [(typeof left)[number]]
      const given = {
        decision,
        by: `rehearsal-${left.length}`,
        reason: 'as it was',
        ...(data === undefined ? {} : { data }),
      }
      // What cannot be decided so any more waits, and is told as that.
      await box.answer(item.item, given).catch(() => undefined)
    } else if (view.waitsFor === 'human' || !(await clock.step())) {
      return { came: cameTo(view), task: view, unheard: stage.unheard }
    }
  }
}

type Config = Partial<OrchestratorOptions> & { readonly agents?: readonly Agent[] }

function configOf(module: object): Config {
  const value: unknown = 'default' in module ? module.default : undefined
  return isObject(value) && !isAgent(value) ? value : {}
}

function agentIn(module: object, { agents = [] }: Config, name: string): Agent {
  const exported = [...Object.values(module), ...agents].filter((value) => isAgent(value))
  const found = exported.flatMap(familyOf).find((agent) => agent.name === name)
  if (found) return found
  const known = [...new Set(exported.map((agent) => agent.name))].join(', ')
  throw new Fault('AGENT_UNKNOWN', `There is no agent ${name} in the module.`, `It has: ${known || 'none'}.`)
}

/** What acts in a state, whatever its kind. */
interface Acting {
  readonly model?: string | readonly string[]
  readonly tool?: Tool<any>
  readonly tools?: readonly Tool<any>[]
  readonly agent?: Agent<any, any>
}

/** Who says what in a rehearsal. Each state's models have names of their own, so that each says what was said there. */
class Stage {
  readonly unheard: string[] = []
  /** The names of models here, with those that the agents use. */
  readonly models = new Map<string, string>()
  readonly #models: Map<string, Testimony['models'][string][number][]>
  readonly #tools: SaidByTool[]
  readonly #agents = new Map<Agent, Agent>()
  readonly #bodies = new Map<Tool<any>, Tool<any>>()

  constructor({ models, tools }: Testimony) {
    this.#models = new Map(Object.entries(models).map(([name, said]) => [name, [...said]]))
    this.#tools = [...tools]
  }

  /** The agent, with those that it starts, and bodies of tools that say what was said. */
  agentOf(agent: Agent): Agent {
    const known = this.#agents.get(agent)
    if (known) return known
    const states = Object.entries(agent.states).map(([name, state]) => {
      const { model, tool, tools, agent: child }: Acting = state
      const changed = {
        ...(model === undefined ? {} : { model: [model].flat().map((one) => this.#name(agent, name, one)) }),
        ...(tool === undefined ? {} : { tool: this.#toolOf(tool) }),
        ...(tools === undefined ? {} : { tools: tools.map((one) => this.#toolOf(one)) }),
        ...(isAgent(child) ? { agent: this.agentOf(child) } : {}),
      }
      return [name, { ...state, ...changed }] as const
    })
    const staged = Object.freeze({ ...agent, states: Object.fromEntries(states) }) as Agent
    this.#agents.set(agent, staged)
    return staged
  }

  #name(agent: Agent, state: string, model: string): string {
    const name = `${agent.name}/${state}/${model}`
    this.models.set(name, model)
    return name
  }

  /** A tool that several states have is one here, too. */
  #toolOf(tool: Tool<any>): Tool<any> {
    const known = this.#bodies.get(tool)
    if (known) return known
    const body: Partial<Tool<any>> = tool.agent
      ? { agent: this.agentOf(tool.agent) }
      : { execute: (input) => this.#say(tool.name, input as Json), ...(tool.undo ? { undo: () => null } : {}) }
    const staged = { ...tool, ...body }
    this.#bodies.set(tool, staged)
    return staged
  }

  /** What a tool said to these arguments: each time the next, and at the end the last again and again. */
  #say(tool: string, input: Json): Promise<unknown> {
    const mine = (said: SaidByTool): boolean => said.tool === tool && said.arguments !== undefined
    const same = this.#tools.filter((said) => mine(said) && keyOf(said.arguments!) === keyOf(input))
    const any = this.#tools.filter((said) => said.tool === tool && said.arguments === undefined)
    const [said, more] = same.length > 0 ? same : any
    if (!said) {
      this.unheard.push(`${tool} ${JSON.stringify(input)}`)
      return Promise.reject(new Error(`Nothing is known of what ${tool} says to this; say it in tools.`))
    }
    if (more) this.#tools.splice(this.#tools.indexOf(said), 1)
    if (said.failure === undefined) return Promise.resolve(said.result ?? null)
    return said.failure.class === 'timeout'
      ? new Promise(() => undefined)
      : Promise.reject(new Error(said.failure.message))
  }

  /** The model of a name. */
  modelOf(name: string): Model {
    return {
      provider: 'rehearsal',
      modelId: name,
      call: (_, signal) => {
        const said = this.#models.get(name)?.shift()
        if (!said) {
          this.unheard.push(name)
          const message = `Nothing more is known of what ${name} says; say it in models.`
          return Promise.resolve({ ok: false, failure: { class: 'invalid-request', message, unbilled: true } })
        }
        if ('answer' in said) return Promise.resolve({ ok: true, answer: said.answer })
        const { failure } = said
        if (failure.class !== 'timeout') return Promise.resolve({ ok: false, failure })
        return new Promise((settle) => signal.addEventListener('abort', () => settle({ ok: false, failure })))
      },
    }
  }

  /** The same for every model here. */
  under<Value>(value: Value): Record<string, Value> {
    return Object.fromEntries([...this.models].map(([name]) => [name, value]))
  }

  /** What is said by the names that agents use, by the names here. */
  renamed<Value>(table: Readonly<Record<string, Value>>): Record<string, Value> {
    const known = [...this.models].filter(([, model]) => Object.hasOwn(table, model))
    return Object.fromEntries(known.map(([name, model]) => [name, table[model]!]))
  }

  /** Tools that list secrets are given none that is one. */
  secretsOf(agent: Agent): Record<string, string> {
    const states: readonly Acting[] = familyOf(agent).flatMap((one) => Object.values(one.states))
    const tools = states.flatMap(({ tool, tools: more = [] }) => (tool ? [tool, ...more] : more))
    const names = tools.flatMap(({ secrets = [] }) => secrets)
    return Object.fromEntries(names.map((name) => [name, `not the secret ${name}`]))
  }
}
