// The PostgreSQL servers that tests are given: databases that are apart, and a server that may be killed.

import { Client } from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import { admin, ownServer, serverUrl, testDatabase } from './postgres.ts'

test('two databases are apart', async () => {
  const [one, two] = await Promise.all([testDatabase(), testDatabase()])
  await admin(one, 'create table words (word text); insert into words values ($$here$$)')
  expect(await admin(one, 'select word from words')).toEqual([{ word: 'here' }])
  await expect(admin(two, 'select word from words')).rejects.toThrow('relation "words" does not exist')
})

describe('a database', () => {
  let left: string

  beforeAll(async () => {
    await admin(await testDatabase(), 'create table outside_of_tests ()')
  })

  test('is empty, keeps its promises on disk, and its address says whose it is', async () => {
    left = await testDatabase()
    const [row] = await admin(
      left,
      `select current_setting('fsync') as fsync, current_setting('is_superuser') as super,
        (select count(*)::int from pg_class where relnamespace = 'public'::regnamespace) as tables`,
    )
    expect(row).toEqual({ fsync: 'on', super: 'on', tables: 0 })
    expect(new URL(left).host).toBe(new URL(await serverUrl()).host)
    // Somebody is still on it when the test ends.
    const client = new Client({ connectionString: left })
    client.on('error', () => undefined)
    await client.connect()
  })

  test('is gone when its test has ended', async () => {
    await expect(admin(left, 'select')).rejects.toThrow('does not exist')
  })
})

test('a server of its own comes back with its data after it was killed, at the same address', async () => {
  const server = await ownServer()
  expect(new URL(server.url).host).not.toBe(new URL(await serverUrl()).host)
  await admin(server.url, 'create table words (word text)')
  await admin(server.url, 'insert into words values ($$kept$$)')
  const held = new Client({ connectionString: server.url })
  const broken = new Promise((heard) => held.on('error', heard))
  await held.connect()
  await server.kill()
  await broken
  await expect(admin(server.url, 'select')).rejects.toThrow('ECONNREFUSED')
  await server.start()
  expect(await admin(server.url, 'select word from words')).toEqual([{ word: 'kept' }])
})

test('a server of its own stops and starts again in both manners, and says when it is asked for what cannot be', async () => {
  const server = await ownServer()
  const since = async () => (await admin(server.url, 'select pg_postmaster_start_time()::text as since'))[0]!.since
  const first = await since()
  await server.restart('fast')
  const second = await since()
  expect(second).not.toBe(first)
  await expect(server.start()).rejects.toThrow('runs already')
  await server.restart('immediate')
  expect(await since()).not.toBe(second)
  await server.stop('fast')
  await expect(server.kill()).rejects.toThrow('does not run')
})
