"""The way in for what relays send: offered once, again when what it lacked comes (B 2.8)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

import trio

from ....nostr.event import Event
from ....runtime.bounded import Bounded
from ....runtime.logger import get_logger
from .rejected_events import Refused, Settled

OFFERS_AT_ONCE = 64
MAX_RECENT_KEYS = 50_000
MAX_ASKED_AGAIN = 10_000

log = get_logger(__name__)


class OfferAnswer(Protocol):
    """What the engine answers to an offered event."""

    @property
    def accepted(self) -> bool:
        """The boolean of OK."""

    @property
    def message(self) -> str:
        """The text of OK."""

    @property
    def lacks(self) -> tuple[str, ...]:
        """Of a refusal: what would have it judged again if it came (policy/rules/lacking.py)."""

    @property
    def transient(self) -> bool:
        """Of a refusal: whether trying again may help although nothing came that it lacked."""

    @property
    def forged(self) -> bool:
        """Whether id or signature are not those of the event."""


Offer = Callable[[Event, Literal["sync"]], Awaitable[OfferAnswer]]
Judged = Callable[[OfferAnswer], None]


def _ignore(answer: OfferAnswer) -> None:
    """Default `judged`: do nothing."""


class Intake:
    """Offers events with origin `sync`, several at once, so that one disk write serves many.

    Args:
      offer: the engine's; it verifies id and signature.
      ask_again: called with the ids of events to judge again that are known by id only.

    Attributes:
      judged: how many events were judged since the start, by result.
    """

    def __init__(self, offer: Offer, ask_again: Callable[[Sequence[str]], None]) -> None:
        self._offer = offer
        self._ask_again = ask_again
        self.judged: Counter[str] = Counter({"taken": 0, "refused": 0})
        self._slots = trio.Semaphore(OFFERS_AT_ONCE)
        self._in_hand: set[Event] = set()
        self._settled = Settled()
        self._refused = Refused()
        self._brought: Bounded[str, int] = Bounded(MAX_RECENT_KEYS)
        self._moment = 0
        self._again: list[Event] = []
        self._stirred = trio.Event()
        self._idle = trio.Event()
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the offers until cancelled; one that was begun is the engine's to end soundly."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            while True:
                await self._stirred.wait()
                self._stirred = trio.Event()
                again, self._again = self._again, []
                for event in again:
                    self._settled.discard(event)
                    await self.take(event)
                self._idle.set()

    async def settle(self) -> None:
        """Wait until all that was taken is judged, what is judged again by then too."""
        while self._in_hand or self._again:
            self._idle = trio.Event()
            await self._idle.wait()

    def knows(self, event_id: str) -> bool:
        """Whether an event was refused, and nothing came that it lacked."""
        return self._refused.knows(event_id, trio.current_time())

    def forget(self) -> None:
        """Let all that was settled or refused be offered again when it comes."""
        self._settled, self._refused = Settled(), Refused()

    async def take(self, event: Event, judged: Judged = _ignore) -> None:
        """Offer an event unless that is settled; waits for a free place, not for the answer.

        Args:
          judged: called with the answer when there is one.
        """
        if event in self._settled or event in self._in_hand or self.knows(event.id):
            return
        self._in_hand.add(event)
        try:
            await self._slots.acquire()
        except BaseException:
            self._in_hand.discard(event)
            raise
        assert self._nursery is not None, "run() comes first"  # noqa: S101
        self._nursery.start_soon(self._offer_one, event, judged)

    def brought(self, keys: Sequence[str]) -> None:
        """Judge again what lacked one of these (policy/rules/lacking.py)."""
        self._moment += 1
        for key in keys:
            self._brought.put(key, self._moment)
        again, ids = self._refused.take(keys, trio.current_time())
        if again:
            self._again += again
            self._stirred.set()
        if ids:
            self._ask_again(ids[:MAX_ASKED_AGAIN])

    async def _offer_one(self, event: Event, judged: Judged) -> None:
        try:
            while True:
                moment = self._moment
                answer = await self._offer(event, "sync")
                # What it lacked may have come while it was being judged.
                if answer.accepted or not self._came_since(moment, answer.lacks):
                    break
            self._remember(event, answer)
            self.judged["taken" if answer.accepted else "refused"] += 1
            judged(answer)
        except Exception:
            log.exception("event of a relay could not be offered", event_id=event.id)
        finally:
            self._in_hand.discard(event)
            self._slots.release()
            self._idle.set()

    def _came_since(self, moment: int, keys: Sequence[str]) -> bool:
        return any((self._brought.get(key) or 0) > moment for key in keys)

    def _remember(self, event: Event, answer: OfferAnswer) -> None:
        if not answer.accepted:
            log.debug("refused", event_id=event.id, kind=event.kind, error=answer.message)
            if answer.transient:
                return
        self._settled.add(event)
        if not answer.accepted and not answer.forged:
            # What is known by id only must be looked at when it comes again.
            for gone in self._refused.add(event, answer.lacks, trio.current_time()):
                self._settled.discard(gone)
