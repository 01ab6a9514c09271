// isomorphic-git as a page uses it. Arguments: the folder where it is installed, and one JSON list
// of [function of isomorphic-git, its parameters]. Prints what they return, or the first error, and
// every request that was made.

import fs from 'node:fs'
import { createRequire } from 'node:module'
import { asBrowser, requests } from './browser.mjs'

const [folder, steps] = process.argv.slice(2)
const load = createRequire(`${folder}/`)
const git = load('isomorphic-git')
const http = load('isomorphic-git/http/web')
globalThis.fetch = asBrowser(globalThis.fetch)

const returned = []
let error = null
try {
  for (const [name, parameters] of JSON.parse(steps)) {
    returned.push((await git[name]({ fs, http, ...parameters })) ?? null)
  }
} catch (failure) {
  error = `${failure.code ?? failure.name}: ${failure.message}`
}
console.log(JSON.stringify({ returned, error, requests }))
