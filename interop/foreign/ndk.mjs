// NDK: signs, publishes, asks and listens through its own relay pool.
import NDKModule, * as all from '@nostr-dev-kit/ndk'
import { run } from './nostr_main.mjs'

const NDK = all.default?.default ?? NDKModule
const { NDKEvent, NDKPrivateKeySigner, NDKRelaySet, NDKSubscriptionCacheUsage } = all

async function connected(url, signer) {
  const ndk = new NDK({ explicitRelayUrls: [url], signer })
  await ndk.connect(5000)
  return ndk
}

run({
  async publish(url, secret, templates) {
    const ndk = await connected(url, new NDKPrivateKeySigner(secret))
    const said = []
    for (const template of templates) {
      const event = new NDKEvent(ndk, template)
      await event.sign()
      await event.publish(NDKRelaySet.fromRelayUrls([url], ndk)).then(
        () => said.push([event.id, true, '']),
        error => said.push([event.id, false, [...error.errors.values()].join() || error.message])
      )
    }
    return said
  },
  async query(url, filter) {
    const found = await (await connected(url)).fetchEvents(filter)
    return [...found].map(event => event.id)
  },
  async listen(url, filter, count, ready) {
    const ndk = await connected(url)
    const came = []
    return new Promise(resolve => {
      const live = ndk.subscribe(filter, { cacheUsage: NDKSubscriptionCacheUsage.ONLY_RELAY })
      live.on('eose', ready)
      live.on('event', event => { if (came.push(event.id) === count) resolve(came) })
    })
  },
})
