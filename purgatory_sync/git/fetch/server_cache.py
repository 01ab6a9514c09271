"""What earlier attempts learnt about servers, so that nothing is asked twice; bounded."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import Final

import trio

from ...records import ServerNote
from ...runtime.bounded import Bounded
from ...urls import WebUrl
from .advertisement import Server
from .fruitless import MEMORY_SECS, Fruitless, FruitlessAttempts

MAX_KNOWN: Final = 4096
MAX_STEPS: Final = 16


HABIT_SECS: Final = 30 * 24 * 3600.0
_FRUITLESS: Final = "fruitless"
_HABIT: Final = "habit"


class Habit(enum.StrEnum):
    """What a server did when a first request was not answered within seconds.

    Members:
      IN_ORDER: it answered after it was asked for info/refs: it wants git's order.
      SLOW: nor was it quick then: its first byte takes time, always.
    """

    IN_ORDER = "in order"
    SLOW = "slow"


class KnownServers:
    """Per scheme, host and port the protocol; per URL the place that it was redirected to.

    A mistake costs one request: an answer that does not fit makes the attempt learn anew.

    Attributes:
      fruitless: what brought nothing, and is not tried again while the refs are the same.
      on_note: called with a key and what is worth remembering beyond a restart, or None where that
        is over.
    """

    def __init__(self, limit: int = MAX_KNOWN) -> None:
        self._servers: Bounded[tuple[str, str, int], Server] = Bounded(limit, by_use=True)
        self._places: Bounded[str, WebUrl] = Bounded(limit, by_use=True)
        self._habits: Bounded[tuple[str, str, int], Habit] = Bounded(limit, by_use=True)
        self._steps: Bounded[str, tuple[str, ...]] = Bounded(limit)
        self.fruitless = FruitlessAttempts(limit)
        self.fruitless.on_change = self._note_fruitless
        self.on_note: Callable[[str, str | None], None] = lambda key, text: None

    def restore(self, notes: Iterable[ServerNote], now: float) -> None:
        """Take back what was noted before a restart; `now` in Unix seconds.

        What cannot be read, or is over, is forgotten.
        """
        for note in notes:
            age = max(now - note.at, 0.0)
            if not self._restore(note, trio.current_time() - age, age):
                self.on_note(note.key, None)

    def _restore(self, note: ServerNote, at: float, age: float) -> bool:
        sort, _, rest = note.key.partition(" ")
        try:
            if sort == _FRUITLESS and age < MEMORY_SECS:
                self.fruitless.restore(rest, Fruitless.from_text(note.text, at))
                return True
            if sort == _HABIT and age < HABIT_SECS:
                scheme, host, port = rest.split(" ")
                self._habits.put((scheme, host, int(port)), Habit(note.text))
                return True
        except ValueError:
            pass
        return False

    def _note_fruitless(self, url: str, attempt: Fruitless | None) -> None:
        self.on_note(f"{_FRUITLESS} {url}", None if attempt is None else attempt.to_text())

    def __len__(self) -> int:
        return len(self._servers) + len(self._places) + len(self._habits)

    def server(self, base: WebUrl) -> Server | None:
        """How the server of a repository is spoken to; None when it is not known."""
        return self._servers.get((base.scheme, *base.endpoint))

    def note_server(self, base: WebUrl, server: Server) -> None:
        """Remember how a server is spoken to."""
        self._servers.put((base.scheme, *base.endpoint), server)

    def steps(self, url: WebUrl) -> tuple[str, ...]:
        """What was fetched of a history that was cut, and kept (B 8.4)."""
        return self._steps.get(url.text) or ()

    def note_step(self, url: WebUrl, oid: str) -> None:
        """Remember what was fetched of a history that is cut again and again."""
        self._steps.put(url.text, (*self.steps(url)[-MAX_STEPS + 1 :], oid))

    def forget_steps(self, url: WebUrl) -> None:
        """The history is here."""
        self._steps.pop(url.text)

    def habit(self, base: WebUrl) -> Habit | None:
        """What is known of how a repository's server takes a first request."""
        return self._habits.get((base.scheme, *base.endpoint))

    def note_habit(self, base: WebUrl, habit: Habit) -> None:
        """Remember how a server takes a first request."""
        key = base.scheme, *base.endpoint
        if self._habits.get(key) is habit:
            return
        self.on_note(_habit_key(key), habit.value)
        for gone, _ in self._habits.put(key, habit):
            self.on_note(_habit_key(gone), None)

    def place(self, url: WebUrl) -> WebUrl:
        """Where a repository is asked for: the URL itself, or where it was redirected to."""
        return self._places.get(url.text) or url

    def note_place(self, url: WebUrl, base: WebUrl) -> None:
        """Remember a redirect that stays on its host.

        Others are learnt anew each time, for each attempt takes its place at the other domain.
        """
        if base.host == url.host and base != url:
            self._places.put(url.text, base)
        else:
            self._places.pop(url.text)


def _habit_key(endpoint: tuple[str, str, int]) -> str:
    scheme, host, port = endpoint
    return f"{_HABIT} {scheme} {host} {port}"
