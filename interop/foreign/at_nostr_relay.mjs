// A relay made of @nostr-relay's core and validator, over ws; its events stay in memory.
import { EventRepository, EventUtils } from '@nostr-relay/common'
import { NostrRelay } from '@nostr-relay/core'
import { Validator } from '@nostr-relay/validator'
import { WebSocketServer } from 'ws'

class Memory extends EventRepository {
  events = new Map()
  isSearchSupported() { return false }
  upsert(event) {
    const isDuplicate = this.events.has(event.id)
    this.events.set(event.id, event)
    return { isDuplicate }
  }
  find(filter) {
    const found = [...this.events.values()].filter(each => EventUtils.isMatchingFilter(each, filter))
    found.sort((one, two) => two.created_at - one.created_at || (one.id < two.id ? -1 : 1))
    return found.slice(0, Math.min(filter.limit ?? 100, 1000))
  }
  async destroy() {}
}

const relay = new NostrRelay(new Memory())
const validator = new Validator()
new WebSocketServer({ host: '127.0.0.1', port: Number(process.argv[2]) }).on('connection', ws => {
  relay.handleConnection(ws)
  ws.on('message', async data => {
    try {
      await relay.handleMessage(ws, await validator.validateIncomingMessage(data))
    } catch (error) {
      ws.send(JSON.stringify(['NOTICE', error.message]))
    }
  })
  ws.on('close', () => relay.handleDisconnect(ws))
})
