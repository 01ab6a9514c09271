"""All that is known of one identifier: its announcements and who they authorise (B 3.7, 8.1)."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping

import attrs

from ..announcement import Announcement
from ..pull_request import PullRequest
from .membership import Membership

MAX_SOURCES = 50


class Standing(enum.StrEnum):
    """Where an announcement stands."""

    SERVED = "served"
    HELD = "held"
    SOFT_EXPIRED = "soft-expired"


@attrs.frozen
class KnownAnnouncement:
    """An announcement, where it stands, and what is here of its repository.

    Attributes:
      has_repository: whether its repository is on this disk.
      blocked: the operator's blacklists name it or its author: it is in no set, and names no
        other key (B 5.1).
    """

    announcement: Announcement
    standing: Standing = Standing.SERVED
    has_repository: bool = True
    blocked: bool = False

    @property
    def owner(self) -> str:
        """The announcement's author, in hex."""
        return self.announcement.owner

    @property
    def is_hosted(self) -> bool:
        """Whether it has its repository here, or waits for one: not served for others only."""
        return self.has_repository or self.standing is not Standing.SERVED


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
      sets: which key authorises which, by these announcements.
    """

    identifier: str
    known: dict[str, KnownAnnouncement]
    sets: Membership = attrs.field(
        init=False,
        eq=False,
        repr=False,
        default=attrs.Factory(lambda self: _membership(self.known), takes_self=True),
    )

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
        """The members of the owner's set: all keys whose states rule its refs (B 3.7)."""
        return self.sets.members(owner)

    def owners_authorising(self, *authors: str) -> tuple[str, ...]:
        """The owners whose set holds one of the authors."""
        return tuple(sorted(self.sets.owners_authorising(*authors)))

    def owners_seeing(self, author: str) -> tuple[str, ...]:
        """The other owners for whom the author's announcement matters (B 2.2 b)."""
        return tuple(sorted(self.sets.owners_seeing(author) - {author}))

    def needed_by_served(self, author: str) -> bool:
        """Whether another owner is served, with a repository, whose set needs the author's.

        He is a member of it, or its pointers go through him: without his it would be another.
        Where there is no repository no ref depends on it.
        """
        return any(
            self.known[owner].standing is Standing.SERVED and self.known[owner].has_repository
            for owner in self.sets.owners_needing(author) - {author}
            if owner in self.known
        )

    def owners_of_pr(self, pr: PullRequest) -> tuple[str, ...]:
        """The owners whom the event's `a` tags name, themselves or a member of their set (B 4.1).

        One that is forwarded, and so in no set, has to be served.
        """
        tagged = pr.owners(self.identifier)
        found = {o for o in tagged if o in self.known and self.known[o].standing is Standing.SERVED}
        return tuple(sorted(found.union(self.sets.owners_authorising(*tagged))))

    def addresses(self, pr: PullRequest, owner: str) -> bool:
        """Whether the owner is one of `owners_of_pr`."""
        tagged = pr.owners(self.identifier)
        known = self.known.get(owner)
        if known is not None and owner in tagged and known.standing is Standing.SERVED:
            return True
        return not self.maintainer_set(owner).isdisjoint(tagged)

    def with_repository(self, owners: Iterable[str]) -> tuple[str, ...]:
        """Those of the owners whose repository is on this disk."""
        return tuple(o for o in owners if (k := self.known.get(o)) and k.has_repository)

    def clone_sources(self, owners: Iterable[str]) -> tuple[CloneSource, ...]:
        """`clone` of the owners' announcements, then of the members of their sets (B 8.1).

        Of each announcement the first 50, so that none can keep every domain busy (N3).
        """
        owners = tuple(owners)
        members = sorted({m for owner in owners for m in self.maintainer_set(owner)})
        found: dict[str, CloneSource] = {}
        for owner in (*owners, *members):
            known = self.known.get(owner)
            for url in known.announcement.clone[:MAX_SOURCES] if known else ():
                found.setdefault(url, CloneSource(url, owner))
        return tuple(found.values())


def _membership(known: Mapping[str, KnownAnnouncement]) -> Membership:
    return Membership(
        {o: each.announcement.roles for o, each in known.items() if not each.blocked},
        frozenset(o for o, each in known.items() if each.standing is Standing.SERVED),
    )
