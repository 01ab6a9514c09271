"""nostr-sdk as a client: the verbs of nostr_main.mjs; its LocalRelay: serve PORT."""

import asyncio
import base64
import hashlib
import json
import sys
import time
from datetime import timedelta

import nostr_sdk as sdk


async def connected(url):
    client = sdk.ClientBuilder().build()
    await client.add_relay(sdk.RelayUrl.parse(url))
    await client.connect()
    return client


async def publish(url, secret, templates):
    client, keys, said = await connected(url), sdk.Keys.parse(secret), []
    for each in json.loads(templates):
        whole = {**each, "pubkey": keys.public_key().to_hex()}
        event = await sdk.UnsignedEvent.from_json(json.dumps(whole)).sign_async(keys)
        output = await client.send_event(event)
        reason = ", ".join(map(str, output.failed.values()))
        said.append([event.id().to_hex(), bool(output.success), reason])
    return said


async def token(url, secret, body):
    """These bindings sign the event; they have no function that makes it."""
    keys, payload = sdk.Keys.parse(secret), hashlib.sha256(body.encode()).hexdigest()
    event = {
        "pubkey": keys.public_key().to_hex(),
        "created_at": int(time.time()),
        "kind": 27235,
        "tags": [["u", url], ["method", "POST"], ["payload", payload]],
        "content": "",
    }
    signed = await sdk.UnsignedEvent.from_json(json.dumps(event)).sign_async(keys)
    return "Nostr " + base64.b64encode(signed.as_json().encode()).decode()


def target(url, wanted):
    return sdk.ReqTarget.manual({sdk.RelayUrl.parse(url): [sdk.Filter.from_json(wanted)]})


async def query(url, wanted):
    client = await connected(url)
    events = await client.fetch_events(target(url, wanted), timeout=timedelta(seconds=10))
    return [each.id().to_hex() for each in events]


async def listen(url, wanted, count):
    client = await connected(url)
    heard, came = client.notifications(), []
    await client.subscribe(target(url, wanted))
    while len(came) < int(count):
        notification = await heard.next()
        if notification.is_MESSAGE():
            if json.loads(notification.message.as_json())[0] == "EOSE":
                print("listening", flush=True)
        elif notification.is_NEW_EVENT():
            came.append(notification.event.id().to_hex())
    return came


async def serve(port):
    limit = sdk.RateLimit(max_reqs=1000, notes_per_minute=1_000_000)
    relay = sdk.LocalRelayBuilder().addr("127.0.0.1").port(int(port)).rate_limit(limit).build()
    await relay.run()
    await asyncio.Event().wait()


verb, *arguments = sys.argv[1:]
print(json.dumps(asyncio.run(globals()[verb](*arguments))))
