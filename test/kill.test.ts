// A campaign against workers on PostgreSQL: processes are killed and stopped, sessions are ended, connections are cut, stalled
// and half opened, and the server goes away and comes back, while tasks with effects outside go on. When it is over every
// task has ended or is with a human, without anybody's help. `npm run campaigns` runs it for a minute, here a slice of it.

import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer as createHttp } from 'node:http'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { isFault } from '../src/core/fault.ts'
import { createOrchestrator } from '../src/orchestrator.ts'
import { whole } from './campaign.ts'
import { folder } from './folder.ts'
import { admin, ownServer } from './postgres.ts'
import { startProxy } from './proxy.ts'

const file = join(import.meta.dirname, 'workers/campaign.ts')
// As the workers load it. What is imported here has another text, and with it another definition.
const { agents, family, payer } = createRequire(import.meta.url)(
  join(import.meta.dirname, 'workers/campaign-agents.ts'),
) as typeof import('./workers/campaign-agents.ts')

const seconds = Number(process.env['SIGNALBOX_KILL_SECONDS'] ?? (whole ? 60 : 10))
const tasks = 5 * seconds
const workersMax = 4

const pause = (ms: number): Promise<void> => new Promise((wake) => setTimeout(wake, ms))
const between = (from: number, to: number): number => from + Math.random() * (to - from)

/** The service outside. It does what it is asked to, and remembers; a post it does once for each key. */
async function outside() {
  const effects: string[] = []
  const server = createHttp((request, response) => {
    const [, what, key] = request.url!.split('/') as [string, string, string]
    if (what === 'charge' || !effects.includes(`post ${key}`)) effects.push(`${what} ${key}`)
    setTimeout(() => response.end(JSON.stringify({ what })), between(0, 80))
  })
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  onTestFinished(() => void server.close())
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, effects }
}

