"""The snapshot that policy judges an event by: what the store and purgatory know of it."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from ...errors import InvalidEvent
from ...nostr import kinds
from ...nostr.address import Address
from ...nostr.announcement import Announcement
from ...nostr.authority.repository_data import RepositoryData
from ...nostr.event import Event
from ...nostr.filters import Filter
from ...nostr.pull_request import PullRequest
from ...nostr.state import State
from ...policy.judge import identifiers_of
from ...policy.kinds.deletions import bar_targets, is_barred, targets_of
from ...policy.rules.known_facts import Known
from ...policy.rules.references import anchor_filters, is_anchored
from ...purgatory.entries import HeldAnnouncement, HeldEvent, HeldPr, HeldState, HuntedEvent, Origin
from ...purgatory.purgatory import Purgatory
from ...release.index.missing_objects import identify_missing_oids
from ...release.index.repositories import Repositories
from ...release.index.repository_index import Knowledge
from ...settings import CurationSettings
from ...store.protocol import Store

JUDGED_BY_KIND = frozenset((kinds.ANNOUNCEMENT, kinds.STATE))
# Whatever these refer to, no verdict on them asks for it (B 5).
JUDGED_WITHOUT = JUDGED_BY_KIND | {kinds.DELETION}
REFERRERS_READ = 50


@attrs.frozen
class Witness:
    """Takes snapshots.

    Attributes:
      service: our host[:port].
      lists: which repositories an archive copies.
    """

    store: Store
    knowledge: Knowledge
    purgatory: Purgatory
    repositories: Repositories
    service: str
    lists: CurationSettings = attrs.field(factory=CurationSettings)

    async def look(self, event: Event, now: float) -> Known:
        """Everything that a verdict on this event depends on, as of `now` (Unix seconds).

        The caller holds the locks of the event's identifiers, so that it stays true meanwhile.
        """
        data = {each: await self.knowledge.data(each) for each in identifiers_of(event)}
        held = self.purgatory.get(event.id)
        anchoring = () if event.kind in JUDGED_WITHOUT else anchor_filters(event)
        found, tombstones = await self.store.look(
            [*_itself_and_its_address(event), *anchoring], REFERRERS_READ, bar_targets(event)
        )
        known = Known(
            now=now,
            service=self.service,
            data=data,
            served=any(e.id == event.id for e in found),
            held=held is not None,
            expired=self.purgatory.expired.was_expired(event.id, now),
            deleted=is_barred(event, tombstones),
            newest_served=_newest_of_address(event, found),
            held_announcement=self._held_announcement(event),
        )
        if known.served or known.held:
            return known
        targets_served, targets_held = await self.targets(event)
        known = attrs.evolve(
            known,
            objects_here=await self._objects_here(event),
            referenced=await self._referenced(event, data, found, anchoring),
            targets_served=targets_served,
            targets_held=targets_held,
        )
        return self._with_room(known, event)

    def _with_room(self, known: Known, event: Event) -> Known:
        """What no lock keeps from changing: looked at last, so that it is true when judged."""
        in_all = self.purgatory.room.total
        of_author = self.purgatory.room.of_author(event.pubkey)
        return attrs.evolve(
            known,
            held_total=in_all.events,
            held_by_author=of_author.events,
            held_bytes=in_all.size,
            held_bytes_by_author=of_author.size,
        )

    def _held_announcement(self, event: Event) -> Event | None:
        if event.kind != kinds.ANNOUNCEMENT:
            return None
        held = self.purgatory.find_announcement(event.pubkey, event.first("d") or "")
        return held.event if held is not None else None

    async def _objects_here(self, event: Event) -> bool:
        try:
            entry = as_entry(event, Origin.USER, 0.0)
        except InvalidEvent:
            return False
        if not isinstance(entry, HuntedEvent):
            return False
        missing = await identify_missing_oids([entry], self.knowledge, self.repositories)
        return event.id in missing and not missing[event.id].oids

    async def _referenced(
        self,
        event: Event,
        data: dict[str, RepositoryData],
        found: Sequence[Event],
        anchoring: Sequence[Filter],
    ) -> bool:
        # Its author's of that kind were looked for anyway (`_itself_and_its_address`); to look at
        # all of them would cost this task the square of the number of its tags.
        found = [
            e
            for e in found
            if (e.pubkey, e.kind) != (event.pubkey, event.kind)
            or any(each.matches(e) for each in anchoring)
        ]
        needed = {e.first("d") or "" for e in found if e.kind == kinds.ANNOUNCEMENT} - data.keys()
        known = data | {each: await self.knowledge.data(each) for each in sorted(needed)}
        return is_anchored(event, found, self.service, known, self.lists)

    async def targets(self, event: Event) -> tuple[tuple[Event, ...], tuple[Event, ...]]:
        """The author's own events, served and held, that a deletion request names.

        Those of others do not change, so nobody has to wait for them. None for other kinds.
        """
        if event.kind != kinds.DELETION:
            return (), ()
        ids, addresses = targets_of(event)
        own = frozenset((event.pubkey,))
        filters = [Filter(ids=frozenset(ids), authors=own)] if ids else []
        for kind, _, identifier in filter(None, map(Address.parse, addresses)):
            tags = {"d": frozenset((identifier,))} if kinds.is_addressable(kind) else {}
            filters.append(Filter(kinds=frozenset((kind,)), authors=own, tags=tags))
        served = await self.store.query(filters, len(ids) + len(addresses) + 1) if filters else []
        return tuple(served), tuple(e.event for e in _held_targets(self.purgatory, event))


def _itself_and_its_address(event: Event) -> list[Filter]:
    filters = [Filter(ids=frozenset((event.id,)))]
    if event.address is not None:
        identifier = event.first("d") if kinds.is_addressable(event.kind) else None
        filters.append(
            Filter(
                authors=frozenset((event.pubkey,)),
                kinds=frozenset((event.kind,)),
                tags={"d": frozenset((identifier,))} if identifier else {},
            )
        )
    return filters


def _newest_of_address(event: Event, found: Sequence[Event]) -> Event | None:
    same = [e for e in found if e.address is not None and e.address == event.address]
    return max(same, key=lambda e: e.order, default=None)


def _held_targets(purgatory: Purgatory, request: Event) -> Sequence[HeldEvent]:
    """Held events of the author that a deletion request names, by id or by address."""
    ids, addresses = targets_of(request)
    named: list[HeldEvent | None] = [purgatory.get(each) for each in ids]
    for identifier in {c[2]: None for c in map(Address.parse, addresses) if c}:
        named += purgatory.find_state(identifier)
        named += purgatory.find_announcements(identifier)
    found = {entry.event_id: entry for entry in named if entry is not None}
    return [entry for entry in found.values() if entry.event.pubkey == request.pubkey]


def as_entry(event: Event, origin: Origin, accepted_at: float) -> HeldEvent | None:
    """What an event is held as; None for kinds that are never held.

    Raises:
      InvalidEvent: it is malformed.
    """
    if event.kind == kinds.STATE:
        return HeldState(state=State.parse(event), origin=origin, accepted_at=accepted_at)
    if event.kind in kinds.PR_KINDS:
        return HeldPr(pr=PullRequest.parse(event), origin=origin, accepted_at=accepted_at)
    if event.kind == kinds.ANNOUNCEMENT:
        return HeldAnnouncement(
            announcement=Announcement.parse(event), origin=origin, accepted_at=accepted_at
        )
    return None
