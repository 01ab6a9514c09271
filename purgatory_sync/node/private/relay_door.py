"""The door of the relay: until a member has proven to be one, every message has one answer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
import trio

from ...errors import InvalidEvent
from ...nostr.event import decode_event
from ...runtime.clock import WallClock
from ..http.client_address import counted_as, read_address
from ..relay import client_messages
from ..relay.client_auth import Identity
from .members import Members

PROOF_SECS: Final = 30.0
MAX_MESSAGES: Final = 20
MAX_BAD_PROOFS: Final = 3
MAX_MESSAGE_CHARS: Final = 4 * 1024
MAX_WAITING_OF_ADDRESS: Final = 10

UNPROVEN: Final = "auth-required: this service is private: answer AUTH with a member's key"
STRANGER: Final = "restricted: this key is no member of this private service"
TOO_MANY: Final = "rate-limited: too many connections of this address without a proof"
TOO_LATE: Final = f"auth-required: no proof within {PROOF_SECS:g} s"
REMOVED: Final = "restricted: no member any more"

_NAME: Final = re.compile(r'\s*\[\s*"([A-Z-]{1,9})"\s*(?:,\s*"([^"\\]{1,64})")?')
_EVENT_ID: Final = re.compile(r'"id"\s*:\s*"([0-9a-f]{64})"')
_parts: Final = msgspec.json.Decoder(list[msgspec.Raw])


class RelayDoors:
    """Makes a door for each client, and looks at all of them when members go.

    Args:
      members: who may come in.
      service: our host[:port][/base], as clients name it in AUTH.
    """

    def __init__(self, members: Members, service: str, clock: WallClock, most: int) -> None:
        self._members = members
        self._service = service
        self._clock = clock
        self._most = most
        self._all: dict[RelayDoor, None] = {}
        self._waiting: Counter[str] = Counter()

    @contextmanager
    def door(self, peer: str) -> Iterator[RelayDoor]:
        """The door of a client that comes from this address, until it leaves."""
        address = read_address(peer)
        group = peer if address is None else counted_as(address)
        door = RelayDoor(self._members, self._service, self._clock.now)
        full = self._waiting[group] >= MAX_WAITING_OF_ADDRESS
        if full or self._waiting.total() >= self._most:
            door.leave(TOO_MANY)
        self._waiting[group] += 1
        door.on_open = lambda: self._let_in(group)
        self._all[door] = None
        try:
            yield door
        finally:
            del self._all[door]
            door.let_in()

    def look_again(self) -> None:
        """Members may have gone: their connections end."""
        for door in self._all:
            door.look_again()

    def _let_in(self, group: str) -> None:
        self._waiting[group] -= 1
        if not self._waiting[group]:
            del self._waiting[group]


class RelayDoor:
    """One client's door.

    Attributes:
      identity: its challenge, and the keys that answered it.
      over: why it has to leave; empty while it need not.
      on_open: called once, when it waits at the door no longer.
    """

    def __init__(self, members: Members, service: str, now: Callable[[], float]) -> None:
        self._members = members
        self.identity = Identity(service, now, self._admit)
        self.over = ""
        self.on_open: Callable[[], None] | None = None
        self._until = trio.current_time() + PROOF_SECS
        self._messages = 0
        self._bad_proofs = 0
        self._was_open = False
        self._changed = trio.Event()

    @property
    def is_open(self) -> bool:
        """Whether one of the keys that it has proven is a member's, at this moment."""
        return not self.over and any(map(self._members.has, self.identity.proven))

    def greeting(self) -> bytes:
        """AUTH, unasked: what it says before is refused."""
        return client_messages.auth(self.identity.challenge)

    def answer(self, raw: str | bytes) -> bytes:
        """Take a proof; refuse all else in one way."""
        self._messages += 1
        text = raw if isinstance(raw, str) else ""
        name, first = _heading(text)
        if name == "AUTH" and len(text) <= MAX_MESSAGE_CHARS:
            answer = self._judge(text)
        else:
            answer = _refusal(name, first, text)
        if self._messages >= MAX_MESSAGES and not self.is_open:
            self.leave(UNPROVEN)
        return answer

    def look_again(self) -> None:
        """Who was let in and is a member no more has to leave."""
        if self._was_open and not self.is_open:
            self.leave(REMOVED)

    def leave(self, why: str) -> None:
        """It has to leave."""
        self.over = self.over or why
        self._changed.set()

    def let_in(self) -> None:
        """It waits at the door no longer."""
        if self.on_open is not None:
            self.on_open()
        self.on_open = None
        self._changed.set()

    async def wait_over(self) -> None:
        """Return when it has to leave: by its own doing, or because no proof came in time."""
        with trio.move_on_at(self._until) as patience:
            await self._changed.wait()
        if patience.cancelled_caught:
            self.leave(TOO_LATE)
        while not self.over:
            self._changed = trio.Event()
            await self._changed.wait()

    def _admit(self, pubkey: str) -> str:
        return "" if self._members.has(pubkey) else STRANGER

    def _judge(self, text: str) -> bytes:
        event_id = (_EVENT_ID.search(text) or [None, ""])[1]
        try:
            parts = _parts.decode(text)
            if len(parts) != 2:
                raise InvalidEvent('a proof is sent as ["AUTH", {…}]')
            event = decode_event(memoryview(parts[1]))
            event_id = event.id
            why = self.identity.prove(event)
        except (InvalidEvent, msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            self._bad_proofs += 1
            if self._bad_proofs >= MAX_BAD_PROOFS:
                self.leave(UNPROVEN)
            return client_messages.ok(event_id or "", False, f"auth-required: {error}")
        if why:
            self.leave(why)
        else:
            self._was_open = True
            self.let_in()
        return client_messages.ok(event_id, not why, why)


def _heading(text: str) -> tuple[str, str]:
    """The name of a message and the text behind it, if it is one; of its beginning only."""
    found = _NAME.match(text, 0, MAX_MESSAGE_CHARS)
    return (found[1], found[2] or "") if found else ("", "")


def _refusal(name: str, first: str, text: str) -> bytes:
    """The refusal that belongs to a message, by its beginning; a NOTICE where none does."""
    if name == "EVENT" and (found := _EVENT_ID.search(text, 0, MAX_MESSAGE_CHARS)):
        return client_messages.ok(found[1], False, UNPROVEN)
    if name in ("REQ", "COUNT") and first:
        return client_messages.closed(first, UNPROVEN)
    if name in ("NEG-OPEN", "NEG-MSG") and first:
        return client_messages.neg_error(first, UNPROVEN)
    return client_messages.notice(UNPROVEN)
