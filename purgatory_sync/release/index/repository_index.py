"""What is known of an identifier: served announcements and states, and what is held of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import attrs

from ...nostr import kinds
from ...nostr.address import RepositoryId
from ...nostr.announcement import Announcement
from ...nostr.authority.repository_data import KnownAnnouncement, RepositoryData, Standing
from ...nostr.event import Event
from ...nostr.filters import Filter
from ...nostr.parsed import Parsed
from ...nostr.pull_request import PullRequest
from ...nostr.state import State
from ...policy.authority import ruling_states
from ...policy.curation import is_blacklisted, is_taken
from ...policy.rules.hosting import coordinate_of, hosts
from ...purgatory.entries import HeldPr
from ...purgatory.purgatory import Purgatory
from ...records import Tombstone
from ...settings import CurationSettings
from ...store.protocol import Change, Store
from .index_cache import IndexCache, Served
from .parsing import Parser
from .repositories import Repositories
from .unruled import Unruled

EVERYTHING = 10_000_000


class RepositoryIndex:
    """Answers what the store and purgatory know of an identifier; it changes nothing.

    What is served is remembered between questions, until the ledger says that it has changed.

    Attributes:
      lists: what the operator takes, at this moment (B 5.5).
      parser: reads what comes out of the store.
      unruled: counts the served repositories that no key rules.

    Args:
      service: our host[:port], by which an announcement lists us (B 2.1).
      lists: which repositories an archive copies (B 2.2 a).
    """

    def __init__(
        self,
        store: Store,
        purgatory: Purgatory,
        repositories: Repositories,
        service: str,
        lists: CurationSettings | None = None,
    ) -> None:
        self._store = store
        self._purgatory = purgatory
        self._repositories = repositories
        self._service = service
        self.lists = lists or CurationSettings()
        self.parser = Parser()
        self.unruled = Unruled()
        self._served = IndexCache()
        self._reading: dict[str, object] = {}

    async def data(self, identifier: str) -> RepositoryData:
        """The announcements of the identifier: served, held and softly expired (B 3.1).

        It is the same object, with all that was worked out of it, until something changes.
        """
        return self._data(identifier, await self._read(identifier))

    async def data_of(self, identifiers: Iterable[str]) -> dict[str, RepositoryData]:
        """What `data` tells of many identifiers, in one read of the store at most."""
        served = await self._read_all(identifiers)
        return {identifier: self._data(identifier, each) for identifier, each in served.items()}

    async def rulings(
        self, identifiers: Iterable[str]
    ) -> dict[str, tuple[RepositoryData, Mapping[str, State]]]:
        """What `data` and `ruling_states` tell of some identifiers, in one read at most."""
        served = await self._read_all(identifiers)
        return {identifier: self._ruling(identifier, each) for identifier, each in served.items()}

    def _data(self, identifier: str, served: Served) -> RepositoryData:
        state = (self._purgatory.announcements_version(identifier), self._repositories.removals)
        if (data := served.gathered.get(state)) is None:
            data, certain = self._gather(identifier, served)
            self.unruled.note(data)
            if certain:
                served.gathered.clear()
                served.gathered[state] = data
        return data

    def _gather(self, identifier: str, served: Served) -> tuple[RepositoryData, bool]:
        """The announcements, and whether no repository may come any moment, without a word."""
        wanted = [(each, Standing.SERVED, hosted) for each, hosted in served.announcements]
        for held in self._purgatory.find_announcements(identifier):
            soft = held.soft_expired_at is not None
            standing = Standing.SOFT_EXPIRED if soft else Standing.HELD
            wanted.append((held.announcement, standing, not soft))
        known, certain = [], True
        for each, standing, hosted in wanted:
            there = hosted and self._repositories.exists(each.owner, identifier)
            blocked = is_blacklisted(coordinate_of(each), self.lists)
            known.append(KnownAnnouncement(each, standing, there, blocked))
            certain = certain and there == hosted
        return RepositoryData.of(identifier, known), certain

    async def served_versions(self, owner: str, identifier: str) -> list[str]:
        """The ids of the owner's served announcements, which a held newer one outdates.

        They end with that one: else who withdrew a word would be a member by it again (B 3.8).
        """
        served = await self._read(identifier)
        return [a.event.id for a, _ in served.announcements if a.owner == owner]

    async def owners_beside(self, identifier: str) -> frozenset[str]:
        """The owners whose served announcements do not list us: served for others (B 2.2 b)."""
        served = await self._read(identifier)
        return frozenset(each.owner for each, hosted in served.announcements if not hosted)

    async def hosted_owners(self, identifier: str) -> tuple[str, ...]:
        """The owners whose served announcements have their repository here, made or not.

        An author who is served only as a member of a set (B 2.2 b, 5.1) has none, listed or not.
        """
        served = await self._read(identifier)
        return tuple(
            sorted(
                each.owner
                for each, hosted in served.announcements
                if hosted
                and (
                    is_taken(each, self.lists) or self._repositories.exists(each.owner, identifier)
                )
            )
        )

    async def look(
        self, identifier: str, filters: Sequence[Filter], targets: Sequence[str]
    ) -> tuple[list[Event], list[Tombstone]]:
        """What `Store.look` yields, and perhaps more of the identifier's events.

        What is served of the identifier is read in the same step, unless it is remembered.
        """
        if self._served.get(identifier) is not None:
            return await self._store.look(filters, EVERYTHING, targets)
        condition = _of_identifier(identifier)
        with self._being_read(identifier) as token:
            found = await self._store.look([*filters, condition], EVERYTHING, targets)
            served = [event for event in found[0] if condition.matches(event)]
            await self._remember(identifier, served, token)
        return found

    async def served_states(self, identifier: str) -> tuple[State, ...]:
        """The served states of the identifier, of any author."""
        return (await self._read(identifier)).states

    async def ruling_states(self, identifier: str) -> Mapping[str, State]:
        """By owner, the served state that rules its repository (B 3.4).

        Worked out once for all owners, until something changes.
        """
        return self._ruling(identifier, await self._read(identifier))[1]

    def _ruling(
        self, identifier: str, served: Served
    ) -> tuple[RepositoryData, Mapping[str, State]]:
        data = self._data(identifier, served)
        if not served.ruled or served.ruled[0][0] is not data:
            served.ruled[:] = [(data, ruling_states(data, served.states))]
        return served.ruled[0]

    async def served_pull_requests(self, identifier: str) -> list[PullRequest]:
        """The served pull requests that may concern a repository of the identifier (B 4.1)."""
        data = await self.data(identifier)
        coordinates = frozenset(str(RepositoryId(key, identifier)) for key in data.known)
        if not coordinates:
            return []
        condition = Filter(kinds=frozenset(kinds.PR_KINDS), tags={"a": coordinates})
        found = await self.parser.stored(await self._store.query([condition], EVERYTHING))
        return [each for each in found if isinstance(each, PullRequest)]

    async def read_ahead(self, identifiers: Iterable[str]) -> None:
        """Read what is served of many identifiers in one step, for questions that follow soon."""
        await self._read_all(identifiers)

    async def _read_all(self, identifiers: Iterable[str]) -> dict[str, Served]:
        """What is served of each, in one read at most, however little can be remembered."""
        remembered = {each: self._served.get(each) for each in identifiers}
        wanted = [each for each, served in remembered.items() if served is None]
        anew = await self._read_anew(wanted) if wanted else {}
        return {each: served or anew[each] for each, served in remembered.items()}

    async def _read_anew(self, wanted: Sequence[str]) -> dict[str, Served]:
        conditions = {each: _of_identifier(each) for each in wanted}
        found: dict[str, list[Event]] = {each: [] for each in wanted}
        with ExitStack() as stack:
            tokens = {each: stack.enter_context(self._being_read(each)) for each in wanted}
            all_of_them = attrs.evolve(conditions[wanted[0]], tags={"d": frozenset(wanted)})
            for event in await self._store.query([all_of_them], EVERYTHING):
                for name in found.keys() & set(event.values("d")):
                    if conditions[name].matches(event):
                        found[name].append(event)
            return {
                each: await self._remember(each, events, tokens[each])
                for each, events in found.items()
            }

    async def serves(self, event_id: str) -> bool:
        """Whether an event of this id is served."""
        return event_id in await self._store.served_ids((event_id,))

    async def pull_requests(self, event_ids: Sequence[str]) -> dict[str, PullRequest | None]:
        """Those of the events that are served or held: a pull request, or None for other kinds."""
        if not event_ids:
            return {}
        served = await self._store.query([Filter(ids=frozenset(event_ids))], len(event_ids))
        found: dict[str, PullRequest | None] = dict.fromkeys(event.id for event in served)
        requests = [event for event in served if event.kind in kinds.PR_KINDS]
        for each in await self.parser.stored(requests):
            found[each.event.id] = each if isinstance(each, PullRequest) else None
        for event_id in event_ids:
            if (entry := self._purgatory.get(event_id)) is not None:
                found[event_id] = entry.pr if isinstance(entry, HeldPr) else None
        return found

    async def announced_with(self, commit: str, most: int) -> list[Announcement]:
        """The newest served announcements that claim this earliest commit, at most so many."""
        condition = Filter(kinds=frozenset({kinds.ANNOUNCEMENT}), tags={"r": frozenset({commit})})
        found = await self.announcements(await self._store.query([condition], most))
        return [each for each in found if each.earliest_commit == commit]

    async def announcements(self, served: Sequence[Event]) -> list[Announcement]:
        """Served announcements, parsed; those that are malformed by today's rules left out."""
        found = await self.parser.stored(served)
        return [each for each in found if isinstance(each, Announcement)]

    def use_lists(self, lists: CurationSettings) -> None:
        """Let other lists rule from now on; what was worked out by the old ones is forgotten."""
        self.lists = lists
        self._served = IndexCache()
        self._reading.clear()

    def forget(self, change: Change) -> None:
        """Remember nothing that a change of the store touches; called after each, failed or not."""
        for event in change.save:
            if event.kind in (kinds.ANNOUNCEMENT, kinds.STATE):
                self._served.changed(event.first("d") or "")
                self._reading.pop(event.first("d") or "", None)
        if change.delete:
            gone = frozenset(change.delete)
            self._reading.clear()
            self._served.ended(gone)

    async def _read(self, identifier: str) -> Served:
        if (served := self._served.get(identifier)) is not None:
            return served
        with self._being_read(identifier) as token:
            events = await self._store.query([_of_identifier(identifier)], EVERYTHING)
            return await self._remember(identifier, events, token)

    @contextmanager
    def _being_read(self, identifier: str) -> Iterator[object]:
        """Yields a token that is in `_reading` until the block ends, or something changes."""
        token = self._reading[identifier] = object()
        try:
            yield token
        finally:
            if self._reading.get(identifier) is token:
                del self._reading[identifier]

    async def _remember(self, identifier: str, events: Sequence[Event], token: object) -> Served:
        served = self._sorted_out(await self.parser.stored(events))
        if self._reading.get(identifier) is token:
            self._served.put(identifier, served)
        return served

    def _sorted_out(self, found: Sequence[Parsed]) -> Served:
        return Served(
            tuple(
                (each, hosts(each, self._service, self.lists))
                for each in found
                if isinstance(each, Announcement)
            ),
            tuple(each for each in found if isinstance(each, State)),
        )


def _of_identifier(identifier: str) -> Filter:
    return Filter(
        kinds=frozenset((kinds.ANNOUNCEMENT, kinds.STATE)), tags={"d": frozenset((identifier,))}
    )
