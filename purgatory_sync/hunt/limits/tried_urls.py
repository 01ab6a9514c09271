"""Which URLs were asked for which objects: the hunt's memory of what is tried (B 8.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from .sources import domain_of

_NONE: frozenset[str] = frozenset()


@attrs.define(eq=False)
class TriedUrls:
    """By URL, the OIDs it was asked for; a URL is untried for all others.

    Which ones wanted to be left alone (429, 503) is known too: they come after all others.
    """

    _asked: dict[str, frozenset[str]] = attrs.field(factory=dict)
    _limited: dict[str, None] = attrs.field(factory=dict)

    def __contains__(self, url: str) -> bool:
        return url in self._asked

    def __iter__(self) -> Iterator[str]:
        return iter(self._asked)

    def __len__(self) -> int:
        return len(self._asked)

    def mark(self, url: str, oids: Iterable[str]) -> None:
        """The URL was asked for these."""
        self._asked[url] = self._asked.get(url, _NONE).union(oids)

    def untried(self, url: str, oids: frozenset[str]) -> frozenset[str]:
        """Those of the OIDs for which the URL was not asked yet."""
        asked = self._asked.get(url)
        return oids - asked if asked else oids

    def note_limited(self, url: str) -> None:
        """The URL wants to be left alone for a while, which does not make it tried (B 8.6)."""
        self._limited[url] = None

    def was_limited(self, url: str) -> bool:
        """Whether the URL wanted to be left alone when it was asked last."""
        return url in self._limited

    def merge(self, other: TriedUrls) -> None:
        """Take over what the other knows."""
        self._limited |= other._limited
        for url, oids in other._asked.items():
            self.mark(url, oids)

    def for_domain(self, domain: str) -> TriedUrls:
        """A copy that knows the URLs of one domain only."""
        return TriedUrls(
            {u: oids for u, oids in self._asked.items() if domain_of(u) == domain},
            {u: None for u in self._limited if domain_of(u) == domain},
        )
