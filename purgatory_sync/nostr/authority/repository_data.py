"""All that is known of one identifier: its announcements and whom they authorise (B 3.1, 8.1)."""

from __future__ import annotations

import enum
from collections.abc import Iterable

import attrs

from ..announcement import Announcement
from ..pull_request import PullRequest

MAX_SOURCES = 50


class Standing(enum.StrEnum):
    """Where an announcement stands."""

    SERVED = "served"
    HELD = "held"
    SOFT_EXPIRED = "soft-expired"


@attrs.frozen
class KnownAnnouncement:
    """An announcement with its standing and whether its repository is on this disk."""

    announcement: Announcement
    standing: Standing = Standing.SERVED
    has_repository: bool = True

    @property
    def owner(self) -> str:
        """The announcement's author, in hex."""
        return self.announcement.owner


@attrs.frozen
class CloneSource:
    """A clone URL with the owner whose announcement gave it first."""

    url: str
    owner: str


@attrs.frozen
class RepositoryData:
    """The announcements of one identifier, the newest of each owner.

    Attributes:
      known: by owner, in the order of the owners' hex keys.
    """

    identifier: str
    known: dict[str, KnownAnnouncement]
    _sets: dict[str, frozenset[str]] = attrs.field(factory=dict, eq=False, repr=False)

    @classmethod
    def of(cls, identifier: str, announcements: Iterable[KnownAnnouncement]) -> RepositoryData:
        """Keep the newest announcement of each owner (NIP-01 on a tie, B 1.6)."""
        newest: dict[str, KnownAnnouncement] = {}
        for each in announcements:
            other = newest.get(each.owner)
            if other is None or other.announcement.event.order < each.announcement.event.order:
                newest[each.owner] = each
        return cls(identifier, dict(sorted(newest.items())))

    def maintainer_set(self, owner: str) -> frozenset[str]:
        """Everybody whom the owner's announcement authorises, followed recursively (B 3.1).

        A listed maintainer counts without an announcement; an owner without one has no set.
        """
        if owner not in self.known:
            return frozenset()
        if owner not in self._sets:
            reached = {owner}
            todo = [owner]
            while todo:
                known = self.known.get(todo.pop())
                for key in known.announcement.maintainers if known else ():
                    if key not in reached:
                        reached.add(key)
                        todo.append(key)
            self._sets[owner] = frozenset(reached)
        return self._sets[owner]

    def owners_authorising(self, author: str) -> tuple[str, ...]:
        """The owners whose maintainer set holds the author."""
        return tuple(owner for owner in self.known if author in self.maintainer_set(owner))

    def owners_of_pr(self, pr: PullRequest) -> tuple[str, ...]:
        """The owners whose set shares a pubkey with the event's `a` tags (B 4.1)."""
        tagged = pr.owners(self.identifier)
        return tuple(owner for owner in self.known if tagged & self.maintainer_set(owner))

    def with_repository(self, owners: Iterable[str]) -> tuple[str, ...]:
        """Those of the owners whose repository is on this disk."""
        return tuple(o for o in owners if (k := self.known.get(o)) and k.has_repository)

    def clone_sources(self, owners: Iterable[str]) -> tuple[CloneSource, ...]:
        """`clone` of the owners' announcements, then of the members of their sets (B 8.1).

        Of each announcement the first 50, so that none can keep every domain busy (mission N3).
        """
        owners = tuple(owners)
        members = sorted({m for owner in owners for m in self.maintainer_set(owner)})
        found: dict[str, CloneSource] = {}
        for owner in (*owners, *members):
            known = self.known.get(owner)
            for url in known.announcement.clone[:MAX_SOURCES] if known else ():
                found.setdefault(url, CloneSource(url, owner))
        return tuple(found.values())
