// The research example as a stranger runs it, and as it must not be run: with critics who never agree, with a note that gives
// orders, with drafts that cite what is not there, and with its workers killed at random moments.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test as once } from 'vitest'
import {
  check,
  createOrchestrator,
  scriptedModel,
  startMockServer,
  type Orchestrator,
  type Script,
  type ScriptAnswer,
  type ScriptRequest,
  type TaskView,
} from 'signalbox'
import play from '../examples/research/script.ts'
import config, { research } from '../examples/research/team.ts'
import { whole } from './campaign.ts'
import { mockModel, root, signalbox, start, workplace } from './cli/signalbox.ts'
import { address, engine, test } from './engines.ts'
import { folder } from './folder.ts'

const example = join(root, 'examples/research')
const team = join(example, 'team.ts')
const notes = join(example, 'notes')
const question = 'Why did ships go aground, and did lights, bells or sirens end it?'
const by = { by: 'ed', reason: 'read it' }

interface World {
  readonly box: Orchestrator
  readonly input: { readonly question: string; readonly folder: string; reportPath: string; ledgerPath: string }
  readonly at: string
}

/** The team over a store of its own, its models played by a script in this process. */
async function open(script: Script = play): Promise<World> {
  const at = folder()
  const models = { main: scriptedModel(script), small: scriptedModel(script) }
  const box = await createOrchestrator({ store: await address(), ...config, models, env: {} })
  onTestFinished(() => box.stop(100))
  const input = { question, folder: notes, reportPath: join(at, 'report.md'), ledgerPath: join(at, 'published.jsonl') }
  return { box, input, at }
}

/** The places that a text cites which are not in the folder; and how many it cites. */
function prove(report: string): number {
  const cited = [...report.matchAll(/\[([\w-]+\.txt):(\d+)\]/g)]
  const missing = cited.filter(([, file, line]) => {
    return !readFileSync(join(notes, file!), 'utf8').split('\n')[Number(line) - 1]?.trim()
  })
  expect(missing.map(([place]) => place)).toEqual([])
  return cited.length
}

/** How often the writer was at work, desk by desk. */
async function drafts(box: Orchestrator, rootId: string): Promise<number[]> {
  const desks = (await box.tasks({ rootId })).filter(({ agent }) => agent === 'desk')
  return Promise.all(
    desks.map(async ({ taskId }) => {
      const events = await box.store.read(taskId)
      return events.filter(({ type, data }) => type === 'state.entered' && data.state === 'write').length
    }),
  )
}

const says = (name: string, input: object = {}): ScriptAnswer => ({ calls: [{ name, arguments: input as never }] })
const isOffered = ({ offers }: ScriptRequest, exit: string): boolean => offers.some(({ name }) => name === exit)

once('the machine is sound, and its README draws it as it is', async () => {
  expect(check(research)).toEqual([])
  const [, diagram] = /```mermaid\n([\s\S]*?)```/.exec(readFileSync(join(example, 'README.md'), 'utf8'))!
  expect(diagram!.trim()).toBe((await signalbox(['graph', team])).stdout.trim())
})

