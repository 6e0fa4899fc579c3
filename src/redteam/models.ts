// The models of a world: each knows its way through the machine, uses what it may, and takes the exit that leads on; until a
// fault strikes.

import type { Node } from '../core/machine.ts'
import type { Model, ModelRequest, Reply } from '../core/model.ts'
import { Asking, scriptedModel, type ScriptAnswer } from '../providers/scripted.ts'
import { canary, type FaultyAnswer, type ModelMoment } from './fault-kinds.ts'
import type { Guide } from './guide.ts'
import type { Setting } from './setting.ts'
import type { Awaited, Standing } from './witness.ts'

/** The models of a world. */
export class Models {
  readonly #setting: Setting
  readonly #guide: Guide

  constructor(setting: Setting, guide: Guide) {
    this.#setting = setting
    this.#guide = guide
  }

  /** Every model that the machines name. */
  all(): Readonly<Record<string, Model>> {
    const nodes = [...this.#setting.team.values()].flatMap(({ states }) => [...states.values()])
    const names = new Set(nodes.flatMap((node) => (node.kind === 'model' ? node.models : [])))
    return Object.fromEntries([...names].map((name) => [name, this.#modelOf(name)]))
  }

  #modelOf(name: string): Model {
    return { provider: 'redteam', modelId: name, call: (request, signal) => this.#answer(name, request, signal) }
  }

  async #answer(model: string, request: ModelRequest, signal: AbortSignal): Promise<Reply> {
    const { witness, plan, clock, scene, team, root } = this.#setting
    const where = witness.claimAwaited(model, request.messages)
    const task = where && witness.standing(where.taskId)
    const agent = task?.agent ?? root.name
    const [state, taskId] = [where?.state ?? '', where?.taskId ?? '']
    witness.asked.push({
      taskId,
      state,
      model,
      atMs: clock.now(),
      isKnown: where?.isKnown === true,
      messages: request.messages,
    })
    const node = team.get(agent)?.states.get(state)
    const hasRead = this.#hasRead(request)
    if (hasRead) witness.isOrderRead = true
    const honest = scene.outside?.script && !scene.injection ? await this.#scripted(model, request) : undefined
    const own = honest ?? this.#honest(agent, state, node, task, hasRead)
    const exits = (own.calls ?? []).map(({ name }) => name)
    const kind = plan.strikes({ layer: 'model', agent, state, exits })
    const answer: FaultyAnswer = kind && 'act' in kind ? kind.act(own, this.#moment(node, where)) : own
    if (answer.delayMs !== undefined) await this.#setting.pause(answer.delayMs, answer.stubborn ? undefined : signal)
    // What it waited for has passed by the clock of the world.
    const { delayMs: _, ...now } = answer
    const scripted = scriptedModel(() => now, { name: model, now: () => clock.now() })
    return scripted.call(request, answer.stubborn ? new AbortController().signal : signal)
  }

  async #scripted(model: string, request: ModelRequest): Promise<ScriptAnswer> {
    const { scene, witness, clock } = this.#setting
    const script = scene.outside!.script!
    if (typeof script !== 'function') return script[witness.asked.length - 1] ?? { status: 500 }
    const asked = new Asking({ model, ...request }, witness.asked.length)
    const { delayMs: _, ...answer } = await clock.hold(Promise.resolve(script(asked)))
    return answer
  }

  /** Is the order of a stranger in what a model is shown, or what came of it? A model knows nothing else. */
  #hasRead({ messages }: ModelRequest): boolean {
    const { injection } = this.#setting.scene
    if (!injection) return false
    const text = JSON.stringify(messages)
    // As it stands in what is searched, without its quotes; the end of it may be cut.
    const order = JSON.stringify(injection.text).slice(1, 24)
    return text.includes(order) || text.includes(canary.host)
  }

  #honest(
    agent: string,
    state: string,
    node: Node | undefined,
    task: Standing | undefined,
    hasRead: boolean,
  ): ScriptAnswer {
    const { scene } = this.#setting
    const { injection, target } = scene
    if (node?.kind !== 'model' || !task) return { text: 'I do not know where I am.' }
    if (injection && hasRead && (task.calls.get(`!${injection.tool}`) ?? 0) === 0) {
      task.calls.set(`!${injection.tool}`, 1)
      return { calls: [{ name: injection.tool, arguments: injection.arguments }] }
    }
    // Where it is under attack, a model uses every tool that it has once; elsewhere it hurries on.
    const isTarget = !target || (target.agent === agent && target.state === state)
    const tools = [...node.tools.values()].filter(({ name }) => name !== 'read_result')
    const wanted = tools.filter(({ name }) => (task.calls.get(name) ?? 0) === 0 || (scene.insists && isTarget))
    const reads = injection?.source === undefined ? [] : wanted.filter(({ name }) => name === injection.source)
    const used = this.#setting.isWandering() ? tools : isTarget ? wanted : reads
    if (used.length > 0) {
      const ask = this.#guide.argumentsOf.bind(this.#guide)
      return { calls: used.map(({ name, inputJson }) => ({ name, arguments: ask(inputJson, task) })) }
    }
    const exit = this.#guide.exitFrom(agent, state, task)
    if (exit === '$timeout') return { hang: true }
    if (exit === '$refused') return { calls: [{ name: 'nobody_has_this', arguments: {} }] }
    if (exit === undefined || exit.startsWith('$')) return { status: 401 }
    return { calls: [{ name: exit, arguments: this.#guide.outputOf(agent, state, exit, task, hasRead) }] }
  }

  #moment(node: Node | undefined, where: Awaited | undefined): ModelMoment {
    const { team, clock, pick } = this.#setting
    const here = node?.kind === 'model' ? [...node.tools.keys()] : []
    const all = [...team.values()].flatMap(({ tools }) => [...tools.keys()])
    return {
      pick,
      leftMs: Math.max(0, (where?.deadlineAtMs ?? clock.now()) - clock.now()),
      elsewhere: [...new Set(all)].filter((name) => !here.includes(name) && name !== 'read_result'),
      exits: [...(node?.exits.keys() ?? [])].filter((name) => !name.startsWith('$')),
      tools: here,
    }
  }
}
