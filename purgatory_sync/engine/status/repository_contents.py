"""What is in a hosted repository, and what is held for it, for its page (B 6.4)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs
import trio

from ...git.disk.object_lookup import ObjectLookup
from ...git.disk.repository import list_refs, read_head
from ...nostr.address import RepositoryId
from ...nostr.authority.repository_data import RepositoryData
from ...nostr.keys import encode_npub
from ...nostr.state import State
from ...release.commit import Core
from ...runtime.bounded import Bounded
from ...runtime.folders import folder_bytes
from .served_recently import ServedRecently

REFS_SHOWN: Final = 20
# The times of so many are read, each of which may cost a look at the disk.
REFS_LOOKED_AT: Final = 200
FRESH_SECS: Final = 10.0
REMEMBERED: Final = 200
_HEADS: Final = "refs/heads/"
_TAGS: Final = "refs/tags/"


@attrs.frozen
class RefLook:
    """A branch or tag.

    Attributes:
      oid: what it names, in full.
      at: the committer's time in Unix seconds; 0 where it is not known.
    """

    name: str
    oid: str
    at: int


@attrs.frozen
class OnDisk:
    """What the disk tells of a repository: its branches and tags, some of each, newest first.

    Attributes:
      head: the branch that HEAD names, or None.
      size: bytes of its files; those that others have by hard links too count.
    """

    head: str | None
    branches: tuple[RefLook, ...]
    branches_total: int
    tags: tuple[RefLook, ...]
    tags_total: int
    size: int


@attrs.frozen
class StateLook:
    """The state that rules a repository.

    Attributes:
      author: npub.
      created_at: Unix seconds, as its author says.
      served_at: since when it is served; None when that was before the start, or long ago.
      source: the URL that its data came from; None where no source elsewhere brought it.
    """

    event_id: str
    author: str
    created_at: int
    served_at: float | None
    source: str | None


@attrs.frozen
class RepositoryContents:
    """A hosted repository at one moment.

    Attributes:
      at: Unix seconds.
      state: the newest that is served and rules, or None.
      held: how many events are held for it, by kind.
    """

    at: float
    disk: OnDisk
    state: StateLook | None
    held: Mapping[str, int]


@attrs.define(eq=False)
class ContentsReader:
    """Looks at one repository at a time, at each every ten seconds at most, however many ask."""

    core: Core
    served: ServedRecently
    _looking: trio.Lock = attrs.field(factory=trio.Lock)
    _kept: Bounded[Path, tuple[float, OnDisk]] = attrs.field(factory=lambda: Bounded(REMEMBERED))

    async def look(
        self, owner: str, data: RepositoryData, state: State | None, now: float
    ) -> RepositoryContents:
        """What is in a hosted repository.

        Args:
          owner: hex key.
          data: the announcements of its identifier.
          state: the one that rules it.
          now: Unix seconds.

        Raises:
          RepositoryError: the repository cannot be read.
          OSError: its files cannot be counted.
        """
        disk = await self._disk(self.core.repositories.path(owner, data.identifier))
        return RepositoryContents(now, disk, self._state(state), self._held(owner, data))

    async def _disk(self, path: Path) -> OnDisk:
        async with self._looking:
            until, disk = self._kept.get(path) or (0.0, None)
            if disk is None or trio.current_time() >= until:
                disk = await self.core.repositories.run(_read, path)
                self._kept.put(path, (trio.current_time() + FRESH_SECS, disk))
            return disk

    def _state(self, state: State | None) -> StateLook | None:
        if state is None:
            return None
        event = state.event
        since, source = self.served.since(event.id), self.served.source(event.id)
        return StateLook(event.id, encode_npub(state.author), event.created_at, since, source)

    def _held(self, owner: str, data: RepositoryData) -> dict[str, int]:
        purgatory, identifier = self.core.purgatory, data.identifier
        members = data.maintainer_set(owner)
        here = RepositoryId(owner, identifier)
        states = sum(each.state.author in members for each in purgatory.find_state(identifier))
        requests = purgatory.find_prs_for_identifier(identifier)
        prs = sum(here in each.pr.repositories for each in requests)
        return {"state": states, "pull request": prs}


def _read(path: Path) -> OnDisk:
    refs, head = list_refs(path), read_head(path)
    branches, tags = (
        {name.removeprefix(prefix): oid for name, oid in refs.items() if name.startswith(prefix)}
        for prefix in (_HEADS, _TAGS)
    )
    with ObjectLookup(path) as lookup:
        return OnDisk(
            head.removeprefix(_HEADS) if head in refs and head is not None else None,
            _newest(branches, lookup),
            len(branches),
            _newest(tags, lookup),
            len(tags),
            folder_bytes(path),
        )


def _newest(refs: Mapping[str, str], lookup: ObjectLookup) -> tuple[RefLook, ...]:
    looks = [
        RefLook(name, oid, _time(oid, lookup)) for name, oid in [*refs.items()][:REFS_LOOKED_AT]
    ]
    return tuple(sorted(looks, key=lambda look: (-look.at, look.name))[:REFS_SHOWN])


def _time(oid: str, lookup: ObjectLookup) -> int:
    """Of the commit that a ref names, a tag's too."""
    peeled = lookup.peel(oid)
    return 0 if peeled is None else lookup.commit_time(peeled[0])