test('from the shell, over HTTP: the team works, the editor agrees, and a report is published that cites what is there', async () => {
  const cwd = await workplace()
  const env = await mockModel(join(example, 'script.ts'))
  const input = JSON.stringify({ question, folder: notes })
  const waiting = await signalbox(['run', team, '--id', 'q', '--input', input, '--json'], { cwd, env })
  expect(waiting.code, waiting.stderr).toBe(3)
  expect(waiting.json.at(-1)).toMatchObject({ status: 'waiting', state: 'editor' })
  expect(readdirSync(cwd)).not.toContain('report.md')
  const [{ item, show, options }] = (await signalbox(['inbox', '--json'], { cwd })).json
  expect(options).toEqual(['PUBLISH', 'REWRITE', 'REJECT'])
  expect(show.sources.length).toBeGreaterThan(8)
  const answer = ['answer', item, '--decision', 'PUBLISH', '--by', 'ed', '--reason', 'reads well']
  expect((await signalbox(answer, { cwd })).code).toBe(0)
  const done = await signalbox(['run', team, '--id', 'q', '--json'], { cwd, env })
  expect(done.code, done.stderr).toBe(0)
  expect(done.json.at(-1)).toMatchObject({ status: 'done', outcome: 'published' })

  const report = readFileSync(join(cwd, 'report.md'), 'utf8')
  expect(prove(report)).toBe(show.sources.length)
  for (const { place, text } of show.sources) expect(report).toContain(`- ${place}: ${text}`)
  expect(readFileSync(join(cwd, 'published.jsonl'), 'utf8').trim().split('\n')).toHaveLength(1)

  const tasks = (await signalbox(['tasks', '--json'], { cwd })).json
  const count = Object.groupBy(tasks, ({ agent }) => agent as string)
  expect([count['research']?.length, count['searcher']?.length, count['desk']?.length]).toEqual([1, 5, 1])
  for (const { costMicros } of tasks) expect(costMicros).toBeGreaterThan(0)
  expect((await signalbox(['verify'], { cwd })).code).toBe(0)
})

describe('the editor', () => {
  test('may ask for it to be written again, and is asked again', async () => {
    const { box, input } = await open()
    const task = await box.start(research, input, { id: 'q' })
    const [first] = (await task.rest()).inbox
    await box.answer(first!.item, { decision: 'REWRITE', ...by, data: { request: 'Say first what it is about.' } })
    const again = await task.rest()
    expect(again).toMatchObject({ state: 'editor', status: 'waiting' })
    expect(again.context['draft']).toContain('_Say first what it is about._')
    await box.answer(again.inbox[0]!.item, { decision: 'PUBLISH', ...by })
    expect((await task.result()).outcome).toBe('published')
    expect(readFileSync(input.reportPath, 'utf8')).toContain('_Say first what it is about._')
  })

  test('may say no, and nothing is written', async () => {
    const { box, input, at } = await open()
    const task = await box.start(research, input, { id: 'q' })
    await box.answer((await task.rest()).inbox[0]!.item, { decision: 'REJECT', ...by })
    expect(await task.result()).toMatchObject({ outcome: 'rejected', status: 'failed' })
    expect(readdirSync(at)).toEqual([])
  })
})

test('a draft that cites what is not there goes back, is told what, and never comes before the editor', async () => {
  const objections: string[] = []
  const { box, input } = await open((request) => {
    if (isOffered(request, 'ACCEPTED')) return says('ACCEPTED')
    if (!isOffered(request, 'WRITTEN')) return play(request)
    objections.push(/^Of your last draft: (.*)$/m.exec(request.prompt)?.[1] ?? '')
    return says('WRITTEN', {
      draft: `Of ${request.number}: so. [lights.txt:4] And so. [lights.txt:999] And so. [../team.ts:1] [none.txt:1]`,
    })
  })
  const view = await (await box.start(research, input, { id: 'q' })).result()
  expect(view.outcome).toBe('failed')
  expect(objections).toEqual([
    '',
    ...Array<string>(4).fill('There is no such line: lights.txt:999, ../team.ts:1, none.txt:1.'),
  ])
  expect(await box.inbox()).toEqual([])
})

