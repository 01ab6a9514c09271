"""Walking back through what a relay has, page by page, with `until` (NIP-01)."""

from __future__ import annotations

import attrs

from ...nostr.event import Event
from ...nostr.filters import Filter

PAGE_EVENTS = 500
MAX_PAGES = 1_000
OVERFULL_PAGES = 100


class Walk:
    """One filter's way back; no I/O.

    `until` is inclusive, so that the events of a second that a page cuts apart come with the next
    one. A page that holds nothing older than its `until` is the last one, unless it is as full as
    any before: then that second has more events than a page, and the walk goes on below it.

    Args:
      condition: what is asked for.
      since: Unix seconds below which nothing is asked for, or None.
    """

    def __init__(self, condition: Filter, since: int | None = None) -> None:
        self._page = attrs.evolve(condition, since=since, limit=PAGE_EVENTS)
        self._pages = 0
        self._fullest = 0
        self._count = 0
        self._oldest: int | None = None

    def begin_page(self) -> Filter:
        """The filter to ask for; the same page once more when it was cut short."""
        self._count = 0
        self._oldest = None
        return self._page

    def received(self, event: Event) -> bool:
        """Note an event of the page; False when the page does not ask for it."""
        if not self._page.matches(event):
            return False
        self._count += 1
        if self._oldest is None or event.created_at < self._oldest:
            self._oldest = event.created_at
        return True

    @property
    def overfull(self) -> bool:
        """Whether the relay sends far more than was asked for."""
        return self._count > OVERFULL_PAGES * PAGE_EVENTS

    def page_ended(self) -> bool:
        """Whether there is another page to ask for."""
        self._pages += 1
        if self._oldest is None or self._pages >= MAX_PAGES:
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
