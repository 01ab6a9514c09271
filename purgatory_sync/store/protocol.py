"""The one protocol behind which every durable fact lives (docs/storage.md, N1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, Protocol

import attrs

from ..nostr.event import Event
from ..nostr.filters import Filter
from ..nostr.reconciliation.inventory import Inventory
from ..records import ListEntry, NaughtyRecord, Placeholder, ServerNote, Tombstone, Upload


@attrs.frozen
class HeldRow:
    """One held event as the journal knows it.

    Attributes:
      sort: what it is held as.
      origin: `user` or `sync`.
      accepted_at: Unix seconds of the OK.
      soft_expired_at: Unix seconds since when an announcement is without repository (B 2.7).
    """

    event: Event
    sort: Literal["announcement", "state", "pr"]
    origin: Literal["user", "sync"]
    accepted_at: float
    soft_expired_at: float | None = None


@attrs.frozen
class Expired:
    """An id that was held and ended without its data (B 8.9); `at` in Unix seconds.

    Attributes:
      reason: why, where it is not that its data did not come (B 7.4).
    """

    event_id: str
    at: float
    reason: str = ""


@attrs.frozen
class OverdueRow:
    """An expired event that is kept whole, since its data is looked for again (B 8.12).

    Attributes:
      since: Unix seconds of its first end.
    """

    event: Event
    since: float


@attrs.frozen
class DomainRow:
    """What a restart must remember of a git domain's limits (B 8.2, 8.6); times in Unix seconds."""

    domain: str
    starts: tuple[float, ...] = ()
    resting_until: float | None = None


FOUND: Final = "found"


@attrs.frozen
class Made:
    """A repository that was made for an announcement, so that it is not mistaken for another.

    Attributes:
      owner: hex key of the repository's owner.
      token: what was written into that very repository when it was made; empty where that is not
        known (noted by an older version, or it is not here); FOUND for one that was never made.
      filled: whether its announcement was ever served: then its data is not ours to delete (B 2.7).
      ending: its owner vanished, and it is to be removed, made here or found (B 5.2).
    """

    owner: str
    identifier: str
    token: str
    filled: bool = False
    ending: bool = False

    @property
    def found(self) -> bool:
        """Whether it was found: only the operator's word takes it out (B 13.8)."""
        return self.token == FOUND


@attrs.frozen
class Change:
    """What one transaction does, all or nothing: what leaves goes first, then what comes.

    Attributes:
      hold: rows to journal (an id that is already there is replaced).
      unhold: ids that leave the journal.
      save: events to serve, with replaceable and addressable semantics (NIP-01); ephemeral ones
        are skipped, tombstones are not looked at (policy judges by them).
      delete: ids that are no longer served.
      expire: ids to remember as expired.
      forget_expired: expired ids to forget.
      overdue: expired events to keep whole; of one id the last is kept.
      forget_overdue: ids of such events to forget; what is saved or deleted is forgotten, too.
      tombstones: of one target and author the latest `until`, `ends` and `used` are kept; one that
        never ends stays such a one.
      tombstones_ended: those that end by this time (Unix seconds) are forgotten.
      placeholders: of one owner, identifier and event id the last is kept.
      forget_placeholders: found by owner, identifier and event id.
      uploads: of one owner, identifier and event id the last is kept.
      forget_uploads: found by owner, identifier and event id.
      naughty: of one scope and key the last is kept.
      forget_naughty: (scope, key) pairs to forget.
      server_notes: of one key the last is kept.
      forget_server_notes: keys to forget.
      made: of one owner and identifier the last is kept.
      forget_made: found by owner and identifier.
      list_entries: of one list and entry the last is kept.
      forget_list_entries: (list, entry) pairs to forget.
      git_folder: the id of the git folder that belongs to this store from now on.
      service_key: the public key of the service from now on, in hex.
    """

    hold: Sequence[HeldRow] = ()
    unhold: Sequence[str] = ()
    save: Sequence[Event] = ()
    delete: Sequence[str] = ()
    expire: Sequence[Expired] = ()
    forget_expired: Sequence[str] = ()
    overdue: Sequence[OverdueRow] = ()
    forget_overdue: Sequence[str] = ()
    tombstones: Sequence[Tombstone] = ()
    tombstones_ended: float | None = None
    placeholders: Sequence[Placeholder] = ()
    forget_placeholders: Sequence[Placeholder] = ()
    uploads: Sequence[Upload] = ()
    forget_uploads: Sequence[Upload] = ()
    naughty: Sequence[NaughtyRecord] = ()
    forget_naughty: Sequence[tuple[str, str]] = ()
    server_notes: Sequence[ServerNote] = ()
    forget_server_notes: Sequence[str] = ()
    made: Sequence[Made] = ()
    forget_made: Sequence[Made] = ()
    list_entries: Sequence[ListEntry] = ()
    forget_list_entries: Sequence[tuple[str, str]] = ()
    git_folder: str | None = None
    service_key: str | None = None


