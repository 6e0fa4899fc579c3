// What operators copy is held to the truth: flags, ports, grace periods and rights of image, compose file and manifests, and
// faults and queries of OPERATIONS. No container is run.

import { readFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { toMs, type Duration } from '../src/core/duration.ts'
import { defaults } from '../src/core/limits.ts'
import { openPostgres } from '../src/store/postgres/engine.ts'
import { openSqlite } from '../src/store/sqlite/engine.ts'
import { root, signalbox } from './cli/signalbox.ts'
import { folder } from './folder.ts'
import { until } from './until.ts'
import { admin, testDatabase } from './postgres.ts'
import { playHistory } from './store/history.ts'

const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const documents = ['secret', 'migrate', 'workers'].flatMap((name) =>
  parseAllDocuments(read(`deploy/kubernetes/${name}.yaml`)),
)
const manifests: any[] = documents.map((document) => document.toJS())
const kind = (name: string): any => manifests.find((manifest) => manifest.kind === name)
const compose: any = parse(read('deploy/compose.yaml'), { merge: true })
const dockerfile = read('deploy/Dockerfile')
const operations = read('docs/OPERATIONS.md')
const [migrateJob, deployment] = [kind('Job').spec.template.spec, kind('Deployment').spec.template.spec]

/** Every command line of ours. */
const commands: readonly (readonly string[])[] = [
  JSON.parse(/^CMD (\[.*\])$/m.exec(dockerfile)![1]!),
  compose.services.migrate.command,
  compose.services.worker.command,
  migrateJob.containers[0].args,
  deployment.containers[0].args,
]
const workers = commands.filter(([name]) => name === 'worker')
const after = (args: readonly string[], flag: string): string => args[args.indexOf(flag) + 1]!

test('every manifest can be read', () => {
  expect(documents.flatMap(({ errors, warnings }) => [...errors, ...warnings])).toEqual([])
  expect(manifests.map((manifest) => manifest.kind as string)).toEqual([
    'Secret',
    'Secret',
    'Job',
    'Deployment',
    'PodDisruptionBudget',
  ])
})

test('every flag that image, compose file and manifests use is one', async () => {
  expect(commands.map(([name]) => name)).toEqual(['worker', 'migrate', 'worker', 'migrate', 'worker'])
  for (const [name, ...args] of commands) {
    const { code, stdout } = await signalbox([name!, '--help'])
    expect(code).toBe(0)
    for (const flag of args.filter((arg) => arg.startsWith('--')))
      expect(stdout).toMatch(new RegExp(`^ +${flag}\\b`, 'm'))
  }
})

test('every command of OPERATIONS is there, with its flags', async () => {
  const used = [...operations.matchAll(/`signalbox ([a-z]+)((?: [^`]*)?)`/g)]
  expect(used.length).toBeGreaterThan(10)
  const helps = new Map<string, string>()
  for (const [, name, rest] of used) {
    if (!helps.has(name!)) helps.set(name!, (await signalbox([name!, '--help'])).stdout)
    const help = helps.get(name!)!
    expect([name, help]).toEqual([name, expect.stringContaining(`signalbox ${name} [`)])
    const flags = [...rest!.matchAll(/--[a-z-]+/g)].map(([flag]) => flag)
    expect([name, flags.filter((flag) => !help.includes(flag))]).toEqual([name, []])
    // Where flags are given none that it needs is left out.
    const needed = [...help.matchAll(/^ +(--[a-z-]+) .*(?:\n {10,}.*)*?\(required\)/gm)].map((match) => match[1]!)
    if (rest !== '') expect([name, needed.filter((flag) => !flags.includes(flag))]).toEqual([name, []])
  }
})

test('who kills waits longer than who drains', () => {
  const drains = (args: readonly string[]): number => toMs(after(args, '--drain') as Duration)
  expect(toMs(compose.services.worker.stop_grace_period)).toBeGreaterThan(
    drains(compose.services.worker.command) + 5_000,
  )
  expect(deployment.terminationGracePeriodSeconds * 1_000).toBeGreaterThan(
    drains(deployment.containers[0].args) + 5_000,
  )
})

test('ports agree', () => {
  for (const args of workers) expect(after(args, '--health')).toBe('0.0.0.0:8080')
  expect(dockerfile).toMatch(/^EXPOSE 8080$/m)
  expect(dockerfile).toContain("fetch('http://127.0.0.1:8080/healthz')")
  const { ports, livenessProbe, readinessProbe } = deployment.containers[0]
  expect(ports).toEqual([{ name: 'health', containerPort: 8080 }])
  expect([livenessProbe.httpGet, readinessProbe.httpGet]).toEqual([
    { path: '/healthz', port: 'health' },
    { path: '/readyz', port: 'health' },
  ])
})

test('the image is of the Node that is needed, and stops as a worker is stopped', () => {
  const { engines } = JSON.parse(read('package.json'))
  expect([...dockerfile.matchAll(/^FROM node:(\d+)-slim/gm)].map(([, major]) => `>=${major}`)).toEqual([
    engines.node,
    engines.node,
  ])
  for (const line of ['RUN npm ci --omit=dev', 'USER 1000:1000', 'STOPSIGNAL SIGTERM', 'ENTRYPOINT ["signalbox"]']) {
    expect(dockerfile).toContain(`\n${line}`)
  }
})

test('the compose file migrates before two workers start, and keeps what PostgreSQL writes', () => {
  const { postgres, migrate, worker } = compose.services
  expect(postgres.image).toBe('postgres:17')
  expect(Object.keys(compose.volumes)).toEqual([postgres.volumes[0].split(':')[0]])
  expect(postgres.healthcheck.test).toContain('pg_isready')
  expect(migrate.depends_on.postgres.condition).toBe('service_healthy')
  expect(worker.depends_on.migrate.condition).toBe('service_completed_successfully')
  expect(worker.deploy.replicas).toBe(2)
  expect(after(worker.command, '--store')).toBe(after(migrate.command, '--store'))
  for (const { environment, read_only, cap_drop } of [migrate, worker]) {
    expect(environment.PGPASSWORD).toContain('POSTGRES_PASSWORD')
    expect([read_only, cap_drop]).toEqual([true, ['ALL']])
  }
})

test('no container may do more than it needs, and no password is on a command line', () => {
  for (const pod of [migrateJob, deployment]) {
    expect(pod.automountServiceAccountToken).toBe(false)
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000 })
    const [{ securityContext, resources, env }] = pod.containers
    expect(securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    expect(resources.limits.memory).toBeDefined()
    for (const { valueFrom } of env) {
      const { name, key } = valueFrom.secretKeyRef
      const secret = manifests.find((one) => one.kind === 'Secret' && one.metadata.name === name)
      expect(secret.stringData[key]).toBeDefined()
    }
  }
  for (const { stringData } of manifests.filter((one) => one.kind === 'Secret')) {
    expect(new URL(stringData.address).password).toBe('')
    expect(stringData.address).toContain('sslmode=verify-full')
  }
  expect(commands.flat().join(' ')).not.toMatch(/:\/\/[^@ ]*:[^@ ]*@/)
})

test('workers are selected by what they are labelled with', () => {
  const { selector, template } = kind('Deployment').spec
  expect(template.metadata.labels).toEqual(selector.matchLabels)
  expect(kind('PodDisruptionBudget').spec.selector).toEqual(selector)
})

test('OPERATIONS says of every fault of a store what to do, and of no other', () => {
  const codes = [...read('src/core/fault.ts').matchAll(/^ {2}\| '(STORE_\w+)'/gm)].map((match) => match[1]!)
  expect(codes.length).toBeGreaterThan(10)
  const rows = [...operations.matchAll(/^\| `(STORE_\w+)` \| [^|]{10,} \| [^|]{10,} \|$/gm)].map((match) => match[1]!)
  expect(rows.sort()).toEqual(codes.sort())
})

test('the numbers of OPERATIONS are those of the code', async () => {
  const { stdout } = await signalbox(['worker', '--help'])
  const said = stdout.replaceAll(/\s+/g, ' ')
  for (const flag of ['concurrency', 'lease', 'drain']) {
    const [, given] = new RegExp(`--${flag}\` \\((\\w+)\\)`).exec(operations)!
    expect(said).toMatch(new RegExp(`--${flag} <[^-]*\\(default: ${given}\\)`))
  }
  expect(operations).toContain(`After ${defaults.deliveries} times it is **parked**`)
  expect(read('src/store/postgres/engine.ts')).toContain('options.connections ?? 10')
  expect(read('src/store/postgres/connection.ts')).toContain('timeoutDefaultMs = 30_000')
  const worker = read('src/worker.ts')
  for (const line of ['suspected = { min: 3 }', 'suspectsWaitMs = 30_000']) expect(worker).toContain(line)
})

