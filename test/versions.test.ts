// One log, several versions: an engine that meets what only a newer one can read, and a worker that meets tasks of another
// definition of its agent.

import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { defineAgent } from '../src/core/agent.ts'
import { defineContext } from '../src/core/context.ts'
import type { Event } from '../src/core/event.ts'
import { isFault, type FaultCode } from '../src/core/fault.ts'
import { loadTask } from '../src/door.ts'
import { createOrchestrator, type OrchestratorOptions } from '../src/orchestrator.ts'
import { genesis, hashOf } from '../src/store/log.ts'
import { openSqlite } from '../src/store/sqlite.ts'
import type { Store } from '../src/store/store.ts'
import { signalbox } from './cli/signalbox.ts'
import { folder } from './folder.ts'

const agent = defineAgent({
  name: 'a',
  version: '1',
  context: defineContext({ note: { schema: z.string(), initial: 'n' } }),
  initial: 'pause',
  states: {
    pause: { wait: { signal: 'go' }, on: { DONE: 'done', $timeout: 'done' } },
    done: { type: 'final' },
  },
})

async function open(options: Partial<OrchestratorOptions> = {}) {
  const faults: { fault: unknown; taskId: string | undefined }[] = []
  const onFault = (fault: unknown, taskId?: string): void => void faults.push({ fault, taskId })
  const store = `sqlite:${join(folder(), 'store.db')}`
  const box = await createOrchestrator({ store, agents: [agent], env: {}, onFault, ...options })
  onTestFinished(() => box.stop(100))
  return { box, faults }
}

const until = async (holds: () => boolean | Promise<boolean>): Promise<void> => {
  for (let tries = 0; !(await holds()); tries += 1) {
    if (tries > 1_000) throw new Error('it never came to hold')
    await new Promise((wake) => setTimeout(wake, 5))
  }
}

const codeOf = (doing: Promise<unknown>): Promise<FaultCode | undefined> =>
  doing.then(
    () => undefined,
    (thrown: unknown) => {
      if (!isFault(thrown)) throw thrown
      return thrown.code
    },
  )

/** What a newer engine writes to a task: an event of a type of its own, hashed and chained as any, and the task is due. */
async function writeNewer(store: Store, taskId: string): Promise<void> {
  const { task, head } = await loadTask(store, taskId)
  const fact = { type: 'agent.called', data: { child: 'c' }, at: Date.now(), costMicros: 0 }
  const event = { ...fact, taskId, seq: head.seq + 1 } as unknown as Event
  Object.assign(task, { status: 'running', updatedAtMs: Date.now() })
  expect((await store.commit({ point: 'signal', head, events: [event], task })).ok).toBe(true)
}

/** An export whose log says that it is of a later format, from its first event on. */
function inFormat(text: string, format: number): string {
  const file = JSON.parse(text) as { events: any[] }
  let prevHash = genesis.hash
  for (const [index, event] of file.events.entries()) {
    if (index === 0) event.data = event.data.replace('"input":', `"format":${format},"input":`)
    event.prevHash = prevHash
    prevHash = event.hash = hashOf(event)
  }
  return JSON.stringify(file)
}

describe('A13: a log that a newer engine has written to', () => {
  test('is left alone by a worker, which says so once; other tasks go on, and a newer worker can take it at once', async () => {
    const { box, faults } = await open()
    for (const id of ['newer', 'other']) await (await box.start(agent, {}, { id })).rest()
    await writeNewer(box.store, 'newer')
    await until(() => faults.length > 0)
    await box.signal('other', { name: 'go', data: {}, by: 'test' })
    expect((await box.task('other').result()).outcome).toBe('done')
    // Many looks at the queue later.
    await new Promise((wake) => setTimeout(wake, 1_000))
    expect(faults.map(({ fault, taskId }) => [isFault(fault, 'LOG_NEWER'), taskId])).toEqual([[true, 'newer']])
    expect((faults[0]!.fault as Error).message).toMatch(
      /LOG_NEWER Event 5 of task newer is a "agent.called", .*newer Sig/,
    )
    const { definition, seq } = (await box.store.task('newer'))!
    expect(seq).toBe(5)
    const asked = { worker: 'newer', lease: 'l', leaseMs: 1_000, limit: 1, nowMs: Date.now() }
    const [claim] = await box.store.claim({ ...asked, definitions: [definition] })
    expect(claim?.taskId).toBe('newer')
  })

  test('is refused whole by whoever speaks to it or reads it, and nothing is written', async () => {
    const { box } = await open({ work: false })
    await box.start(agent, {}, { id: 't' })
    await writeNewer(box.store, 't')
    const before = await box.store.readSealed('t')
    const by = { by: 'ana', reason: 'r' }
    const said = [
      box.signal('t', { name: 'go', data: {}, by: 'ana' }),
      box.answer('t.3', { decision: 'yes', ...by }),
      box.cancel('t', by),
      box.rollback('t', { to: 3, ...by }),
      box.erase('t', by),
      box.adopt('t'),
      box.store.read('t'),
      box.events('t').next(),
      box.store.rebuild(),
    ]
    expect(await Promise.all(said.map(codeOf))).toEqual(said.map(() => 'LOG_NEWER'))
    expect(await box.store.readSealed('t')).toEqual(before)
  })

  test('verifies as far as this engine can: the chain holds, and the rest is for a newer one to say', async () => {
    const { box } = await open({ work: false })
    await box.start(agent, {}, { id: 't' })
    await writeNewer(box.store, 't')
    const { findings } = await box.verify()
    expect(findings).toMatchObject([{ taskId: 't', seq: 4, kind: 'newer' }])
  })

  test('can be carried out, and is not taken in, even where only its format is newer', async () => {
    const { box } = await open()
    const task = await box.start(agent, {}, { id: 't' })
    await task.rest()
    await box.signal('t', { name: 'go', data: {}, by: 'test' })
    await task.result()
    const text = await box.export('t')
    const [same, other] = [await open(), await open()]
    await same.box.import(inFormat(text, 1))
    expect((await same.box.verify()).findings).toEqual([])
    expect(await codeOf(other.box.import(inFormat(text, 2)))).toBe('LOG_NEWER')
    await writeNewer(box.store, 't')
    expect(await codeOf(other.box.import(await box.export('t')))).toBe('LOG_NEWER')
    expect(await other.box.tasks()).toEqual([])
  })

  test('is refused at the command line with nothing told of it, and can still be seen as it was hashed', async () => {
    const cwd = folder()
    const store = await openSqlite(join(cwd, 'signalbox.db'))
    onTestFinished(() => store.close())
    const { box } = await open({ store, work: false })
    await box.start(agent, {}, { id: 't' })
    await writeNewer(store, 't')
    for (const args of [
      ['show', 't'],
      ['log', 't'],
      ['log', 't', '--after', '4'],
      ['log', 't', '--follow'],
      ['signal', 't', 'go'],
    ]) {
      const ran = await signalbox(args, { cwd })
      expect([args, ran.code, ran.stderr.split(' ')[0], ran.stdout]).toEqual([args, 1, 'LOG_NEWER', ''])
    }
    expect((await signalbox(['log', 't', '--raw'], { cwd })).json.map(({ type }) => type as string)).toContain(
      'agent.called',
    )
    const verified = await signalbox(['verify', '--json'], { cwd })
    expect([verified.code, verified.json[0].findings[0].kind]).toEqual([1, 'newer'])
  })
})
