#!/usr/bin/env bash
# nostr-sdk 0.45.1 (Python bindings): its LocalRelay closes the connection of a plain HTTP GET without
# a byte, also where the client accepts application/nostr+json. So it has no NIP-11 document: a client
# learns none of its limits, and a check of an HTTP status (a monitor, a proxy) takes it for dead. The
# WebSocket handshake on the same port is answered.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nostr-sdk==0.45.1
"$folder/venv/bin/python" - <<'PY'
import asyncio

import nostr_sdk

HANDSHAKE = (
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PLAIN = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/nostr+json\r\n\r\n"

async def answer(port, request):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.encode())
    try:
        return await asyncio.wait_for(reader.read(200), 5)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()

async def main():
    relay = nostr_sdk.LocalRelayBuilder().addr("127.0.0.1").build()
    await relay.run()
    port = int(str(await relay.url()).rstrip("/").rsplit(":")[-1])
    upgraded, plain = await answer(port, HANDSHAKE), await answer(port, PLAIN)
    print(f"handshake: {upgraded[:32]!r}; plain GET: {plain[:32]!r}")
    assert upgraded.startswith(b"HTTP/1.1 101")
    assert plain == b"", "this changed"

asyncio.run(main())
PY
