"""The operator's word that takes events and repositories out of the node (B 13.8)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs
import trio

from ...errors import ConfigurationError, InvalidKey
from ...nostr import kinds
from ...nostr.address import RepositoryId, is_hex_key
from ...nostr.announcement import Announcement
from ...nostr.event import Event
from ...nostr.filters import Filter
from ...nostr.keys import decode_npub, encode_npub
from ...nostr.parsed import Parsed
from ...nostr.pull_request import PullRequest
from ...nostr.state import State
from ...purgatory.entries import HeldEvent, Origin, as_hunted
from ...purgatory.overdue import Kept
from ...release.commit import Core, forget
from ...release.index.repository_index import EVERYTHING
from ...release.index.retained_repositories import RetainedRepositories
from ...release.making import remove_ending
from ...release.pr_release import drop_deleted_pull_request_refs
from ...release.releaser import Releaser
from ...release.retention import note_what_ends
from ...release.retiring import retire
from ...runtime.clock import WallClock
from ...runtime.logger import get_logger
from ...store.protocol import FOUND, Change, Made, Store

log = get_logger(__name__)


@attrs.frozen
class Purged:
    """What a purge takes, or took.

    Attributes:
      executed: whether it was done; else nothing was changed.
      repositories: `npub1…/identifier` of those that leave, with all their data.
      kept: whether these stay for a time, out of every path (B 13.10).
      served, held: how many events are served, and held, no longer; those that expired and are
        looked for again count as held.
      event_ids: their ids, at most 1,000.
      waiting: refs below `/prs/` that go and whose events had not come.
    """

    executed: bool
    repositories: tuple[str, ...]
    served: int
    held: int
    event_ids: tuple[str, ...]
    kept: bool = False
    waiting: int = 0


IDS_SHOWN = 1_000


@attrs.frozen
class _Doomed:
    """What is to leave."""

    repositories: tuple[RepositoryId, ...]
    served: tuple[Event, ...]
    held: tuple[HeldEvent, ...]
    overdue: tuple[Kept, ...] = ()


@attrs.frozen
class Purger:
    """Finds what one name stands for, and takes it out under the identifiers' locks."""

    store: Store
    core: Core
    releaser: Releaser
    clock: WallClock

    async def purge(self, name: str, *, execute: bool, at_once: bool = False) -> Purged:
        """Take out a repository, all of an author, or one event.

        A repository goes with its owner's announcements and states of it; what others wrote about
        it stays. An author goes with all events and repositories. Nothing keeps what is purged
        from coming back: that is what blacklists are for.

        Args:
          name: `npub1…/identifier`, an npub, or an event's id.
          execute: else only what would go is told.
          at_once: repositories leave the disk now, those that were deleted before too; else they
            are kept like all that is deleted.

        Raises:
          ConfigurationError: it names nothing that is here.
          StoreError: nothing was changed. RepositoryError: the events are gone; a repository
            leaves at the next start.

        Cancelled before it begins nothing has changed; what has begun is ended.
        """
        at_once = at_once or self.core.retires is None
        doomed = await self._find(name, at_once)
        if not execute:
            return _told(doomed, executed=False, kept=not at_once)
        async with self.releaser.hold(*_identifiers(doomed)):
            doomed = await self._find(name, at_once)
            with trio.CancelScope(shield=True):
                await self._carry_out(doomed, at_once)
        log.info("purged", what=name, events=len(doomed.served) + len(doomed.held))
        return _told(doomed, executed=True, kept=not at_once)

    async def _find(self, name: str, at_once: bool) -> _Doomed:
        if is_hex_key(name):
            doomed = await self._of_event(name)
        else:
            npub, slash, identifier = name.partition("/")
            try:
                owner = decode_npub(npub)
            except InvalidKey as error:
                raise ConfigurationError(
                    f"{name} names nothing: write npub1…/identifier, npub1…, or an event's id"
                    f" ({error})"
                ) from error
            there = await self._there(owner, at_once)
            found = self._of_repository(owner, identifier) if slash else self._of_author(owner)
            doomed = attrs.evolve(
                await found,
                repositories=tuple(
                    RepositoryId(owner, each) for each in there if not slash or each == identifier
                ),
            )
        if not (doomed.repositories or doomed.served or doomed.held or doomed.overdue):
            raise ConfigurationError(
                f"nothing of {name} is here, or only what was deleted and is kept for a time:"
                " `list --deleted` shows it, --at-once purges it too"
            )
        return doomed

    async def _of_event(self, event_id: str) -> _Doomed:
        served = await self.store.query([Filter(ids=frozenset((event_id,)))], 1)
        held = self.core.purgatory.get(event_id)
        kept = self.core.purgatory.overdue.get(event_id)
        return _Doomed(
            (),
            tuple(served),
            () if held is None else (held,),
            () if kept is None else (kept,),
        )

    async def _of_repository(self, owner: str, identifier: str) -> _Doomed:
        condition = Filter(
            kinds=frozenset((kinds.ANNOUNCEMENT, kinds.STATE)),
            authors=frozenset((owner,)),
            tags={"d": frozenset((identifier,))},
        )
        served = await self.store.query([condition], EVERYTHING)
        held = [
            each
            for each in self._held_of(owner)
            if isinstance(each.parsed, Announcement | State) and identifier in each.identifiers
        ]
        overdue = [
            each
            for each in self.core.purgatory.overdue.of_author(owner)
            if each.event.kind == kinds.STATE and each.event.first("d") == identifier
        ]
        return _Doomed((), tuple(served), tuple(held), tuple(overdue))

    async def _of_author(self, owner: str) -> _Doomed:
        served = await self.store.query([Filter(authors=frozenset((owner,)))], EVERYTHING)
        overdue = self.core.purgatory.overdue.of_author(owner)
        return _Doomed((), tuple(served), tuple(self._held_of(owner)), overdue)

    async def _there(self, owner: str, at_once: bool) -> list[str]:
        """The identifiers of an owner's repositories that would leave."""
        repositories = self.core.repositories
        found = set(await repositories.run(repositories.identifiers_of, owner))
        if at_once:
            deleted = RetainedRepositories(repositories)
            found.update(await repositories.run(deleted.identifiers_of, owner))
        return sorted(found)

    def _held_of(self, owner: str) -> list[HeldEvent]:
        purgatory = self.core.purgatory
        every: Sequence[HeldEvent] = (*purgatory.announcements(), *purgatory.hunted_events())
        return [each for each in every if each.event.pubkey == owner]

    async def _carry_out(self, doomed: _Doomed, at_once: bool) -> None:
        """One transaction; then memory, refs, and the repositories."""
        core, leaving = self.core, await self._leaving(doomed.repositories, at_once)
        change = Change(
            delete=[event.id for event in doomed.served],
            unhold=[each.event_id for each in doomed.held],
            forget_overdue=[each.event_id for each in doomed.overdue],
            made=leaving,
        )
        await core.ledger.apply(change)
        core.purgatory.overdue.forget(*(each.event_id for each in doomed.overdue))
        for each in doomed.held:
            forget(core.purgatory, each)
        parsed: list[Parsed] = [each.parsed for each in doomed.held]
        parsed += await core.index.parser.stored(doomed.served)
        for one in parsed:
            if isinstance(one, PullRequest):
                await drop_deleted_pull_request_refs(core, one)
            if isinstance(one, State | PullRequest):
                await note_what_ends(core, as_hunted(one, Origin.USER, self.clock.now()))
        for note in leaving:
            if note.ending:
                await remove_ending(core, note)
        for identifier in _identifiers(doomed):
            await self.releaser.process_locked(identifier, bring_up=True)
        unannounced = {(note.owner, note.identifier) for note in leaving}
        unannounced |= {(e.owner, e.identifier) for e in parsed if isinstance(e, Announcement)}
        for owner, identifier in sorted(unannounced):
            await retire(core, owner, identifier)

    async def _leaving(self, leaving: Sequence[RepositoryId], at_once: bool) -> list[Made]:
        """Notes, so that a crash keeps none at its place; what was found stays known as such."""
        repositories, notes = self.core.repositories, list[Made]()
        for each in leaving:
            note = self.core.ledger.made(each.owner, each.identifier)
            path = repositories.path(each.owner, each.identifier)
            there = await repositories.run(path.exists)
            if there and not await repositories.run(repositories.is_noted, path, note):
                note = None
            if note is None:
                note = Made(each.owner, each.identifier, FOUND)
            notes.append(attrs.evolve(note, filled=True, ending=at_once))
        return notes


