// `signalbox keygen --key FILE`: makes the pair of keys that checkpoints are signed with and proved by.

import { existsSync, writeFileSync } from 'node:fs'
import type { Command } from 'commander'
import { Fault, messageOf } from '../core/fault.ts'
import { createKeys, fingerprint } from '../store/key.ts'
import { command, type Leave } from './command.ts'
import { exitCodes, printJson, tell } from './terminal.ts'

export function keygenCommand(leave: Leave): Command {
  return command('keygen', 'make a pair of keys for signing checkpoints')
    .requiredOption('--key <file>', 'where the private key goes; the public one goes to FILE.pub')
    .action((flags: { key: string; json?: boolean }) => {
      const files = [flags.key, `${flags.key}.pub`] as const
      const there = files.find((file) => existsSync(file))
      if (there !== undefined) {
        throw new Fault('KEY_EXISTS', `${there} exists; nothing was written.`, 'Give another --key, or move it away.')
      }
      const { privateKey, publicKey } = createKeys()
      write(files[0], privateKey)
      write(files[1], publicKey)
      const key = fingerprint(publicKey)
      tell(`Wrote ${files.join(' and ')}, fingerprint ${key}.`)
      tell('Keep the first where whoever can write to the store cannot read it; give the second to whoever verifies.')
      if (flags.json) printJson({ key: files[0], publicKey: files[1], fingerprint: key })
      leave(exitCodes.well)
    })
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text, { mode: 0o600, flag: 'wx' })
  } catch (thrown) {
    throw new Fault('KEY_INVALID', `${file} cannot be written: ${messageOf(thrown)}.`, 'Check --key and its folder.')
  }
}
