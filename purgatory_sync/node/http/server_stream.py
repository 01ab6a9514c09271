"""One accepted stream: bytes with time limits, and h11 over them."""

from __future__ import annotations

import math

import h11
import trio

from ...settings import ListenerSettings

Headers = list[tuple[bytes, bytes]]

# B 6.3: pages of other origins read every answer, refusals included.
CORS: Headers = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, HEAD, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"Authorization, Content-Type, Git-Protocol, Accept, Content-Encoding, X-Requested-With",
    ),
]

# What is answered at the relay's URL depends on what is asked for: caches must know (B 10.6).
VARY_ACCEPT = (b"vary", b"Accept")

PIECE_BYTES = 65536
LINGER_SECS = 2


class Gone(Exception):
    """The peer left, stalled or broke the protocol: only this connection ends."""


class PromptStream(trio.abc.HalfCloseableStream):
    """A stream that closes itself when the peer does not take what we send within a time.

    Args:
      stream: the accepted stream.
      send_timeout_secs: seconds for each piece of at most 64 KiB.
    """

    def __init__(self, stream: trio.abc.HalfCloseableStream, send_timeout_secs: float) -> None:
        self._stream = stream
        self._send_timeout = send_timeout_secs
        self._receive_until = math.inf

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        for start in range(0, len(view), PIECE_BYTES):
            with trio.move_on_after(self._send_timeout) as scope:
                await self._stream.send_all(view[start : start + PIECE_BYTES])
            if scope.cancelled_caught:
                await trio.aclose_forcefully(self._stream)
                raise trio.BrokenResourceError("the peer does not take our bytes")

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        # After our last byte the peer has a moment to end too, and no more.
        self._receive_until = trio.current_time() + LINGER_SECS
        await self._stream.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        with trio.move_on_at(self._receive_until):
            return bytes(await self._stream.receive_some(max_bytes))
        return b""

    async def aclose(self) -> None:
        await self._stream.aclose()


class Wire:
    """One accepted stream, spoken to with h11; every method raises Gone when the peer is lost."""

    def __init__(self, stream: trio.abc.HalfCloseableStream, settings: ListenerSettings) -> None:
        self.settings = settings
        self.stream = PromptStream(stream, settings.send_timeout_secs)
        self.h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=settings.max_head_bytes)

    async def receive(self) -> h11.Event | type[h11.PAUSED]:
        """The next event of the request; asks for a body that the client holds back.

        Raises:
          Gone: the stream is broken.
          h11.RemoteProtocolError: the peer does not speak HTTP.
        """
        while True:
            if self.h11.they_are_waiting_for_100_continue and self.h11.their_state is h11.SEND_BODY:
                await self.send(h11.InformationalResponse(status_code=100, headers=[]))
            event = self.h11.next_event()
            if event is not h11.NEED_DATA:
                return event  # type: ignore[return-value]
            await self._receive_bytes()

    async def _receive_bytes(self) -> bytes:
        try:
            data = await self.stream.receive_some(PIECE_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise Gone("reset") from error
        self.h11.receive_data(data)
        return data

    async def wait_gone(self) -> None:
        """Return when the peer has left; for use while the answer to a whole request is made.

        A peer that already sends its next request is no longer watched (it is alive, and what it
        sends must not pile up); its leaving then shows at the next write.
        """
        try:
            if not self.h11.trailing_data[0] and not await self._receive_bytes():
                return
        except Gone:
            return
        await trio.sleep_forever()

    async def send(self, *events: h11.Event) -> None:
        """Send events of the response, all in one piece."""
        data = b"".join(self.h11.send(event) or b"" for event in events)
        if data:
            try:
                await self.stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise Gone("does not take our bytes") from error

    async def refuse(self, status: int) -> None:
        """Answer an error if nothing was answered yet; else the cut response tells the peer."""
        if self.h11.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [*CORS, (b"connection", b"close"), (b"content-length", b"0")]
            await self.send(h11.Response(status_code=status, headers=headers))

    async def close(self) -> None:
        """Let the peer read our last bytes although we leave some of its bytes unread."""
        try:
            await self.stream.send_eof()
            while await self.stream.receive_some(PIECE_BYTES):
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
