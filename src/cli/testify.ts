// `signalbox testify TASK FILE`: turns an incident into a test that runs it once more with what everybody said then. It fails
// while the agent does the same, and passes when it does not, or comes to what was expected.

import { existsSync } from 'node:fs'
import { dirname, relative, resolve, sep } from 'node:path'
import type { Command } from 'commander'
import { Fault } from '../core/fault.ts'
import { testify, type Testimony } from '../core/testimony.ts'
import { treeMax } from '../store/store.ts'
import { storeCommand, withStore, type Leave } from './command.ts'
import { write } from './export.ts'
import { exitCodes, print, printJson, tell } from './terminal.ts'

interface TestifyFlags {
  out?: string
  expect?: string
  store?: string
  json?: boolean
}

export function testifyCommand(leave: Leave): Command {
  return storeCommand('testify', 'turn an incident into a test: what everybody said then, and the agent of today')
    .argument('<task>')
    .argument('<file>', 'the module with its agent, which the test imports')
    .option('--out <file>', 'where to; it must not be there yet (default: stdout)')
    .option('--expect <outcome>', 'what it is to come to (default: anything but what it came to)')
    .action(async (taskId: string, file: string, flags: TestifyFlags) => {
      if (!existsSync(file)) throw new Fault('MODULE_MISSING', `There is no file ${file}.`, 'Check the path.')
      const testimony = await withStore(flags.store, async ({ store }) => {
        const log = await store.read(taskId)
        if (log.length === 0) {
          throw new Fault('TASK_UNKNOWN', `There is no task ${taskId} in this store.`, 'List them: signalbox tasks.')
        }
        const below = (await store.tasks({ rootId: taskId, limit: treeMax })).filter((row) => row.taskId !== taskId)
        return testify(log, await Promise.all(below.map((row) => store.read(row.taskId))))
      })
      const text = testOf(taskId, testimony, from(file, flags.out), flags.expect)
      if (flags.out === undefined && !flags.json) print(text)
      if (flags.out !== undefined) {
        write(flags.out, `${text}\n`)
        tell(`Wrote ${flags.out}: node --test ${flags.out} fails as long as it goes as it went.`)
      }
      if (flags.json) printJson({ taskId, out: flags.out ?? null, expect: flags.expect ?? null, testimony })
      leave(exitCodes.well)
    })
}

/** How the test names the agent's file. */
function from(file: string, out: string | undefined): string {
  const path = relative(out === undefined ? '.' : dirname(resolve(out)), resolve(file)).replaceAll(sep, '/')
  return path.startsWith('.') ? path : `./${path}`
}

function testOf(taskId: string, testimony: Testimony, file: string, expected: string | undefined): string {
  const { came } = testimony
  const title = expected === undefined ? `${taskId} does not come to ${came} again` : `${taskId} comes to ${expected}`
  const claim = expected === undefined ? `notEqual(came, ${quote(came)}` : `equal(came, ${quote(expected)}`
  return `// What task ${taskId} was told, and the agent of today: no tool is called, and nothing outside is reached. A call that nothing
// is known of fails, and is told in \`unheard\`; what it says may be added to \`models\` or \`tools\`.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rehearse } from 'signalbox'
import * as file from ${quote(file)}

test(${quote(title)}, async () => {
  const { came, unheard } = await rehearse(file, told)
  assert.${claim}, \`it came to \${came}; unheard: \${unheard.join('; ') || 'nothing'}\`)
})

const told = ${JSON.stringify(testimony, undefined, 2)}`
}

function quote(text: string): string {
  return JSON.stringify(text)
}