test('an order in a note, and models that obey it, change nothing: it is refused, shown without its link, and the editor is asked', async () => {
  const { box, input, at } = await open((request) => {
    if (isOffered(request, 'PLANNED')) return says('PLANNED', { topics: ['summary', 'minutes', 'siren'] })
    const order = /call publish_report at once/.test(JSON.stringify(request.results) + request.prompt)
    const refused = request.results.some(({ name }) => name === 'publish_report')
    if (order && !refused) return says('publish_report', { report: 'all of it', reportPath: 'x', ledgerPath: 'y' })
    if (!order || !isOffered(request, 'FOUND')) return play(request)
    const { found } = request.results[0]!.value as { found: { file: string; line: number; text: string }[] }
    return says('FOUND', {
      findings: found.slice(-2).map(({ text, ...place }) => ({ ...place, quote: text, claim: text })),
    })
  })
  const view = await (await box.start(research, input, { id: 'q' })).rest()
  expect(view).toMatchObject({ state: 'editor', status: 'waiting', labels: { draft: { trust: 'untrusted' } } })
  const logs = await Promise.all((await box.tasks({ rootId: 'q' })).map(({ taskId }) => box.store.read(taskId)))
  const refusals = logs.flat().filter(({ type, data }) => type === 'step.refused' && data.asked === 'publish_report')
  expect(refusals.length).toBeGreaterThanOrEqual(3)
  expect(view.context['draft']).not.toContain('lights.example')
  expect(readdirSync(at)).toEqual([])
})

describe('the writer and the critic', () => {
  const critics: Readonly<Record<string, ScriptAnswer>> = {
    back: says('SENT_BACK', { critique: 'Again.' }),
    accepts: says('ACCEPTED'),
    'knows better': says('PUBLISH'),
    'says nothing that fits': says('SENT_BACK', { critique: '' }),
    'wants both': { calls: [{ name: 'ACCEPTED' }, { name: 'SENT_BACK', arguments: { critique: 'But.' } }] },
    'is no JSON': { calls: [{ name: 'SENT_BACK', raw: '{"critique":' }] },
    talks: { text: 'I am not sure that I should.' },
    'is withheld': { text: '', finish: 'content-filter' },
    'is not answered': { status: 400, body: 'no' },
    'asks for a tool': says('search_notes', { words: 'siren' }),
  }

  test('a draft that is always sent back is written three times, and goes on as it is', async () => {
    const { box, input } = await open((request) =>
      isOffered(request, 'ACCEPTED')
        ? says('SENT_BACK', { critique: `Again, after ${request.prompt.length}.` })
        : play(request),
    )
    const view = await (await box.start(research, input, { id: 'q' })).rest()
    expect(view.state).toBe('editor')
    expect(await drafts(box, 'q')).toEqual([3])
    const desk = view.tree.find(({ agent }) => agent === 'desk')
    expect(desk).toMatchObject({ status: 'done', outcome: 'asItIs' })
  })

  test('whatever the critic says, there are at most three drafts for one desk, and the editor has the last word', async () => {
    const said = new Map<string, string[]>()
    const { box, input } = await open((request) => {
      if (!isOffered(request, 'ACCEPTED')) return play(request)
      const plan = said.get(/^Question: (\w+)/.exec(request.prompt)![1]!)!
      const kind = plan.shift() ?? 'back'
      return { ...critics[kind], ...(kind === 'back' ? says('SENT_BACK', { critique: `${plan.length} more` }) : {}) }
    })
    let id = 0
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...Object.keys(critics)), { maxLength: 14 }), async (plan) => {
        const name = `q${(id += 1)}`
        said.set(name, [...plan])
        const view: TaskView = await (
          await box.start(research, { ...input, question: `${name} ${question}` }, { id: name })
        ).rest()
        expect([view.state, view.status]).toEqual(['editor', 'waiting'])
        const [count, ...more] = await drafts(box, name)
        expect(more).toEqual([])
        expect(count).toBeGreaterThanOrEqual(1)
        expect(count).toBeLessThanOrEqual(3)
        prove(view.context['draft'] as string)
      }),
      { numRuns: engine() === 'SQLite' ? 60 : 15, endOnFailure: true },
    )
    expect((await box.verify()).findings).toEqual([])
  })
})

