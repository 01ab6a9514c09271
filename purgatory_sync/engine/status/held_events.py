"""Held events for every report: their kinds and times, and what a visitor chooses (B 10.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import attrs
import trio

from ...errors import ResultClass
from ...purgatory.entries import HeldAnnouncement, HeldEvent, HeldState, Tried
from ...purgatory.purgatory import Purgatory
from ...runtime.clock import WallClock

KINDS = ("announcement", "soft-expired", "state", "pr")
UNASKED: Final = "none"
# A look at 100,000 held events takes some hundredths of a second; others run in between.
_STEP: Final = 1_000


def held_by_kind(purgatory: Purgatory) -> dict[str, int]:
    """How many events are held, by kind."""
    counts = purgatory.counts()
    soft = sum(held.soft_expired_at is not None for held in purgatory.announcements())
    numbers = (counts.announcements - soft, soft, counts.states, counts.prs)
    return dict(zip(KINDS, numbers, strict=True))


def kind_of(held: HeldEvent) -> str:
    """The word for what is held."""
    if isinstance(held, HeldAnnouncement):
        return "announcement" if held.soft_expired_at is None else "soft-expired"
    return "state" if isinstance(held, HeldState) else "pr"


def next_attempt_of(
    purgatory: Purgatory, clock: WallClock, identifiers: tuple[str, ...]
) -> float | None:
    """Unix seconds of the next hunt; None when none is due or one is going on."""
    entries = [purgatory.sync_queue.get(identifier) for identifier in identifiers]
    due = [entry.next_attempt for entry in entries if entry and not entry.in_progress]
    return clock.epoch + min(due) if due else None


def _each(url: str) -> bool:
    return True


@attrs.frozen
class Choice:
    """What held events are looked at; without a word all of them.

    Attributes:
      names: the identifiers under any of which they wait; empty: all.
      result: the class of what the last attempt at one of their sources gave, or `UNASKED`: no
        source was asked yet. None: all. What the gate refused counts as not asked.
      is_told: whether a URL may be told of; a result of another one counts as not asked, too, so
        that the choice says no more than the page.
    """

    names: tuple[str, ...] = ()
    result: str | None = None
    is_told: Callable[[str], bool] = attrs.field(default=_each, eq=False)

    def takes(self, held: HeldEvent) -> bool:
        """Whether a held event of one of the names is chosen."""
        if self.result is None:
            return True
        if isinstance(held, HeldAnnouncement):
            return False  # it is not hunted for
        if self.result == UNASKED:
            return not any(self._tells(url, last) for url, last in held.tried.items())
        return any(
            last.result.value == self.result and self._tells(url, last)
            for url, last in held.tried.items()
        )

    def _tells(self, url: str, last: Tried) -> bool:
        return last.result is not ResultClass.FORBIDDEN and self.is_told(url)


EVERYTHING: Final = Choice()


async def chosen(purgatory: Purgatory, choice: Choice) -> list[HeldEvent]:
    """The held events of a choice, in memory alone; each once."""
    found: dict[str, HeldEvent] = {}
    for number, held in enumerate(_of_names(purgatory, choice.names)):
        if number % _STEP == 0:
            await trio.lowlevel.checkpoint()
        if choice.takes(held):
            found[held.event_id] = held
    return [*found.values()]


def _of_names(purgatory: Purgatory, names: Iterable[str]) -> list[HeldEvent]:
    if not names:
        return [*purgatory.announcements(), *purgatory.hunted_events()]
    held: list[HeldEvent] = []
    for name in names:
        held += purgatory.find_announcements(name)
        held += purgatory.find_state(name)
        held += purgatory.find_prs_for_identifier(name)
    return held
