"""The snapshot that policy judges an event by: what the store and purgatory know of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs

from ...nostr import kinds
from ...nostr.address import Address, RepositoryId
from ...nostr.announcement import Announcement
from ...nostr.authority.repository_data import RepositoryData
from ...nostr.event import Event
from ...nostr.filters import Filter
from ...nostr.parsed import Deletion, Parsed, Vanish, parse
from ...nostr.pull_request import PullRequest
from ...nostr.state import State
from ...policy.contributions import is_let_in, unmet, why_full, why_no_more
from ...policy.kinds.deletions import (
    bar_targets,
    is_barred,
    is_of_vanished,
    own_bars,
    used_now,
)
from ...policy.kinds.statuses import repositories_of, root_of
from ...policy.rules.hosting import hosts
from ...policy.rules.known_facts import Known
from ...policy.rules.references import anchor_filters, is_anchored, references_of, referrer_filters
from ...policy.rules.verdict import address_text
from ...purgatory.entries import HeldEvent, Origin, as_hunted
from ...purgatory.purgatory import Purgatory
from ...release.index.missing_objects import concern_in
from ...release.index.repositories import Repositories
from ...release.index.repository_index import EVERYTHING, RepositoryIndex
from ...release.index.retained_repositories import RetainedRepositories
from ...settings import PrsSettings
from ...store.protocol import Store

JUDGED_BY_KIND = frozenset((kinds.ANNOUNCEMENT, kinds.STATE))
# The verdicts on these ask for nothing that they refer to (B 5).
JUDGED_WITHOUT = JUDGED_BY_KIND | {kinds.DELETION, kinds.VANISH}
REFERRERS_READ = 50


@attrs.frozen
class Targets:
    """What a deletion request names of its author's own, or a request to vanish ends.

    Attributes:
      repositories: identifiers of the author's repositories on the disk, for one who vanishes.
    """

    served: tuple[Parsed, ...] = ()
    held: tuple[Parsed, ...] = ()
    repositories: tuple[str, ...] = ()

    @property
    def identifiers(self) -> frozenset[str]:
        """Under which of them something may change."""
        return frozenset(self.repositories).union(*(each.identifiers for each in self.all))

    @property
    def all(self) -> tuple[Parsed, ...]:
        """Served and held ones."""
        return (*self.served, *self.held)


NO_TARGETS = Targets()


def _takes_all(owner: str) -> None:
    """Default `refuses_new`: nothing is limited."""


@attrs.frozen
class SnapshotBuilder:
    """Takes snapshots.

    Attributes:
      service: our host[:port].
      prs: which pull requests stay for what is pushed below `/prs/`.
      plus: whether profiles and relay lists of those who take part here are taken (B 15.1).
      refuses_new: why an owner may have no repository more here, or None (B 13.11).
    """

    store: Store
    index: RepositoryIndex
    purgatory: Purgatory
    repositories: Repositories
    service: str
    prs: PrsSettings = attrs.field(factory=PrsSettings)
    refuses_new: Callable[[str], str | None] = _takes_all
    plus: bool = True

    async def look(self, parsed: Parsed, targets: Targets, now: float) -> Known:
        """Everything that a verdict on this event depends on, as of `now` (Unix seconds).

        The caller holds the locks of the event's identifiers, so that it stays true meanwhile.

        Args:
          targets: what `targets` says of it, under these locks.
        """
        event = parsed.event
        held = self.purgatory.get(event.id)
        itself = _itself_and_its_address(event)
        bars = (*bar_targets(event), *_named_by(parsed))
        asked, anchoring = False, tuple[Filter, ...]()
        if isinstance(parsed, Announcement | State):  # nothing refers to them: one read is enough
            found, tombstones = await self.index.look(parsed.identifier, itself, bars)
            data = {parsed.identifier: await self.index.data(parsed.identifier)}
        else:
            data = {each: await self.index.data(each) for each in parsed.identifiers}
            if asked := _asks_for_references(parsed, data):
                anchoring = tuple(anchor_filters(event))
            found, tombstones = await self.store.look([*itself, *anchoring], REFERRERS_READ, bars)
        known = Known(
            now=now,
            service=self.service,
            data=data,
            served=any(e.id == event.id for e in found),
            held=held is not None,
            expired=self.purgatory.is_refused_from_relays(event.id, now),
            known_by_id=self.purgatory.is_known_by_id(event.id, now),
            deleted=is_barred(event, tombstones),
            bars_used=used_now(event, tombstones, now),
            request_bars=own_bars(parsed, tombstones) if isinstance(parsed, Deletion) else (),
            vanished=is_of_vanished(event, tombstones),
            newest_served=_newest_of_address(event, found),
            held_announcement=self._held_announcement(event),
        )
        if known.served or known.held:
            return known
        by_author, in_all = await self._requests(parsed, targets)
        known = attrs.evolve(
            known,
            objects_here=await self._objects_here(parsed, data),
            takes_part=await self._takes_part(event),
            referenced=asked and await self._referenced(event, data, found, anchoring),
            refers_to_held=asked and await self._refers_to_held(event),
            requests_by_author=by_author,
            requests_total=in_all,
            targets_served=targets.served,
            targets_held=targets.held,
            status_setters=await self._status_setters(event),
            contributed=self._is_contributed(parsed),
            contributed_full=self._contributed_full(parsed),
            left_alone=await self._left_alone(parsed, data),
            announced_by_author=await self._announced(parsed),
            over_quota=self._over_quota(parsed, data),
            unannounced=await self._unannounced(event.pubkey, targets),
        )
        return self._with_room(known, event)

    async def _status_setters(self, event: Event) -> frozenset[str] | None:
        """Who may set a status here (B 5.6); None where it is not asked for, or cannot be told."""
        if event.kind not in kinds.STATUS_KINDS or self.index.lists.status_authority == "off":
            return None
        root = root_of(event)
        roots = await self.store.query([Filter(ids=frozenset((root,)))], 1) if root else []
        found, here = {each.pubkey for each in roots}, False
        for named in repositories_of(roots[0] if roots else event):
            data = await self.index.data(named.identifier)
            if named.owner in data.known:
                here = True
                found |= data.maintainer_set(named.owner) | data.sets.moderators(named.owner)
        return frozenset(found) if here else None

    async def _takes_part(self, event: Event) -> bool:
        """Whether the author of a profile or a relay list has something served here."""
        if not self.plus or event.kind not in kinds.USER_KINDS:
            return False
        own = Filter(kinds=kinds.TAKING_PART, authors=frozenset((event.pubkey,)))
        return bool(await self.store.find([own], 1))

    async def _requests(self, parsed: Parsed, targets: Targets) -> tuple[int, int]:
        """How many deletion requests are served, of its author and in all."""
        if not isinstance(parsed, Deletion) or targets.all:
            return 0, 0
        every = Filter(kinds=frozenset({kinds.DELETION}))
        own = attrs.evolve(every, authors=frozenset({parsed.event.pubkey}))
        return await self.store.count([own]), await self.store.count([every])

    async def _refers_to_held(self, event: Event) -> bool:
        """Whether it names something held, or a member of the set of an owner who is held."""
        ids, coordinates = references_of(event)
        if any(self.purgatory.get(each) is not None for each in ids):
            return True
        for kind, key, name in filter(None, map(Address.parse, coordinates)):
            if kind in JUDGED_BY_KIND and (held := self.purgatory.find_announcements(name)):
                owners = {each.event.pubkey for each in held}
                data = await self.index.data(name)
                if key in owners or not owners.isdisjoint(data.owners_authorising(key)):
                    return True
        return False

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

    def _is_contributed(self, parsed: Parsed) -> bool:
        if not isinstance(parsed, PullRequest):
            return False
        return is_let_in(parsed, self.service, self.prs, self.index.lists)

    def _contributed_full(self, parsed: Parsed) -> str | None:
        """Which budget of its author the pull request would exceed with what waits for it."""
        folder = self.repositories.prs
        if folder is None or not isinstance(parsed, PullRequest):
            return None
        uploads = self.purgatory.uploads
        for each in uploads.of_event(parsed.event.id):
            target = RepositoryId(each.owner, each.identifier)
            if unmet(parsed, each.oid, target, self.service) is None:
                use = folder.use(uploads, target)
                full = why_no_more(use, self.prs, 1)
                full = full or why_full(use, self.prs, each.size, unclaimed=False)
                if full is not None:
                    return full
        return None

    async def _left_alone(
        self, parsed: Parsed, data: Mapping[str, RepositoryData]
    ) -> tuple[str, ...]:
        """The served states and pull requests that only the now private repository needs."""
        if not isinstance(parsed, Announcement) or not parsed.is_private:
            return ()
        identifier, owner = parsed.identifier, parsed.owner
        known = data[identifier]
        hosted = [o for o, each in known.known.items() if each.is_hosted and o != owner]
        others = known.sets.members_of_any(hosted)
        mine = known.maintainer_set(owner) - others
        states = await self.index.served_states(identifier)
        found = [state.event.id for state in states if state.author in mine]
        for pr in await self.index.served_pull_requests(identifier):
            owners = known.owners_of_pr(pr) if pr.identifiers == (identifier,) else ()
            if owner in owners and not any(o in owners for o in hosted):
                found.append(pr.event.id)
        return tuple(found)

    def _held_announcement(self, event: Event) -> Event | None:
        if event.kind != kinds.ANNOUNCEMENT:
            return None
        held = self.purgatory.find_announcement(event.pubkey, event.first("d") or "")
        return held.event if held is not None else None

    async def _objects_here(self, parsed: Parsed, data: Mapping[str, RepositoryData]) -> bool:
        if not isinstance(parsed, State | PullRequest):
            return False
        entry = as_hunted(parsed, Origin.USER, 0.0)
        concern = concern_in(entry, data, self.repositories)
        if entry.unsatisfiable or not concern.holding or not concern.oids:
            return not entry.unsatisfiable and not concern.oids
        asked = {"": (concern.holding, concern.oids)}
        here = await self.repositories.run(self.repositories.here, asked)
        return here[""] == concern.oids

    async def _referenced(
        self,
        event: Event,
        data: dict[str, RepositoryData],
        found: Sequence[Event],
        anchoring: Sequence[Filter],
    ) -> bool:
        """Whether it refers to something served, or, only asked then, something refers to it."""
        # Its author's of that kind were looked for anyway (`_itself_and_its_address`); to look at
        # all of them would cost this task the square of the number of its tags.
        found = [
            e
            for e in found
            if (e.pubkey, e.kind) != (event.pubkey, event.kind)
            or any(each.matches(e) for each in anchoring)
        ]
        if await self._is_anchored(event, data, found):
            return True
        referring = await self.store.query(referrer_filters(event), REFERRERS_READ)
        return await self._is_anchored(event, data, referring)

    async def _is_anchored(
        self, event: Event, data: dict[str, RepositoryData], found: Sequence[Event]
    ) -> bool:
        announced = [e for e in found if e.kind == kinds.ANNOUNCEMENT]
        needed = {e.first("d") or "" for e in announced} - data.keys()
        known = data | {each: await self.index.data(each) for each in sorted(needed)}
        announcements = await self.index.announcements(announced)
        others = [e for e in found if e.kind != kinds.ANNOUNCEMENT]
        return is_anchored(event, [*announcements, *others], self.service, known, self.index.lists)

    async def _announced(self, parsed: Parsed) -> int:
        """How many announcements its author has here, if this one takes room beside others."""
        if not isinstance(parsed, Announcement) or hosts(parsed, self.service, self.index.lists):
            return 0
        kind, author = frozenset((kinds.ANNOUNCEMENT,)), frozenset((parsed.owner,))
        return await self.store.count([Filter(kinds=kind, authors=author)])

    def _over_quota(self, parsed: Parsed, data: Mapping[str, RepositoryData]) -> str | None:
        """Why its author may have no repository more, if the announcement would make one."""
        if not isinstance(parsed, Announcement):
            return None
        there = self.repositories.exists(parsed.owner, parsed.identifier)
        return None if there else self.refuses_new(parsed.owner)

    async def _unannounced(self, owner: str, targets: Targets) -> tuple[str, ...]:
        """The owner's repositories that no announcement names but those that leave."""
        leaving = {each.event.id for each in targets.all}
        found = []
        for identifier in targets.repositories:
            known = (await self.index.data(identifier)).known.get(owner)
            if known is None or known.announcement.event.id in leaving:
                found.append(identifier)
        return tuple(found)

    async def targets(self, request: Deletion | Vanish) -> Targets:
        """The events, served and held, that a request ends if it is accepted.

        Those of others do not change, so no request waits for them.
        """
        if isinstance(request, Deletion):
            return await self._named(request)
        return await self._of_vanishing(request.event)

    async def _of_vanishing(self, request: Event) -> Targets:
        """All that its author signed up to then, and gift wraps for him (NIP-62)."""
        author, until = request.pubkey, request.created_at
        filters = [
            Filter(authors=frozenset((author,)), until=until),
            Filter(
                kinds=frozenset((kinds.GIFT_WRAP,)),
                tags={"p": frozenset((author,))},
                until=until,
            ),
        ]
        served = [e for e in await self.store.query(filters, EVERYTHING) if e.id != request.id]
        held = (
            self.purgatory.held_by(author) if self.purgatory.room.of_author(author).events else ()
        )
        return Targets(
            await self.index.parser.stored(served),
            (
                *(entry.parsed for entry in held if entry.event.created_at <= until),
                *(e for e in _overdue(self.purgatory, author) if e.event.created_at <= until),
            ),
            await self.repositories.run(self._on_disk, author),
        )

    def _on_disk(self, owner: str) -> tuple[str, ...]:
        """The identifiers of an owner's repositories, also of those that were deleted."""
        deleted = RetainedRepositories(self.repositories).identifiers_of(owner)
        return tuple(sorted({*self.repositories.identifiers_of(owner), *deleted}))

    async def _named(self, deletion: Deletion) -> Targets:
        ids, addresses = deletion.ids, deletion.addresses
        own = frozenset((deletion.event.pubkey,))
        filters = [Filter(ids=frozenset(ids), authors=own)] if ids else []
        for kind, _, identifier in filter(None, map(Address.parse, addresses)):
            tags = {"d": frozenset((identifier,))} if kinds.is_addressable(kind) else {}
            filters.append(Filter(kinds=frozenset((kind,)), authors=own, tags=tags))
        served = await self.store.query(filters, len(ids) + len(addresses) + 1) if filters else []
        return Targets(
            await self.index.parser.stored(served),
            (
                *(entry.parsed for entry in _held_targets(self.purgatory, deletion)),
                *(
                    each
                    for each in _overdue(self.purgatory, deletion.event.pubkey)
                    if each.event.id in ids or address_text(each.event) in addresses
                ),
            ),
        )


