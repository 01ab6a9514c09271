"""One visit to an index relay: what it knows of our key, and what it is told (NIP-65)."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import attrs
import msgspec
import trio
from websockets.exceptions import WebSocketException

from ...errors import AttemptFailed, InvalidEvent
from ...nostr import kinds
from ...nostr.event import Event, verify_event
from ...nostr.filters import Filter
from ...runtime.net.gate import Gate
from ...urls import RELAY_SCHEMES, parse_web_url
from ..frames.frame_pump import FramePump
from ..upstream.connection.dialling import dial
from ..upstream.connection.relay_messages import (
    Closed,
    EndOfStored,
    Message,
    Sent,
    Taken,
    close,
    parse_relay_message,
    request,
)

ANSWER_SECS: Final = 30.0
MAX_MESSAGES: Final = 1_000
MAX_FOUND: Final = 100

EXPECTED: Final = (AttemptFailed, OSError, WebSocketException, trio.BrokenResourceError)
_NAME: Final = "own"


class VisitFailed(OSError):
    """The relay did not answer, or refused; the message says which."""


@attrs.frozen
class Visit:
    """A connection to a relay, for as long as the visit lasts."""

    _socket: FramePump

    async def ask(self, pubkey: str) -> list[Event]:
        """What the relay has of the key's profile and relay list, forged events left out.

        Raises:
          VisitFailed: it gave no complete answer.
        """
        wanted = Filter(kinds=kinds.USER_KINDS, authors=frozenset({pubkey}))
        await self._socket.send(request(_NAME, [wanted]).encode())
        found: list[Event] = []
        with trio.move_on_after(ANSWER_SECS):
            for _ in range(MAX_MESSAGES):
                match await self._next():
                    case Sent(name, event) if name == _NAME and wanted.matches(event):
                        if _is_true(event) and len(found) < MAX_FOUND:
                            found.append(event)
                    case EndOfStored(name) if name == _NAME:
                        await self._socket.send(close(_NAME).encode())
                        return found
                    case Closed(name, reason) if name == _NAME:
                        raise VisitFailed(f"it answers no question: {reason}")
        raise VisitFailed("it did not answer in time")

    async def tell(self, event: Event) -> None:
        """Publish an event there.

        Raises:
          VisitFailed: it did not take it.
        """
        await self._socket.send(msgspec.json.encode(["EVENT", event]))
        with trio.move_on_after(ANSWER_SECS):
            for _ in range(MAX_MESSAGES):
                match await self._next():
                    case Taken(event_id, accepted, text) if event_id == event.id:
                        if not accepted and not text.startswith("duplicate:"):
                            raise VisitFailed(f"it refused kind {event.kind}: {text}")
                        return
        raise VisitFailed("it did not say whether it took an event")

    async def _next(self) -> Message | None:
        """What it says next; None where that means nothing."""
        _, raw = await self._socket.receive()
        try:
            return parse_relay_message(raw)
        except InvalidEvent:
            return None


def _is_true(event: Event) -> bool:
    try:
        verify_event(event)
    except InvalidEvent:
        return False
    return True


@asynccontextmanager
async def visit(url: str, gate: Gate, tls: Callable[[], ssl.SSLContext]) -> AsyncIterator[Visit]:
    """Connect to a relay, through the gate only; leaving closes the connection.

    Raises one of EXPECTED where it cannot be reached.
    """
    async with dial(parse_web_url(url, RELAY_SCHEMES), gate, tls()) as socket:
        yield Visit(socket)
