// Bugs that are planted to see whether the simulator finds them: each is one small slip of the kind that engineers make, as the
// text that stands in a file of the engine and the text that is put in its place when that file is loaded. Nothing of this is
// in the engine itself. They are spread over its rooms and its promises, and each changes what a task may come to.

/** One planted bug. */
export interface PlantedBug {
  readonly id: string
  /** What is wrong, in one sentence. */
  readonly what: string
  /** The invariant that it breaks, or the scenario where no invariant says it. */
  readonly breaks: string
  /** The file, from the root of the repository. */
  readonly file: string
  /** What stands there, once. */
  readonly find: string
  readonly put: string
}

/** Every planted bug. */
export const planted: readonly PlantedBug[] = [
  // ---- The log and what follows from it ------------------------------------------------------------------------------
  {
    id: 'B01',
    what: 'What an event cost is left out of its hash.',
    breaks: 'I1',
    file: 'src/store/log.ts',
    find: `{"at":\${at},"costMicros":\${costMicros},"data"`,
    put: `{"at":\${at},"data"`,
  },
  {
    id: 'B02',
    what: 'A task that becomes the root of a tree with its first child is not written down as one.',
    breaks: 'I2',
    file: 'src/store/derived.ts',
    find: `if (rootId === taskId) yield* run('setRoot', taskId)`,
    put: ``,
  },
  {
    id: 'B03',
    what: 'A child begins without a job, so no worker is ever given it.',
    breaks: 'I9',
    file: 'src/store/commit.ts',
    find: `  yield* writeJob(task, {})\n`,
    put: ``,
  },
  {
    id: 'B04',
    what: 'Two tasks that write the same version of a shared key are both told that it is written.',
    breaks: 'I2',
    file: 'src/store/family.ts',
    find: `if (data.version !== before + 1) return true`,
    put: `if (data.version < before) return true`,
  },
  {
    id: 'B05',
    what: 'What a function writes takes the place of what another task has written since the function looked.',
    breaks: 'A11',
    file: 'src/core/transition.ts',
    find: `return (task.versions.get(key) ?? 0) > (task.visit?.base.get(key) ?? 0)`,
    put: `return (task.versions.get(key) ?? 0) < (task.visit?.base.get(key) ?? 0)`,
  },
  {
    id: 'B06',
    what: 'Somebody speaks to a task while its worker writes, is told that it is in the log, and it is not.',
    breaks: 'I5',
    file: 'src/door.ts',
    find: `return (await commitSurely(store, { point, head, events: work.events, task, kin })).ok`,
    put: `await commitSurely(store, { point, head, events: work.events, task, kin })\n  return true`,
  },
  {
    id: 'B07',
    what: "After an error of the store, whatever stands in the log at that place is taken for the writer's own.",
    breaks: 'I5',
    file: 'src/door.ts',
    find: `if (!last || !same) throw thrown`,
    put: `if (!last) throw thrown`,
  },

  // ---- Who may write -------------------------------------------------------------------------------------------------
  {
    id: 'B08',
    what: 'A commit asks whether anybody holds the task, and not whether it is the writer who does.',
    breaks: 'I13',
    file: 'src/store/commit.ts',
    find: `if (row && lease !== undefined && row.lease !== lease) return`,
    put: `if (row && lease !== undefined && row.lease === null) return`,
  },
  {
    id: 'B09',
    what: 'A commit behind a head that has moved on is not refused; the database fails, and it is tried for ever.',
    breaks: 'I9',
    file: 'src/store/commit.ts',
    find: `if (row ? row.seq !== head.seq || row.hash !== head.hash : head.seq !== 0) return`,
    put: `if (row ? row.seq < head.seq : head.seq !== 0) return`,
  },
  {
    id: 'B10',
    what: 'A task that was just given to a worker may be given to another until the first says that it is alive.',
    breaks: 'I13',
    file: 'src/store/queue.ts',
    find: `yield* run('lease', nowMs + leaseMs, worker,`,
    put: `yield* run('lease', nowMs, worker,`,
  },
  {
    id: 'B11',
    what: 'A parent goes to rest although a child has ended since it was looked at, and nobody wakes it.',
    breaks: 'I9',
    file: 'src/store/statements.ts',
    find: `availableAtMs = CASE WHEN news > ?2 AND CAST(?3 AS BIGINT) < CAST(?4 AS BIGINT) THEN CAST(?3 AS BIGINT) ELSE CAST(?4 AS BIGINT) END, worker`,
    put: `availableAtMs = CAST(?4 AS BIGINT), worker`,
  },
  {
    id: 'B12',
    what: 'A task that waits for a time as well is not woken by what somebody says to it.',
    breaks: 'I9',
    file: 'src/store/statements.ts',
    find: `SET definition = excluded.definition, availableAtMs = CASE WHEN jobs.lease IS NOT NULL OR (jobs.news > 0 AND jobs.availableAtMs < excluded.availableAtMs) THEN jobs.availableAtMs ELSE excluded.availableAtMs END`,
    put: `SET definition = excluded.definition`,
  },
  {
    id: 'B13',
    what: 'A signal that comes before the task waits for it is forgotten.',
    breaks: 'I9',
    file: 'src/core/fold.ts',
    find: `      if (queue) queue.push(event.data.data)\n`,
    put: `      if (task.wait?.signal !== event.data.name) return\n      if (queue) queue.push(event.data.data)\n`,
  },

  // ---- Calls ---------------------------------------------------------------------------------------------------------
  {
    id: 'B14',
    what: 'Each attempt of a call has an idempotency key of its own.',
    breaks: 'I4',
    file: 'src/core/permission.ts',
    find: `    idempotencyKey,\n    idempotent: undoes === undefined`,
    put: `    idempotencyKey: \`\${idempotencyKey}.\${step.attempt}\`,\n    idempotent: undoes === undefined`,
  },
  {
    id: 'B15',
    what: 'A tool that may be called once is tried again after an error, as any other.',
    breaks: 'I4',
    file: 'src/core/machine.ts',
    find: `retryPolicy(idempotent ? (tool.retry?.attempts ?? defaults.toolAttempts) : 1)`,
    put: `retryPolicy(tool.retry?.attempts ?? defaults.toolAttempts)`,
  },
  {
    id: 'B16',
    what: 'A call that may be made once and had no answer in time has simply failed, and whoever asked may ask anew.',
    breaks: 'I4',
    file: 'src/core/permission.ts',
    find: `const cut = begun && (failure.class === 'timeout' || failure.class === 'abort')`,
    put: `const cut = begun && failure.class === 'abort'`,
  },
  {
    id: 'B17',
    what: 'After a crash a tool that could say whether it acted is not asked, but called again.',
    breaks: 'I4',
    file: 'src/core/fold.ts',
    find: `const reconciles = lost.kind === 'tool' && !lost.idempotent`,
    put: `const reconciles = false`,
  },
  {
    id: 'B18',
    what: 'A step is tried once more than its policy has it.',
    breaks: 'I15',
    file: 'src/core/resilience.ts',
    find: `failures + 1 >= policy.attempts`,
    put: `failures >= policy.attempts`,
  },
  {
    id: 'B19',
    what: 'Another try is planned whenever the provider asks for it, also long after the deadline.',
    breaks: 'I15',
    file: 'src/core/resilience.ts',
    find: `return nowMs + retry.delayMs < deadlineAtMs ? retry : undefined`,
    put: `return retry`,
  },
  {
    id: 'B20',
    what: 'That a provider asks for quiet holds for the call that was told so, and for no other.',
    breaks: 'I15',
    file: 'src/core/breaker.ts',
    find: `      nowMs + Math.min(failure.retryAfterMs ?? 0, defaults.pauseMaxMs),\n`,
    put: `      nowMs,\n`,
  },
  {
    id: 'B21',
    what: 'While one call probes a breaker, any other may probe it too.',
    breaks: 'I14',
    file: 'src/core/breaker.ts',
    find: `if (nowMs < breaker.untilMs) {`,
    put: `if (breaker.status === 'open' && nowMs < breaker.untilMs) {`,
  },
  {
    id: 'B22',
    what: 'A worker that has not heard that another opened a breaker calls through it.',
    breaks: 'I14',
    file: 'src/store/gates.ts',
    find: `if (row && (row.status !== 'closed' || row.pausedUntilMs > gates.nowMs)) return noSteps`,
    put: `if (row && row.pausedUntilMs > gates.nowMs) return noSteps`,
  },

  // ---- Time ----------------------------------------------------------------------------------------------------------
  {
    id: 'B23',
    what: 'A step may take its own time, whatever is left to the state that it belongs to.',
    breaks: 'I8',
    file: 'src/core/permission.ts',
    find: `return Math.min(nowMs + timeoutMs, task.visit?.deadlineAtMs ?? Infinity, task.expired`,
    put: `return Math.min(nowMs + timeoutMs, task.expired`,
  },
  {
    id: 'B24',
    what: 'Each attempt of a call of a tool has the whole of its time again.',
    breaks: 'I8',
    file: 'src/core/permission.ts',
    find: `isOwedTime(delayed) ? freshAtMs : deadline)`,
    put: `freshAtMs)`,
  },
  {
    id: 'B25',
    what: 'That a question to a human expires is no reason to look at its task.',
    breaks: 'I8',
    file: 'src/core/task.ts',
    find: `...items.map((item) => Math.min(item.expiresAtMs ?? Infinity, nextRungAtMs(item))),`,
    put: `...items.map((item) => nextRungAtMs(item)),`,
  },

  // ---- Limits and budgets --------------------------------------------------------------------------------------------
  {
    id: 'B26',
    what: 'What a call sets aside for its answer is all that is left, and what it sends comes on top.',
    breaks: 'I6',
    file: 'src/core/ledger.ts',
    find: `Math.min(outputTokensMax, free(ledger.tokens) - inputTokens)`,
    put: `Math.min(outputTokensMax, free(ledger.tokens))`,
  },
  {
    id: 'B27',
    what: 'What a task sets aside is not taken from what its tree has left.',
    breaks: 'I6',
    file: 'src/store/derived.ts',
    find: `    heldTokens - (before?.reservedTokens ?? 0),\n`,
    put: `    0,\n`,
  },
  {
    id: 'B28',
    what: 'Two tasks of a tree that ask at the same moment both get the last of its tokens.',
    breaks: 'I6',
    file: 'src/store/family.ts',
    find: `if (tokens > 0 && tree.tokens + tree.reservedTokens + tokens > tokensMax) return true`,
    put: `if (tokens > 0 && tree.tokens + tokens > tokensMax) return true`,
  },
  {
    id: 'B29',
    what: 'The soft line of a budget is told whenever it is looked at, and not once.',
    breaks: 'I6',
    file: 'src/core/permission.ts',
    find: `settled >= soft * max && !task.neared.has(limit)`,
    put: `settled >= soft * max`,
  },
  {
    id: 'B30',
    what: 'A task takes one step more than it may.',
    breaks: 'I7',
    file: 'src/core/task.ts',
    find: `if (usage.steps >= limits.steps) return 'steps'`,
    put: `if (usage.steps > limits.steps) return 'steps'`,
  },
  {
    id: 'B31',
    what: 'Of several calls in one answer only the first is held against the limits.',
    breaks: 'I7',
    file: 'src/core/decide.ts',
    find: `    if (ceiling(work, tool)) return true\n`,
    put: ``,
  },

  // ---- The machine ---------------------------------------------------------------------------------------------------
  {
    id: 'B32',
    what: 'That an exit has a guard is enough; it is not asked.',
    breaks: 'I3',
    file: 'src/core/transition.ts',
    find: `!guard || guard({ ...reading(machine, work, node), output }) === true)`,
    put: `!guard || typeof guard === 'function')`,
  },
  {
    id: 'B33',
    what: 'Two calls of one answer that the provider gave the same id keep it.',
    breaks: 'I12',
    file: 'src/core/window.ts',
    find: `/^[\\w-]{1,64}$/.test(part.id) && !taken.has(part.id) ?`,
    put: `/^[\\w-]{1,64}$/.test(part.id) ?`,
  },
  {
    id: 'B34',
    what: 'Results that are left out to save room leave their calls behind.',
    breaks: 'I12',
    file: 'src/core/window.ts',
    find: `results.push({ id, name, value: show === 'none' ? leftOut : (head ?? value), failed })`,
    put: `if (show !== 'none') results.push({ id, name, value: head ?? value, failed })`,
  },
  {
    id: 'B35',
    what: 'How long a retry waits is diced anew whenever the task is told.',
    breaks: 'I16',
    file: 'src/core/permission.ts',
    find: `const random = draw(work.task.seed, step.step, step.attempt)`,
    put: `const random = Math.random()`,
  },
  {
    id: 'B36',
    what: "A child with a context of its own is shown its parent's.",
    breaks: 'I17',
    file: 'src/core/child.ts',
    find: `...(shares ? { shared: sharedWith(machine, task) } : {}),`,
    put: `shared: sharedWith(machine, task),`,
  },

  // ---- People --------------------------------------------------------------------------------------------------------
  {
    id: 'B37',
    what: 'An item that somebody has answered can be answered again until it is acted on.',
    breaks: 'I10',
    file: 'src/core/command.ts',
    find: `  if (open.answer) return 'answered'\n`,
    put: ``,
  },
  {
    id: 'B38',
    what: 'A yes that comes after the question has expired still counts.',
    breaks: 'I10',
    file: 'src/core/command.ts',
    find: `  if (open.expiresAtMs !== undefined && nowMs >= open.expiresAtMs) return 'expired'\n`,
    put: ``,
  },
  {
    id: 'B39',
    what: 'A yes to other arguments than those that are asked about counts.',
    breaks: 'I10',
    file: 'src/core/command.ts',
    find: `return hash !== undefined && hash !== approval.hash ? 'other-arguments' : undefined`,
    put: `return undefined`,
  },
  {
    id: 'B40',
    what: 'A call that was asked about may still be agreed to when its state was left, and is made then.',
    breaks: 'I10',
    file: 'src/core/transition.ts',
    find: `  freeAll(work)\n  withdraw(work)\n`,
    put: `  freeAll(work)\n`,
  },
  {
    id: 'B41',
    what: "A stranger's words in the context are taken for our own, so nobody is asked about what they order.",
    breaks: 'I10',
    file: 'src/core/provenance.ts',
    find: `if (label.trust === 'trusted' && value !== undefined && (!node.reads || node.reads.has(key)))`,
    put: `if (value !== undefined && (!node.reads || node.reads.has(key)))`,
  },
  {
    id: 'B42',
    what: 'What a tool answers at its second try is trusted, whoever wrote it.',
    breaks: 'I10',
    file: 'src/core/permission.ts',
    find: `    ...(answerLabel === undefined ? {} : { answerLabel }),\n`,
    put: ``,
  },
  {
    id: 'B43',
    what: 'A key at the very beginning of a text is not taken out.',
    breaks: 'I11',
    file: 'src/core/redact.ts',
    find: `if (sieve[sum] === 0 || at < 2) continue`,
    put: `if (sieve[sum] === 0 || at <= 2) continue`,
  },

  // ---- Going back ----------------------------------------------------------------------------------------------------
  {
    id: 'B44',
    what: 'What was done is taken back in the order in which it was done.',
    breaks: 'I18',
    file: 'src/core/effect.ts',
    find: `return since.reverse()`,
    put: `return since`,
  },
  {
    id: 'B45',
    what: 'A checkpoint keeps the context itself, and so goes along with every later write.',
    breaks: 'I18',
    file: 'src/core/task.ts',
    find: `context: new Map(context), lastStep: lastStep(task) }`,
    put: `context, lastStep: lastStep(task) }`,
  },
  {
    id: 'B46',
    what: 'The last thing that was done before a checkpoint is taken back as well.',
    breaks: 'I18',
    file: 'src/core/effect.ts',
    find: `return step > lastStep && undoneSeq === undefined && !kept`,
    put: `return step >= lastStep && undoneSeq === undefined && !kept`,
  },
]
