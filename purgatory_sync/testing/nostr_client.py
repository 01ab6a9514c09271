"""A Nostr client as small as can be: publish, ask, and wait for an event."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import trio
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.trio.client import ClientConnection, connect

from ..nostr.auth import auth_event
from ..nostr.event import Event, encode_event
from ..nostr.keys import SecretKey

_ANSWER_SECS: Final = 15.0


class RelayFailed(Exception):
    """A relay that does not answer, or not as NIP-01 has it."""


class NostrClient:
    """One connection to a relay; one request at a time.

    Every method raises RelayFailed when the relay goes away, answers nonsense, or does not answer
    within 15 s (`wait_for` waits as long as it takes).
    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def publish(self, event: Event) -> tuple[bool, str]:
        """Send an event; the boolean and the text of OK."""
        await self._send(b'["EVENT",' + encode_event(event) + b"]")
        answer = await self._answer("OK", event.id)
        return bool(answer[2]), str(answer[3])

    async def prove(self, key: SecretKey, url: str) -> None:
        """Answer the challenge that a private service sends first (NIP-42).

        Args:
          url: of the relay, as it was dialled.
        """
        while (message := await self._receive())[0] != "AUTH":
            pass
        event = auth_event(key, url, str(message[1]), time.time())
        await self._send(b'["AUTH",' + encode_event(event) + b"]")
        if not (answer := await self._answer("OK", event.id))[2]:
            raise RelayFailed(f"the relay answered {answer}")

    async def has(self, event_id: str) -> bool:
        """Whether the relay serves an event."""
        await self._send(json.dumps(["REQ", "has", {"ids": [event_id]}]).encode())
        found = False
        while (message := await self._answer(None, "has"))[0] == "EVENT":
            found = True
        await self._send(json.dumps(["CLOSE", "has"]).encode())
        if message[0] != "EOSE":
            raise RelayFailed(f"the relay answered {message}")
        return found

    async def wait_for(self, event_id: str) -> None:
        """Return when the relay serves an event; it tells subscribers by itself."""
        await self._send(json.dumps(["REQ", "wait", {"ids": [event_id]}]).encode())
        while (await self._receive())[:2] != ["EVENT", "wait"]:
            pass
        await self._send(json.dumps(["CLOSE", "wait"]).encode())

    async def _answer(self, kind: str | None, about: str) -> list[Any]:
        with trio.move_on_after(_ANSWER_SECS):
            while True:
                message = await self._receive()
                if message[1] == about and kind in (None, message[0]):
                    return message
        raise RelayFailed(f"no answer within {_ANSWER_SECS:g} s")

    async def _send(self, message: bytes) -> None:
        try:
            await self._connection.send(message, text=True)
        except ConnectionClosed as error:
            raise RelayFailed("the relay closed the connection") from error

    async def _receive(self) -> list[Any]:
        try:
            message = json.loads(await self._connection.recv())
        except ConnectionClosed as error:
            raise RelayFailed("the relay closed the connection") from error
        if not isinstance(message, list) or len(message) < 2:
            raise RelayFailed(f"the relay said {message!r}")
        return message


@asynccontextmanager
async def nostr_client(url: str) -> AsyncIterator[NostrClient]:
    """Connect to a relay; the connection ends with the block, also when the relay is gone.

    Raises:
      RelayFailed: the relay is no WebSocket server, or went away in the handshake.
      OSError: no server can be reached there.
    """
    connecting = connect(url, proxy=None, open_timeout=_ANSWER_SECS, close_timeout=1)
    async with AsyncExitStack() as stack:
        try:
            connection = await stack.enter_async_context(connecting)
        except InvalidHandshake as error:
            raise RelayFailed(f"no WebSocket: {error}") from error
        yield NostrClient(connection)
