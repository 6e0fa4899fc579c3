// Whether an agent is written in the shape that all other checks take for granted: objects, lists, functions and texts where
// these are meant. Types see it first; a file in JavaScript, or one that was put together by a program, is seen here.

import type { Agent } from './agent.ts'
import { isObject, quoted } from './json.ts'
import type { Report } from './problem.ts'

const isFunction = (value: unknown): boolean => typeof value === 'function'
const isText = (value: unknown): boolean => typeof value === 'string'

const kinds = {
  object: ['an object', isObject],
  list: ['a list', Array.isArray],
  names: ['a list of names', (value: unknown) => Array.isArray(value) && value.every(isText)],
  function: ['a function', isFunction],
  text: ['a text', isText],
  words: ['a text, or a function that makes one', (value: unknown) => isText(value) || isFunction(value)],
} as const

type Kind = keyof typeof kinds

/** What each field is, where it is there. */
const shapes: Readonly<
  Record<'agent' | 'context' | 'state' | 'human' | 'wait' | 'tool' | 'exit', Readonly<Record<string, Kind>>>
> = {
  agent: { context: 'object', states: 'object', initial: 'text', limits: 'object', on: 'object' },
  context: { keys: 'object' },
  state: {
    on: 'object',
    reads: 'names',
    writes: 'names',
    retry: 'object',
    instructions: 'text',
    tools: 'list',
    tool: 'object',
    args: 'function',
    exit: 'function',
    run: 'function',
    human: 'object',
    wait: 'object',
    limits: 'object',
    output: 'function',
  },
  human: { question: 'words', show: 'function', assignee: 'text' },
  wait: { signal: 'text' },
  tool: { description: 'text', retry: 'object' },
  exit: { description: 'text', guard: 'function' },
}

/** The fields that must be there. */
const needed: Readonly<Record<string, readonly string[]>> = {
  agent: ['context', 'states', 'initial'],
  context: ['keys'],
  human: ['question'],
}

/** Reports every field that is not what it has to be, and says whether there was none. */
export function checkShape(agent: Agent, report: Report): boolean {
  let isWhole = true
  const say = (place: string, value: unknown, what: string): void => {
    isWhole = false
    report('FIELD_INVALID', place, `${quoted(value)} is not ${what}.`, `Give ${what}.`)
  }
  const look = (shape: keyof typeof shapes, value: unknown, place: string): value is Record<string, unknown> => {
    if (!isObject(value)) {
      say(place, value, 'an object')
      return false
    }
    for (const [field, kind] of Object.entries(shapes[shape])) {
      const [what, holds] = kinds[kind]
      const given = value[field]
      const isNeeded = needed[shape]?.includes(field) === true
      if (given === undefined ? isNeeded : !holds(given)) say(`${place}.${field}`, given, what)
    }
    return true
  }
  const lookAtExits = (on: unknown, place: string): void => {
    for (const [name, exit] of Object.entries(isObject(on) ? on : {}))
      for (const candidate of [exit].flat()) if (!isText(candidate)) look('exit', candidate, `${place}.${name}`)
  }

  if (!look('agent', agent, '')) return false
  if (isObject(agent.context)) look('context', agent.context, '.context')
  lookAtExits(agent.on, '.on')
  for (const [name, state] of Object.entries(isObject(agent.states) ? agent.states : {}) as [string, unknown][]) {
    const place = `.states.${name}`
    if (!look('state', state, place)) continue
    lookAtExits(state['on'], `${place}.on`)
    for (const part of ['human', 'wait'] as const)
      if (isObject(state[part])) look(part, state[part], `${place}.${part}`)
    if (Array.isArray(state['tools'])) for (const tool of state['tools']) look('tool', tool, `${place}.tools`)
    if (isObject(state['tool'])) look('tool', state['tool'], `${place}.tool`)
    // A tool state computes its arguments.
    if (state['tool'] !== undefined && state['args'] === undefined) say(`${place}.args`, undefined, 'a function')
  }
  return isWhole
}
