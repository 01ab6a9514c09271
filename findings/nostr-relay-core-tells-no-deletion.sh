#!/usr/bin/env bash
# @nostr-relay/core 0.0.40: a deletion request (kind 5) is answered with OK true, but handed to the
# repository's deleteByDeletionRequest alone: it is not given to upsert, and no subscriber hears of it.
# That method does nothing unless the repository has its own. A client that follows such a relay for
# deletions (NIP-09) has to find another.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --ignore-scripts --no-audit --no-fund --prefix . \
    @nostr-relay/core@0.0.40 @nostr-relay/common@0.0.40 nostr-tools@2.25.2
cat > try.mjs <<'JS'
import { EventRepository, EventUtils } from '@nostr-relay/common'
import { NostrRelay } from '@nostr-relay/core'
import { finalizeEvent, generateSecretKey } from 'nostr-tools'

const saved = []
class Memory extends EventRepository {
  isSearchSupported() { return false }
  upsert(event) { saved.push(event); return { isDuplicate: false } }
  find(filter) { return saved.filter(event => EventUtils.isMatchingFilter(event, filter)) }
  async destroy() {}
}

const said = []
const client = { readyState: 1, send: text => said.push(JSON.parse(text)) }
const relay = new NostrRelay(new Memory())
relay.handleConnection(client)
await relay.handleMessage(client, ['REQ', 'all', { kinds: [1, 5] }])
const key = generateSecretKey()
const sign = (kind, tags) =>
  finalizeEvent({ kind, tags, content: '', created_at: Math.floor(Date.now() / 1000) }, key)
const note = sign(1, [])
const deletion = sign(5, [['e', note.id]])
for (const event of [note, deletion]) await relay.handleMessage(client, ['EVENT', event])
await new Promise(resolve => setTimeout(resolve, 500))
const accepted = said.filter(each => each[0] === 'OK').map(each => each[2])
const heard = said.filter(each => each[0] === 'EVENT').map(each => each[2].kind)
console.log(`accepted: ${accepted}; a subscriber of kinds 1 and 5 heard of kinds ${heard}`)
const same = String(accepted) === 'true,true' && String(heard) === '1' && saved.length === 1
if (!same) { console.log('this changed'); process.exit(1) }
process.exit(0)
JS
node try.mjs
