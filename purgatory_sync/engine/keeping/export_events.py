"""Which served events belong to a repository: what rules it, its pull requests, and the talk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final

import attrs

from ...nostr import kinds
from ...nostr.address import RepositoryId
from ...nostr.event import Event
from ...nostr.filters import Filter
from ...nostr.kinds import is_addressable
from ...release.commit import Core
from ...release.index.repository_index import EVERYTHING
from ...store.protocol import Store

READ_AT_ONCE: Final = 200
NAMED_AT_ONCE: Final = 500
# By id and by address, of the event that is answered and of the root (NIP-01, NIP-22).
_BY_ID: Final = ("e", "E", "q")
_BY_ADDRESS: Final = ("a", "A", "q")


@attrs.frozen
class Belonging:
    """What rules one repository, by ids.

    Attributes:
      announcements: its own, and those of the members of its set.
      states: of the members.
      pull_requests: those that address it.
    """

    announcements: tuple[str, ...]
    states: tuple[str, ...]
    pull_requests: tuple[str, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """All of them, in an order in which each finds what it needs."""
        return (*self.announcements, *self.states, *self.pull_requests)


async def belonging(core: Core, store: Store, repository: RepositoryId) -> Belonging:
    """The served announcements, states and pull requests of a repository.

    Raises:
      StoreError: the store cannot be read.
    """
    owner, identifier = repository.owner, repository.identifier
    data = await core.index.data(identifier)
    members = data.maintainer_set(owner) | {owner}
    found = []
    for kind in (kinds.ANNOUNCEMENT, kinds.STATE):
        condition = Filter(
            kinds=frozenset((kind,)), authors=members, tags={"d": frozenset((identifier,))}
        )
        events = await store.query([condition], EVERYTHING)
        found.append(tuple(each.id for each in events if each.first("d") == identifier))
    requests = await core.index.served_pull_requests(identifier)
    mine = tuple(each.event.id for each in requests if data.addresses(each, owner))
    return Belonging(found[0], found[1], mine)


async def with_what_refers(
    store: Store, repository: RepositoryId, first: Sequence[str]
) -> AsyncIterator[Event]:
    """The events of these ids, then all that refers to the repository or to one of them, each once.

    What refers comes after what it refers to.

    Raises:
      StoreError: the store cannot be read.
    """
    known, ids = set(first), list(first)
    addresses = [str(repository)]
    while ids:
        written: list[str] = []
        async for event in _read(store, ids):
            yield event
            written.append(event.id)
            if is_addressable(event.kind) and event.kind != kinds.ANNOUNCEMENT:
                addresses.append(str(event.address))
        ids = []
        conditions = [*_naming(_BY_ID, written), *_naming(_BY_ADDRESS, addresses)]
        addresses = []
        for condition in conditions:
            for event_id in await store.find([condition], EVERYTHING):
                if event_id not in known:
                    known.add(event_id)
                    ids.append(event_id)


async def _read(store: Store, ids: Sequence[str]) -> AsyncIterator[Event]:
    """In the order of the ids; what was deleted meanwhile is left out."""
    for start in range(0, len(ids), READ_AT_ONCE):
        some = ids[start : start + READ_AT_ONCE]
        found = {e.id: e for e in await store.query([Filter(ids=frozenset(some))], len(some))}
        for event_id in some:
            if event_id in found:
                yield found[event_id]


def _naming(letters: Iterable[str], values: Sequence[str]) -> list[Filter]:
    """One filter for each letter and some of the values: letters of one filter must all hold."""
    return [
        Filter(tags={letter: frozenset(values[start : start + NAMED_AT_ONCE])})
        for letter in letters
        for start in range(0, len(values), NAMED_AT_ONCE)
    ]
