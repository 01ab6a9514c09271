"""What is held: one entry for each event that waits for its git data."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from typing import Final, TypeAlias

import attrs

from ..errors import ResultClass
from ..nostr.announcement import Announcement
from ..nostr.event import Event
from ..nostr.pull_request import PullRequest
from ..nostr.state import State

# These outcomes say nothing about whether the source has the objects (B 8.6, 8.9, N2).
UNCOUNTED = frozenset({ResultClass.CANCELLED, ResultClass.RATE_LIMITED, ResultClass.LOCAL})

ATTEMPTS_KEPT: Final = 20

HeldSort: TypeAlias = Announcement | State | PullRequest
"""What can be held."""


class Origin(enum.StrEnum):
    """How an event came: it decides how long the first hunt waits (S3)."""

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
class _Held(ABC):
    """What all held events have in common.

    Attributes:
      accepted_at: Unix seconds since when its time runs; a revival starts it anew (B 2.7).
      error: why the last release or promotion failed, or None (B 7.4).
      hopeless: that failure will not go away, so that it ends soon.
    """

    origin: Origin
    accepted_at: float
    error: str | None = attrs.field(default=None, kw_only=True)
    hopeless: bool = attrs.field(default=False, kw_only=True)

    @property
    @abstractmethod
    def parsed(self) -> HeldSort:
        """What is held, parsed."""

    @property
    def event(self) -> Event:
        """The event itself."""
        return self.parsed.event

    @property
    def identifiers(self) -> tuple[str, ...]:
        """The identifiers under which it waits (B 4.3)."""
        return self.parsed.identifiers

    @property
    def event_id(self) -> str:
        """The event's id, hex."""
        return self.event.id


@attrs.define(eq=False)
class _Hunted(_Held):
    """An event that is hunted for.

    Attributes:
      tried: by URL, what became of the last attempt there; empty after a restart.
      attempts: the newest attempts with their URLs, oldest first; one that the gate refused, for
        which no server was contacted, is none. Empty after a restart.
      attempts_total: how many there were.
      again: it expired before, and waits until each source was asked once more (B 8.12).
    """

    tried: dict[str, Tried] = attrs.field(factory=dict, kw_only=True)
    again: bool = attrs.field(default=False, kw_only=True)
    attempts: tuple[tuple[str, Tried], ...] = attrs.field(default=(), kw_only=True)
    attempts_total: int = attrs.field(default=0, kw_only=True)

    def note(self, url: str, at: float, result: ResultClass, detail: str) -> None:
        """Keep what became of an attempt at a source; `at` in Unix seconds."""
        self.tried[url] = last = Tried.after(self.tried.get(url), at, result, detail)
        if result is not ResultClass.FORBIDDEN:
            self.attempts = (*self.attempts[1 - ATTEMPTS_KEPT :], (url, last))
            self.attempts_total += 1


@attrs.define(eq=False)
class HeldState(_Hunted):
    """A state event that waits for its objects; several wait under one identifier (B 1.6)."""

    state: State

    @property
    def parsed(self) -> State:
        """The state."""
        return self.state

    @property
    def identifier(self) -> str:
        """The identifier under which it waits."""
        return self.state.identifier

    @property
    def unsatisfiable(self) -> bool:
        """Whether no source can ever satisfy it."""
        return self.state.unsatisfiable


@attrs.define(eq=False)
class HeldPr(_Hunted):
    """A pull request (or update) that waits for its commit under each of its identifiers."""

    pr: PullRequest

    @property
    def parsed(self) -> PullRequest:
        """The pull request."""
        return self.pr

    @property
    def unsatisfiable(self) -> bool:
        """Whether no source can ever satisfy it."""
        return self.pr.unsatisfiable


@attrs.define(eq=False)
class HeldAnnouncement(_Held):
    """An announcement that waits for real data (B 2.4), or is kept unserved after that (B 2.7).

    Attributes:
      soft_expired_at: Unix seconds since when it has no repository, or None.
    """

    announcement: Announcement
    soft_expired_at: float | None = None

    @property
    def parsed(self) -> Announcement:
        """The announcement."""
        return self.announcement

    @property
    def identifier(self) -> str:
        """The identifier that it announces."""
        return self.announcement.identifier


HuntedEvent = HeldState | HeldPr
HeldEvent = HeldState | HeldPr | HeldAnnouncement


def as_hunted(parsed: State | PullRequest, origin: Origin, accepted_at: float) -> HuntedEvent:
    """What a state or a pull request is held as; `accepted_at` in Unix seconds."""
    if isinstance(parsed, State):
        return HeldState(origin, accepted_at, parsed)
    return HeldPr(origin, accepted_at, parsed)
