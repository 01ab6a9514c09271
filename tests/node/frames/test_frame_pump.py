"""The pump between a stream and websockets' protocol, with raw frames at the other end."""

from __future__ import annotations

import ast
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing
from trio.testing import MockClock
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State
from websockets.server import ServerProtocol

import purgatory_sync
from purgatory_sync.node.frames.frame_pump import FramePump, Limits

LIMITS = Limits(ping_secs=20, close_secs=2, queued_messages=4, long_bytes=1000)
PACKAGE = Path(purgatory_sync.__file__).parent
# Of websockets, what its reference describes.
DOCUMENTED = {
    "websockets.client", "websockets.exceptions", "websockets.extensions",
    "websockets.extensions.permessage_deflate", "websockets.frames", "websockets.http11",
    "websockets.protocol", "websockets.server", "websockets.typing", "websockets.uri",
}  # fmt: skip


def frame(first: int, data: bytes = b"") -> bytes:
    """A short frame as clients send it, masked with zeros."""
    return bytes([first, 0x80 | len(data)]) + bytes(4) + data


def closing(code: int, reason: str = "") -> bytes:
    """A close frame as servers send it."""
    text = code.to_bytes(2, "big") + reason.encode()
    return bytes([0x88, len(text)]) + text


@attrs.frozen
class Ends:
    pump: FramePump
    peer: trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream]

    async def rest(self) -> bytes:
        """All that the peer is sent up to the end."""
        return b"".join([bytes(piece) async for piece in self.peer])


@asynccontextmanager
async def pumping() -> AsyncIterator[Ends]:
    ours, theirs = trio.testing.memory_stream_pair()
    pump = FramePump(ours, ServerProtocol(state=State.OPEN, max_size=10_000), LIMITS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        nursery.start_soon(pump.keep_alive)
        yield Ends(pump, theirs)
        nursery.cancel_scope.cancel()


async def test_pieces_of_a_message_become_one(autojump_clock: MockClock) -> None:
    async with pumping() as ends:
        await ends.peer.send_all(frame(0x01, b"on") + frame(0x89, b"ping") + frame(0x80, b"e"))
        await ends.peer.send_all(frame(0x82, b"two"))
        assert await ends.pump.receive() == (True, b"one")
        assert await ends.pump.receive() == (False, b"two")
        assert await ends.peer.receive_some() == b"\x8a\x04ping"


async def test_a_message_in_too_many_pieces_ends_the_connection(autojump_clock: MockClock) -> None:
    async with pumping() as ends:
        await ends.peer.send_all(frame(0x01) + frame(0x00) * 5000)
        await ends.peer.send_eof()
        assert await ends.rest() == closing(1009, "too many fragments")
        with pytest.raises(ConnectionClosed):
            await ends.pump.receive()


async def test_what_came_before_the_end_is_received_and_then_the_end(
    autojump_clock: MockClock,
) -> None:
    async with pumping() as ends:
        await ends.peer.send_all(frame(0x81, b"last") + frame(0x88, b"\x03\xe8bye"))
        await ends.peer.send_eof()
        await ends.pump.closed.wait()
        assert await ends.pump.receive() == (True, b"last")
        with pytest.raises(ConnectionClosed, match=r"1000.*bye"):
            await ends.pump.receive()
        with pytest.raises(ConnectionClosed):
            await ends.pump.send(b"late")


async def test_a_peer_that_does_not_end_is_not_waited_for(autojump_clock: MockClock) -> None:
    async with pumping() as ends:
        await ends.peer.send_all(frame(0x81, b"x") * 10)  # it is not received
        began = trio.current_time()
        await ends.pump.close(1001, "stop")
        assert trio.current_time() - began == LIMITS.close_secs
        assert await ends.rest() == closing(1001, "stop")


async def test_nothing_follows_a_frame_that_was_sent_in_part(autojump_clock: MockClock) -> None:
    ours, _theirs = trio.testing.lockstep_stream_pair()
    pump = FramePump(ours, ServerProtocol(state=State.OPEN), LIMITS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        with trio.move_on_after(1) as scope:
            await pump.send(b"not taken")
        assert scope.cancelled_caught
        with pytest.raises(ConnectionClosed):
            await pump.send(b"more")
        nursery.cancel_scope.cancel()
    assert pump.closed.is_set()


async def test_a_block_that_fails_closes_with_another_code(autojump_clock: MockClock) -> None:
    for error, code in ((None, 1000), (RuntimeError("why"), 1011)):
        async with pumping() as ends:
            with suppress(RuntimeError):
                async with ends.pump:
                    if error is not None:
                        raise error
            assert await ends.rest() == closing(code)


async def test_a_pong_of_something_else_is_no_answer_to_a_ping(autojump_clock: MockClock) -> None:
    async with pumping() as ends:
        await trio.sleep(LIMITS.ping_secs)
        ping = await ends.peer.receive_some()
        assert ping[:2] == b"\x89\x04"
        await ends.peer.send_all(frame(0x8A, b"else"))
        assert await ends.rest() == closing(1011, "keepalive ping timeout")
        assert trio.current_time() == 2 * LIMITS.ping_secs


@pytest.mark.tree
def test_the_node_stands_on_documented_modules_of_websockets() -> None:
    for file in (PACKAGE / "node").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("websockets"):
                assert node.module in DOCUMENTED, file
                assert not any(each.name.startswith("_") for each in node.names)
