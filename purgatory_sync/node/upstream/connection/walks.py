"""Walks back through what one relay has, over one connection: few at once, each to its end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeAlias

import attrs
import trio

from ....nostr.event import Event
from ....nostr.filters import Filter
from ..state.refusals import Meaning, meaning_of
from ..state.relay_health import Trouble
from ..state.relay_limits import POLICY_SECS, Form, shape_of, values_of
from .auth_proof import Proof
from .history import BackfillPages, Below, IdBatch, Shown, Walk, in_batches
from .misbehaviour import Wrong
from .reconciler import Reconciler
from .relay_connection import Line
from .relay_messages import close, request

SILENCE_SECS, PAGE_SECS = 30.0, 600.0
# A NOTICE answers no question by name: one that goes on coming was not refused.
NOTICE_SECS: Final = 5.0
# Ids that the relay named and did not deliver are asked for again, so often and so many.
FIRST_AGAIN_SECS, LAST_AGAIN_SECS, MAX_TRIES, MAX_AGAIN = 30.0, 900.0, 6, 5_000
# A relay that answers slower than the walks come; a new connection asks for all little by little.
MAX_WALKS = 5_000
LITTLE_BY_LITTLE = 200
MAX_UNANSWERED_IN_A_ROW = 6
SILENT: Final = "a page was not answered to its end"


Todo: TypeAlias = BackfillPages | Below


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


@attrs.define(eq=False)
class _UnderWay:
    """A walk that was not asked to its end.

    Attributes:
      since: how far back it goes.
      whole: whether it is reconciled without `since`.
      begun: whether what is newest was asked for; then another walk does not come for nothing.
      again: whether it was wanted once more meanwhile.
    """

    condition: Filter
    since: int | None
    whole: bool
    begun: bool = False
    again: bool = False


class Walks:
    """The walks of one connection.

    Args:
      reconciler: asked first what is lacking.
      proof: where the relay wants to know who asks.
      caught_up: called whenever no walk is left to end.
      make_room: ends live subscriptions beyond what the relay allows; whether it allows fewer now.
    """

    def __init__(
        self,
        line: Line,
        reconciler: Reconciler,
        proof: Proof,
        caught_up: Callable[[], None],
        make_room: Callable[[], Awaitable[bool]],
    ) -> None:
        self._line = line
        self._limits = line.record.limits
        self._reconciler = reconciler
        self._proof = proof
        self._caught_up = caught_up
        self._make_room = make_room
        self._pages: dict[str, _Page] = {}
        self._under_way: dict[Any, _UnderWay] = {}
        # Of these shapes nothing was answered over the last connection.
        self._never_answered = set(self._limits.refused)
        self._limits.new_connection()
        self._probes: defaultdict[str, trio.Lock] = defaultdict(trio.Lock)
        self._number = 0
        self._unanswered_in_a_row = 0
        self._places = trio.CapacityLimiter(self._limits.walks)
        self._left = 0
        self._resting = 0
        self._behind = 0
        self._fewer = trio.Event()
        self._fetching = 0
        self._awaited = 0
        self._answered = False
        self._behind_since: float | None = None

    @property
    def fetching(self) -> bool:
        """Whether there are ids that the relay was or is to be asked for, and has not answered."""
        return self._fetching > 0

    @property
    def behind_since(self) -> float | None:
        """Unix seconds since when there were walks at any time; None when all have ended."""
        return self._behind_since

    @property
    def answered(self) -> bool:
        """Whether a page was answered to its end."""
        return self._answered

    @property
    def standing(self) -> int:
        """How many pages are being answered."""
        return sum(page.heard_at > page.begun_at for page in self._pages.values())

    def begin(
        self,
        nursery: trio.Nursery,
        conditions: Iterable[Filter],
        since: int | None,
        *,
        whole: bool = False,
    ) -> None:
        """Walk through all that matches, back to `since` (Unix seconds) or to the beginning.

        What is under way or refused already is not asked for by a second walk.

        Args:
          whole: where negentropy is spoken all is reconciled, however old.
        """
        for condition in conditions:
            self._begin_one(nursery, condition, since, whole=whole)

    def begin_all(self, nursery: trio.Nursery, all_pages: Iterable[BackfillPages]) -> None:
        """Ask for these pages, each of them to its end."""
        for pages in all_pages:
            if self._has_room():
                self._note_begun(pages)
                nursery.start_soon(self._go, nursery, pages)

    def begin_slowly(
        self,
        nursery: trio.Nursery,
        all_conditions: Iterable[Iterable[Filter]],
        since: int | None,
        *,
        whole: bool = False,
    ) -> None:
        """As `begin`, however many there are; some are begun when others have ended."""
        walks = (each for conditions in all_conditions for each in conditions)
        self._note_behind()
        nursery.start_soon(self._begin_little_by_little, nursery, walks, since, whole)

    async def _begin_little_by_little(
        self, nursery: trio.Nursery, walks: Iterable[Filter], since: int | None, whole: bool
    ) -> None:
        for condition in walks:
            while self._left - self._resting > LITTLE_BY_LITTLE:
                await self._fewer.wait()
            self._begin_one(nursery, condition, since, whole=whole)
        self._note_less_behind()

    def _begin_one(
        self, nursery: trio.Nursery, condition: Filter, since: int | None, *, whole: bool
    ) -> None:
        shape = shape_of(condition)
        if shape in self._never_answered:
            since = None
        key = (shape, values_of(condition), condition.kinds)
        if (walk := self._under_way.get(key)) is not None:
            walk.since = None if since is None or walk.since is None else min(since, walk.since)
            walk.again, walk.whole = walk.begun, walk.whole or whole
            return
        if self._has_room():
            walk = self._under_way[key] = _UnderWay(condition, since, whole)
            self._note_begun()
            nursery.start_soon(self._go_until_done, nursery, key, walk)

    def _has_room(self) -> bool:
        if self._left - self._resting >= MAX_WALKS:
            self._line.end(Trouble.TIMEOUT, "too slow")
            return False
        return True

    def _note_begun(self, pages: BackfillPages | None = None) -> None:
        self._left += 1
        self._fetching += isinstance(pages, IdBatch)
        self._note_behind()

    def _note_behind(self) -> None:
        if self._behind == 0:
            self._behind_since = self._line.common.clock.now()
        self._behind += 1

    def _note_ended(self) -> None:
        self._left -= 1
        self._note_less_behind()

    def _note_less_behind(self) -> None:
        self._behind -= 1
        if self._behind == 0:
            self._behind_since = None
            self._caught_up()
        self._note_fewer()

    def _note_fewer(self) -> None:
        self._fewer.set()
        self._fewer = trio.Event()

    def has(self, name: str) -> bool:
        """Whether this subscription is a page."""
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

    def noticed(self, nursery: trio.Nursery, text: str, *, at_once: bool) -> bool:
        """A NOTICE may refuse pages that were not answered; whether there are any."""
        waiting = [page for page in self._pages.values() if not page.ended.is_set()]
        for page in waiting:
            if at_once:
                page.fail(text)
            else:
                nursery.start_soon(self._fail_later, page, page.heard_at, text)
        return bool(waiting)

    async def _fail_later(self, page: _Page, heard_at: float, text: str) -> None:
        await trio.sleep(NOTICE_SECS)
        if page.heard_at == heard_at:
            page.fail(text)

    async def _go_until_done(self, nursery: trio.Nursery, key: Any, walk: _UnderWay) -> None:
        while True:
            walk.again = False
            todo: list[Todo] = [Walk(walk.condition, walk.since, whole=walk.whole)]
            await self._work_off(nursery, todo, walk)
            if not walk.again:
                break
            walk.begun = False
        del self._under_way[key]
        self._note_ended()

    async def _go(self, nursery: trio.Nursery, pages: BackfillPages) -> None:
        await self._work_off(nursery, [pages])
        self._note_ended()

    async def _work_off(
        self, nursery: trio.Nursery, todo: list[Todo], walk: _UnderWay | None = None
    ) -> None:
        """Ask for the last of these until none is left; what is cut or learnt meanwhile, too."""
        while todo:
            pages = todo.pop()
            if isinstance(pages, Below):
                todo += pages.walks()
                continue
            more = await self._step(pages, walk)
            self._fetching += sum(isinstance(each, IdBatch) for each in more)
            self._fetching -= isinstance(pages, IdBatch)
            if isinstance(pages, IdBatch) and not more:
                self._miss(nursery, pages)
            todo += reversed(more)

    async def _step(self, pages: BackfillPages, walk: _UnderWay | None) -> list[Todo]:
        """Ask for pages; returns what is to be asked for then, the same where that was refused."""
        shape = shape_of(pages.question)
        form = self._limits.form(shape)
        if form.refused_until is None:
            return await self._try(pages, form, walk)
        # All else that is to be asked in this form waits for the one that tries it.
        self._resting += 1
        self._note_less_behind()
        try:
            async with self._probes[shape]:
                await self._sleep_until(form.refused_until)
                self._resting -= 1
                self._note_behind()
                return await self._try(pages, form, walk)
        finally:
            self._note_fewer()

    async def _sleep_until(self, moment: float | None) -> None:
        if moment is not None:
            await trio.sleep(min(max(0.0, moment - self._now()), POLICY_SECS))

    async def _try(self, pages: BackfillPages, form: Form, walk: _UnderWay | None) -> list[Todo]:
        given = self._proof.given
        self._places.total_tokens = self._limits.walks
        async with self._places:
            if parts := pages.cut(form):
                return [*parts]
            if walk is not None:
                walk.begun = True
            failure, more = await self._history(pages)
        if failure is None:
            form.answered()
            self._never_answered.discard(shape_of(pages.question))
            return more
        self._line.log.info("history cut short", error=failure)
        await self._refused(pages, form, failure, given)
        return [pages]

    async def _refused(self, pages: BackfillPages, form: Form, failure: str, given: int) -> None:
        """Find another way to ask, or rest."""
        meaning = meaning_of(failure)
        if meaning is Meaning.PROOF:
            if await self._proof.gain(given):
                return
            failure = self._proof.why_not or failure
        elif meaning is Meaning.RATE:
            return self._line.limited(f"history: {failure}")
        elif meaning is Meaning.PLACES:
            if await self._make_room():
                return
        else:
            if failure == SILENT:
                self._silent(pages.question, form)
                self._line.complain(Trouble.TIMEOUT, f"history: {failure}")
            wants_kinds = meaning is Meaning.KINDS
            if form.refused(pages.question, failure, wants_kinds=wants_kinds):
                return
        if failure != SILENT:
            self._line.complain(Trouble.REFUSED, f"history: {failure}")
        if form.refused_until is None or form.refused_until <= self._now():
            form.reason = failure
            by_policy = meaning not in (Meaning.FORM, Meaning.PROOF, Meaning.PLACES)
            form.refuse(self._now(), by_policy=by_policy)

    def _silent(self, question: Filter, form: Form) -> None:
        """The relay does not answer: is it this question, or every one?"""
        count = len(values_of(question))
        if count > form.values:
            return
        self._limits.ask_less(max(1, count // 4))
        self._unanswered_in_a_row += 1
        if self._unanswered_in_a_row >= MAX_UNANSWERED_IN_A_ROW:
            self._line.end(Trouble.MISBEHAVED, f"{SILENT}, again and again")

    async def _history(self, pages: BackfillPages) -> tuple[str | None, list[Todo]]:
        """Fetch what is lacking, or all: why it cannot go on, and what is to be asked for then."""
        if not isinstance(pages, Walk):
            return await self._ask(pages), []
        lacking = None if pages.plain else await self._reconciler.lacking(pages.reconciled)
        if lacking is None:
            return await self._ask(pages), []
        self._line.log.debug("history reconciled", lacking=len(lacking.ids))
        shown = Shown(lacking.oldest)
        return None, [*in_batches(lacking.ids, shown), Below(pages, shown)]

    def _miss(self, nursery: trio.Nursery, batch: IdBatch) -> None:
        """The relay named these ids, or had them once: it is asked again a few times."""
        missing = batch.missing
        if not missing:
            return
        if self._line.wrong(Wrong.UNDELIVERED, len(missing) if not batch.tries else 0):
            self._reconciler.give_up(Wrong.UNDELIVERED)
        wait = min(FIRST_AGAIN_SECS * 2**batch.tries, LAST_AGAIN_SECS)
        if batch.tries < MAX_TRIES and self._awaited + len(missing) <= MAX_AGAIN:
            self._awaited += len(missing)
            nursery.start_soon(self._ask_again, nursery, batch, wait)

    async def _ask_again(self, nursery: trio.Nursery, batch: IdBatch, wait: float) -> None:
        missing = batch.missing
        await trio.sleep(wait)
        self._awaited -= len(missing)
        self.begin_all(nursery, [IdBatch(missing, tries=batch.tries + 1)])

    async def _ask(self, pages: BackfillPages) -> str | None:
        """Ask for page after page; None at the end of them, else why it cannot go on."""
        while True:
            await self._line.turn()
            self._number += 1
            name, now = f"past{self._number}", self._line.pace.reading_time()
            page = self._pages[name] = _Page(pages, now, now)
            try:
                await self._line.send(request(name, [pages.begin_page(self._limits.page)]))
                await self._wait_for(page)
            finally:
                del self._pages[name]
            await self._line.send(close(name))
            if page.failure is not None:
                return page.failure
            self._limits.answered()
            self._answered = True
            if not pages.page_ended():
                if pages.endless:
                    self._line.end(Trouble.MISBEHAVED, "its history has no end")
                return None

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

    def _now(self) -> float:
        return self._line.common.clock.now()
