"""Relays that do not answer by negentropy: what an earlier run found out (B 10.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ..records import ServerNote
from ..runtime.bounded import Bounded

MAX_RELAYS: Final = 1_200
"""As many as are followed and remembered after that."""
_PAGES: Final = "pages "


class RelayNotes:
    """Until when a relay is asked by pages only, kept over a restart; bounded.

    Attributes:
      on_note: called with a key and what is worth remembering beyond a restart, or None where that
        is over.
    """

    def __init__(self, on_note: Callable[[str, str | None], None]) -> None:
        self.on_note = on_note
        self._until: Bounded[str, float] = Bounded(MAX_RELAYS)

    def restore(self, notes: Iterable[ServerNote], now: float) -> list[ServerNote]:
        """Take back what concerns relays; returns the other notes.

        What cannot be read, or is over, is forgotten. `now` in Unix seconds.
        """
        others = []
        for note in notes:
            url = note.key.removeprefix(_PAGES)
            if url == note.key:
                others.append(note)
            elif (until := _number(note.text)) > now:
                self._keep(url, until)
            else:
                self.on_note(note.key, None)
        return others

    def pages_until(self, url: str) -> float:
        """Unix seconds until which the relay is asked by pages only; 0 where that is not known."""
        return self._until.get(url) or 0.0

    def ask_by_pages(self, url: str, until: float) -> None:
        """Remember that the relay does not answer NEG-OPEN; `until` in Unix seconds."""
        if self._until.get(url) != until:
            self._keep(url, until)
            self.on_note(f"{_PAGES}{url}", str(until))

    def _keep(self, url: str, until: float) -> None:
        for gone, _ in self._until.put(url, until):
            self.on_note(f"{_PAGES}{gone}", None)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
