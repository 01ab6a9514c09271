// nostr-tools: signs, publishes, asks and listens through its SimplePool.
import { SimplePool, finalizeEvent } from 'nostr-tools'
import { getToken } from 'nostr-tools/nip98'
import { run } from './nostr_main.mjs'

const pool = new SimplePool()

run({
  async publish(url, secret, templates) {
    const said = []
    for (const template of templates) {
      const event = finalizeEvent(template, secret)
      await Promise.all(pool.publish([url], event)).then(
        ([message]) => said.push([event.id, true, message]),
        error => said.push([event.id, false, error.message])
      )
    }
    return said
  },
  token: (url, secret, body) => getToken(url, 'post', e => finalizeEvent(e, secret), true, body),
  async query(url, filter) {
    return (await pool.querySync([url], filter)).map(event => event.id)
  },
  listen(url, filter, count, ready) {
    const came = []
    return new Promise(resolve => {
      pool.subscribeMany([url], filter, {
        oneose: ready,
        onevent: event => { if (came.push(event.id) === count) resolve(came) },
      })
    })
  },
})
