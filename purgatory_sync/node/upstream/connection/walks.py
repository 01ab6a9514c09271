"""Walks back through what one relay has, over one connection: few at once, each to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import attrs
import trio

from ....nostr.event import Event
from ....nostr.filters import Filter
from ..state.relay_health import Trouble
from .auth_proof import REQUIRED, Proof
from .history import BackfillPages, IdBatch, Walk, in_batches
from .misbehaviour import Wrong
from .reconciler import Reconciler
from .relay_connection import Line
from .relay_messages import close, request

WALKS_AT_ONCE = 4
SILENCE_SECS, PAGE_SECS = 30.0, 600.0
RETRY_SECS, MAX_RETRY_SECS = 60.0, 3600.0
# A relay that answers slower than the walks come; a new connection asks for all little by little.
MAX_WALKS = 5_000
LITTLE_BY_LITTLE = 200
MAX_UNANSWERED_IN_A_ROW = 6
SILENT: Final = "a page was not answered to its end"


@attrs.define(eq=False)
class _Page:
    pages: BackfillPages
    begun_at: float
    heard_at: float
    ended: trio.Event = attrs.field(factory=trio.Event)
    failure: str | None = None

    def fail(self, why: str) -> None:
        # Some relays say CLOSED behind EOSE when all ids came that were asked for.
        if not self.ended.is_set():
            self.failure = why
            self.ended.set()


class Walks:
    """The walks of one connection.

    Args:
      reconciler: asked first what is lacking.
      proof: where the relay wants to know who asks.
      caught_up: called whenever no walk is left to end.
    """

    def __init__(
        self, line: Line, reconciler: Reconciler, proof: Proof, caught_up: Callable[[], None]
    ) -> None:
        self._line = line
        self._reconciler = reconciler
        self._proof = proof
        self._caught_up = caught_up
        self._pages: dict[str, _Page] = {}
        self._number = 0
        self._unanswered_in_a_row = 0
        self._places = trio.CapacityLimiter(WALKS_AT_ONCE)
        self._left = 0
        self._resting = 0
        self._fewer = trio.Event()
        self._fetching = 0
        self._behind_since: float | None = None

    @property
    def fetching(self) -> bool:
        """Whether there are ids that the relay was or is to be asked for, and has not answered."""
        return self._fetching > 0

    @property
    def behind_since(self) -> float | None:
        """Unix seconds since when there were walks at any time; None when all have ended."""
        return self._behind_since

    def begin(self, nursery: trio.Nursery, conditions: Iterable[Filter], since: int | None) -> None:
        """Walk through all that matches, back to `since` (Unix seconds) or to the beginning."""
        self.begin_all(nursery, (Walk(condition, since) for condition in conditions))

    def begin_all(self, nursery: trio.Nursery, all_pages: Iterable[BackfillPages]) -> None:
        """Ask for these pages, each of them to its end."""
        for pages in all_pages:
            if self._left >= MAX_WALKS:
                self._line.end(Trouble.TIMEOUT, "too slow")
                return
            self._begin_one(nursery, pages)

    def begin_slowly(
        self, nursery: trio.Nursery, all_conditions: Iterable[Iterable[Filter]], since: int | None
    ) -> None:
        """As `begin`, however many there are; some are begun when others have ended."""
        walks = (Walk(each, since) for conditions in all_conditions for each in conditions)
        self._note_begun()
        nursery.start_soon(self._begin_little_by_little, nursery, walks)

    async def _begin_little_by_little(self, nursery: trio.Nursery, walks: Iterable[Walk]) -> None:
        for walk in walks:
            while self._left - self._resting > LITTLE_BY_LITTLE:
                await self._fewer.wait()
            self._begin_one(nursery, walk)
        self._note_ended()

    def _begin_one(self, nursery: trio.Nursery, pages: BackfillPages) -> None:
        self._note_begun()
        self._fetching += isinstance(pages, IdBatch)
        nursery.start_soon(self._walk, pages)

    def _note_begun(self) -> None:
        if self._left == 0:
            self._behind_since = self._line.common.clock.now()
        self._left += 1

    def _note_ended(self) -> None:
        self._left -= 1
        self._note_fewer()
        if self._left == 0:
            self._behind_since = None
            self._caught_up()

    def _note_fewer(self) -> None:
        self._fewer.set()
        self._fewer = trio.Event()

    def has(self, name: str) -> bool:
        """Whether a subscription is a page that is asked for now."""
        return name in self._pages

    def came(self, name: str, event: Event) -> bool:
        """An event of a page; False when the page does not ask for it."""
        page = self._pages[name]
        if not page.pages.received(event):
            return False
        page.heard_at = self._line.pace.reading_time()
        if page.pages.overfull:
            self._line.end(Trouble.MISBEHAVED, "it sends a page without end")
        return True

    def ended(self, name: str) -> None:
        """EOSE."""
        self._pages[name].ended.set()

    def closed(self, name: str, reason: str) -> None:
        """The relay does not answer the page, or not to its end."""
        self._pages[name].fail(reason or "closed")

    async def _walk(self, pages: BackfillPages) -> None:
        retry_secs = RETRY_SECS
        while True:
            given = self._proof.given
            async with self._places:
                failure = await self._history(pages)
            if failure is None:
                break
            if failure.startswith(REQUIRED):
                if await self._proof.gain(given):
                    continue
                failure = self._proof.why_not or failure
            self._line.log.info("history cut short", error=failure)
            trouble = Trouble.TIMEOUT if failure == SILENT else Trouble.REFUSED
            self._line.complain(trouble, f"history: {failure}")
            self._resting += 1
            self._note_fewer()
            await trio.sleep(retry_secs)
            self._resting -= 1
            retry_secs = min(2 * retry_secs, MAX_RETRY_SECS)
        self._fetching -= isinstance(pages, IdBatch)
        self._note_ended()

    async def _history(self, pages: BackfillPages) -> str | None:
        """Fetch what is lacking, or all; None at the end of history, else why it cannot go on."""
        if not isinstance(pages, Walk):
            return await self._ask(pages)
        lacking = await self._reconciler.lacking(pages.condition)
        if lacking is None:
            return await self._ask(pages)
        self._line.log.debug("history reconciled", lacking=len(lacking))
        for batch in in_batches(lacking):
            if (failure := await self._ask(batch)) is not None:
                return failure
            self._miss(batch)
        return None

    def _miss(self, batch: IdBatch) -> None:
        """The relay named these ids, so it should have them."""
        if self._line.wrong(Wrong.UNDELIVERED, batch.missing):
            self._reconciler.give_up(Wrong.UNDELIVERED)

    async def _ask(self, pages: BackfillPages) -> str | None:
        """Ask for page after page; None at the end of them, else why it cannot go on."""
        while True:
            self._number += 1
            name, now = f"past{self._number}", self._line.pace.reading_time()
            page = self._pages[name] = _Page(pages, now, now)
            try:
                await self._line.send(request(name, [pages.begin_page()]))
                await self._wait_for(page)
            finally:
                del self._pages[name]
            await self._line.send(close(name))
            if page.failure is not None or not pages.page_ended():
                if pages.endless:
                    self._line.end(Trouble.MISBEHAVED, "its history has no end")
                return page.failure

    async def _wait_for(self, page: _Page) -> None:
        """Until the page has ended; silence ends it too, but not while we ourselves are slow."""
        pace = self._line.pace
        while True:
            ends = min(page.heard_at + SILENCE_SECS, page.begun_at + PAGE_SECS)
            if (left := ends - pace.reading_time()) <= 0:
                break
            with trio.move_on_after(left):
                await page.ended.wait()
                self._unanswered_in_a_row = 0
                return
        page.fail(SILENT)
        self._unanswered_in_a_row += 1
        if self._unanswered_in_a_row >= MAX_UNANSWERED_IN_A_ROW:
            self._line.end(Trouble.MISBEHAVED, f"{SILENT}, again and again")
