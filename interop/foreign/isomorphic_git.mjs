// isomorphic-git as a client: clone URL FOLDER, push FOLDER URL.
import fs from 'node:fs'
import git from 'isomorphic-git'
import http from 'isomorphic-git/http/node'

const [verb, one, two] = process.argv.slice(2)
if (verb === 'clone') {
  await git.clone({ fs, http, url: one, dir: two })
} else {
  const main = 'refs/heads/main'
  await git.push({ fs, http, dir: one, url: two, ref: main, remoteRef: main })
}
