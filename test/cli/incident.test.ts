// The main job on real input: the incident example, through the command line, over HTTP, with a human in the middle.

import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect } from 'vitest'
import { test } from '../engines.ts'
import { mockModel, root, signalbox, start, workplace } from './signalbox.ts'

const agent = join(root, 'examples/incident/agent.ts')
const script = join(root, 'examples/incident/script.ts')
const shared = resolve(root, '../shared/data/loghub')
const logs = [join(root, 'examples/incident/shop.log'), join(shared, 'OpenSSH_2k.log'), join(shared, 'Apache_2k.log')]

test.each(logs.filter((log) => existsSync(log)))(
  '%s is worked through to resolved, and the log holds all of it',
  { timeout: 60_000 },
  async (log) => {
    const cwd = await workplace()
    const env = await mockModel(script)
    const input = JSON.stringify({ log })
    const waiting = await signalbox(['run', agent, '--id', 't', '--input', input, '--json'], { cwd, env })
    expect(waiting.code, waiting.stderr).toBe(3)
    expect(waiting.json.at(-1)).toMatchObject({ taskId: 't', status: 'waiting', state: 'act', outcome: null })

    const inbox = await signalbox(['inbox', '--json'], { cwd })
    expect(inbox.json).toMatchObject([{ taskId: 't', kind: 'approval', options: ['approve', 'edit', 'reject'] }])
    const { item, hash, show } = inbox.json[0]
    // What a log says is anyone's words, and a restart reaches outside: exactly what would be done is shown.
    expect(show).toMatchObject({ tool: 'restart_service', label: 'untrusted, public' })
    expect(Object.keys(show.arguments)).toEqual(['ledgerPath', 'report', 'reportPath', 'service'])
    expect(show.reasons.map(({ rule }: { rule: string }) => rule)).toEqual(['approval', 'provenance'])
    const approve = ['answer', item, '--decision', 'approve', '--by', 'ana', '--reason', 'seen', '--hash']
    // What was shown is what is approved, and nothing else.
    const other = await signalbox([...approve, '0'.repeat(64)], { cwd })
    expect([other.code, other.stderr.split(' ')[0]]).toEqual([2, 'HASH_MISMATCH'])
    expect((await signalbox([...approve, hash], { cwd })).code).toBe(0)
    const done = await signalbox(['run', agent, '--id', 't', '--json'], { cwd, env })
    expect(done.code, done.stderr).toBe(0)
    const last = done.json.at(-1)
    expect(last).toMatchObject({ taskId: 't', status: 'done', state: 'resolved', outcome: 'resolved' })
    expect(Object.keys(last.usage)).toEqual(
      expect.arrayContaining(['steps', 'turns', 'inputTokens', 'outputTokens', 'costMicros']),
    )

    const { json: events } = await signalbox(['log', 't', '--json'], { cwd })
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1))
    for (const [index, event] of events.entries()) {
      expect(Object.keys(event)).toEqual(['taskId', 'seq', 'at', 'type', 'data', 'costMicros', 'hash', 'prevHash'])
      expect(event.prevHash).toBe(index === 0 ? '0'.repeat(64) : events[index - 1].hash)
      expect(Number.isNaN(Date.parse(event.at))).toBe(false)
    }
    const of = (type: string) => events.filter((event) => event.type === type).map(({ data }) => data)
    expect(of('model.answered').length).toBe(last.usage.turns)
    expect(of('model.answered').every(({ content, usage }) => content.length > 0 && usage.inputTokens > 0)).toBe(true)
    expect(of('tool.called').length).toBe(of('tool.answered').length)
    expect(of('tool.called').find(({ tool }) => tool === 'count_matches').arguments.pattern).toBeTypeOf('string')
    expect(of('tool.answered').find(({ tool }) => tool === 'count_matches').result.count).toBeGreaterThan(0)
    expect(of('transition.taken').map(({ source, exit, target }) => `${source} ${exit} ${target}`)).toEqual([
      'investigate FOUND review',
      'review SENT_BACK investigate',
      'investigate FOUND review',
      'review CONFIRMED act',
      'act DONE resolved',
    ])
    expect(of('human.answered')).toEqual([{ item, decision: 'approve', by: 'ana', reason: 'seen', hash }])
    expect(of('answer.refused')).toMatchObject([{ by: 'ana', problem: 'other-arguments' }])
    expect(of('tool.called').at(-1)).toMatchObject({
      tool: 'restart_service',
      arguments: show.arguments,
      approval: item,
    })

    // What the agent counted is what is there.
    const counted = of('tool.answered').find(({ tool }) => tool === 'count_matches').result as {
      pattern: string
      count: number
    }
    const really = readFileSync(log, 'utf8')
      .split('\n')
      .filter((line) => line.slice(0, 300).toLowerCase().includes(counted.pattern)).length
    expect(counted.count).toBe(really)
    expect(readFileSync(join(cwd, 'incident-ledger.jsonl'), 'utf8').trim().split('\n').length).toBe(1)

    expect((await signalbox(['verify', '--json'], { cwd })).json[0]).toMatchObject({
      ok: true,
      tasks: 1,
      events: events.length,
    })
    expect((await signalbox(['tasks', '--json'], { cwd })).json).toMatchObject([
      { taskId: 't', status: 'done', outcome: 'resolved' },
    ])
    expect((await signalbox(['show', 't', '--json'], { cwd })).json[0]).toMatchObject({
      taskId: 't',
      outcome: 'resolved',
      inbox: [],
    })
  },
)

