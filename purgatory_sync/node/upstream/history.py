"""Walking back through what a relay has, page by page, with `until` (NIP-01)."""

from __future__ import annotations

import attrs

from ...nostr.event import Event
from ...nostr.filters import Filter

PAGE_EVENTS = 500
MAX_PAGES = 1_000


class Walk:
    """One filter's way back; no I/O.

    `until` is inclusive, so that events of one second that a page cuts apart come with the next;
    a page that brings nothing new is the end, unless it is as full as any: then the second holds
    more than a page, and the walk goes on below it.

    Args:
      condition: what is asked for.
      since: Unix seconds below which nothing is asked for, or None.
    """

    def __init__(self, condition: Filter, since: int | None = None) -> None:
        self.page = attrs.evolve(condition, since=since, limit=PAGE_EVENTS)
        self._pages = 0
        self._fullest = 0
        self._at_until: frozenset[str] = frozenset()
        self._reset()

    def _reset(self) -> None:
        self._count = 0
        self._news = False
        self._oldest: int | None = None
        self._ids_at_oldest: set[str] = set()

    def received(self, event: Event) -> None:
        """Note an event of the page; it matches the filter."""
        self._count += 1
        self._news |= event.created_at != self.page.until or event.id not in self._at_until
        if self._oldest is None or event.created_at < self._oldest:
            self._oldest = event.created_at
            self._ids_at_oldest = set()
        if event.created_at == self._oldest:
            self._ids_at_oldest.add(event.id)

    @property
    def overfull(self) -> bool:
        """Whether the relay sends far more than was asked for."""
        return self._count > 100 * PAGE_EVENTS

    def restart_page(self) -> None:
        """The page was cut short; it is asked for again."""
        self._reset()

    def page_ended(self) -> bool:
        """Whether there is another page to ask for; `page` is its filter then."""
        self._pages += 1
        if self._oldest is None or self._pages >= MAX_PAGES:
            return False
        if self._news:
            until, at_until = self._oldest, frozenset(self._ids_at_oldest)
            if until == self.page.until:
                at_until |= self._at_until
        elif self._count >= self._fullest:
            until, at_until = self._oldest - 1, frozenset()
        else:
            return False
        since = self.page.since
        if until < 0 or (since is not None and until < since):
            return False
        self._fullest = max(self._fullest, self._count)
        self._at_until = at_until
        self.page = attrs.evolve(self.page, until=until)
        self._reset()
        return True
