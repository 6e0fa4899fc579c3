// What a task hears of its family before it decides: what others wrote to the context they share, which of its children
// have ended, whether its parent has called it off. Each becomes an event of its own log, so that the log alone still tells
// all that it decided on.

import { cancel } from './command.ts'
import { hearEnded, type EndedChild } from './child.ts'
import { emit, type Draft } from './draft.ts'
import type { Json } from './json.ts'
import { labelled, type Label } from './label.ts'
import type { Machine } from './machine.ts'
import { isEnded, ownsContext } from './task.ts'
import type { Tree } from './tree.ts'

/** A key of a shared context that another task has written; without a value: removed. */
export interface Changed {
  readonly key: string
  readonly version: number
  readonly value: Json | undefined
  readonly label: Label
  readonly writer: string
}

/** What a store knows of a task's family. */
export interface Kin {
  /** Counts what the family had to tell; what is committed holds only what was heard until then. */
  readonly news: number
  readonly tree: Tree
  /** Counts what others may be waiting for in the budget of the tree. */
  readonly treeVersion: number
  readonly ended: readonly EndedChild[]
  readonly calledOff: { readonly by: string; readonly reason: string } | undefined
  /** Keys that are newer than the task knows. */
  readonly changed: readonly Changed[]
}

/** Takes note of what others wrote: of some keys, or of all. */
export function read(work: Draft, { changed }: Kin, touches?: Machine['touches']): void {
  const { task } = work
  for (const { key, version, value, label, writer } of changed) {
    if (task.locals.has(key) || (touches && !touches.has(key))) continue
    emit(work, 'context.synced', {
      key,
      version,
      ...(value === undefined ? {} : { value }),
      writer,
      ...labelled(label),
    })
  }
}

/**
 * Takes note of what others wrote, and of children that have ended: of what its machine may see; whoever may have to set back a
 * context of its own hears of all that is in it.
 */
export function hear(machine: Machine, work: Draft, kin: Kin): void {
  if (isEnded(work.task)) return
  const { task } = work
  const setsBack = ownsContext(task) && (machine.goesBack || task.rollback !== undefined)
  read(work, kin, setsBack ? undefined : machine.touches)
  hearEnded(work, kin.ended)
}

/** Ends a task that its parent has called off; once it takes back what it did it is on its way to its end. */
export function heed(work: Draft, { calledOff }: Kin): void {
  const { task } = work
  if (calledOff && !isEnded(task) && !task.rollback?.ends) cancel(work, calledOff)
}
