// applesauce-relay: publishes, asks and listens; the events are signed by nostr-tools.
import { Relay } from 'applesauce-relay'
import { finalizeEvent } from 'nostr-tools'
import { lastValueFrom, toArray } from 'rxjs'
import { run } from './nostr_main.mjs'

run({
  async publish(url, secret, templates) {
    const relay = new Relay(url)
    const said = []
    for (const template of templates) {
      const answer = await relay.publish(finalizeEvent(template, secret))
      said.push([finalizeEvent(template, secret).id, answer.ok, answer.message ?? ''])
    }
    return said
  },
  async query(url, filter) {
    const all = await lastValueFrom(new Relay(url).request(filter).pipe(toArray()))
    return all.filter(event => event.id).map(event => event.id)
  },
  listen(url, filter, count, ready) {
    const came = []
    return new Promise(resolve => {
      new Relay(url).req(filter).subscribe(message => {
        if (message.type === 'EOSE') ready()
        if (message.type === 'EVENT' && came.push(message.event.id) === count) resolve(came)
      })
    })
  },
})
