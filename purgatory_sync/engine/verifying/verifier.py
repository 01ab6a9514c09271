"""Whether what is stored is whole and true: repositories against their states, the store, events.

Looking takes no lock. What looks wrong is looked at again under the identifier's lock, while
nothing is repacked or dropped, so that a push that is going on is no finding (B 13.7).
"""

from __future__ import annotations

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final, TypeAlias

import attrs
import trio

from ...errors import ConfigurationError, InvalidEvent, PurgatorySyncError, RepositoryError
from ...nostr import kinds
from ...nostr.address import RepositoryId
from ...nostr.event import Event, decode_event, verify_event
from ...nostr.filters import Filter
from ...nostr.keys import encode_npub
from ...nostr.pull_request import PullRequest
from ...nostr.state import State
from ...release.commit import Core
from ...release.index.prs_folder import name_below_prs
from ...release.index.repository_index import EVERYTHING
from ...release.lagging import hosted_owners, make_hosted
from ...release.releaser import Releaser
from ...runtime.blocking import blocking
from ...runtime.clock import WallClock
from ...runtime.logger import get_logger
from ...store.protocol import Store
from .below_prs import PrsExaminer
from .examination import Examined, examine
from .findings import Flaw, Verified
from .verify_record import VerifyRecord

FINDINGS_AT_MOST: Final = 1_000
EVENTS_AT_ONCE: Final = 200
READ_AT_ONCE: Final = 200
LOOKED_AT_ONCE: Final = 16
_MISSING_SHOWN: Final = 3

Tell: TypeAlias = Callable[[str], None]

Fetch: TypeAlias = Callable[[RepositoryId, frozenset[str]], Awaitable[None]]
"""Brings objects that a repository lacks from other servers; what it cannot get it leaves."""

log = get_logger(__name__)


@attrs.define
class _Tally:
    """What was found so far."""

    repositories: int = 0
    events: int = 0
    findings: list[Flaw] = attrs.field(factory=list)
    found: int = 0
    left: int = 0
    not_looked: list[str] = attrs.field(factory=list)

    def note(self, found: Iterable[Flaw]) -> None:
        for each in found:
            self.found += 1
            self.left += not each.repaired
            if len(self.findings) < FINDINGS_AT_MOST:
                self.findings.append(each)


@attrs.frozen
class _Subject:
    """One repository, and what it is held against; see `examine`."""

    path: Path
    state: State | None
    wanted: Mapping[str, str]


