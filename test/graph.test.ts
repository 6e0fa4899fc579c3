// The picture of a team: every machine in its place, once, and text that the diagram language reads.

import { expect, test } from 'vitest'
import { z } from 'zod'
import { agentTool } from '../src/core/agent-tool.ts'
import type { Agent, State } from '../src/core/agent.ts'
import { defineAgent } from '../src/core/agent.ts'
import { defineContext } from '../src/core/context.ts'
import { graph } from '../src/graph.ts'

const context = defineContext({ goal: z.string().optional() })
const agentOf = (name: string, states: Record<string, unknown>): Agent =>
  defineAgent({
    name,
    version: '1',
    context,
    initial: Object.keys(states)[0]!,
    on: { $error: 'done' },
    states: { ...states, done: { type: 'final' } } as Record<string, State>,
  } as never)

const leaf = agentOf('leaf', { work: { run: () => 'OK', on: { OK: 'done' } } })
const nest = (name: string, agent: Agent): Agent => agentOf(name, { work: { agent, on: { done: 'done' } } })
const team = agentOf('team', {
  plan: {
    model: 'm',
    prompt: 'p',
    tools: [agentTool(leaf, { description: 'd', name: 'ask-leaf' })],
    on: { OK: 'all' },
  },
  all: { agent: leaf, each: () => [], concurrency: 3, checkpoint: 'c', on: { DONE: 'some', FAILED: 'done' } },
  some: { agent: nest('mid', leaf), each: () => [], join: { quorum: 2 }, on: { DONE: 'deep', FAILED: 'done' } },
  deep: {
    agent: nest('one', nest('two', nest('three', nest('four', leaf)))),
    join: 'any',
    on: { done: 'done' },
  },
  // Names that could be taken for those of a child's states.
  plan__ask_leaf: { run: () => 'OK', on: { OK: 'plan' } },
  'plan-': { run: () => 'OK', on: { OK: 'plan' } },
  plan_: { run: () => 'OK', on: { OK: 'plan' } },
})

/** Reads a diagram: each state with the one it is inside of, and what leads where. Throws where it is not well formed. */
function read(text: string): { states: Map<string, string>; ways: [string, string, string][] } {
  const states = new Map<string, string>()
  const ways: [string, string, string][] = []
  const inside = ['']
  let isNote = false
  for (const line of text.split('stateDiagram-v2\n')[1]!.trimEnd().split('\n')) {
    const [, id, opens] = /^ *state "[^"]+" as (\w+)( \{)?$/.exec(line) ?? []
    const [, source, target] = /^ *(\w+|\[\*\]) --> (\w+|\[\*\])( : .+)?$/.exec(line) ?? []
    const note = /^ *note right of (\w+)$/.exec(line)
    if (isNote) isNote = !/^ *end note$/.test(line)
    else if (id !== undefined) {
      if (states.has(id)) throw new Error(`${id} is there twice`)
      states.set(id, inside.at(-1)!)
      if (opens !== undefined) inside.push(id)
    } else if (source !== undefined) ways.push([source, target!, inside.at(-1)!])
    else if (note) {
      isNote = true
      ways.push([note[1]!, note[1]!, inside.at(-1)!])
    } else if (/^ *\}$/.test(line) && inside.length > 1) inside.pop()
    else throw new Error(`What is this: ${line}`)
  }
  if (inside.length !== 1) throw new Error('a brace is open')
  return { states, ways }
}

test('a team is drawn as one diagram: braces are closed, every id is of one state, and ways stay inside of their machine', () => {
  const { states, ways } = read(graph(team))
  for (const [source, target, inside] of ways) {
    for (const end of [source, target]) if (end !== '[*]') expect([end, states.get(end)]).toEqual([end, inside])
  }
  expect(states.size).toBe(7 + 1 + (1 + 2) + 2 + 2 + 2 + 2)
})

test('each agent is drawn once, where it is started first; elsewhere the state says where it is, or that it is too deep', () => {
  const said = [...graph(team).matchAll(/^( *)state "(.+)" as/gm)].map(
    ([, indent, text]) => `${indent!.slice(2)}${text}`,
  )
  expect(said).toEqual([
    'plan (model)',
    '  ask-leaf (tool, agent leaf)',
    '    work (run)',
    '    done',
    'all (agent leaf × each, all, at most 3 at a time, drawn in plan.ask-leaf, checkpoint c)',
    'some (agent mid × each, quorum 2, at most 8 at a time)',
    '  work (agent leaf, drawn in plan.ask-leaf)',
    '  done',
    'deep (agent one)',
    '  work (agent two)',
    '    work (agent three)',
    '      work (agent four, too deep to be drawn)',
    '      done',
    '    done',
    '  done',
    'plan__ask_leaf (run)',
    'plan- (run)',
    'plan_ (run)',
    'done',
  ])
  expect(graph(team)).toContain('  all --> some : DONE\n')
  expect(graph(team)).toContain(
    '      note right of plan__ask_leaf___work\n        every state, unless it says otherwise:',
  )
})

test('an agent alone is drawn without any prefix', () => {
  expect(graph(leaf)).toBe(`---
title: leaf v1
---
stateDiagram-v2
  [*] --> work
  state "work (run)" as work
  work --> done : OK
  state "done" as done
  done --> [*]
  note right of work
    every state, unless it says otherwise:
    $error → done
  end note
`)
})