test('every query of OPERATIONS runs on a store', async () => {
  const queries = [...operations.matchAll(/```sql\n([^]*?)```/g)].map((match) => match[1]!)
  expect(queries.length).toBe(4)
  const store = await testDatabase()
  expect((await signalbox(['migrate', '--store', store])).code).toBe(0)
  for (const query of queries) await admin(store, query)
})

test('a backup of a live SQLite file, made as OPERATIONS says, is whole', async () => {
  const [, statement] = /sqlite3 box\.db "(VACUUM INTO )'/.exec(operations)!
  const path = folder()
  const [live, backup] = [join(path, 'box.db'), join(path, 'backup.db')]
  const store = await openSqlite(live)
  try {
    await playHistory(store, 't', { hello: 'world' }, [4, 8, 15, 16, 23, 42], ['v'])
    const db = new DatabaseSync(live)
    db.exec(`${statement!}'${backup}'`)
    db.close()
  } finally {
    await store.close()
  }
  const { code, stderr } = await signalbox(['verify', '--store', `sqlite:${backup}`])
  expect([code, stderr]).toEqual([0, expect.stringContaining('verified: 1 task')])
})

test('the feed holds back what another cluster has numbered, until this one has counted so far', async () => {
  const address = await testDatabase()
  const store = await openPostgres(address)
  try {
    await playHistory(store, 't', { hello: 'world' }, [4, 8, 15], ['v'])
    await until(async () => (await store.feed()).events.length > 0)
    await admin(address, 'ALTER TABLE signalbox.events DISABLE TRIGGER USER')
    // As pg_restore would write them.
    await admin(address, `UPDATE signalbox.events SET xid = CAST('9' || CAST(xid AS TEXT) AS XID8)`)
    expect((await store.feed()).events).toEqual([])
  } finally {
    await store.close()
  }
})