def _identifiers(doomed: _Doomed) -> list[str]:
    found = {each.identifier for each in doomed.repositories}
    for held in (*doomed.held, *doomed.overdue):
        found.update(held.identifiers)
    found.update(_of_events(doomed.served))
    return sorted(found)


def _of_events(events: Iterable[Event]) -> Iterable[str]:
    """The identifiers of announcements, states and pull requests."""
    for event in events:
        if event.kind in (kinds.ANNOUNCEMENT, kinds.STATE):
            yield event.first("d") or ""
        elif event.kind in kinds.PR_KINDS:
            named = (
                RepositoryId.parse(tag[1]) for tag in event.tags if len(tag) > 1 and tag[0] == "a"
            )
            yield from (each.identifier for each in named if each is not None)


def _told(doomed: _Doomed, *, executed: bool, kept: bool) -> Purged:
    waiting = dict.fromkeys(each.event_id for each in (*doomed.held, *doomed.overdue))
    ids = [*(event.id for event in doomed.served), *waiting]
    return Purged(
        executed,
        tuple(f"{encode_npub(each.owner)}/{each.identifier}" for each in doomed.repositories),
        len(doomed.served),
        len(waiting),
        tuple(ids[:IDS_SHOWN]),
        kept and bool(doomed.repositories),
    )
