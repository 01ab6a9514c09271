"""Asking one relay what we lack by negentropy, where it offers that (NIP-77)."""

from __future__ import annotations

from typing import Final

import attrs
import trio

from ....nostr.filters import Filter
from ....nostr.reconciliation.inventory import Inventory
from ....nostr.reconciliation.negentropy import Difference, InvalidNegentropy, advance, open_message
from ....runtime.blocking import blocking
from ..state.refusals import Meaning, meaning_of
from ..state.relay_health import Trouble
from ..state.relay_limits import RELATED_KINDS
from ..state.walk_progress import FULL_EVERY_SECS
from .auth_proof import Proof
from .relay_connection import Line
from .relay_messages import Reconciled, neg_close, neg_message, neg_open

# Beyond either, pages by REQ are as good.
MAX_ITEMS, MAX_NEEDED = 100_000, 20_000
# With all relays together; an item takes 72 bytes.
MAX_ALL_ITEMS = 1_000_000
MAX_ROUNDS = 200
# In hex this is half of what relays take at least.
MAX_MESSAGE_BYTES = 16 * 1024
MAX_BYTES_IN_LOOP = 8 * 1024
SILENCE_SECS, PROBE_SECS, ALL_ROUNDS_SECS = 30.0, 10.0, 600.0
# No event has this id: a cheap question that shows whether the relay knows how to answer.
PROBE: Final = Filter(ids=frozenset({"0" * 64}))
# What a NOTICE holds that answers a message which the relay does not know.
HINTS: Final = ("neg", "known", "invalid", "support", "recogni", "bad msg")


class _Refused(Exception):
    """The relay does not answer this question, with its reason or empty."""


class _Broken(Exception):
    """The relay does not answer as it should."""


@attrs.define(eq=False)
class _Conversation:
    heard: trio.Event = attrs.field(factory=trio.Event)
    answer: Reconciled | None = None

    def expect(self) -> None:
        """From now on the next answer counts."""
        self.heard, self.answer = trio.Event(), None


@attrs.frozen
class Lacking:
    """What a relay has beyond what is here.

    Attributes:
      oldest: `created_at` of the oldest event that both have; None where there is none.
    """

    ids: list[str]
    oldest: int | None


