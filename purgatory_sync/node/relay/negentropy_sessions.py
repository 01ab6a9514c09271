"""Negentropy for clients (NIP-77): bounded in items, in sessions and in bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import trio

from ...errors import TooMuchWork
from ...nostr.filters import Filter
from ...nostr.reconciliation.inventory import Inventory
from ...nostr.reconciliation.negentropy import InvalidNegentropy, respond
from ...runtime.blocking import blocking
from ...runtime.logger import get_logger
from .client_messages import neg_error, neg_message

MAX_ITEMS = 100_000
MAX_SESSIONS, MAX_CLIENT_ITEMS = 16, 200_000
# An item takes 72 bytes.
MAX_ALL_ITEMS = 1_000_000
# Who is silent so long makes room for others.
IDLE_SECS = 60.0
MAX_ANSWER_BYTES = 60_000
MAX_MESSAGE_BYTES = 256 * 1024
# Longer ones may take tens of milliseconds: the loop must not wait for them.
MAX_BYTES_IN_LOOP = 8 * 1024

LOOK_UP_FAILED = "error: the relay failed to look this up: ask again later"

LookUp = Callable[[Filter, int], Awaitable[Inventory]]

log = get_logger(__name__)


@attrs.define(eq=False)
class _Session:
    inventory: Inventory
    used_at: float


class Reconciling:
    """What all clients of a relay reconcile; takes in no more than there is room for.

    Args:
      look_up: what is served and matches, the newest first up to a number of them.
    """

    def __init__(self, look_up: LookUp) -> None:
        self.look_up = look_up
        self.limiter = trio.CapacityLimiter(1)
        self._sessions: dict[_Session, None] = {}
        self._items = 0

    @property
    def items(self) -> int:
        """How many items are kept for all clients."""
        return self._items

    def add(self, session: _Session) -> bool:
        """Keep a session; False where there is no room, no matter who idles being sent away."""
        for idle in [*self._sessions]:
            if self._fits(session) or idle.used_at + IDLE_SECS > trio.current_time():
                break
            self.remove(idle)
        if not self._fits(session):
            return False
        self._sessions[session] = None
        self._items += len(session.inventory)
        return True

    def use(self, session: _Session) -> bool:
        """Note that a session goes on; False when it was sent away."""
        if session not in self:
            return False
        session.used_at = trio.current_time()
        del self._sessions[session]
        self._sessions[session] = None
        return True

    def remove(self, session: _Session) -> None:
        """Free what a session took; one that is not there any more is none."""
        if session in self:
            del self._sessions[session]
            self._items -= len(session.inventory)
            session.inventory = Inventory()

    def __contains__(self, session: _Session) -> bool:
        return session in self._sessions

    def _fits(self, session: _Session) -> bool:
        return self._items + len(session.inventory) <= MAX_ALL_ITEMS


class ClientReconciling:
    """The sessions of one client, by its ids; every method returns what the client is sent."""

    def __init__(self, of_all: Reconciling) -> None:
        self._all = of_all
        self._own: dict[str, _Session] = {}

    async def open(self, name: str, condition: Filter, message: bytes) -> bytes:
        """NEG-OPEN; a session of the same id ends. Cancelled, nothing new is kept."""
        self.close(name)
        self._own = {each: kept for each, kept in self._own.items() if kept in self._all}
        if len(self._own) >= MAX_SESSIONS:
            why = f"blocked: at most {MAX_SESSIONS} sessions a connection: close one first"
            return neg_error(name, why)
        try:
            inventory = await self._all.look_up(condition, MAX_ITEMS + 1)
        except TooMuchWork:
            return neg_error(name, "blocked: this query is too big: narrow it")
        except Exception:
            log.exception("query failed")
            return neg_error(name, LOOK_UP_FAILED)
        if len(inventory) > MAX_ITEMS:
            why = f"blocked: this query is too big: over {MAX_ITEMS} events match, narrow it"
            return neg_error(name, why)
        session = _Session(inventory, trio.current_time())
        if self._items() + len(inventory) > MAX_CLIENT_ITEMS or not self._all.add(session):
            return neg_error(name, "blocked: too much is being reconciled: ask by REQ")
        self._own[name] = session
        return await self.advance(name, message)

    async def advance(self, name: str, message: bytes) -> bytes:
        """NEG-MSG."""
        session = self._own.get(name)
        if session is None or not self._all.use(session):
            self.close(name)
            return neg_error(name, "closed: no such session, or it was silent: open it")
        try:
            return neg_message(name, await self._respond(session.inventory, message))
        except InvalidNegentropy as error:
            self.close(name)
            return neg_error(name, f"invalid: {error}")

    def close(self, name: str | None) -> None:
        """NEG-CLOSE; nothing is sent. None is no session's name."""
        if name is not None and (session := self._own.pop(name, None)):
            self._all.remove(session)

    def leave(self) -> None:
        """The client is gone."""
        for name in [*self._own]:
            self.close(name)

    async def _respond(self, inventory: Inventory, message: bytes) -> bytes:
        if len(message) > MAX_MESSAGE_BYTES:
            raise InvalidNegentropy(f"a message has at most {MAX_MESSAGE_BYTES} bytes")
        if len(message) <= MAX_BYTES_IN_LOOP:
            return respond(inventory, message, MAX_ANSWER_BYTES)
        return await blocking(self._all.limiter, respond, inventory, message, MAX_ANSWER_BYTES)

    def _items(self) -> int:
        return sum(len(session.inventory) for session in self._own.values())
