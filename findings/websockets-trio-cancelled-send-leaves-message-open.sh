#!/usr/bin/env bash
# websockets 17.4, Trio: send() of an asynchronous iterable that is cancelled between two fragments
# leaves the connection open in the middle of a message. Its documentation says that this "will cause a
# protocol error and the connection will be closed": only an exception of the iterable does that, for
# Trio's Cancelled is no Exception. The next send() raises ProtocolError, and the peer waits for the
# rest. Cancelling has to be followed by aclose().
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check websockets==17.4 trio
"$folder/venv/bin/python" - <<'PY'
from functools import partial

import trio
from websockets.exceptions import ProtocolError
from websockets.trio.client import connect
from websockets.trio.server import serve

async def pieces():
    yield "first"
    await trio.sleep(60)
    yield "last"

async def hear(heard, connection):
    async for piece in connection.recv_streaming():
        heard.append(piece)

async def main():
    heard = []
    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve, partial(hear, heard), 0, host="127.0.0.1"))
        port = server.listeners[0].socket.getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", proxy=None) as connection:
            with trio.move_on_after(0.5) as scope:
                await connection.send(pieces())
            await trio.sleep(0.5)
            state, said = connection.state.name, "nothing"
            try:
                await connection.send("another message")
            except ProtocolError as error:
                said = str(error)
            print(f"cancelled: {scope.cancelled_caught}; half a second later: {state}; "
                  f"heard: {heard}; the next send: {said}")
            same = state == "OPEN" and heard == ["first"] and said == "expected a continuation frame"
            assert scope.cancelled_caught and same, "this changed"
        nursery.cancel_scope.cancel()

trio.run(main)
PY
