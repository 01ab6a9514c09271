// The verbs of every Nostr client that is tried; each prints one line of JSON at its end:
//   publish URL SECRET TEMPLATES   [id, accepted, message] of each
//   query URL FILTER               ids of what is stored
//   token URL SECRET BODY          the header that signs a POST of the body, where it can (NIP-98)
//   listen URL FILTER COUNT        ids of what comes after "listening" was printed
import WebSocket from 'ws'
globalThis.WebSocket = WebSocket

export async function run(client) {
  const [verb, url, one, two] = process.argv.slice(2)
  const ready = () => console.log('listening')
  const answer = {
    publish: () => client.publish(url, Uint8Array.from(Buffer.from(one, 'hex')), JSON.parse(two)),
    token: () => client.token(url, Uint8Array.from(Buffer.from(one, 'hex')), JSON.parse(two)),
    query: () => client.query(url, JSON.parse(one)),
    listen: () => client.listen(url, JSON.parse(one), Number(two), ready),
  }
  console.log(JSON.stringify(await answer[verb]()))
  process.exit(0)
}
