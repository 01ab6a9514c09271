"""Asking one relay what we lack by negentropy, where it offers that (NIP-77)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import attrs
import trio

from ...nostr.filters import Filter
from ...nostr.inventory import Inventory
from ...nostr.negentropy import Difference, InvalidNegentropy, advance, open_message
from ...runtime.blocking import blocking
from ...runtime.clock import WallClock
from .pace import Pace
from .progress import FULL_EVERY_SECS, Progress
from .wire import Reconciled, neg_close, neg_message, neg_open

# Beyond either, pages by REQ are as good.
MAX_ITEMS, MAX_NEEDED = 100_000, 20_000
# With all relays together; an item takes 72 bytes.
MAX_ALL_ITEMS = 1_000_000
MAX_ROUNDS = 200
# In hex this is half of what relays take at least.
MAX_MESSAGE_BYTES = 16 * 1024
MAX_BYTES_IN_LOOP = 8 * 1024
SILENCE_SECS, PROBE_SECS = 30.0, 10.0
# Nobody has it: a cheap question that shows whether the relay knows how to answer.
PROBE: Final = Filter(ids=frozenset({"0" * 64}))
# What a NOTICE holds that answers a message which the relay does not know.
HINTS: Final = ("neg", "known", "invalid", "support", "recogni", "bad msg")


class Local(Protocol):
    """What is here, as reconciling with relays needs it."""

    async def inventory(self, condition: Filter, limit: int) -> Inventory:
        """What is served and matches, the newest first up to the limit."""

    def holds(self, event_id: str) -> bool:
        """Whether the event is held, and so need not be fetched."""


@attrs.define(eq=False)
class Shared:
    """What the conversations with all relays share: what is here, and room for it."""

    local: Local
    items: int = 0


class _GivenUp(Exception):
    """The relay does not answer as it should."""


@attrs.define(eq=False)
class _Conversation:
    heard: trio.Event = attrs.field(factory=trio.Event)
    answer: bytes | None = None

    def expect(self) -> None:
        """From now on the next answer counts."""
        self.heard, self.answer = trio.Event(), None


class Reconciler:
    """Conversations with one relay over one connection.

    Args:
      shared: with all other relays; None: negentropy is not wanted.
      send: sends a message to the relay.
      progress: of this relay; remembers for a day that it does not offer negentropy.
      pace: of this connection, so that our own slowness is not taken for silence.
      clock: Unix seconds.
    """

    def __init__(
        self,
        shared: Shared | None,
        send: Callable[[str], Awaitable[None]],
        progress: Progress,
        pace: Pace,
        clock: WallClock,
    ) -> None:
        self._shared = shared
        self._send = send
        self._progress = progress
        self._pace = pace
        self._clock = clock
        self._open: dict[str, _Conversation] = {}
        self._number = 0
        self._probed: _Conversation | None = None
        self._offers: bool | None = None
        self._probing = trio.Lock()
        self._limiter = trio.CapacityLimiter(1)

    async def lacking(self, condition: Filter) -> list[str] | None:
        """Ids of matching events that the relay has and we neither serve nor hold.

        None where pages have to tell: the relay does not offer it, or it would be too much.
        Cancelled, the relay may keep its side until the connection ends.
        """
        shared = self._shared
        if shared is None or not await self._offered():
            return None
        inventory = await shared.local.inventory(condition, MAX_ITEMS + 1)
        if len(inventory) > MAX_ITEMS or shared.items + len(inventory) > MAX_ALL_ITEMS:
            return None
        shared.items += len(inventory)
        try:
            needed = await self._converse(condition, inventory)
        finally:
            shared.items -= len(inventory)
        return needed and [each for each in needed if not shared.local.holds(each)]

    async def _converse(self, condition: Filter, inventory: Inventory) -> list[str] | None:
        name, conversation = self._begin()
        try:
            needed = await self._reconcile(name, conversation, condition, inventory)
        except (_GivenUp, InvalidNegentropy):
            needed = None
        finally:
            del self._open[name]
        await self._send(neg_close(name))
        return needed

    def heard(self, message: Reconciled) -> None:
        """The relay answers; what belongs to no conversation is dropped."""
        if conversation := self._open.get(message.subscription):
            conversation.answer = message.message
            conversation.heard.set()

    def refused(self, text: str) -> None:
        """The relay says a sentence that belongs to nothing: it may not know what we asked."""
        if self._probed is not None and any(hint in text.lower() for hint in HINTS):
            self._probed.heard.set()

    async def _offered(self) -> bool:
        async with self._probing:
            if self._offers is None:
                self._offers = await self._probe()
            return self._offers

    async def _probe(self) -> bool:
        now = self._clock.now()
        if now < self._progress.plain_until:
            return False
        # Before it is asked: some relays hang up over what they do not know.
        self._progress.plain_until = now + FULL_EVERY_SECS
        name, self._probed = self._begin()
        try:
            first = open_message(Inventory())
            await self._ask(self._probed, neg_open(name, PROBE, first), PROBE_SECS)
        except _GivenUp:
            return False
        finally:
            del self._open[name]
            self._probed = None
        await self._send(neg_close(name))
        self._progress.plain_until = 0.0
        return True

    async def _reconcile(
        self, name: str, conversation: _Conversation, condition: Filter, inventory: Inventory
    ) -> list[str] | None:
        """All ids that we lack, in the order in which they were learnt; None: too many."""
        needed: dict[str, None] = {}
        ask = neg_open(name, condition, open_message(inventory))
        for _ in range(MAX_ROUNDS):
            answer = await self._ask(conversation, ask, SILENCE_SECS)
            message, difference = await self._advance(inventory, answer)
            needed |= dict.fromkeys(difference.need)
            if len(needed) > MAX_NEEDED:
                return None
            if message is None:
                return [*needed]
            ask = neg_message(name, message)
        return None

    def _begin(self) -> tuple[str, _Conversation]:
        self._number += 1
        name = f"neg{self._number}"
        conversation = self._open[name] = _Conversation()
        return name, conversation

    async def _ask(self, conversation: _Conversation, message: str, secs: float) -> bytes:
        conversation.expect()
        await self._send(message)
        until = self._pace.reading_time() + secs
        while (left := until - self._pace.reading_time()) > 0:
            with trio.move_on_after(left):
                await conversation.heard.wait()
                break
        if conversation.answer is None:
            raise _GivenUp
        return conversation.answer

    async def _advance(
        self, inventory: Inventory, answer: bytes
    ) -> tuple[bytes | None, Difference]:
        if len(answer) <= MAX_BYTES_IN_LOOP:
            return advance(inventory, answer, MAX_MESSAGE_BYTES)
        return await blocking(self._limiter, advance, inventory, answer, MAX_MESSAGE_BYTES)
