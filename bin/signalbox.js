#!/usr/bin/env node
// The version is looked at before anything is loaded that an older Node does not have (node:sqlite).

const [major] = process.versions.node.split('.').map(Number)
if (major < 24) {
  process.stderr.write(
    `NODE_TOO_OLD Signalbox needs Node 24 or newer; this is ${process.version}. ` +
      'Install it, or bring it with the project: npm install --save-dev node@24, then: npx signalbox …\n',
  )
  process.exit(2)
}

// What was compiled once is not compiled again: it takes a third off the start of a command.
const { enableCompileCache } = await import('node:module')
enableCompileCache()
const { main } = await import('../dist/cli/main.js')
process.exitCode = await main(process.argv.slice(2))
