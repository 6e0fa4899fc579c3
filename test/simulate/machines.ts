// The three machines that are simulated. Between them they do everything that a machine can: models, tools of every effect,
// functions, people, waits, children one by one and many at a time, a quarantine, approvals, compensation.

import { z } from 'zod'
import { agentTool } from '../../src/core/agent-tool.ts'
import { defineAgent, type Agent } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import { defineTool, type Tool } from '../../src/core/tool.ts'
import type { Outside } from '../../src/redteam/scene.ts'

const unused = (): never => {
  throw new Error('A world plays its tools itself.')
}

// ---- Research: strangers' words come in, pass a quarantine, and what goes out has been agreed to -----------------------

const search = defineTool({
  name: 'search',
  description: 'Searches what others have written.',
  inputSchema: z.object({ words: z.string() }),
  trust: 'untrusted',
  timeout: '20s',
  rate: { calls: 20, per: '10s' },
  breaker: { failures: 3, coolDown: '30s' },
  execute: unused,
})

const mail = defineTool({
  name: 'mail',
  description: 'Writes to somebody.',
  inputSchema: z.object({ to: z.string(), text: z.string() }),
  effect: 'external',
  idempotent: true,
  sinks: ['to'],
  timeout: '10s',
  execute: unused,
})

const publish = defineTool({
  name: 'publish',
  description: 'Publishes a report.',
  inputSchema: z.object({ to: z.string(), report: z.string() }),
  effect: 'external',
  sinks: ['to'],
  approval: { by: ['ana', 'ben', 'cleo'], quorum: 2, expires: '8h' },
  timeout: '10s',
  execute: unused,
})

const kinds = z.enum(['nothing', 'news', 'facts'])

const research: Agent<any, any> = defineAgent({
  name: 'research',
  version: '1',
  context: defineContext({
    question: z.string(),
    reader: z.string(),
    found: { schema: z.array(z.string()), initial: [], merge: 'append' },
    kind: kinds.optional(),
    report: { schema: z.string(), initial: '', outward: true },
  }),
  limits: { steps: 40, toolCalls: 10, tokens: 60_000, cost: 400_000 as never, duration: '3d' },
  initial: 'search',
  on: { $error: 'failed', $timeout: 'failed', $turns: 'failed', $refused: 'failed', $stuck: 'failed' },
  states: {
    search: {
      model: ['main', 'spare'],
      prompt: ({ context }) => `Find what is known about: ${context.question}\n${context.found.join('\n')}`,
      tools: [search, mail],
      reads: ['question', 'found'],
      outputTokens: 1_000,
      turns: 6,
      visits: 3,
      timeout: '40s',
      visitTimeout: '2m',
      on: { FOUND: { target: 'sort', output: z.object({ found: z.array(z.string()).max(5) }) }, $visits: 'write' },
    },
    sort: {
      model: 'spare',
      prompt: ({ context }) => `What is this? ${context.found.join('\n')}`,
      reads: ['found'],
      outputTokens: 200,
      declassify: { trust: 'trusted', reason: 'one of three words carries no order' },
      on: {
        SORTED: [
          {
            target: 'search',
            output: z.object({ kind: kinds }),
            guard: ({ context, output }) => output.kind === 'nothing' && context.found.length < 2,
          },
          { target: 'write' },
        ],
      },
    },
    write: {
      model: 'main',
      prompt: ({ context }) => `Answer ${context.question} (${context.kind ?? 'nothing'}).`,
      reads: ['question', 'kind'],
      outputTokens: 2_000,
      visits: 4,
      checkpoint: 'sorted',
      on: { WRITTEN: { target: 'review', output: z.object({ report: z.string() }) }, $visits: 'failed' },
    },
    review: {
      human: {
        question: ({ context }) => `May this go out? ${context.report}`,
        escalate: [{ after: '4h', to: 'ben' }],
      },
      reads: ['report'],
      timeout: '1d',
      on: { GOOD: 'publish', AGAIN: 'write', BAD: 'failed' },
    },
    publish: {
      tool: publish,
      args: ({ context }) => ({ to: context.reader, report: context.report }),
      reads: ['reader', 'report'],
      on: { DONE: 'published', $refused: 'failed' },
    },
    published: { type: 'final' },
    failed: { type: 'final', failure: true },
  },
})