test('a rejected approval ends unresolved, with exit code 1 and nothing restarted', { timeout: 60_000 }, async () => {
  const cwd = await workplace()
  const env = await mockModel(script)
  await signalbox(['run', agent, '--id', 't', '--input', JSON.stringify({ log: logs[0] })], { cwd, env })
  const { json } = await signalbox(['inbox', '--json'], { cwd })
  await signalbox(['answer', json[0].item, '--decision', 'reject', '--by', 'ana', '--reason', 'no'], { cwd })
  const ended = await signalbox(['run', agent, '--id', 't', '--json'], { cwd, env })
  expect(ended.code).toBe(1)
  expect(ended.json.at(-1)).toMatchObject({ status: 'failed', outcome: 'unresolved' })
  expect(existsSync(join(cwd, 'incident-ledger.jsonl'))).toBe(false)
})

test(
  'a worker process does what another process asks, is followed live, and drains on SIGTERM',
  { timeout: 60_000 },
  async () => {
    const cwd = await workplace()
    mkdirSync(join(cwd, 'w'))
    const env = await mockModel(script)
    const started = start(['run', agent, '--id', 't', '--lease', '1s', '--input', JSON.stringify({ log: logs[0] })], {
      cwd,
      env,
    })
    await started.said('summarise_log →')
    started.child.kill('SIGINT')
    const stopped = await started.ended
    expect(stopped.code).toBe(130)
    expect(stopped.stderr).toContain(`Go on with: signalbox run ${agent} --id t`)

    const follower = start(['log', 't', '--follow', '--json'], { cwd })
    const worker = start(['worker', agent], { cwd, env })
    await follower.said('"human.asked"')
    const { json } = await signalbox(['inbox', '--json'], { cwd })
    await signalbox(['answer', json[0].item, '--decision', 'approve', '--by', 'ana', '--reason', 'r'], { cwd })
    const followed = await follower.ended
    expect(followed.code).toBe(0)
    expect(followed.json.at(-1)).toMatchObject({ type: 'task.ended', data: { outcome: 'resolved' } })
    expect(followed.json.map(({ type }) => type)).not.toContain('step.lost')
    worker.child.kill('SIGTERM')
    expect((await worker.ended).code).toBe(0)
  },
)
