import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    isolate: false,
    testTimeout: 60_000,
    globalSetup: ['test/build.ts', 'test/postgres/setup.ts'],
    reporters: ['default', './test/summary.ts'],
  },
})
