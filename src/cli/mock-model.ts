// `signalbox mock-model SCRIPT`: a model that answers by a script, behind the same HTTP interface as a real one.

import type { Command } from 'commander'
import { loadScript } from '../providers/script-file.ts'
import { startMockServer } from '../providers/mock-server.ts'
import { command, type Leave } from './command.ts'
import { importFile } from './module.ts'
import { exitCodes, paint, parseDuration, parsePort, printJson, tell } from './terminal.ts'

interface MockFlags {
  port?: number
  for?: number
  json?: boolean
}

const scriptHelp = `
A script is a list of answers, given one after the other, or a function of the request:

  export default [
    { text: 'I look.', calls: [{ name: 'search_log', arguments: { pattern: 'error' } }] },
    { status: 503, headers: { 'retry-after': '2' } },
    { calls: [{ name: 'FOUND', arguments: { diagnosis: 'disk full' } }], delayMs: 200 },
  ]

  export default ({ turn, results, prompt, offers }) => ({ calls: [{ name: offers[0].name, arguments: {} }] })

An answer may have: text, reasoning, calls, finish, usage, delayMs; or do what networks do: status, headers, body, drop, hang.`

export function mockModelCommand(leave: Leave): Command {
  return command('mock-model', 'serve scripted answers behind an OpenAI-compatible interface')
    .argument(
      '<script>',
      'a module whose default export is a list of answers or a function, or a JSON file with a list',
    )
    .option('--port <n>', 'on 127.0.0.1 (default: any that is free)', parsePort('--port'))
    .option('--for <duration>', 'stop by itself after this long (default: when told to)', parseDuration('--for'))
    .addHelpText('after', scriptHelp)
    .action(async (file: string, flags: MockFlags) => {
      const module = await importFile(file)
      const server = await startMockServer(loadScript(module['default']), {
        ...(flags.port === undefined ? {} : { port: flags.port }),
        onScriptFailed: tellOnce(file),
      })
      tell(
        `Answers at ${server.url}. Point at it with SIGNALBOX_BASE_URL=${server.url} SIGNALBOX_MODEL=mock; Ctrl-C to stop.`,
      )
      if (flags.json) printJson({ url: server.url, pid: process.pid })
      await new Promise<void>((resolve) => {
        process.on('SIGINT', resolve)
        process.on('SIGTERM', resolve)
        if (flags.for !== undefined) setTimeout(resolve, flags.for).unref()
      })
      tell(`Answered ${server.requests} requests.`)
      await server.close()
      leave(exitCodes.well)
    })
}

/** A script that fails at one request fails at most of them: one line is enough. */
function tellOnce(file: string): (problem: string, request: number) => void {
  let told = false
  return (problem, request) => {
    if (told) return
    told = true
    const rest =
      'Mend the script: each such request is answered with status 500 (script_failed), and this is said once.'
    tell(paint('red', `The script ${file} failed at request ${request}: ${problem}. ${rest}`))
  }
}
