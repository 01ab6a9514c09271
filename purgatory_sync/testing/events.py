"""Signed events for tests, demo and benchmarks, in one line each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

import attrs

from ..nostr import kinds
from ..nostr.address import RepositoryId
from ..nostr.event import Event
from ..nostr.keys import SecretKey

SOME_TIME = 1_700_000_000
"""The `created_at` of events that do not care (Unix seconds)."""


@attrs.frozen
class Author:
    """A key that signs events."""

    key: SecretKey

    @classmethod
    def from_seed(cls, seed: int) -> Author:
        """The same author for the same number, wherever it runs."""
        return cls(SecretKey(sha256(f"purgatory-sync author {seed}".encode()).digest()))

    @property
    def pubkey(self) -> str:
        """The public key in hex."""
        return self.key.pubkey

    @property
    def npub(self) -> str:
        """The public key as NIP-19 writes it."""
        return self.key.npub

    def coordinate(self, identifier: str) -> RepositoryId:
        """The address of this author's announcement of a repository."""
        return RepositoryId(self.pubkey, identifier)

    def sign(
        self,
        kind: int,
        content: str = "",
        tags: Iterable[Sequence[str]] = (),
        created_at: int = SOME_TIME,
    ) -> Event:
        """Sign any event; `created_at` in Unix seconds."""
        return self.key.sign(kind, content, tags, created_at)


def announcement(
    author: Author,
    identifier: str,
    *,
    clone: Sequence[str] = (),
    relays: Sequence[str] = (),
    maintainers: Sequence[Author | str] = (),
    roles: Sequence[tuple[str, Author, *tuple[str, ...]]] = (),
    created_at: int = SOME_TIME,
) -> Event:
    """A repository announcement, kind 30617 (NIP-34).

    Args:
      clone: clone URLs, as they shall stand in the event.
      relays: relay URLs, as they shall stand in the event.
      maintainers: the other maintainers, as authors or values to write down.
      roles: role tags: a letter, its subject, and boundaries.
      created_at: Unix seconds.
    """
    tags: list[tuple[str, ...]] = [("d", identifier), ("name", identifier)]
    listed = {
        "clone": tuple(clone),
        "relays": tuple(relays),
        "maintainers": tuple(m.pubkey if isinstance(m, Author) else m for m in maintainers),
    }
    tags += [(name, *values) for name, values in listed.items() if values]
    tags += [(letter, who.pubkey, *times) for letter, who, *times in roles]
    return author.sign(kinds.ANNOUNCEMENT, "", tags, created_at)


def state(
    author: Author,
    identifier: str,
    refs: Mapping[str, str],
    *,
    head: str | None = None,
    created_at: int = SOME_TIME,
) -> Event:
    """A repository state, kind 30618 (NIP-34).

    Args:
      refs: full ref name → value (an OID, or `ref: …`), in the order of the tags.
      head: the full name of the branch that HEAD shall name.
      created_at: Unix seconds.
    """
    tags = [("d", identifier), *refs.items()]
    if head is not None:
        tags.append(("HEAD", f"ref: {head}"))
    return author.sign(kinds.STATE, "", tags, created_at)


def pull_request(
    author: Author,
    coordinates: Sequence[RepositoryId],
    commit: str,
    *,
    clone: Sequence[str] = (),
    created_at: int = SOME_TIME,
) -> Event:
    """A pull request, kind 1618 (NIP-34).

    Args:
      coordinates: the repositories it addresses, one `a` tag each.
      commit: the OID of its tip.
      clone: URLs that serve the commit.
      created_at: Unix seconds.
    """
    tags = _pull_request_tags(coordinates, commit, clone)
    return author.sign(kinds.PULL_REQUEST, "", [*tags, ("subject", "A change")], created_at)


def pull_request_update(
    author: Author,
    coordinates: Sequence[RepositoryId],
    commit: str,
    root: Event,
    *,
    clone: Sequence[str] = (),
    created_at: int = SOME_TIME,
) -> Event:
    """An update of a pull request, kind 1619 (NIP-34); `root` is the pull request."""
    tags = _pull_request_tags(coordinates, commit, clone)
    tags += [("E", root.id), ("P", root.pubkey)]
    return author.sign(kinds.PULL_REQUEST_UPDATE, "", tags, created_at)


def deletion(
    author: Author,
    *,
    ids: Sequence[str] = (),
    addresses: Sequence[str] = (),
    created_at: int = SOME_TIME,
) -> Event:
    """A deletion request, kind 5 (NIP-09).

    Args:
      ids: event ids, one `e` tag each.
      addresses: `kind:pubkey:identifier`, one `a` tag each.
      created_at: Unix seconds.
    """
    tags = [("e", each) for each in ids] + [("a", each) for each in addresses]
    return author.sign(kinds.DELETION, "", tags, created_at)


def vanish(
    author: Author,
    *,
    relays: Sequence[str] = ("ALL_RELAYS",),
    created_at: int = SOME_TIME,
) -> Event:
    """A request to vanish, kind 62 (NIP-62).

    Args:
      relays: relay URLs, or `ALL_RELAYS`, one `relay` tag each.
      created_at: Unix seconds.
    """
    return author.sign(kinds.VANISH, "", [("relay", each) for each in relays], created_at)


def note(
    author: Author,
    content: str = "",
    *,
    tags: Iterable[Sequence[str]] = (),
    kind: int = 1,
    created_at: int = SOME_TIME,
) -> Event:
    """Any other event: a text note unless another kind is named."""
    return author.sign(kind, content, tags, created_at)


def _pull_request_tags(
    coordinates: Sequence[RepositoryId], commit: str, clone: Sequence[str]
) -> list[tuple[str, ...]]:
    tags: list[tuple[str, ...]] = [("a", str(each)) for each in coordinates]
    tags += [("p", owner) for owner in dict.fromkeys(each.owner for each in coordinates)]
    tags.append(("c", commit))
    if clone:
        tags.append(("clone", *clone))
    return tags