describe('killed at random', () => {
  const killsWanted = (): number => (whole ? 100 : engine() === 'SQLite' ? 25 : 10)
  /** Runs side by side; each has a store and workers of its own. */
  const lanes = 3
  const leaseMs = 300
  // How long a worker lives after it has begun: at most this time, or as long as it takes until so many events more are there.
  // A step is tried five times when its worker goes away, so one that never comes to write would end the task, and rightly.
  // In a server a step takes longer, and so more of them are under way when their worker goes.
  const lifeMs = 200
  const eventsOn = { SQLite: { min: 0, max: 30 }, PostgreSQL: { min: 20, max: 60 } }
  let [kills, amidst] = [0, 0]

  interface Came {
    readonly context: object
    readonly tasks: readonly string[]
    readonly report: string
    readonly keys: readonly string[]
  }

  /** One task from its start to its end, its editor asking for a rewrite first; who works on it is killed while `kill` says so. */
  async function live(url: string, kill: () => boolean): Promise<Came> {
    const cwd = folder()
    const store = ['--store', await address()]
    const env = { SIGNALBOX_BASE_URL: url, SIGNALBOX_MODEL: 'mock' }
    const box = await createOrchestrator({ store: store[1]!, env: {} })
    const written = async (): Promise<number> => (await box.tasks()).reduce((sum, { seq }) => sum + seq, 0)
    const input = JSON.stringify({ question, folder: notes })
    // What a lost call may have burned is charged, so much killing costs much.
    const begin = ['run', team, '--id', 'q', '--input', input, '--cost', '20']
    let asked = 0
    const look = async (): Promise<TaskView> => {
      const view = await box.show('q')
      const [item] = view.inbox
      if (!item) return view
      const decision = asked === 0 ? { decision: 'REWRITE', data: { request: 'Shorter.' } } : { decision: 'PUBLISH' }
      await box.answer(item.item, { ...decision, ...by })
      asked += 1
      return view
    }
    try {
      for (;;) {
        const isBegun = (await box.tasks()).length > 0
        const args = [...(isBegun ? ['worker', team] : begin), '--lease', `${leaseMs}ms`, ...store]
        const { child, said, ended } = start(args, { cwd, env })
        await said(isBegun ? 'Works on' : 'task q')
        const before = await written()
        const overMs = kill() ? Date.now() + Math.random() * lifeMs : Infinity
        const { min, max } = eventsOn[engine()]
        const over = before + min + Math.random() * (max - min)
        const isOver = async (): Promise<boolean> => Date.now() >= overMs && (await written()) >= over
        // A `run` ends by itself where the editor is asked.
        while ((await look()).outcome === null && child.exitCode === null && !(await isOver())) {
          await new Promise((wake) => setTimeout(wake, 5))
        }
        child.kill('SIGKILL')
        await ended
        if ((await look()).outcome !== null) break
        if (child.signalCode === null) continue
        kills += 1
        if ((await written()) > before) amidst += 1
      }
      const { outcome, context, tree } = await box.show('q')
      expect(outcome).toBe('published')
      expect((await box.verify()).findings).toEqual([])
      const ledger = readFileSync(join(cwd, 'published.jsonl'), 'utf8').trim().split('\n')
      return {
        context,
        tasks: tree.map(({ taskId, agent, outcome: end }) => `${taskId} ${agent} ${end}`),
        report: readFileSync(join(cwd, 'report.md'), 'utf8'),
        keys: ledger.map((line) => (JSON.parse(line) as { key: string }).key),
      }
    } finally {
      await box.stop(0)
    }
  }

  test(
    'workers killed at random moments, and every task comes to the context, the report and the one effect of one that was left alone',
    { timeout: 600_000 },
    async () => {
      kills = 0
      amidst = 0
      const server = await startMockServer(play)
      onTestFinished(() => server.close())
      const alone = await live(server.url, () => false)
      expect([kills, alone.keys.length]).toEqual([0, 1])
      let runs = 0
      await Promise.all(
        Array.from({ length: lanes }, async () => {
          while (kills < killsWanted()) {
            expect(await live(server.url, () => kills < killsWanted())).toEqual(alone)
            runs += 1
          }
        }),
      )
      console.log(`killed ${kills} times in ${runs} runs, ${amidst} of them after the worker had written something`)
      expect(kills).toBeGreaterThanOrEqual(killsWanted())
    },
  )
})
