// Plants one bug while the engine is loaded: `SIGNALBOX_PLANTED=B07 node --import ./test/simulate/plant.ts SCRIPT`. One file is
// read with one text put in the place of another; nothing on the disk changes, and without the variable nothing happens.

import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { planted, type PlantedBug } from './planted.ts'

const root = join(import.meta.dirname, '../..')

/** The text of the file that a bug is in, with the bug. Throws where what it is put in the place of does not stand there once. */
export function mutate({ id, file, find, put }: PlantedBug): string {
  const parts = readFileSync(join(root, file), 'utf8').split(find)
  if (parts.length === 2) return parts.join(put)
  throw new Error(`${id} cannot be planted: ${file} has ${parts.length - 1} times, and not once: ${find}`)
}

/** Plants a bug into whatever is loaded from here on. */
function plant(id: string): void {
  const bug = planted.find((one) => one.id === id)
  if (!bug) throw new Error(`There is no planted bug ${id}: use one of ${planted.map((one) => one.id).join(', ')}.`)
  const source = mutate(bug)
  const address = pathToFileURL(join(root, bug.file)).href
  registerHooks({
    load: (url, context, next) =>
      url === address ? { format: 'module-typescript', source, shortCircuit: true } : next(url, context),
  })
}

const asked = process.env['SIGNALBOX_PLANTED']
if (asked !== undefined) plant(asked)