// ---- Booking: three things are booked one after the other, and all is taken back when one cannot be --------------------

const booking = (name: string, idempotent: boolean, more: Partial<Tool> = {}): Tool<{ trip: string }> =>
  defineTool({
    name,
    description: `Books a ${name}.`,
    inputSchema: z.object({ trip: z.string() }),
    effect: 'external',
    idempotent,
    timeout: '10s',
    execute: unused,
    undo: unused,
    ...more,
  })

const flight = booking('flight', true, { retry: { attempts: 4 }, breaker: { failures: 4, coolDown: '20s' } })
const hotel = booking('hotel', false, { reconcile: unused, concurrency: 2 })
const car = booking('car', false)

const check = defineTool({
  name: 'check',
  description: 'Looks whether all fits together.',
  inputSchema: z.object({ trip: z.string() }),
  timeout: '10s',
  retry: { attempts: 2 },
  execute: unused,
})

const saga: Agent<any, any> = defineAgent({
  name: 'booking',
  version: '1',
  context: defineContext({
    trip: z.string(),
    places: { schema: z.number(), initial: 0 },
    receipt: z.string().optional(),
  }),
  limits: { steps: 60, duration: '10d' },
  initial: 'plan',
  onCancel: 'undo',
  onFailure: 'rollback',
  states: {
    plan: {
      run: unused,
      reads: ['trip', 'places'],
      writes: ['places'],
      timeout: '5s',
      checkpoint: 'planned',
      visits: 8,
      on: { PLANNED: { target: 'flight', output: z.object({ places: z.number() }) }, $visits: 'given_up' },
    },
    flight: {
      tool: flight,
      args: ({ context }) => ({ trip: context.trip }),
      reads: ['trip'],
      on: { DONE: 'hotel', $error: 'given_up' },
    },
    hotel: {
      tool: hotel,
      args: ({ context }) => ({ trip: context.trip }),
      reads: ['trip'],
      on: { DONE: 'pay', $error: 'ask' },
    },
    ask: {
      human: { question: 'Is there a room?' },
      timeout: '1d',
      on: { YES: 'pay', NO: 'hotel', $timeout: 'given_up' },
    },
    pay: {
      wait: { signal: 'paid' },
      timeout: '2d',
      on: { DONE: { target: 'car', output: z.object({ receipt: z.string() }) }, $timeout: 'given_up' },
    },
    car: {
      tool: car,
      checkpoint: 'rooms',
      args: ({ context }) => ({ trip: context.trip }),
      reads: ['trip'],
      on: { DONE: 'check', $error: 'look', $doubt: 'look' },
    },
    look: {
      human: { question: 'Is there a car?' },
      timeout: '1d',
      on: { YES: 'check', NO: 'car', $timeout: 'given_up' },
    },
    // What does not fit is taken back, and planned anew.
    check: { tool: check, args: ({ context }) => ({ trip: context.trip }), reads: ['trip'], on: { DONE: 'rest' } },
    rest: { wait: { delay: '30m' }, on: { DONE: 'booked' } },
    booked: { type: 'final' },
    given_up: { type: 'final', failure: true },
  },
})

// ---- Supervisor: children side by side write to one shared context, within one budget ----------------------------------

const crew = defineContext({
  job: z.string(),
  parts: { schema: z.array(z.string()), initial: ['a', 'b', 'c'] },
  notes: { schema: z.array(z.string()), initial: [], merge: 'append' },
  most: { schema: z.number(), initial: 0, merge: 'max' },
  last: { schema: z.string(), initial: '' },
  part: z.string().optional(),
})

