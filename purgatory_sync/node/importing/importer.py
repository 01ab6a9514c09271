"""Events from elsewhere, judged as sync judges them, in an order in which each finds what it needs.

What takes away comes first, so that nothing comes back that was deleted (B 13.14).
"""

from __future__ import annotations

import stat
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
import trio

from ...engine import PurgatorySync
from ...engine.admission.admission import Outcome
from ...errors import ConfigurationError, InvalidUrl
from ...nostr import kinds
from ...nostr.event import Event
from ...runtime.clock import WallClock
from ...urls import RELAY_SCHEMES, parse_web_url
from ..upstream.one_reading import RelayUnread
from .folder_git import FolderGit
from .given_events import EventFile, EventRelay, GivenEvents
from .imported import GitData, Imported, Refusal

EVENTS: Final = "events.jsonl"
OFFERS_AT_ONCE: Final = 64
TELL_EVERY: Final = 100
_IDS_SHOWN: Final = 20
_IDS_AT_ONCE: Final = 500
_WITH_GIT: Final = (
    ("deletions", frozenset({kinds.DELETION, kinds.VANISH})),
    ("announcements", frozenset({kinds.ANNOUNCEMENT})),
    ("states", frozenset({kinds.STATE})),
    ("pull requests", kinds.PR_KINDS),
)

Tell = Callable[[str], None]


@attrs.frozen
class Importer:
    """Takes in what a running engine is given; begun again it doubles nothing."""

    engine: PurgatorySync

    async def take_in(self, named: str, tell: Tell = lambda _: None) -> Imported:
        """Offer all events of a source, and the git data of an exported folder.

        Args:
          named: the path of a folder that `export` wrote, of a file with an event a line, both
            from the root on, or a ws or wss URL.
          tell: called with how far it is.

        Raises:
          ConfigurationError: it is none of these, or cannot be read.
          StoreError: the store failed; what came stays.

        Cancelled, what came stays.
        """
        source, git = _opened(named, self.engine)
        taking = _Taking(self.engine, tell)
        broken_off, data = None, tuple[GitData, ...]()
        try:
            for doing, of_kinds in _WITH_GIT:
                await taking.read(doing, source, of_kinds)
            if git is not None:
                tell("git data")
                data = await git.take_in(taking.identifiers)
            await taking.read("all other events", source, None)
            # Once more: what is replied to may come after the reply.
            await taking.read("what was refused, once more", source, None)
        except RelayUnread as error:
            broken_off = str(error)
        broken = source if isinstance(source, EventFile) else EventFile(Path())
        return Imported(
            named,
            *await taking.counts(),
            taking.refusals(),
            broken.broken_lines,
            tuple(broken.broken),
            data,
            broken_off,
        )


def _opened(named: str, engine: PurgatorySync) -> tuple[GivenEvents, FolderGit | None]:
    if "://" in named:
        try:
            url = parse_web_url(named, RELAY_SCHEMES).text
        except InvalidUrl as error:
            raise ConfigurationError(
                f"{named} is no relay: {error}; write ws:// or wss://"
            ) from error
        return EventRelay(url, engine.gate, WallClock.from_system()), None
    path = Path(named)
    if not path.is_absolute():
        raise ConfigurationError(f"{named}: name what is imported from the root on, or a ws URL")
    try:
        if not path.is_dir():
            if not stat.S_ISREG(path.stat().st_mode):  # a pipe may never end
                raise ConfigurationError(
                    f"{named} is neither a file nor a folder: write its events to a file first"
                )
            return EventFile(path), None
        if not (path / EVENTS).is_file():
            raise ConfigurationError(f"{named} is no exported folder: it has no {EVENTS}")
        return EventFile(path / EVENTS), FolderGit.of(path, engine)
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"there is no {named}: name a folder, a file, or a ws URL"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"{named} cannot be read: {error.strerror}") from error


@attrs.define
class _Taking:
    """One import under way.

    Attributes:
      identifiers: of the announcements, states and pull requests that were taken or known.
      fates: of each event, by id.
    """

    engine: PurgatorySync
    tell: Tell
    identifiers: dict[str, None] = attrs.field(factory=dict)
    fates: dict[str, tuple[Outcome, int, str]] = attrs.field(factory=dict)
    _slots: trio.Semaphore = attrs.field(factory=lambda: trio.Semaphore(OFFERS_AT_ONCE))
    _came: int = 0

    async def read(self, doing: str, source: GivenEvents, of_kinds: frozenset[int] | None) -> None:
        """Offer what a source has of these kinds; what was taken before is passed over."""
        self._came = 0
        self.tell(doing)
        raised: Exception | None = None
        async with trio.open_nursery() as nursery:

            async def take(event: Event) -> None:
                self._came += 1
                if self._came % TELL_EVERY == 0:
                    self.tell(f"{doing}: {self._came} events")
                fate = self.fates.get(event.id)
                if fate is not None and fate[0] is not Outcome.REFUSED:
                    return
                await self._slots.acquire()
                nursery.start_soon(self._offer, event)

            try:
                await source.read(of_kinds, take)
            except (ConfigurationError, RelayUnread) as error:
                raised = error  # not in a group; what is being offered is judged to its end
        if raised is not None:
            raise raised

    async def _offer(self, event: Event) -> None:
        try:
            answer = await self.engine.offer(event, "sync")
        finally:
            self._slots.release()
        before = self.fates.get(event.id)
        if before is None or before[0] is Outcome.REFUSED:
            self.fates[event.id] = (answer.outcome, event.kind, answer.message)
        if answer.accepted and event.kind in (kinds.ANNOUNCEMENT, kinds.STATE):
            self.identifiers[event.first("d") or ""] = None
        elif answer.accepted and event.kind in kinds.PR_KINDS:
            for address in event.values("a"):
                self.identifiers[address.partition(":")[2].partition(":")[2]] = None

    async def counts(self) -> tuple[int, int, int, int, int]:
        """How many are served, held, were known, are gone, and were refused."""
        of: defaultdict[Outcome, list[str]] = defaultdict(list)
        for event_id, (outcome, _, _) in self.fates.items():
            of[outcome].append(event_id)
        taken, served = [*of[Outcome.SERVED], *of[Outcome.HELD]], 0
        for start in range(0, len(taken), _IDS_AT_ONCE):
            served += len(await self.engine.store.served_ids(taken[start : start + _IDS_AT_ONCE]))
        held = sum(self.engine.purgatory.get(each) is not None for each in taken)
        known, refused = len(of[Outcome.DUPLICATE]), len(of[Outcome.REFUSED])
        return served, held, known, max(0, len(taken) - served - held), refused

    def refusals(self) -> tuple[Refusal, ...]:
        """What was refused, by kind and reason, most of all first."""
        found: defaultdict[tuple[int, str], list[str]] = defaultdict(list)
        for event_id, (outcome, kind, reason) in self.fates.items():
            if outcome is Outcome.REFUSED:
                found[kind, reason].append(event_id)
        refusals = [
            Refusal(kind, reason, len(ids), tuple(ids[:_IDS_SHOWN]))
            for (kind, reason), ids in found.items()
        ]
        return tuple(sorted(refusals, key=lambda each: (-each.count, each.kind, each.reason)))