@attrs.frozen
class Verifier:
    """Looks at everything, and repairs what can be repaired without inventing anything.

    Attributes:
      still: while it is entered, nothing is repacked and no object is dropped.
      fetch: gets missing objects from other servers; None where the node does not run.
      record: remembers what was found.
      below_prs: looks at what is below `/prs/`; nothing there is looked at where it is None.
    """

    store: Store
    core: Core
    releaser: Releaser
    clock: WallClock
    still: Callable[[], AbstractAsyncContextManager[object]]
    fetch: Fetch | None = None
    record: VerifyRecord = attrs.field(factory=lambda: VerifyRecord(None))
    below_prs: PrsExaminer | None = None
    _place: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(1))

    async def verify(
        self,
        names: Sequence[str] = (),
        *,
        repair: bool = False,
        tell: Tell = lambda _: None,
        rest: float = 0.0,
    ) -> Verified:
        """Look at repositories; where none is named at all of them, the store and all events.

        Args:
          names: identifiers, or `npub1…/identifier`, or `prs/npub1…/identifier`.
          repair: align refs, take what is missing from the other repositories of the identifier,
            fetch what is missing then.
          tell: called with how far it is.
          rest: after each repository, so many times as long as it took nothing is done.

        Raises:
          ConfigurationError: there is no repository of such a name.
          RepositoryError, StoreError: the folder or the store cannot be read at all.

        Cancelled, each repository is as it was, or repaired.
        """
        tally, begun = _Tally(), self.clock.now()
        if not names:
            tell("the store")
            for line in await self.store.check():
                tally.note([Flaw("store", "store", line)])
            await self._verify_events(tally, tell)
        chosen, below = await self._chosen(names)
        asked = await self._with_pull_requests()
        for start in range(0, len(chosen), at_once := 1 if rest else LOOKED_AT_ONCE):
            tell(f"{start} of {len(chosen)} repositories")
            since = trio.current_time()
            await self._verify_some(chosen[start : start + at_once], asked, repair, tally)
            await trio.sleep(rest * (trio.current_time() - since))
        await self._verify_below(below, not names, tally, tell, rest)
        found = Verified(
            begun,
            self.clock.now(),
            tally.repositories,
            tally.events,
            tuple(tally.findings),
            tally.found,
            tally.left,
            tuple(tally.not_looked),
        )
        looked_at = [*map(_name, chosen), *map(name_below_prs, below)] if names else None
        await blocking(self._place, self.record.note, found, looked_at)
        return found

    async def _verify_events(self, tally: _Tally, tell: Tell) -> None:
        last = ""
        while rows := await self.store.stored(last, EVENTS_AT_ONCE):
            tally.note(await blocking(self._place, _judge_events, rows))
            tally.events += len(rows)
            last = rows[-1][0]
            tell(f"{tally.events} events")

    async def _verify_below(
        self, below: Sequence[RepositoryId], every: bool, tally: _Tally, tell: Tell, rest: float
    ) -> None:
        """Look below `/prs/`, and where all is looked at for pull requests that nothing has."""
        if (examiner := self.below_prs) is None:
            return
        for done, each in enumerate(below):
            tell(f"{done} of {len(below)} repositories below /prs/")
            since = trio.current_time()
            tally.repositories += 1
            try:
                if await examiner.look(each):
                    async with self.still(), self.releaser.hold(each.identifier):
                        tally.note(await examiner.look(each))
            except (PurgatorySyncError, OSError) as error:
                tally.not_looked.append(f"{name_below_prs(each)}: {error}")
            await trio.sleep(rest * (trio.current_time() - since))
        if every:
            tally.note(await examiner.absent(await self._pull_requests()))

    async def _pull_requests(self) -> list[PullRequest]:
        """Those that are served."""
        events = [event async for event in self._served(tuple(kinds.PR_KINDS))]
        parsed = await self.core.index.parser.stored(events)
        return [each for each in parsed if isinstance(each, PullRequest)]

    async def _chosen(self, names: Sequence[str]) -> tuple[list[RepositoryId], list[RepositoryId]]:
        """Those of these names, or all: on the disk, or announced as if they were; below `/prs/`.

        An identifier means all of it.
        """
        repositories = self.core.repositories
        try:
            there = await repositories.run(repositories.all_named)
        except OSError as error:
            raise RepositoryError(f"{repositories.git_data} cannot be read: {error}") from error
        every = {RepositoryId(*each) for each in there}
        for announced in await self._announced():
            # Whether it ought to be here is asked only where it is not.
            if announced not in every and announced.owner in await hosted_owners(
                self.core, announced.identifier
            ):
                every.add(announced)
        ordered = sorted(every, key=lambda each: (each.identifier, each.owner))
        below = [] if self.below_prs is None else await self.below_prs.there()
        if not names:
            return ordered, below
        asked = frozenset(names)
        chosen = [each for each in ordered if {each.identifier, _name(each)} & asked]
        below = [each for each in below if {each.identifier, name_below_prs(each)} & asked]
        known = {name for each in chosen for name in (each.identifier, _name(each))}
        known |= {name for each in below for name in (each.identifier, name_below_prs(each))}
        if unknown := [name for name in names if name not in known]:
            raise ConfigurationError(
                f"there is no repository {unknown[0]} here: name it as `list` does"
            )
        return chosen, below

    async def _announced(self) -> list[RepositoryId]:
        """The repositories of all served announcements."""
        return [
            RepositoryId(event.pubkey, event.first("d") or "")
            async for event in self._served((kinds.ANNOUNCEMENT,))
        ]

    async def _with_pull_requests(self) -> frozenset[str]:
        """The identifiers that served pull requests name: the others need not be asked about."""
        found: set[str] = set()
        async for event in self._served(tuple(kinds.PR_KINDS)):
            for tag in event.tags:
                if len(tag) > 1 and tag[0] == "a":
                    found.add(tag[1].partition(":")[2].partition(":")[2])
        return frozenset(found)

    async def _served(self, of: Sequence[int]) -> AsyncIterator[Event]:
        ids = await self.store.find([Filter(kinds=frozenset(of))], EVERYTHING)
        for start in range(0, len(ids), READ_AT_ONCE):
            some = frozenset(ids[start : start + READ_AT_ONCE])
            for event in await self.store.query([Filter(ids=some)], len(some)):
                yield event

    async def _verify_some(
        self, some: Sequence[RepositoryId], asked: AbstractSet[str], repair: bool, tally: _Tally
    ) -> None:
        """Look at some in one go; then alone, and under the lock, at those that look wrong."""
        tally.repositories += len(some)
        await self.core.index.read_ahead(each.identifier for each in some)
        subjects = [await self._subject(each, each.identifier in asked) for each in some]
        repositories = self.core.repositories
        found = await repositories.run(_examine_all, subjects, repositories.tmp)
        for each, examined in zip(some, found, strict=True):
            if examined != Examined():
                try:
                    tally.note(await self._verify_one(each, each.identifier in asked, repair))
                except (PurgatorySyncError, OSError) as error:
                    tally.not_looked.append(f"{_name(each)}: {error}")

    async def _verify_one(self, each: RepositoryId, asked: bool, repair: bool) -> list[Flaw]:
        async with self.still():
            async with self.releaser.hold(each.identifier):
                before = _findings(each, await self._look(each, asked))
            if not before or not repair:
                return before
            await self._repair(each, asked)
            after = _findings(each, await self._look(each, asked))
        left = {(found.what, found.detail) for found in after}
        done = [attrs.evolve(f, repaired=(f.what, f.detail) not in left) for f in before]
        # A repair that went half the way leaves something else than it found.
        seen = {(found.what, found.detail) for found in before}
        return [*done, *(found for found in after if (found.what, found.detail) not in seen)]

    async def _look(self, each: RepositoryId, asked: bool) -> Examined | None:
        """What is wrong with it; None where it ought to be here and is not."""
        subject = await self._subject(each, asked)
        repositories = self.core.repositories
        found = await repositories.run(_examine, subject, repositories.tmp)
        if found is None and each.owner not in await hosted_owners(self.core, each.identifier):
            return Examined()  # removed meanwhile
        return found

    async def _subject(self, each: RepositoryId, asked: bool) -> _Subject:
        index, path = self.core.index, self.core.repositories.path(each.owner, each.identifier)
        state = (await index.ruling_states(each.identifier)).get(each.owner)
        prs = await index.served_pull_requests(each.identifier) if asked else ()
        return _Subject(path, state, {pr.ref: pr.commit for pr in prs})

    async def _repair(self, each: RepositoryId, asked: bool) -> None:
        """Make it, take what is missing from others here, fetch the rest, align the refs."""
        repositories, identifier = self.core.repositories, each.identifier
        path = repositories.path(each.owner, identifier)
        async with self.releaser.hold(identifier):
            repositories.look_again(each.owner, identifier)
            await make_hosted(self.core, identifier)
            state = (await self.core.index.ruling_states(identifier)).get(each.owner)
            found = await self._look(each, asked)
            named = frozenset(state.oids) if state and not state.unsatisfiable else frozenset()
            lacking = named | frozenset(found.objects.missing if found else ())
            if lacking:
                siblings = await repositories.run(repositories.of_identifier, identifier)
                await repositories.run(repositories.gather, siblings, path, lacking)
            await self.releaser.process_locked(identifier, bring_up=True)
            found = await self._look(each, asked)
        if found and found.objects.missing and self.fetch is not None:
            await self.fetch(each, frozenset(found.objects.missing))
            await self.releaser.process(identifier, bring_up=True)
        log.info("repaired what could be", repository=_name(each))