const note = defineTool({
  name: 'note',
  description: 'Writes something down.',
  inputSchema: z.object({ text: z.string() }),
  effect: 'write',
  idempotent: true,
  timeout: '15s',
  concurrency: 2,
  execute: unused,
})

const hand: Agent<any, any> = defineAgent({
  name: 'hand',
  version: '1',
  context: crew,
  limits: { steps: 20 },
  initial: 'work',
  on: { $error: 'failed', $timeout: 'failed', $refused: 'failed', $doubt: 'failed' },
  states: {
    work: {
      model: 'main',
      prompt: ({ context }) => `Do ${context.part} of ${context.job}. So far: ${context.last}`,
      tools: [note],
      reads: ['job', 'part', 'last'],
      outputTokens: 500,
      turns: 4,
      on: {
        DONE: { target: 'count', output: z.object({ notes: z.array(z.string()).min(1).max(2), last: z.string() }) },
        $turns: 'failed',
      },
    },
    count: {
      run: unused,
      reads: ['most', 'last'],
      on: { COUNTED: { target: 'done', output: z.object({ most: z.number(), last: z.string() }) } },
    },
    done: { type: 'final', reads: ['most'], output: ({ context }) => ({ most: context.most }) },
    failed: { type: 'final', failure: true },
  },
})

const advisor: Agent<any, any> = defineAgent({
  name: 'advisor',
  version: '1',
  context: defineContext({ topic: z.string(), advice: z.string().optional() }),
  initial: 'ask',
  on: { $error: 'silent', $timeout: 'silent' },
  states: {
    ask: {
      human: { question: ({ context }) => `What of ${context.topic}?` },
      timeout: '3h',
      on: { SAID: { target: 'said', output: z.object({ advice: z.string() }) } },
    },
    said: { type: 'final', output: ({ context }) => ({ advice: context.advice }) },
    silent: { type: 'final', failure: true },
  },
})

const supervisor: Agent<any, any> = defineAgent({
  name: 'supervisor',
  version: '1',
  context: crew,
  limits: { steps: 40, descendants: 20, tokens: 40_000, handovers: 12, soft: 0.5, onSoft: 'judge' },
  initial: 'share',
  on: { $error: 'failed', $timeout: 'failed', $turns: 'failed', $refused: 'failed', $stuck: 'failed' },
  states: {
    share: {
      agent: hand,
      each: ({ context }) => context.parts,
      input: ({ item }) => ({ part: item }),
      concurrency: 2,
      failures: 'skip',
      reads: ['parts'],
      timeout: '1h',
      visits: 3,
      on: { DONE: 'judge', FAILED: 'failed', $visits: 'judge' },
    },
    judge: {
      model: 'main',
      prompt: ({ context }) => `Is ${context.job} done? ${context.notes.join('\n')}`,
      tools: [agentTool(advisor, { description: 'Asks somebody who knows.', timeout: '4h' }), note],
      reads: ['job', 'notes'],
      outputTokens: 500,
      turns: 5,
      visits: 4,
      on: { GOOD: 'done', AGAIN: 'share', $visits: 'done' },
    },
    done: { type: 'final' },
    failed: { type: 'final', failure: true },
  },
})

/** The machines that are simulated, by name. */
export const machines: Readonly<Record<string, Agent<any, any>>> = { research, booking: saga, supervisor }

/** What their models cost, so that budgets of money are judged. */
export const prices = {
  main: { inputUsdPerMillion: 2, outputUsdPerMillion: 8 },
  spare: { inputUsdPerMillion: 0.5, outputUsdPerMillion: 2 },
}

/** What is known of the outside of all of them: what was found is long, and never the same. */
export const outside: Outside = {
  tools: { search: (_, { taskId, step }) => ({ text: `${taskId} at ${step}: ${'nothing of note. '.repeat(150)}` }) },
}
