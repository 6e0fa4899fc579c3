// What PostgreSQL tells of tasks may be anyone's: whoever may log in to the database may notify on any channel.

import { expect, onTestFinished, test } from 'vitest'
import { systemRuntime } from '../../src/runtime.ts'
import { openStore } from '../../src/store/open.ts'
import { readAddress } from '../../src/store/postgres/connection.ts'
import { postgresAddress } from '../engines.ts'
import { admin } from '../postgres.ts'
import { until } from '../until.ts'
import { playHistory } from './history.ts'

test('news that is not ours is passed over, and ours is heard as before', async () => {
  const address = await postgresAddress()
  const [store, other] = await Promise.all([1, 2].map(() => openStore(address, { runtime: systemRuntime })))
  onTestFinished(async () => void (await Promise.all([store!.close(), other!.close()])))
  const heard = new Set<string>()
  store!.watch(({ taskId }) => heard.add(taskId))
  let tasks = 0
  const tell = async (): Promise<boolean> => {
    await playHistory(other!, `t${(tasks += 1)}`, {}, [], [])
    await new Promise((wake) => setTimeout(wake, 20))
    return heard.size > 0
  }
  await until(tell)
  const { schema } = readAddress(address)
  for (const payload of ['', 'x', 'null', '1', '{}', '["me",1]', '[[]]', '"t"', 'a'.repeat(7_000)])
    await admin(address.replace(/\?.*/, ''), `SELECT pg_notify('signalbox_${schema}', '${payload}')`)
  heard.clear()
  await until(tell)
  expect(heard.size).toBeGreaterThan(0)
})