@attrs.frozen
class Applied:
    """What became of a change.

    Attributes:
      saved: ids that are served now because of it (not those that were served already, nor
        those that something newer replaces).
      replaced: ids that are no longer served because something newer replaced them.
    """

    saved: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()


@attrs.frozen
class Journal:
    """All that a start needs besides the served events.

    Attributes:
      git_folder: the id of the git folder that belongs to the store; None before there was any.
      service_key: the public key of the service in hex; None before there was any.
    """

    held: tuple[HeldRow, ...] = ()
    expired: tuple[Expired, ...] = ()
    overdue: tuple[OverdueRow, ...] = ()
    placeholders: tuple[Placeholder, ...] = ()
    uploads: tuple[Upload, ...] = ()
    naughty: tuple[NaughtyRecord, ...] = ()
    domains: tuple[DomainRow, ...] = ()
    server_notes: tuple[ServerNote, ...] = ()
    made: tuple[Made, ...] = ()
    list_entries: tuple[ListEntry, ...] = ()
    git_folder: str | None = None
    service_key: str | None = None


class Store(Protocol):
    """Served events and the journal of held ones.

    Every method raises StoreError when it could not do its work; nothing of it was done then.
    """

    async def load(self) -> Journal:
        """Everything that is journaled; ids that are both served and held are un-held first.

        Held, expired, overdue and server notes in the order of their times; the rest sorted by
        its keys.
        """

    async def apply(self, change: Change) -> Applied:
        """Do a change durably: when this returns, no crash undoes it (N1).

        Cancelled before the writer took the change up, it is not done. Afterwards the outcome is
        waited for and returned as without cancellation, so that memory and disk agree.
        """

    async def query(self, filters: Sequence[Filter], limit: int) -> list[Event]:
        """Served events that match any filter, newest first (lowest id first on a tie), each once.

        A filter's own `limit` bounds what that filter yields; `limit` bounds each filter as well.
        """

    async def find(
        self, filters: Sequence[Filter], limit: int, *, most_work: int | None = None
    ) -> list[str]:
        """The ids of what `query` would yield, in its order: many of them take little memory.

        Args:
          most_work: where looking takes more steps than so many, it ends with TooMuchWork. A step
            is a small thing, like a row that is looked at; a back end need not count them.
        """

    async def inventory(
        self, filters: Sequence[Filter], limit: int, *, most_work: int | None = None
    ) -> Inventory:
        """What `find` yields, as reconciling needs it (NIP-77)."""

    async def count(self, filters: Sequence[Filter], *, most_work: int | None = None) -> int:
        """How many served events match any of the filters; `limit` is ignored."""

    async def expiring(self, now: float, limit: int) -> tuple[list[str], float | None]:
        """Served events that expired by now (NIP-40), and when the next one does.

        Args:
          now: Unix seconds.
          limit: at most so many ids.

        Returns (ids, Unix seconds): the time is None where no other event expires.
        """

    async def served_ids(self, ids: Sequence[str]) -> frozenset[str]:
        """Which of the ids are served."""

    async def look(
        self, filters: Sequence[Filter], limit: int, targets: Sequence[str]
    ) -> tuple[list[Event], list[Tombstone]]:
        """What `query` yields, and the tombstones of these ids and addresses, in one read.

        Tombstones come in the order of targets and authors.
        """

    async def check(self) -> tuple[str, ...]:
        """What is wrong with the store itself, as sentences; it may take minutes."""

    async def stored(self, after: str, limit: int) -> list[tuple[str, bytes]]:
        """Events as they lie in the store, served, held and overdue, in the order of their ids.

        Args:
          after: only ids that come after this one; empty: from the first on.

        Returns (id, JSON), at most `limit`; nothing of it is judged, so that it may be damaged.
        """

    def note_domains(self, rows: Sequence[DomainRow]) -> None:
        """Remember starts and rests with the next batch, without a sync; the newest row wins.

        A row replaces its domain's former one; one without starts and rest forgets the domain.
        Starts a minute older than the newest are dropped.
        """

    async def aclose(self) -> None:
        """Write what was noted, close, and let another process in."""