def _asks_for_references(parsed: Parsed, data: Mapping[str, RepositoryData]) -> bool:
    """Whether the verdict depends on what refers to what (B 4.1, 5)."""
    if isinstance(parsed, PullRequest):
        return not any(data[each].owners_of_pr(parsed) for each in parsed.identifiers)
    return parsed.event.kind not in JUDGED_WITHOUT


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


def _overdue(purgatory: Purgatory, author: str) -> list[Parsed]:
    """What expired and is kept of an author, but for what is held once more."""
    kept = purgatory.overdue.of_author(author)
    return [parse(each.event) for each in kept if purgatory.get(each.event_id) is None]


def _held_targets(purgatory: Purgatory, deletion: Deletion) -> Sequence[HeldEvent]:
    """Held events of the author that a deletion request names, by id or by address."""
    named: list[HeldEvent | None] = [purgatory.get(each) for each in deletion.ids]
    for identifier in {c[2]: None for c in map(Address.parse, deletion.addresses) if c}:
        named += purgatory.find_state(identifier)
        named += purgatory.find_announcements(identifier)
    found = {entry.event_id: entry for entry in named if entry is not None}
    return [entry for entry in found.values() if entry.event.pubkey == deletion.event.pubkey]


def _named_by(parsed: Parsed) -> tuple[str, ...]:
    """What a deletion request names."""
    return (*parsed.ids, *parsed.addresses) if isinstance(parsed, Deletion) else ()
