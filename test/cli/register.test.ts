// The register at the command line: keys are made, heads are signed while a worker works, payloads are erased, and verify
// says what it finds and what it cannot know.

import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { engine, test } from '../engines.ts'
import { asOwner, withoutTriggers } from '../owner.ts'
import { root, signalbox, start, storeOf, workplace } from './signalbox.ts'

const secret = 'Zdenka-Novakova-1979'

/** A folder with an agent that says hello to whom it is told, and ends. */
async function folderWithAgent(): Promise<string> {
  const cwd = await workplace()
  const [index, zod] = [join(root, 'dist/index.js'), join(root, 'node_modules/zod/index.js')]
  const text = `
    import { defineAgent, defineContext } from '${index}'
    import { z } from '${zod}'
    export const greeter = defineAgent({ name: 'greeter', version: '1', initial: 'greet',
      context: defineContext({ name: z.string(), greeting: z.string().optional() }), on: { $error: 'failed', $timeout: 'failed' },
      states: { greet: { run: ({ context }) => ({ exit: 'GREETED', output: { greeting: 'hello ' + context.name } }),
        on: { GREETED: { target: 'done', output: z.object({ greeting: z.string() }) } } },
        done: { type: 'final' }, failed: { type: 'final', failure: true } } })
  `
  writeFileSync(join(cwd, 'agent.ts'), text)
  return cwd
}

test('keys, checkpoints, an erasure and a verification, from one command to the next', async () => {
  const cwd = await folderWithAgent()
  const box = (...args: string[]) => signalbox([...args, '--json'], { cwd })
  const greet = async (id: string) => {
    const ran = await box('run', 'agent.ts', '--id', id, '--input', JSON.stringify({ name: secret }))
    expect([ran.code, ran.stderr]).toEqual([0, expect.any(String)])
  }
  await greet('t1')

  expect(await box('keygen', '--key', 'sign.key')).toMatchObject({ code: 0 })
  expect(statSync(join(cwd, 'sign.key')).mode & 0o777).toBe(0o600)
  const key = readFileSync(join(cwd, 'sign.key'), 'utf8')
  const again = await box('keygen', '--key', 'sign.key')
  expect([again.code, again.json[0].error.code]).toEqual([2, 'KEY_EXISTS'])
  expect(readFileSync(join(cwd, 'sign.key'), 'utf8')).toBe(key)

  const sign = ['checkpoint', '--key', 'sign.key', '--anchors', 'anchors.jsonl'] as const
  expect((await box(...sign)).json).toMatchObject([{ made: true, written: 1, checkpoint: { number: 1, tasks: 1 } }])
  const erased = await box('erase', 't1', '--by', 'ana', '--reason', 'asked for')
  expect(erased).toMatchObject({ code: 0, json: [{ taskId: 't1', wiped: true, by: 'ana', reason: 'asked for' }] })
  expect(erased.json[0].erased).toBeGreaterThan(2)
  const nothing = await signalbox(['erase', 't1', '--reason', 'again'], { cwd })
  expect([nothing.code, nothing.stderr]).toEqual([0, 'Nothing was erased: all payloads of t1 are gone already.\n'])
  expect((await signalbox(['erase', 't1#1', '--reason', 'again'], { cwd })).stderr).toContain(
    'of t1#1 are gone already',
  )
  if (engine() === 'SQLite') expect(readFileSync(join(cwd, 'signalbox.db')).includes(secret)).toBe(false)
  const bodies = await asOwner(storeOf(cwd), (sql) => sql('SELECT body FROM payloads'))
  expect(JSON.stringify(bodies)).not.toContain(secret)
  expect((await box(...sign)).json).toMatchObject([{ made: true, written: 1, checkpoint: { number: 2 } }])

  const log = await signalbox(['log', 't1'], { cwd })
  expect(log.stdout).toMatch(/payload of event 1 erased by ana: asked for/)
  expect(log.stdout).toContain('(erased)')
  expect((await signalbox(['show', 't1'], { cwd })).stdout).toMatch(
    /erased {3}\d+ payloads are gone[^]*context {2}name = \(erased\)/,
  )

  const proved = ['verify', '--anchors', 'anchors.jsonl', '--public-key', 'sign.key.pub'] as const
  const whole = await box(...proved)
  expect([whole.code, whole.json]).toMatchObject([0, [{ ok: true, anchors: 2, findings: [], notProved: [] }]])
  const alone = await box('verify')
  expect(alone.code).toBe(0)
  expect(alone.json[0].notProved.length).toBe(4)
  expect(alone.stderr).toMatch(/Without --anchors it is not proved:[^]*computed anew/)

  // What is done with the database is named, with its task, its event and its anchor.
  await withoutTriggers(storeOf(cwd), (sql) =>
    sql(`DELETE FROM events WHERE seq > 3; UPDATE tasks SET seq = 3, hash = (SELECT hash FROM events WHERE seq = 3)`),
  )
  const cut = await box(...proved)
  expect(cut.code).toBe(1)
  expect(cut.json[0].findings).toContainEqual(expect.objectContaining({ taskId: 't1', kind: 'cut', seq: 4, anchor: 1 }))
  expect(cut.stderr).toMatch(/task t1, event 4, cut: .*anchor 1/)
})

