"""What a relay has, page by page: back through time with `until`, or by ids (NIP-01)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

import attrs

from ....nostr.event import Event
from ....nostr.filters import Filter
from ..state.relay_limits import PAGE_EVENTS, Form

MAX_PAGES = 1_000
OVERFULL_PAGES = 100


class BackfillPages(ABC):
    """What is asked for page by page."""

    _count = 0

    @property
    @abstractmethod
    def question(self) -> Filter:
        """What is asked for from here on."""

    @abstractmethod
    def cut(self, form: Form) -> Sequence[Self]:
        """The same in forms that the relay takes; empty when it takes it as it is."""

    @abstractmethod
    def begin_page(self, most: int = PAGE_EVENTS) -> Filter:
        """The filter to ask for, of so many events; the same once more when it was cut short."""

    @abstractmethod
    def received(self, event: Event) -> bool:
        """Note an event of the page; False when the page does not ask for it."""

    @property
    def overfull(self) -> bool:
        """Whether the relay sends far more than was asked for."""
        return self._count > OVERFULL_PAGES * PAGE_EVENTS

    @property
    @abstractmethod
    def endless(self) -> bool:
        """Whether there were more pages than any history has."""

    @abstractmethod
    def page_ended(self) -> bool:
        """Whether there is another page to ask for."""


class Walk(BackfillPages):
    """One filter's way back; no I/O.

    `until` is inclusive, so that the events of a second that a page cuts apart come with the next
    one. A page that holds nothing older than its `until` is the last one, unless it is as full as
    any before: then that second has more events than a page, and the walk goes on below it.

    Args:
      condition: what is asked for.
      since: Unix seconds below which nothing is asked for, or None.
      whole: whether it is reconciled without `since`, where negentropy is spoken.
      plain: it is not reconciled.

    Attributes:
      condition: with `since`, and without the limits of a page.
    """

    def __init__(
        self,
        condition: Filter,
        since: int | None = None,
        *,
        whole: bool = False,
        plain: bool = False,
    ) -> None:
        self.whole, self.plain = whole, plain
        self.condition = attrs.evolve(condition, since=since, limit=None)
        self._page = attrs.evolve(self.condition, limit=PAGE_EVENTS)
        self._pages = 0
        self._fullest = 0
        self._oldest: int | None = None

    @property
    def question(self) -> Filter:
        """What is asked for from here on."""
        return attrs.evolve(self._page, limit=None)

    def cut(self, form: Form) -> list[Walk]:
        """The same in forms that the relay takes; empty when it takes it as it is."""
        asked = self.question
        fitting = form.fit(asked)
        if fitting == [asked]:
            return []
        return [Walk(each, each.since, whole=self.whole, plain=self.plain) for each in fitting]

    @property
    def reconciled(self) -> Filter:
        """What is reconciled."""
        return attrs.evolve(self.condition, since=None) if self.whole else self.condition

    def begin_page(self, most: int = PAGE_EVENTS) -> Filter:
        """The filter to ask for, of so many events; the same once more when it was cut short."""
        self._count = 0
        self._oldest = None
        return attrs.evolve(self._page, limit=most)

    def received(self, event: Event) -> bool:
        """Note an event of the page; False when the page does not ask for it."""
        if not self._page.matches(event):
            return False
        self._count += 1
        if self._oldest is None or event.created_at < self._oldest:
            self._oldest = event.created_at
        return True

    @property
    def endless(self) -> bool:
        """Whether there were more pages than any history has."""
        return self._pages >= MAX_PAGES

    def page_ended(self) -> bool:
        """Whether there is another page to ask for."""
        self._pages += 1
        if self._oldest is None or self.endless:
            return False
        until = self._oldest
        if until == self._page.until:
            if self._count < self._fullest:
                return False
            until -= 1
        if until < (self._page.since or 0):
            return False
        self._fullest = max(self._fullest, self._count)
        self._page = attrs.evolve(self._page, until=until)
        return True


@attrs.define
class Shown:
    """What a relay showed of what matches a filter.

    Attributes:
      oldest: Unix seconds; None where it showed nothing.
    """

    oldest: int | None

    def note(self, event: Event) -> None:
        """It has this event."""
        oldest = event.created_at if self.oldest is None else self.oldest
        self.oldest = min(oldest, event.created_at)


@attrs.frozen
class Below:
    """What lies below the oldest event that reconciling showed: some relays reconcile only so much.

    Where there is nothing, one page tells.
    """

    walk: Walk
    shown: Shown

    def walks(self) -> list[Walk]:
        """Asked for when all that was named is here."""
        since, oldest = self.walk.condition.since, self.shown.oldest
        looked_at_gap_only = since is not None and not self.walk.whole
        if oldest is None or oldest <= (since or 0) or looked_at_gap_only:
            return []
        condition = attrs.evolve(self.walk.condition, until=oldest - 1)
        return [Walk(condition, since, plain=True)]


class IdBatch(BackfillPages):
    """Ids that are fetched, asked for again while some of them come; no I/O.

    Attributes:
      tries: how often they were asked for in vain before.
    """

    def __init__(
        self,
        ids: Iterable[str],
        of_kinds: frozenset[int] | None = None,
        tries: int = 0,
        shown: Shown | None = None,
    ) -> None:
        self.tries = tries
        self._shown = shown
        self._left = frozenset(ids)
        self._kinds = of_kinds
        self._came: set[str] = set()

    @property
    def question(self) -> Filter:
        """What is asked for from here on."""
        return Filter(ids=self._left - self._came, kinds=self._kinds)

    def cut(self, form: Form) -> list[IdBatch]:
        """The same in forms that the relay takes; empty when it takes it as it is."""
        asked = self.question
        fitting = form.fit(asked)
        if fitting == [asked]:
            return []
        return [IdBatch(each.ids or (), each.kinds, self.tries, self._shown) for each in fitting]

    def begin_page(self, most: int = PAGE_EVENTS) -> Filter:
        """The filter to ask for; what came meanwhile is not asked for once more."""
        self._left -= self._came
        self._came = set()
        self._count = 0
        return Filter(ids=self._left, kinds=self._kinds, limit=PAGE_EVENTS)

    def received(self, event: Event) -> bool:
        """Note an event of the page; False when the page does not ask for it."""
        if event.id not in self._left:
            return False
        self._came.add(event.id)
        if self._shown is not None:
            self._shown.note(event)
        self._count += 1
        return True

    @property
    def endless(self) -> bool:
        """Never: each page but the last one brings some of the ids."""
        return False

    @property
    def missing(self) -> frozenset[str]:
        """The ids that did not come so far."""
        return self._left - self._came

    def page_ended(self) -> bool:
        """Whether some came and some are left: relays may yield less than was asked for."""
        return bool(self._came) and len(self._came) < len(self._left)


def in_batches(ids: Sequence[str], shown: Shown | None = None) -> Iterator[IdBatch]:
    """Cut ids so that each page asks for no more than it may yield; `shown` notes what comes."""
    for start in range(0, len(ids), PAGE_EVENTS):
        yield IdBatch(ids[start : start + PAGE_EVENTS], shown=shown)
