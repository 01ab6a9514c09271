"""The conversation with one relay: a connection through the gate, and its messages (NIP-01)."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import attrs
import msgspec
import trio
from websockets.exceptions import ConnectionClosed
from websockets.trio.client import ClientConnection, connect

from ...errors import InvalidEvent
from ...nostr.auth import MAX_CHALLENGE_CHARS
from ...nostr.event import Event, decode_event
from ...nostr.filters import Filter
from ...runtime.gate import Gate
from ...runtime.http11 import start_tls
from ...settings import KIB, MIB
from ...urls import WebUrl

MAX_MESSAGE_BYTES = MIB + 64 * KIB
QUEUED_FRAMES = 4
OPEN_TIMEOUT_SECS = 10
CLOSE_TIMEOUT_SECS = 2
PING_SECS = 20

_ERRORS = (msgspec.MsgspecError, ValueError, RecursionError, IndexError)
_parts = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)
_flag = msgspec.json.Decoder(bool)
_encode = msgspec.json.Encoder().encode


@attrs.frozen
class Sent:
    """EVENT: its form is right, its proof is not yet checked."""

    subscription: str
    event: Event


@attrs.frozen
class EndOfStored:
    """EOSE."""

    subscription: str


@attrs.frozen
class Closed:
    """CLOSED: the relay does not serve this subscription (any more)."""

    subscription: str
    reason: str


@attrs.frozen
class Challenge:
    """AUTH: what is to be signed where the relay wants to know who asks (NIP-42)."""

    text: str


@attrs.frozen
class Taken:
    """OK: what became of an event of ours."""

    event_id: str
    accepted: bool
    text: str


@attrs.frozen
class Other:
    """NOTICE and whatever is not known here."""

    name: str
    text: str = ""


@attrs.frozen
class Reconciled:
    """NEG-MSG, or NEG-ERR (NIP-77): then the message is None, and there may be a reason."""

    subscription: str
    message: bytes | None
    reason: str = ""


Message: TypeAlias = Sent | EndOfStored | Closed | Reconciled | Challenge | Taken | Other


def parse_relay_message(raw: str | bytes) -> Message:
    """Read one frame of a relay.

    Raises:
      InvalidEvent: it is no message, or the event in it is none.
    """
    try:
        parts = _parts.decode(raw)
        name = _text.decode(parts[0])
        if name == "EVENT":
            return Sent(_text.decode(parts[1]), decode_event(memoryview(parts[2])))
        if name == "EOSE":
            return EndOfStored(_text.decode(parts[1]))
        if name == "CLOSED":
            return Closed(_text.decode(parts[1]), _reason(parts, 2))
        if name == "NEG-MSG":
            message = bytes.fromhex(_text.decode(parts[2]))
            return Reconciled(_text.decode(parts[1]), message)
        if name == "NEG-ERR":
            return Reconciled(_text.decode(parts[1]), None, _reason(parts, 2))
        if name == "AUTH":
            return Challenge(_text.decode(parts[1])[: MAX_CHALLENGE_CHARS + 1])
        if name == "OK":
            return Taken(_text.decode(parts[1]), _flag.decode(parts[2]), _reason(parts, 3))
        return Other(name[:20], _text.decode(parts[1])[:200] if name == "NOTICE" else "")
    except _ERRORS as error:
        raise InvalidEvent("not a message of a relay") from error


def _reason(parts: list[msgspec.Raw], place: int) -> str:
    return _text.decode(parts[place])[:200] if len(parts) > place else ""


def authenticate(event: Event) -> str:
    """AUTH: who we are (NIP-42)."""
    return _encode(["AUTH", event]).decode()


def request(subscription: str, filters: Iterable[Filter]) -> str:
    """REQ."""
    return _encode(["REQ", subscription, *(each.to_json() for each in filters)]).decode()


def close(subscription: str) -> str:
    """CLOSE."""
    return _encode(["CLOSE", subscription]).decode()


def neg_open(subscription: str, condition: Filter, message: bytes) -> str:
    """NEG-OPEN (NIP-77)."""
    return _encode(["NEG-OPEN", subscription, condition.to_json(), message.hex()]).decode()


def neg_message(subscription: str, message: bytes) -> str:
    """NEG-MSG."""
    return _encode(["NEG-MSG", subscription, message.hex()]).decode()


def neg_close(subscription: str) -> str:
    """NEG-CLOSE."""
    return _encode(["NEG-CLOSE", subscription]).decode()


class _Direct(connect):
    """One connection to one place; a test notices when websockets renames what is overridden."""

    async def enable_tls(self, stream: trio.abc.Stream) -> trio.abc.Stream:
        """TLS whose failures say what is wrong."""
        assert self.ssl is not None  # noqa: S101 - dial() gives one for wss
        return await start_tls(stream, self.ssl, self.ws_uri.host, OPEN_TIMEOUT_SECS)

    def process_redirect(self, exc: Exception) -> Exception:
        """A redirect is an answer that is no WebSocket: nobody has judged where it leads."""
        return exc


@asynccontextmanager
async def dial(url: WebUrl, gate: Gate, tls: ssl.SSLContext) -> AsyncIterator[ClientConnection]:
    """A WebSocket to a relay, through the gate only: no proxy, no redirects, bounded messages.

    Args:
      url: a judged ws or wss URL.
      tls: for wss; the name is checked against the certificate.

    Raises what the gate, TLS and websockets raise. Leaving closes the connection.
    """
    stream = await gate.open_tcp(url.host, url.port)
    try:
        socket = _Direct(
            url.text,
            stream=stream,
            ssl=tls if url.scheme == "wss" else None,
            proxy=None,
            compression=None,
            user_agent_header="purgatory-sync",
            open_timeout=OPEN_TIMEOUT_SECS,
            ping_interval=PING_SECS,
            ping_timeout=PING_SECS,
            close_timeout=CLOSE_TIMEOUT_SECS,
            max_size=MAX_MESSAGE_BYTES,
            max_queue=QUEUED_FRAMES,
        )
        async with socket as connection:
            try:
                yield connection
            finally:
                await _hang_up(connection, stream)
    finally:
        await trio.aclose_forcefully(stream)


async def _hang_up(connection: ClientConnection, stream: trio.abc.Stream) -> None:
    """Say that this is the end, and throw away what still comes.

    The reader of websockets would wait for ever for somebody to take what it has read.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_throw_away, connection)
        with trio.move_on_after(CLOSE_TIMEOUT_SECS):
            await connection.aclose()
        await trio.aclose_forcefully(stream)


async def _throw_away(connection: ClientConnection) -> None:
    with suppress(ConnectionClosed):
        while True:
            await connection.recv(decode=False)
