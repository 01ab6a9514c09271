"""The small Nostr client against what is no relay."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from purgatory_sync.testing.nostr_client import RelayFailed, nostr_client

pytestmark = pytest.mark.real


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"])
async def test_a_relay_that_does_not_shake_hands_has_failed(answer: bytes) -> None:
    async def hang_up(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(answer)

    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, hang_up, 0, host="127.0.0.1")
        (listener,) = await nursery.start(serve)
        with pytest.raises(RelayFailed, match="no WebSocket"):
            async with nostr_client(f"ws://127.0.0.1:{listener.socket.getsockname()[1]}"):
                pass
        nursery.cancel_scope.cancel()
