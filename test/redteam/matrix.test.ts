// The matrix of the simulator's machines: every kind of fault in every state that can meet it, on a store in memory and in a
// file, and a slice of it in PostgreSQL. `npm run campaigns` plays all of it.

import { join } from 'node:path'
import { expect, test } from 'vitest'
import { campaign } from '../../src/redteam/campaign.ts'
import { faultKinds } from '../../src/redteam/fault-kinds.ts'
import type { Scene } from '../../src/redteam/scene.ts'
import { whole } from '../campaign.ts'
import { postgresAddress } from '../engines.ts'
import { folder } from '../folder.ts'
import { machines, prices } from '../simulate/machines.ts'

interface Place {
  readonly of: number
  readonly openStore?: NonNullable<Scene['openStore']>
}

let files = 0
const places: Readonly<Record<string, () => Place>> = {
  memory: () => ({ of: whole ? 1 : 40 }),
  file: () => {
    const at = folder()
    return { of: whole ? 1 : 120, openStore: (clock) => clock.open(`sqlite:${join(at, `${(files += 1)}.db`)}`) }
  },
  PostgreSQL: () => ({ of: whole ? 12 : 900, openStore: async (clock) => clock.open(await postgresAddress()) }),
}
const cases = Object.keys(machines).flatMap((name) => Object.keys(places).map((place) => [name, place] as const))

test.each(cases)(
  '%s, in %s: no fault in any state breaks an invariant, and no cell is empty without a reason',
  { timeout: 1_800_000 },
  async (name, place) => {
    const { of, openStore } = places[place]!()
    const found = await campaign({
      agent: machines[name]!,
      config: { prices },
      shard: { index: 1, of },
      ...(openStore ? { openStore } : {}),
    })
    expect(found.cells.flatMap(({ breaches }) => breaches.map(({ play, problem }) => `${play}: ${problem}`))).toEqual(
      [],
    )
    const kinds = found.rows.filter(({ id }) => faultKinds.some((kind) => kind.id === id))
    expect(kinds).toHaveLength(70)
    for (const { id } of kinds) {
      const cells = found.cells.filter(({ row }) => row === id)
      expect(cells, id).toHaveLength(found.states.length)
      expect(cells.filter(({ verdict, reason }) => verdict === 'not met' && !reason)).toEqual([])
    }
    expect(found.plays).toBeGreaterThan(0)
    expect(found.left).toBe(0)
    if (whole) console.log(`${name}, ${place}: ${found.plays} plays, ${found.cells.length} cells`)
  },
)
