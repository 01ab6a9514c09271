"""What each held event lacks: the OIDs that no repository it concerns has (B 3.6)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import attrs

from ...nostr.authority.repository_data import RepositoryData
from ...purgatory.entries import HeldState, HuntedEvent
from .repositories import Repositories
from .repository_index import RepositoryIndex


@attrs.frozen
class Concern:
    """What one event concerns.

    Attributes:
      owners: the owners whose repositories the event concerns (B 3.6, 4.1), by identifier.
      repositories: those of them that are on this disk.
      oids: the objects that it needs.
      contributed: repositories below `/prs/` that it may have been pushed to; they give, and are
        given nothing (B 12.6).
      below_prs: it may be pushed below `/prs/`.
    """

    owners: Mapping[str, tuple[str, ...]]
    repositories: tuple[Path, ...]
    oids: frozenset[str]
    contributed: tuple[Path, ...] = ()
    below_prs: bool = False

    @property
    def holding(self) -> tuple[Path, ...]:
        """All repositories that may hold what it needs."""
        return (*self.repositories, *self.contributed)


@attrs.frozen
class Missing:
    """What an event lacks, beside what it concerns."""

    concern: Concern
    oids: frozenset[str]


async def concern_of(
    entry: HuntedEvent, index: RepositoryIndex, repositories: Repositories
) -> Concern:
    """What a held event concerns, judged by the announcements as they are now."""
    data = {each: await index.data(each) for each in entry.identifiers}
    return concern_in(entry, data, repositories)


def concern_in(
    entry: HuntedEvent, data: Mapping[str, RepositoryData], repositories: Repositories
) -> Concern:
    """What a held event concerns, by what is known of each of its identifiers."""
    owners = {each: owners_concerned(entry, data[each]) for each in entry.identifiers}
    paths = [
        repositories.path(owner, identifier)
        for identifier, concerned in owners.items()
        for owner in data[identifier].with_repository(concerned)
    ]
    prs = repositories.prs
    if prs is None or isinstance(entry, HeldState) or not prs.named_by(entry.pr):
        return Concern(owners, tuple(paths), needed_oids(entry))
    return Concern(owners, tuple(paths), needed_oids(entry), prs.holding(entry.pr), True)


def owners_concerned(entry: HuntedEvent, data: RepositoryData) -> tuple[str, ...]:
    """The owners whose repositories of this identifier a held event concerns (B 3.6, 4.1)."""
    if isinstance(entry, HeldState):
        return data.owners_authorising(entry.state.author)
    return data.owners_of_pr(entry.pr)


def needed_oids(entry: HuntedEvent) -> frozenset[str]:
    """Every object that the event names."""
    if isinstance(entry, HeldState):
        return entry.state.oids
    return frozenset((entry.pr.commit,))


async def identify_missing_oids(
    entries: Sequence[HuntedEvent], index: RepositoryIndex, repositories: Repositories
) -> dict[str, Missing]:
    """What each of the events lacks, by event id; one look at the disk for all of them.

    Values `ref: …` need no object and events that can never be satisfied are left out.
    """
    names = [name for entry in entries if not entry.unsatisfiable for name in entry.identifiers]
    return await missing_in(entries, await index.data_of(names), repositories)


async def missing_in(
    entries: Sequence[HuntedEvent], data: Mapping[str, RepositoryData], repositories: Repositories
) -> dict[str, Missing]:
    """As `identify_missing_oids`, by what is known of each identifier; the store is not read."""
    concerns: dict[str, Concern] = {
        entry.event_id: concern_in(entry, data, repositories)
        for entry in entries
        if not entry.unsatisfiable
    }
    asked: dict[str, tuple[Sequence[Path], Collection[str]]] = {
        event_id: (concern.holding, concern.oids)
        for event_id, concern in concerns.items()
        if concern.holding and concern.oids
    }
    here = await repositories.run(repositories.here, asked) if asked else {}
    return {
        event_id: Missing(concern, concern.oids - here.get(event_id, frozenset()))
        for event_id, concern in concerns.items()
    }
