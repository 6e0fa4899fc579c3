// Pulls the plug of this process: from here on nothing in it reaches a network or starts another process, whoever asks. A
// task is told again from its log alone, and this proves it: what tries all the same is refused, and counted.

import { ChildProcess } from 'node:child_process'
import { Socket as Datagrams } from 'node:dgram'
import { Socket } from 'node:net'
import { Fault } from '../core/fault.ts'

/** Pulls it, for good. Answers with how often something has tried since. */
export function unplug(): () => number {
  let tried = 0
  const refuse = (what: string) => (): never => {
    tried += 1
    throw new Fault(
      'CALL_REFUSED',
      `${what} was tried while a task is told again, and refused: everything is in its log.`,
      'Nothing that is asked on the way (prompts, mappers, guards, rules) may call anything.',
    )
  }
  Object.assign(globalThis, { fetch: refuse('fetch') })
  Object.assign(Socket.prototype, { connect: refuse('A connection') })
  Object.assign(Datagrams.prototype, { send: refuse('A datagram'), connect: refuse('A datagram') })
  Object.assign(ChildProcess.prototype, { spawn: refuse('A process') })
  return () => tried
}