test('wrong files and flags are one clear error each, and change nothing', async () => {
  const cwd = await folderWithAgent()
  await signalbox(['run', 'agent.ts', '--id', 'open', '--agent', 'greeter', '--input', '{"name":"x"}'], { cwd })
  writeFileSync(join(cwd, 'not.jsonl'), 'hello\nworld\n')
  writeFileSync(join(cwd, 'not.key'), 'hello')
  const cases: [string[], number, string][] = [
    [['verify', '--anchors', 'nowhere'], 2, 'ANCHORS_INVALID'],
    [['verify', '--anchors', 'not.jsonl'], 2, 'ANCHORS_INVALID'],
    [['verify', '--public-key', 'not.key'], 2, 'FLAG_INVALID'],
    [['checkpoint', '--key', 'nowhere', '--anchors', 'a'], 2, 'KEY_INVALID'],
    [['checkpoint', '--key', 'not.key', '--anchors', 'a'], 2, 'KEY_INVALID'],
    [['erase', 'nobody', '--reason', 'r'], 2, 'TASK_UNKNOWN'],
    [['erase', 'open#99', '--reason', 'r'], 2, 'PAYLOAD_UNKNOWN'],
  ]
  await Promise.all(
    cases.map(async ([args, code, fault]) => {
      const ran = await signalbox([...args, '--json'], { cwd })
      expect([args, ran.code, ran.json[0]?.error?.code]).toEqual([args, code, fault])
    }),
  )
  expect((await signalbox(['erase', 'open'], { cwd })).code).toBe(2)
})

test('checkpoint --every signs a store while a worker works on it, and stops when it is told to', async () => {
  const cwd = await folderWithAgent()
  await signalbox(['keygen', '--key', 'sign.key'], { cwd })
  await signalbox(['run', 'agent.ts', '--id', 't0', '--input', '{"name":"x"}'], { cwd })
  const worker = start(['worker', 'agent.ts'], { cwd })
  await worker.said('Works on')
  const signing = start(
    ['checkpoint', '--key', 'sign.key', '--anchors', 'anchors.jsonl', '--every', '100ms', '--json'],
    { cwd },
  )
  await signing.said('"number":1')
  await signalbox(['run', 'agent.ts', '--id', 't1', '--input', '{"name":"x"}'], { cwd })
  await signing.said('"tasks":2')
  signing.child.kill('SIGTERM')
  expect((await signing.ended).code).toBe(0)
  worker.child.kill('SIGTERM')
  const { json } = await signalbox(['verify', '--anchors', 'anchors.jsonl', '--public-key', 'sign.key.pub', '--json'], {
    cwd,
  })
  expect(json[0]).toMatchObject({ ok: true, tasks: 2 })
  await worker.ended
})
