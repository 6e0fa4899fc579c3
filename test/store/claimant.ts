// A process that claims tasks from a store, eight times at once and one each time, until there are none, and tells which it got.
//
// node claimant.ts STORE NAME

import { openPostgres } from '../../src/store/postgres/engine.ts'
import { openSqlite } from '../../src/store/sqlite/engine.ts'

const [, , address, name] = process.argv as unknown as [string, string, string, string]
const [, path] = /^sqlite:(.+)$/.exec(address) ?? []
const store = path === undefined ? await openPostgres(address) : await openSqlite(path, { lockTimeoutMs: 60_000 })
process.stdout.write('ready\n')
await new Promise((go) => process.stdin.once('data', go))
const got: string[] = []
let leases = 0
const claimAll = async (): Promise<void> => {
  for (let empty = 0; empty < 20;) {
    const claims = await store.claim({
      worker: name,
      lease: `${name}-${(leases += 1)}`,
      leaseMs: 600_000,
      limit: 1,
      definitions: ['d'],
      nowMs: 2_000,
    })
    if (claims.length === 0) empty += 1
    for (const { taskId } of claims) got.push(taskId)
  }
}
await Promise.all(Array.from({ length: 8 }, claimAll))
process.stdout.write(JSON.stringify(got))
await store.close()
process.exit(0)
