"""Small facts that outlive a restart and that several rooms share: one class for each."""

from __future__ import annotations

import attrs

from .errors import NaughtyScope


@attrs.frozen
class Tombstone:
    """What must not come back: a deletion's target, a delisted announcement (B 2.2, 5, 5.2).

    Attributes:
      target: an event id (64 hex), an address `kind:pubkey:identifier`, or `62:pubkey:` for all
        that its author signed (`vanish_target`).
      author: whose deletion it is; it covers this author's events only.
      until: covers events of an address with `created_at` up to this (Unix seconds).
      ends: Unix seconds when it is forgotten; None: never.
      used: Unix seconds of when it ended something or kept it out last, to the day; None: that is
        not known.
    """

    target: str
    author: str
    until: int
    ends: float | None = None
    used: float | None = None


@attrs.frozen
class ListEntry:
    """What the operator added to a list while the node ran, or by hand (B 5.5).

    Attributes:
      name: of the list, as `purgatory-sync list-edit` has it.
      entry: what is listed, as the list's reader writes it.
      reason: the operator's, for people; may be empty.
      at: Unix seconds when it was added.
    """

    name: str
    entry: str
    reason: str
    at: float


@attrs.frozen
class Placeholder:
    """A `refs/nostr/<event id>` in the owner's repository, pushed before its event (B 4.3).

    Attributes:
      owner: hex key of the repository's owner.
      oid: what it points at.
      at: Unix seconds of the push.
    """

    owner: str
    identifier: str
    event_id: str
    oid: str
    at: float

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it one: the same id may wait in several repositories."""
        return self.owner, self.identifier, self.event_id


@attrs.frozen
class Upload:
    """A `refs/nostr/<event id>` below `/prs/`, pushed before its event (B 12.5).

    Attributes:
      owner: hex key in the path, which proves nothing: every client may push there.
      oid: what it points at.
      at: Unix seconds of the end of the push.
      size: bytes that its push added there; of a push of several refs one that waits has them all.
      address: the client's network (of IPv6 the /64), by which its budget is kept.
    """

    owner: str
    identifier: str
    event_id: str
    oid: str
    at: float
    size: int = 0
    address: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it one: the same id may wait below several paths."""
        return self.owner, self.identifier, self.event_id


@attrs.frozen
class NaughtyRecord:
    """A source that is left alone for a while (B 8.7).

    Attributes:
      key: a host, `host:port`, or a URL, as the scope says.
      until: Unix seconds.
      reason: one sentence for the operator.
    """

    scope: NaughtyScope
    key: str
    until: float
    reason: str


@attrs.frozen
class ServerNote:
    """What was learnt of a server (B 8.3, 8.4, 10.2), or counted by hours (B 10.3), for restarts.

    Attributes:
      key: what it is about; only who wrote it reads it.
      text: what is remembered.
      at: Unix seconds.
    """

    key: str
    text: str
    at: float
