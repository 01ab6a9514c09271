"""A relay's door for tests: nothing is read before the client has said who it is (NIP-42)."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Collection
from typing import Any

import attrs

from ..errors import InvalidEvent
from ..node.relay.relay import RelaySocket
from ..nostr.auth import check_auth
from ..nostr.event import convert_event

ASKING = ("REQ", "COUNT")


@attrs.define(eq=False)
class Doorkeeper:
    """Stands between one client's socket and a relay.

    Args:
      socket: of the client.
      service: host[:port] of the relay, as clients dial it.
      lets_in: keys that may read.
      now: Unix seconds.
    """

    socket: RelaySocket
    service: str
    lets_in: Collection[str]
    now: Callable[[], float] = time.time
    challenge: str = attrs.field(factory=lambda: secrets.token_hex(16), init=False)
    _open: bool = attrs.field(default=False, init=False)

    async def greet(self) -> None:
        """Send the challenge."""
        await self._say(["AUTH", self.challenge])

    async def receive(self) -> str | bytes:
        """The next message that the relay is to answer; the others are answered here."""
        while True:
            raw = await self.socket.receive()
            message = json.loads(raw)
            if message[0] == "AUTH":
                await self._judge(message[1])
            elif self._open or message[0] not in (*ASKING, "NEG-OPEN"):
                return raw
            else:
                name = "NEG-ERR" if message[0] == "NEG-OPEN" else "CLOSED"
                await self._say([name, message[1], "auth-required: say who you are"])

    async def send(self, *messages: bytes) -> None:
        """Pass on what the relay says."""
        await self.socket.send(*messages)

    async def close(self, code: int, reason: str) -> None:
        """Pass on the end."""
        await self.socket.close(code, reason)

    async def wait_closed(self) -> None:
        """Return when the client is gone."""
        await self.socket.wait_closed()

    async def _judge(self, value: Any) -> None:
        event = convert_event(value)
        why = ""
        try:
            check_auth(event, self.service, self.challenge, self.now())
        except InvalidEvent as error:
            why = f"invalid: {error}"
        if not why and event.pubkey not in self.lets_in:
            why = "restricted: not known here"
        self._open = self._open or not why
        await self._say(["OK", event.id, not why, why])

    async def _say(self, message: list[Any]) -> None:
        await self.socket.send(json.dumps(message).encode())
