"""Pull requests, kind 1618, and their updates, kind 1619 (NIP-34; B 1.5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

import attrs

from ..errors import InvalidEvent, InvalidKey
from ..urls import below_prs, decode_segment, usable_urls
from . import kinds
from .address import RepositoryId, is_valid_identifier
from .event import Event
from .keys import decode_npub

_OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@attrs.frozen
class PullRequest:
    """What a pull request says, judged.

    Attributes:
      commit: the OID of its tip, lower-case hex (40 digits, or 64).
      repositories: the announcements that it addresses, in the event's order, each once.
      clone: usable clone URLs that serve its commit.
    """

    event: Event
    commit: str
    repositories: tuple[RepositoryId, ...]
    clone: tuple[str, ...]

    @cached_property
    def identifiers(self) -> tuple[str, ...]:
        """The identifiers it waits under, each once (B 4.3)."""
        return tuple(dict.fromkeys(r.identifier for r in self.repositories))

    @property
    def unsatisfiable(self) -> bool:
        """Whether the commit can never be an object of a SHA-1 repository."""
        return len(self.commit) != 40 or not self.commit.strip("0")

    @property
    def ref(self) -> str:
        """The ref that names its commit once it is released."""
        return f"refs/nostr/{self.event.id}"

    def owners(self, identifier: str) -> frozenset[str]:
        """The pubkeys that its `a` tags name for this identifier (B 4.1)."""
        return frozenset(r.owner for r in self.repositories if r.identifier == identifier)

    def below_prs(self, service: str) -> tuple[RepositoryId, ...]:
        """All that its clone values name below our `/prs/`, each once (GRASP-06).

        Args:
          service: our host[:port][/base].
        """
        named = (below_prs(url, service) for url in self.clone)
        found = (contributed_repository(*each) for each in named if each is not None)
        return tuple(dict.fromkeys(each for each in found if each is not None))

    def contributed(self, service: str) -> tuple[RepositoryId, ...]:
        """Those of them that it may be pushed to (B 12.3).

        Each is of its signer and has the identifier of one of its `a` tags.
        """
        author, identifiers = self.event.pubkey, frozenset(self.identifiers)
        named = self.below_prs(service)
        return tuple(e for e in named if e.owner == author and e.identifier in identifiers)

    @classmethod
    def parse(cls, event: Event) -> PullRequest:
        """Read a pull request or an update of one.

        Raises:
          InvalidEvent: another kind, or no commit in `c`.
        """
        if event.kind not in kinds.PR_KINDS:
            raise InvalidEvent("not a pull request (kind 1618 or 1619)")
        commit = (event.first("c") or "").lower()
        if not _OID.fullmatch(commit):
            raise InvalidEvent("the c tag must hold the commit: 40 hex digits")
        repositories = tuple(dict.fromkeys(_addressed(event)))
        return cls(event, commit, repositories, usable_urls(event.all_values("clone")))


def contributed_repository(npub: str, segment: str) -> RepositoryId | None:
    """What `<npub>/<percent-encoded identifier>.git` names below `/prs/` (B 12.1).

    Every spelling that decodes to the pair of key and identifier names the same; None for what has
    no single reading.
    """
    name = decode_segment(segment)
    if name is None or not name.endswith(".git"):
        return None
    identifier = name.removesuffix(".git")
    try:
        owner = decode_npub(npub)
    except InvalidKey:
        return None
    if npub != npub.lower() or not is_valid_identifier(identifier):
        return None
    return RepositoryId(owner, identifier)


def extract_identifier_from_pr_event(event: Event) -> str | None:
    """The identifier of the first repository that a pull request addresses; None without one."""
    return next((each.identifier for each in _addressed(event)), None)


def _addressed(event: Event) -> Iterator[RepositoryId]:
    """The repositories in the `a` tags, in their order; what is no repository is left out."""
    found = (RepositoryId.parse(value) for value in event.values("a"))
    return (each for each in found if each is not None)
