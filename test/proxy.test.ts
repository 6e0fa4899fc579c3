// What the proxy does to connections, seen from both ends: over sockets that say back what they hear, and over PostgreSQL.

import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { Client } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { admin, testDatabase } from './postgres.ts'
import { startProxy } from './proxy.ts'
import { until } from './until.ts'

/** One end of a connection and what has become of it. */
interface End {
  readonly socket: Socket
  text(): string
  /** `open`, `ended` by the other side, or the code of the error that broke it. */
  state(): string
}

function watch(socket: Socket): End {
  const chunks: Buffer[] = []
  let state = 'open'
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.on('end', () => (state = 'ended'))
  socket.on('error', (error: NodeJS.ErrnoException) => (state = error.code!))
  return { socket, text: () => Buffer.concat(chunks).toString('latin1'), state: () => state }
}

/** A server that says back what it hears, with a proxy before it. */
async function echo() {
  const ends: End[] = []
  const server = createServer((socket) => {
    ends.push(watch(socket))
    socket.pipe(socket)
  })
  onTestFinished(() => {
    ends.forEach(({ socket }) => socket.destroy())
    server.close()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy = await startProxy((server.address() as AddressInfo).port)
  const knock = (): End => {
    const socket = connect({ port: proxy.port, host: '127.0.0.1' })
    onTestFinished(() => void socket.destroy())
    return watch(socket)
  }
  const dial = async (): Promise<End> => {
    const end = knock()
    await once(end.socket, 'connect')
    return end
  }
  /** Says something and waits until it has come back, so both ways are known to work. */
  const say = async (end: End, text: string): Promise<void> => {
    end.socket.write(text)
    await until(() => end.text().endsWith(text))
  }
  return { server, ends, proxy, knock, dial, say }
}

const quiet = (): Promise<void> => new Promise((wake) => setTimeout(wake, 60))

test('what is said passes both ways, and so does an end', async () => {
  const { proxy, ends, dial, say } = await echo()
  const client = await dial()
  await say(client, 'hello')
  expect(ends[0]!.text()).toBe('hello')
  expect(proxy.connections).toBe(1)
  client.socket.end('bye')
  await until(() => client.state() === 'ended')
  expect(client.text()).toBe('hellobye')
  await until(() => proxy.connections === 0)
})

test('a connection that is cut is reset on both sides, and the next one works', async () => {
  const { proxy, ends, dial, say } = await echo()
  const client = await dial()
  await say(client, 'hello')
  proxy.cut()
  await until(() => client.state() === 'ECONNRESET' && ends[0]!.state() === 'ECONNRESET')
  await until(() => proxy.connections === 0)
  await say(await dial(), 'again')
})

test('nothing passes a stalled proxy in either direction, and nothing is lost by it', async () => {
  const { proxy, ends, dial, say } = await echo()
  const client = await dial()
  await say(client, 'a')
  proxy.stall()
  client.socket.write('b')
  ends[0]!.socket.write('c')
  const late = await dial()
  late.socket.write('d')
  await quiet()
  expect([client.text(), ends[0]!.text(), late.text()]).toEqual(['a', 'a', ''])
  expect([client.state(), ends[0]!.state(), late.state()]).toEqual(['open', 'open', 'open'])
  proxy.resume()
  await until(() => client.text() === 'acb' && late.text() === 'd')
})

test('an end and a reset are held up by a stall as well', async () => {
  const { proxy, ends, dial, say } = await echo()
  const [one, two] = [await dial(), await dial()]
  await say(one, 'one')
  await say(two, 'two')
  const far = (text: string): End => ends.find((end) => end.text() === text)!
  proxy.stall()
  far('one').socket.end()
  far('two').socket.resetAndDestroy()
  await quiet()
  expect([one.state(), two.state()]).toEqual(['open', 'open'])
  proxy.resume()
  await until(() => one.state() === 'ended' && two.state() === 'ECONNRESET')
})

test('megabytes pass whole, stalled now and then', async () => {
  const { proxy, dial } = await echo()
  const client = await dial()
  const bytes = randomBytes(16 * 1024 * 1024)
  client.socket.write(bytes)
  for (let times = 0; times < 5; times += 1) {
    await new Promise((wake) => setTimeout(wake, 2))
    proxy.stall()
    await new Promise((wake) => setTimeout(wake, 2))
    proxy.resume()
  }
  const hash = (text: string): string => createHash('sha256').update(Buffer.from(text, 'latin1')).digest('hex')
  let seen = 0
  client.socket.on('data', (chunk: Buffer) => (seen += chunk.length))
  const before = client.text().length
  await until(() => before + seen >= bytes.length)
  expect(hash(client.text())).toBe(hash(bytes.toString('latin1')))
})

test('a client left half open is told nothing, its words vanish, and a new client is served', async () => {
  const { proxy, ends, dial, say } = await echo()
  const client = await dial()
  await say(client, 'hello')
  proxy.halfOpen()
  await until(() => ends[0]!.state() === 'ended')
  client.socket.write('anybody?'.repeat(1_000_000))
  await until(() => client.socket.writableLength === 0)
  expect([client.text(), client.state(), proxy.connections]).toEqual(['hello', 'open', 1])
  await say(await dial(), 'again')
  proxy.cut()
  await until(() => client.state() === 'ECONNRESET')
})

test('a proxy that refuses resets new connections, and keeps the old ones', async () => {
  const { proxy, ends, knock, dial, say } = await echo()
  const client = await dial()
  await say(client, 'hello')
  proxy.refuse()
  const refused = knock()
  await until(() => refused.state() === 'ECONNRESET')
  await say(client, 'still here')
  proxy.accept()
  await say(await dial(), 'again')
  expect(ends).toHaveLength(2)
})

test('a connection is cut after exactly so many bytes to the server', async () => {
  const { proxy, ends, dial, say } = await echo()
  const client = await dial()
  await say(client, 'hello')
  proxy.cutAfter(7, 'toServer')
  await say(client, '12345')
  client.socket.write('6789')
  await until(() => client.state() === 'ECONNRESET' && ends[0]!.state() === 'ECONNRESET')
  expect(ends[0]!.text()).toBe('hello1234567')
  await say(await dial(), 'the next one may say more')
})

test('an answer is lost though the server has done what it was asked', async () => {
  const { proxy, ends, dial, say } = await echo()
  const client = await dial()
  await say(client, 'hello')
  proxy.cutAfter(0, 'toClient')
  client.socket.write('commit')
  await until(() => client.state() === 'ECONNRESET')
  expect([ends[0]!.text(), client.text()]).toEqual(['hellocommit', 'hello'])
})

test('where nobody listens behind the proxy, the client is reset', async () => {
  const { proxy, server, knock } = await echo()
  server.close()
  const client = knock()
  await until(() => client.state() === 'ECONNRESET')
  await until(() => proxy.connections === 0)
})

test('a closed proxy has reset its connections and listens no more', async () => {
  const { proxy, dial, say } = await echo()
  const client = await dial()
  await say(client, 'hello')
  await proxy.close()
  await until(() => client.state() === 'ECONNRESET')
  await expect(dial()).rejects.toThrow('ECONNREFUSED')
  await proxy.close()
})

test('PostgreSQL: a query passes, a stalled one goes on, a lost commit is done, and a cut is heard', async () => {
  const database = await testDatabase()
  const { hostname, port } = new URL(database)
  const proxy = await startProxy(Number(port || 5432), hostname)
  const open = async () => {
    const client = new Client({ connectionString: proxy.url(database) })
    onTestFinished(() => client.end().catch(() => undefined))
    const broken = new Promise<Error>((heard) => client.on('error', heard))
    await client.connect()
    return { client, broken }
  }
  const one = await open()
  await one.client.query('create table words (word text)')

  proxy.stall()
  let answered = false
  const query = one.client.query('select 1 as one').finally(() => (answered = true))
  await quiet()
  expect(answered).toBe(false)
  proxy.resume()
  expect((await query).rows).toEqual([{ one: 1 }])

  await one.client.query('begin')
  await one.client.query('insert into words values ($1)', ['kept'])
  proxy.cutAfter(0, 'toClient')
  await expect(one.client.query('commit')).rejects.toThrow(/ECONNRESET|terminated/)
  await until(async () => (await admin(database, 'select word from words')).length === 1)

  const two = await open()
  proxy.cut()
  expect((await two.broken).message).toMatch(/ECONNRESET|terminated/)
  expect(proxy.connections).toBe(0)
})
