// How good the simulator is: bugs are planted into the engine, one at a time, and it is run as it is. `npm run campaigns` plants
// all of them; here some that nearly every world runs into.

import { randomInt } from 'node:crypto'
import { expect, test } from 'vitest'
import { whole } from '../campaign.ts'
import { huntFor, sayHunt, type Hunt } from './hunt.ts'
import { planted } from './planted.ts'

const common = ['B02', 'B14', 'B32']
const foundMin = 0.95

test(
  `A64: of ${whole ? 'all planted bugs at least 95 %' : 'the plainest planted bugs all'} are found, each by an invariant`,
  { timeout: 7_200_000 },
  async () => {
    const bugs = planted.filter(({ id }) => whole || common.includes(id))
    const from = randomInt(2 ** 31)
    const hunts: Hunt[] = []
    for (const bug of bugs) hunts.push(await huntFor(bug, { from, seeds: whole ? 2_000 : 100, threads: 2 }))
    const missed = hunts.filter(({ foundBy }) => foundBy === undefined)
    if (whole) console.log(hunts.map(sayHunt).join('\n'))
    expect(missed.length, missed.map(sayHunt).join('\n')).toBeLessThanOrEqual(Math.floor(hunts.length * (1 - foundMin)))
  },
)