test(
  `A10, A36, I4, I5, I9: ${workersMax} workers, ${tasks} tasks, ${seconds} s of kills, stops, cuts and restarts: all come to their end, nothing is lost, nothing is done twice`,
  { timeout: (seconds + 120) * 1_000 },
  async () => {
    const server = await ownServer()
    const proxy = await startProxy(server.port)
    const { url, effects } = await outside()
    const cwd = folder()
    const address = `${proxy.url(server.url)}?timeout=3s`
    const box = await createOrchestrator({ store: server.url, agents, work: false, onFault: () => undefined })
    onTestFinished(() => box.stop())

    // Workers, and whoever starts a new one for each that is gone.
    const done: Record<string, number> = {}
    const count = (what: string): void => void (done[what] = (done[what] ?? 0) + 1)
    const files: string[] = []
    const workers = new Set<ChildProcess>()
    let keeping = true
    const keep = (): void => {
      if (!keeping) return
      const acknowledged = join(cwd, `acknowledged-${files.length}`)
      writeFileSync(acknowledged, '')
      files.push(acknowledged)
      const worker = spawn(process.execPath, [file, address, url, acknowledged], {
        cwd,
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      workers.add(worker)
      worker.once('close', () => {
        workers.delete(worker)
        setTimeout(keep, 100)
      })
    }
    for (let number = 0; number < workersMax; number += 1) keep()
    onTestFinished(() => {
      keeping = false
      for (const worker of workers) worker.kill('SIGKILL')
    })

    // Tasks, each started until somebody says that it is.
    const started: string[] = []
    const startAll = async (): Promise<void> => {
      for (let number = 0; number < tasks; number += 1) {
        const id = `task-${number}`
        for (;;) {
          try {
            await box.start(number % 5 === 4 ? family : payer, { n: number }, { id })
            break
          } catch (thrown) {
            if (!isFault(thrown)) throw thrown
            await pause(50)
          }
        }
        started.push(id)
        await pause((seconds * 800) / tasks)
      }
    }
    const starting = startAll()

    // What goes wrong.
    const any = (): ChildProcess | undefined => [...workers][Math.floor(Math.random() * workers.size)]
    const wrongs: readonly (() => Promise<void> | void)[] = [
      () => (count('SIGKILL'), void any()?.kill('SIGKILL')),
      async () => {
        const worker = any()
        count('SIGSTOP')
        worker?.kill('SIGSTOP')
        await pause(between(200, 2_500))
        worker?.kill('SIGCONT')
      },
      async () => {
        count('session ended')
        await admin(
          server.url,
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'signalbox' AND random() < 0.5`,
        ).catch(() => undefined)
      },
      () => (count('cut'), proxy.cut()),
      async () => {
        count('stall')
        proxy.stall()
        await pause(between(200, 1_500))
        proxy.resume()
      },
      () => (count('half open'), proxy.halfOpen()),
      () => (count('answer lost'), proxy.cutAfter(Math.floor(between(0, 4_000)), 'toClient')),
    ]
    const overMs = Date.now() + seconds * 1_000
    const goWrong = async (): Promise<void> => {
      while (Date.now() < overMs) {
        await pause(between(100, 500))
        await wrongs[Math.floor(Math.random() * wrongs.length)]!()
      }
    }
    const restart = async (): Promise<void> => {
      for (const mode of ['fast', 'immediate'] as const) {
        await pause((seconds * 1_000) / 3)
        count(`restart ${mode}`)
        await server.restart(mode)
      }
    }
    await Promise.all([goWrong(), restart(), starting])

    // No more faults: every task comes to its end, or to a human, by itself.
    proxy.resume()
    for (const worker of workers) worker.kill('SIGCONT')
    const isOver = async (): Promise<boolean> => {
      try {
        const rows = await box.tasks({ limit: 10_000 })
        return (
          rows.length >= tasks &&
          rows.every(
            ({ status, waitsFor }) =>
              status !== 'running' && (status !== 'waiting' || waitsFor === 'human' || waitsFor === 'child'),
          )
        )
      } catch (thrown) {
        if (!isFault(thrown)) throw thrown
        return false
      }
    }
    const beganMs = Date.now()
    while (!(await isOver()) && Date.now() - beganMs < 60_000) await pause(200)
    const rows = await box.tasks({ limit: 10_000 })
    const byStatus = Object.groupBy(rows, ({ status, waitsFor }) => `${status} ${waitsFor ?? ''}`.trim())
    console.log(
      `${tasks} tasks, ${rows.length} with children, ended or with a human ${((Date.now() - beganMs) / 1_000).toFixed(1)} s after the last fault: ${JSON.stringify(Object.fromEntries(Object.entries(byStatus).map(([status, some]) => [status, some!.length])))}; ${effects.length} effects; ${JSON.stringify(done)}`,
    )
    const open = new Set((await box.inbox()).map(({ taskId }) => taskId))
    for (const { taskId, status, waitsFor, agent } of rows) {
      if (status === 'done') continue
      // Whose charge nobody knows of waits for a human, or its parent waits for it.
      expect({ taskId, status, waitsFor }).toEqual({
        taskId,
        status: 'waiting',
        waitsFor: agent === 'family' ? 'child' : 'human',
      })
      if (agent === 'payer') expect(open).toContain(taskId)
    }

    // Nothing that was acknowledged is lost.
    expect(started.length).toBe(tasks)
    const heads = new Map(rows.map(({ taskId, seq }) => [taskId, seq]))
    const acknowledged = files.flatMap((path) => readFileSync(path, 'utf8').split('\n').filter(Boolean))
    expect(acknowledged.length).toBeGreaterThan(tasks)
    for (const line of acknowledged) {
      const [taskId, seq] = line.split(' ') as [string, string]
      expect(heads.get(taskId), line).toBeGreaterThanOrEqual(Number(seq))
    }
    // Nothing is done twice under one key, and everything that is done is known of.
    expect(new Set(effects).size).toBe(effects.length)
    expect((await box.verify()).findings).toEqual([])
  },
)
