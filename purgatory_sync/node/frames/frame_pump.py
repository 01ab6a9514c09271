"""One WebSocket: frames between a stream and the sans-I/O protocol of websockets (RFC 6455)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from types import TracebackType
from typing import Final

import attrs
import trio
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import SEND_EOF, Protocol, State

from .inbox import Inbox

_DATA: Final = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
_LOST: Final = (trio.BrokenResourceError, trio.ClosedResourceError)


def _no_failure(_frame: Frame) -> None:
    """Any control frame is welcome."""


def _nothing() -> None:
    """Each piece that is received is like the others."""


@attrs.frozen
class Limits:
    """What a connection may take.

    Attributes:
      ping_secs: between pings, and for the pong of each.
      close_secs: for the peer to end the connection after a close.
      queued_messages: that wait to be read; behind more of them nothing is received.
      long_bytes: behind a message that is longer nothing is received until all are read.
    """

    ping_secs: float
    close_secs: float
    queued_messages: int
    long_bytes: int


class FramePump:
    """An open WebSocket; `run` and `keep_alive` are tasks of who has it.

    Leaving it as a context manager closes it: 1000, or 1011 with an exception.

    Args:
      stream: belongs to the connection from here on.
      protocol: after its handshake.
      before_piece: called before the frames of a received piece are decoded.
      judge_control: called with each ping, pong and close; what it returns ends the connection.

    Attributes:
      closed: set when the stream is closed and no task works for the connection any more.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        protocol: Protocol,
        limits: Limits,
        *,
        before_piece: Callable[[], None] = _nothing,
        judge_control: Callable[[Frame], Exception | None] = _no_failure,
    ) -> None:
        self._stream = stream
        self._protocol = protocol
        self._limits = limits
        self._before_piece = before_piece
        self._judge_control = judge_control
        self._sending = trio.Lock()
        self._reading = trio.CancelScope()
        self._inbox = Inbox(limits.queued_messages, limits.long_bytes)
        self._arrived = trio.Event()
        self._room: trio.Event | None = None
        self._ping: tuple[bytes, trio.Event] | None = None
        self._failure: Exception | None = None
        self._ending = self._broken = False
        self.closed = trio.Event()

    @property
    def waiting(self) -> int:
        """How many messages wait to be read."""
        return len(self._inbox)

    async def run(self) -> None:
        """Receive until the connection ends, then close the stream.

        Cancelled, it closes the stream at once.
        """
        try:
            with self._reading:
                await self._receive()
        except _LOST as error:
            self._fail(error)
        finally:
            # Before closing, which may wait: nothing is sent any more.
            self._protocol.receive_eof()
            self._resume()
            try:
                await self._stream.aclose()
            finally:
                self.closed.set()
                self._arrived.set()
                self._excuse()

    async def keep_alive(self) -> None:
        """Ping at intervals; a peer whose pong does not come is left (1011)."""
        begun = trio.current_time()
        while True:
            with trio.move_on_at(begun + self._limits.ping_secs):
                await self.closed.wait()
                return
            begun = trio.current_time()
            if self._room is None and self._protocol.state is State.OPEN:
                data, heard = secrets.token_bytes(4), trio.Event()
                self._ping = data, heard
                self._protocol.send_ping(data)
                await self._flush()
                with trio.move_on_after(self._limits.ping_secs) as scope:
                    await heard.wait()
                if scope.cancelled_caught:
                    await self.fail(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
                    return

    async def receive(self) -> tuple[bool, bytes]:
        """The next message: whether it is text, and its bytes.

        Raises ConnectionClosed.
        """
        while not self._inbox:
            if self.closed.is_set():
                raise self._reason()
            self._arrived = trio.Event()
            await self._arrived.wait()
        opcode, message = self._inbox.take()
        if not self._inbox.full:
            self._resume()
        return opcode is Opcode.TEXT, message

    async def send(self, *messages: bytes) -> None:
        """Send text messages in one piece. Raises ConnectionClosed."""
        if self._protocol.state is State.OPEN:
            for message in messages:
                self._protocol.send_text(message)
            if await self._flush():
                return
        await self._end()
        raise self._reason()

    async def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Close, and wait until the peer has, but not for long; harmless when it is closed."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
        await self._end()

    async def fail(self, code: int, reason: str) -> None:
        """Close because of what the peer did or did not do; what it sends now is ignored."""
        if self._protocol.state is State.OPEN:
            self._protocol.fail(code, reason)
        await self._end()

    async def __aenter__(self) -> FramePump:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.close(CloseCode.NORMAL_CLOSURE if kind is None else CloseCode.INTERNAL_ERROR)

    async def _end(self) -> None:
        self._ending = True
        self._hurry()
        with trio.move_on_after(self._limits.close_secs):
            await self._flush()
        await self.closed.wait()

    async def _receive(self) -> None:
        while True:
            # What came with the answer of the handshake is taken first.
            for event in self._protocol.events_received():
                self._take(event)
            await self._flush()
            if self._protocol.close_expected():
                self._hurry()
            while self._room is not None:
                await self._room.wait()
            data = await self._stream.receive_some()
            if not data:
                break
            self._before_piece()
            self._protocol.receive_data(data)
        self._protocol.receive_eof()
        await self._flush()

    def _take(self, event: object) -> None:
        assert isinstance(event, Frame)  # noqa: S101 - the handshake is over
        if event.opcode in _DATA:
            self._add(event)
            return
        if event.opcode is Opcode.PONG and self._ping is not None:
            data, heard = self._ping
            if event.data == data:
                heard.set()
        failure = self._judge_control(event)
        if failure is not None:
            self._fail(failure)
            self._reading.cancel()

    def _add(self, frame: Frame) -> None:
        if self._ending:
            return  # it is not read any more
        if not self._inbox.add(frame):
            self._protocol.fail(CloseCode.MESSAGE_TOO_BIG, "too many fragments")
        if self._inbox:
            self._arrived.set()
        if self._room is None and self._inbox.full:
            self._room = trio.Event()
            # Its pongs are not read either, so no ping is due.
            self._excuse()

    def _resume(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

    def _excuse(self) -> None:
        if self._ping is not None:
            self._ping[1].set()

    def _hurry(self) -> None:
        """Let the connection end soon: what still comes is thrown away."""
        self._resume()
        deadline = trio.current_time() + self._limits.close_secs
        self._reading.deadline = min(self._reading.deadline, deadline)

    async def _flush(self) -> bool:
        """Send what is to be sent; False when the connection is lost, and ends."""
        async with self._sending:
            if self._broken:
                return False
            pieces = self._protocol.data_to_send()
            self._broken = True  # until all is sent: what comes after a part is no frame
            try:
                if data := b"".join(pieces):
                    await self._stream.send_all(data)
                if pieces and pieces[-1] == SEND_EOF:
                    await self._send_eof()
            except _LOST as error:
                self._fail(error)
                self._reading.cancel()
                return False
            self._broken = False
        return True

    async def _send_eof(self) -> None:
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            await self._stream.send_eof()
        else:
            await self._stream.aclose()

    def _fail(self, failure: Exception) -> None:
        self._failure = self._failure or failure

    def _reason(self) -> ConnectionClosed:
        error = self._protocol.close_exc
        error.__cause__ = self._failure
        return error