class Reconciler:
    """Conversations with one relay over one connection.

    A relay that answers badly is asked by pages for a day; one whose rounds do not end is left.
    """

    def __init__(self, line: Line, proof: Proof) -> None:
        self._line = line
        self._proof = proof
        self._shared = line.common.shared
        self._open: dict[str, _Conversation] = {}
        self._number = 0
        self._probed: _Conversation | None = None
        self._offers: bool | None = None if self._shared is not None else False
        self._probing = trio.Lock()
        self._limiter = trio.CapacityLimiter(1)

    async def lacking(self, condition: Filter) -> Lacking | None:
        """Matching events that the relay has and we neither serve, hold nor refused.

        None where pages have to tell: the relay does not offer it, or it would be too much.
        Cancelled, the relay may keep its side until the connection ends.
        """
        offered, shared = await self._offered(), self._shared
        self._line.record.health.history = "negentropy" if offered else "req"
        if shared is None or not offered:
            return None
        inventory = await shared.local.inventory(condition, MAX_ITEMS + 1)
        if len(inventory) > MAX_ITEMS or shared.items + len(inventory) > MAX_ALL_ITEMS:
            return None
        shared.items += len(inventory)
        try:
            found = await self._converse(condition, inventory)
        finally:
            shared.items -= len(inventory)
        if found is None:
            return None
        local = shared.local
        needed = [each for each in found.ids if not local.holds(each) and not shared.knows(each)]
        return Lacking(needed, found.oldest)

    def give_up(self, why: str) -> None:
        """Ask this relay by pages for a day, and say so."""
        self._offers = False
        now = self._line.common.clock.now()
        self._line.record.progress.plain_until = now + FULL_EVERY_SECS
        self._remember()
        self._line.complain(Trouble.MISBEHAVED, f"negentropy: {why}")

    def heard(self, message: Reconciled) -> bool:
        """The relay answers; whether that belongs to a conversation."""
        conversation = self._open.get(message.subscription)
        if conversation is None:
            return False
        conversation.answer = message
        conversation.heard.set()
        return True

    def refused(self, text: str) -> None:
        """The relay says a sentence that belongs to nothing: it may not know what we asked."""
        if self._probed is not None and any(hint in text.lower() for hint in HINTS):
            self._probed.heard.set()

    async def _offered(self) -> bool:
        async with self._probing:
            if self._offers is None:
                self._recall()
                self._offers = await self._probe()
                if not self._offers:
                    self._remember()
            return self._offers

    def _recall(self) -> None:
        """Know what a run before a restart found out."""
        record, shared = self._line.record, self._shared
        if shared is not None:
            before = shared.local.pages_until(record.url)
            record.progress.plain_until = max(record.progress.plain_until, before)

    def _remember(self) -> None:
        """Once it is clear: while the relay is asked, it may be we who end."""
        if self._shared is not None:
            record = self._line.record
            self._shared.local.ask_by_pages(record.url, record.progress.plain_until)

    async def _probe(self) -> bool:
        progress, now = self._line.record.progress, self._line.common.clock.now()
        if progress.is_asked_plainly(now):
            return False
        # Before it is asked: some relays hang up over what they do not know.
        progress.plain_until = now + FULL_EVERY_SECS
        condition = PROBE
        while True:
            given = self._proof.given
            name, self._probed = self._begin()
            try:
                first = open_message(Inventory())
                await self._ask(self._probed, neg_open(name, condition, first), PROBE_SECS)
                break
            except _Refused as refusal:
                meaning = meaning_of(str(refusal))
                if meaning is Meaning.KINDS and condition is PROBE:
                    condition = attrs.evolve(PROBE, kinds=RELATED_KINDS)
                elif meaning is not Meaning.PROOF or not await self._proof.gain(given):
                    return False
            except _Broken:
                return False
            finally:
                del self._open[name]
                self._probed = None
        await self._line.send(neg_close(name))
        progress.plain_until = 0.0
        return True

    async def _converse(self, condition: Filter, inventory: Inventory) -> Lacking | None:
        await self._line.turn()
        name, conversation = self._begin()
        needed = None
        try:
            needed = await self._reconcile(name, conversation, condition, inventory)
        except _Refused:
            pass
        except (_Broken, InvalidNegentropy) as error:
            self.give_up(str(error))
        finally:
            del self._open[name]
        await self._line.send(neg_close(name))
        return needed

    async def _reconcile(
        self, name: str, conversation: _Conversation, condition: Filter, inventory: Inventory
    ) -> Lacking | None:
        """All ids that we lack, in the order in which they were learnt; None: too many."""
        needed: dict[str, None] = {}
        ours_alone: set[str] = set()
        ask = neg_open(name, condition, open_message(inventory))
        ends = self._line.pace.reading_time() + ALL_ROUNDS_SECS
        for _ in range(MAX_ROUNDS):
            if self._line.pace.reading_time() >= ends:
                break
            answer = await self._ask(conversation, ask, SILENCE_SECS)
            message, difference = await self._advance(inventory, answer)
            needed |= dict.fromkeys(difference.need)
            ours_alone.update(difference.have)
            if len(needed) > MAX_NEEDED:
                return None
            if message is None:
                return Lacking([*needed], inventory.oldest_but(ours_alone))
            ask = neg_message(name, message)
        self.give_up("rounds without end")
        self._line.end(Trouble.MISBEHAVED, "its negentropy has rounds without end")
        return None

    def _begin(self) -> tuple[str, _Conversation]:
        self._number += 1
        name = f"neg{self._number}"
        conversation = self._open[name] = _Conversation()
        return name, conversation

    async def _ask(self, conversation: _Conversation, message: str, secs: float) -> bytes:
        conversation.expect()
        await self._line.send(message)
        pace = self._line.pace
        until = pace.reading_time() + secs
        while (left := until - pace.reading_time()) > 0:
            with trio.move_on_after(left):
                await conversation.heard.wait()
                break
        answer = conversation.answer
        if answer is None:
            raise _Broken("no answer")
        if answer.message is None:
            raise _Refused(answer.reason)
        return answer.message

    async def _advance(
        self, inventory: Inventory, answer: bytes
    ) -> tuple[bytes | None, Difference]:
        if len(answer) <= MAX_BYTES_IN_LOOP:
            return advance(inventory, answer, MAX_MESSAGE_BYTES)
        return await blocking(self._limiter, advance, inventory, answer, MAX_MESSAGE_BYTES)
