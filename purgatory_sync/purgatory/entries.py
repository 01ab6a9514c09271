"""What is held: one entry for each event that waits for its git data."""

from __future__ import annotations

import enum

import attrs

from ..errors import ResultClass
from ..nostr.announcement import Announcement
from ..nostr.event import Event
from ..nostr.pull_request import PullRequest
from ..nostr.state import State

# These outcomes say nothing about whether the source has the objects (B 8.6, 8.9, mission N2).
UNCOUNTED = frozenset({ResultClass.CANCELLED, ResultClass.RATE_LIMITED, ResultClass.LOCAL})


class Origin(enum.StrEnum):
    """How an event came: it decides how long the first hunt waits (mission S3)."""

    USER = "user"
    SYNC = "sync"


@attrs.frozen
class Tried:
    """What became of the last attempt at one source for one held event (B 8.3).

    Attributes:
      at: Unix seconds.
      detail: one sentence for the operator.
      counted: whether this or an earlier attempt counts as a try for expiry (B 8.9).
    """

    at: float
    result: ResultClass
    detail: str
    counted: bool = True

    @classmethod
    def after(cls, earlier: Tried | None, at: float, result: ResultClass, detail: str) -> Tried:
        """The newest outcome, which never un-tries what an earlier one tried."""
        counted = result not in UNCOUNTED or (earlier is not None and earlier.counted)
        return cls(at, result, detail, counted)


@attrs.define(eq=False)
class HeldState:
    """A state event that waits for its objects; several wait under one identifier (B 1.6).

    Attributes:
      accepted_at: Unix seconds.
      error: why the last release failed, or None (B 7.4).
      tried: by URL, what became of the last attempt there; empty after a restart.
    """

    state: State
    origin: Origin
    accepted_at: float
    error: str | None = None
    tried: dict[str, Tried] = attrs.field(factory=dict)

    @property
    def event(self) -> Event:
        """The event itself."""
        return self.state.event

    @property
    def event_id(self) -> str:
        """The event's id, hex."""
        return self.state.event.id

    @property
    def identifier(self) -> str:
        """The identifier under which it waits."""
        return self.state.identifier

    @property
    def identifiers(self) -> tuple[str, ...]:
        """The same, for code that treats states and pull requests alike."""
        return (self.state.identifier,)

    @property
    def unsatisfiable(self) -> bool:
        """Whether no source can ever satisfy it."""
        return self.state.unsatisfiable


@attrs.define(eq=False)
class HeldPr:
    """A pull request (or update) that waits for its commit under each of its identifiers.

    Attributes:
      accepted_at: Unix seconds.
      error: why the last release failed, or None (B 7.4).
      tried: by URL, what became of the last attempt there; empty after a restart.
    """

    pr: PullRequest
    origin: Origin
    accepted_at: float
    error: str | None = None
    tried: dict[str, Tried] = attrs.field(factory=dict)

    @property
    def event(self) -> Event:
        """The event itself."""
        return self.pr.event

    @property
    def event_id(self) -> str:
        """The event's id, hex."""
        return self.pr.event.id

    @property
    def identifiers(self) -> tuple[str, ...]:
        """The identifiers under which it waits (B 4.3)."""
        return self.pr.identifiers

    @property
    def unsatisfiable(self) -> bool:
        """Whether no source can ever satisfy it."""
        return self.pr.unsatisfiable


@attrs.define(eq=False)
class HeldAnnouncement:
    """An announcement that waits for real data (B 2.4), or is kept unserved after that (B 2.7).

    Attributes:
      accepted_at: Unix seconds since when its time runs; a revival starts it anew.
      soft_expired_at: Unix seconds since when it has no repository, or None.
      error: why the last promotion failed, or None.
    """

    announcement: Announcement
    origin: Origin
    accepted_at: float
    soft_expired_at: float | None = None
    error: str | None = None

    @property
    def event(self) -> Event:
        """The event itself."""
        return self.announcement.event

    @property
    def event_id(self) -> str:
        """The event's id, hex."""
        return self.announcement.event.id

    @property
    def identifier(self) -> str:
        """The identifier that it announces."""
        return self.announcement.identifier

    @property
    def identifiers(self) -> tuple[str, ...]:
        """The same, for code that treats all held events alike."""
        return (self.announcement.identifier,)


HuntedEvent = HeldState | HeldPr
HeldEvent = HeldState | HeldPr | HeldAnnouncement