def _examine(subject: _Subject, scratch: Path) -> Examined | None:
    """None where nothing is there.

    Raises:
      RepositoryError: it could not be looked at.
    """
    if not subject.path.exists():
        return None
    return examine(subject.path, subject.state, subject.wanted, scratch)


def _examine_all(subjects: Sequence[_Subject], scratch: Path) -> list[Examined | None]:
    """The same for many; None also where one could not be looked at."""
    found: list[Examined | None] = []
    for subject in subjects:
        try:
            found.append(_examine(subject, scratch))
        except (PurgatorySyncError, OSError):
            found.append(None)
    return found


def _findings(each: RepositoryId, looked: Examined | None) -> list[Flaw]:
    name = _name(each)
    if looked is None:
        return [Flaw(name, "absent", "its announcement is served, and it is not on the disk")]
    found = [Flaw(name, "refs", sentence) for sentence in looked.refs]
    if missing := looked.objects.missing:
        more = ", …" if len(missing) > _MISSING_SHOWN else ""
        detail = f"{len(missing)} objects are missing: {', '.join(missing[:_MISSING_SHOWN])}{more}"
        found.append(Flaw(name, "missing", detail))
    return [*found, *(Flaw(name, "damaged", sentence) for sentence in looked.objects.damaged)]


def _judge_events(rows: Sequence[tuple[str, bytes]]) -> list[Flaw]:
    return list(_bad_events(rows))


def _bad_events(rows: Sequence[tuple[str, bytes]]) -> Iterator[Flaw]:
    for event_id, raw in rows:
        try:
            event = decode_event(raw)
            if event.id != event_id:
                raise InvalidEvent(f"it is stored under the id of another: {event.id}")
            verify_event(event)
        except InvalidEvent as error:
            yield Flaw(event_id, "event", str(error))


def _name(each: RepositoryId) -> str:
    return f"{encode_npub(each.owner)}/{each.identifier}"
