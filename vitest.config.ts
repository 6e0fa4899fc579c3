import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    isolate: false,
    // Most of the time of a file is its processes' and its servers'.
    maxWorkers: 3,
    // What hundreds of processes load is compiled once.
    env: { NODE_COMPILE_CACHE: join(import.meta.dirname, 'node_modules/.cache/node') },
    testTimeout: 60_000,
    globalSetup: ['test/build.ts', 'test/postgres/setup.ts'],
    reporters: ['default', './test/summary.ts'],
  },
})
