// Runs the suite in FOLDER against the cache at URL and prints one JSON object a test:
//
//   node run.mjs FOLDER URL
//
// The tests, the client and the rules are the suite's. This file stands in for its
// command line, which prints results that are not graded.

import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const [folder, url] = process.argv.slice(2)
const load = (file, copy = '') => import(pathToFileURL(`${folder}/${file}`) + copy)

const suites = (await load('tests/index.mjs')).default
suites.push((await load('tests/surrogate-control.mjs')).default)
const fetch = createRequire(`${folder}/package.json`)('node-fetch')

// The tests of serving stale make the origin hang up many times within a moment. A cache may
// then take the origin for broken, and serve what is stale to everybody, as its
// configuration allows: tests that run beside these fail by chance. So these come last, alone.
const hangUp = suite => suite.id === 'stale'

// A runner keeps the tests it was given, so each part gets its own. Results are kept together.
const first = await load('client/runner.mjs')
await first.runTests(suites.filter(suite => !hangUp(suite)), fetch, false, url)
const second = await load('client/runner.mjs', '?second')
await second.runTests(suites.filter(hangUp), fetch, false, url)

const results = second.getResults()
const tests = new Map(suites.flatMap(suite => suite.tests).map(test => [test.id, test]))

// outcome grades a test as the suite's own pages do: it counts only when all that it
// depends on passed.
function outcome (test) {
  const result = results[test.id]
  if (result === undefined) return 'untested'
  if ((test.depends_on || []).some(id => outcome(tests.get(id)) !== 'pass')) return 'dependency'
  if (result === true) return 'pass'
  if (result[0] === 'Setup') return result[1] === 'retry' ? 'retry' : 'setup'
  return 'fail'
}

for (const test of tests.values()) {
  if (test.browser_only) continue
  console.log(JSON.stringify({
    id: test.id,
    kind: test.kind || 'required',
    outcome: outcome(test),
    why: Array.isArray(results[test.id]) ? results[test.id].join(': ') : ''
  }))
}

process.exit() // connections that are kept alive hold it back otherwise
