"""What one visit asks a relay: news without a limit of time, the rest since it was last asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from ...nostr import kinds
from ...nostr.filters import Filter
from .threads import Thread

IDS_OF_FILTER: Final = 500
FILTERS_OF_VISIT: Final = 20
LETTERS: Final = 3
"""By which the members of a conversation are asked about: `e`, `q`, and `E` for its root."""

OVERLAP_SECS: Final = 3600
DAY: Final = 86400.0
SILENT_SECS: Final = 180 * DAY
AUTHORS_OF_FILTER, AUTHOR_FILTERS = 100, 3

Question = tuple[Filter, int | None]
"""What is asked for, and since when (Unix seconds); None: all that there is."""


@attrs.frozen
class Subject:
    """What a relay is asked about: what those who name it take part in.

    Attributes:
      threads: in the order in which they last changed.
      coordinates: of repositories whose owners read there.
      authors: who publish there; their profiles and relay lists are asked for once a day.
    """

    threads: Sequence[Thread]
    coordinates: Sequence[str] = ()
    authors: Sequence[str] = ()


@attrs.frozen
class _Round:
    """A way through all conversations of a relay, in as many visits as it needs.

    Attributes:
      began: Unix seconds; None before the first.
      before: when the former one began: since then all is asked for.
      next_root: of the conversation to go on with; None between rounds.
    """

    began: float | None = None
    before: float | None = None
    next_root: str | None = None


@attrs.frozen
class Asked:
    """What one relay was asked for, beyond a visit.

    Attributes:
      number: conversations that changed since this number are asked for as a whole.
      active, silent: the rounds through conversations that go on, and through those that do not.
      coordinates: what was asked for, and when (Unix seconds).
      authors_at: when profiles were last asked for.
      filters: how many the next visit may ask.
    """

    number: int = 0
    active: _Round = _Round()
    silent: _Round = _Round()
    coordinates: frozenset[str] = frozenset()
    coordinates_at: float | None = None
    authors_at: float | None = None
    filters: int = FILTERS_OF_VISIT

    @property
    def is_least(self) -> bool:
        """Whether a visit cannot ask less."""
        return self.filters <= LETTERS

    def with_less(self) -> Asked:
        """The relay did not get to the end: the next visit asks half."""
        return attrs.evolve(self, filters=max(LETTERS, self.filters // 2))


@attrs.frozen
class Plan:
    """The questions of one visit, and what was asked when all of them are answered."""

    questions: Sequence[Question]
    then: Asked


def plan_visit(asked: Asked, subject: Subject, now: float) -> Plan:
    """What to ask a relay now (Unix seconds), within its filters."""
    questions: list[Question] = []
    then = asked
    # What is asked for as a whole now belongs to no round of this visit.
    known = sorted((t for t in subject.threads if t.number <= asked.number), key=_by_root)
    going = [t for t in known if now - t.active_at < SILENT_SECS]
    quiet = [t for t in known if now - t.active_at >= SILENT_SECS]

    def room() -> int:
        return asked.filters - len(questions)

    more, then = _ask_coordinates(then, subject, now, room())
    questions += more
    more, then = _ask_news(then, subject, now, room())
    questions += more
    more, active = _go_round(then.active, going, now, room(), 0.0)
    questions += more
    more, silent = _go_round(then.silent, quiet, now, room(), DAY)
    questions += more
    more, then = _ask_authors(then, subject, now, room())
    questions += more
    grown = min(FILTERS_OF_VISIT, 2 * asked.filters)
    return Plan(questions, attrs.evolve(then, active=active, silent=silent, filters=grown))


def _by_root(thread: Thread) -> str:
    return thread.root


_Step = tuple[Sequence[Question], Asked]


def _ask_coordinates(asked: Asked, subject: Subject, now: float, room: int) -> _Step:
    """What refers to repositories, in their owners' inboxes."""
    texts = subject.coordinates[:IDS_OF_FILTER]
    if not texts or room < LETTERS:
        return (), asked
    known = frozenset(texts)
    since = _since(asked.coordinates_at) if known <= asked.coordinates else None
    found = [(Filter(tags={letter: known}), since) for letter in "aAq"]
    return found, attrs.evolve(asked, coordinates=known, coordinates_at=now)


def _ask_news(asked: Asked, subject: Subject, now: float, room: int) -> _Step:
    """Conversations that changed: others may have replied to what is new before we knew of it."""
    news = [each for each in subject.threads if each.number > asked.number]
    taken = _fitting(news, room)
    if not taken:
        return (), asked
    began = _Round(began=now, before=now)
    active = began if asked.active.began is None else asked.active
    silent = began if asked.silent.began is None else asked.silent
    then = attrs.evolve(asked, number=taken[-1].number, active=active, silent=silent)
    return [(each, None) for each in _filters(taken, room)], then


def _ask_authors(asked: Asked, subject: Subject, now: float, room: int) -> _Step:
    """Profiles and relay lists of those who publish there, by turns."""
    due = asked.authors_at is None or now - asked.authors_at >= DAY
    most = min(room, AUTHOR_FILTERS)
    if not due or not subject.authors or most < 1:
        return (), asked
    first = int(now // DAY) * most * AUTHORS_OF_FILTER % len(subject.authors)
    turned = [*subject.authors[first:], *subject.authors[:first]]
    found: list[Question] = []
    for start in range(0, min(len(turned), most * AUTHORS_OF_FILTER), AUTHORS_OF_FILTER):
        authors = frozenset(turned[start : start + AUTHORS_OF_FILTER])
        found.append((Filter(kinds=kinds.USER_KINDS, authors=authors), None))
    return found, attrs.evolve(asked, authors_at=now)


def _go_round(
    before: _Round, threads: Sequence[Thread], now: float, room: int, every: float
) -> tuple[Sequence[Question], _Round]:
    """Go on with a round, or begin one when the last began long enough ago."""
    here = before
    if here.next_root is None:
        if not threads or (here.began is not None and now - here.began < every):
            return (), here
        here = _Round(began=now, before=here.began, next_root="")
    left = [each for each in threads if each.root >= (here.next_root or "")]
    taken = _fitting(left, room)
    after = left[len(taken)].root if len(taken) < len(left) else None
    found = [(each, _since(here.before)) for each in _filters(taken, room)]
    return found, attrs.evolve(here, next_root=after)


def _since(moment: float | None) -> int | None:
    return None if moment is None else max(0, int(moment) - OVERLAP_SECS)


def _fitting(threads: Sequence[Thread], room: int) -> Sequence[Thread]:
    """As many as the filters have room for; of one that alone has more the newest are asked for."""
    most = _most_ids(room)
    count = 0
    for number, thread in enumerate(threads):
        count += len(thread.members)
        if count > most:
            return threads[: number or min(1, most)]
    return threads if most else ()


def _filters(threads: Sequence[Thread], room: int) -> Iterator[Filter]:
    """What refers to members of conversations, and to their roots."""
    ids = [each for thread in threads for each in thread.members][-_most_ids(room) :]
    for some in _cut(ids):
        yield Filter(tags={"e": some})
        yield Filter(tags={"q": some})
    for some in _cut([each.root for each in threads]):
        yield Filter(tags={"E": some})


def _most_ids(room: int) -> int:
    return room // LETTERS * IDS_OF_FILTER


def _cut(texts: Sequence[str]) -> Iterator[frozenset[str]]:
    for start in range(0, len(texts), IDS_OF_FILTER):
        yield frozenset(texts[start : start + IDS_OF_FILTER])
