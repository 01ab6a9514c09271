"""`Purgatory`: everything that waits, in memory (S1). The journal is written first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import count
from typing import TypeVar

import attrs
import trio

from ..errors import ResultClass
from ..nostr.announcement import Announcement
from ..nostr.pull_request import PullRequest
from ..nostr.state import State
from ..settings import PurgatorySettings, SyncSettings
from .capacity import Capacity
from .change_signals import Changes, Watch
from .entries import (
    HeldAnnouncement,
    HeldEvent,
    HeldPr,
    HeldState,
    HuntedEvent,
    Origin,
)
from .expired import ExpiredIds
from .overdue import Overdue
from .placeholders import Placeholders
from .queue import SyncQueue
from .uploads import Uploads

_Held = TypeVar("_Held", HeldState, HeldPr, HeldAnnouncement)


@attrs.frozen
class HeldCounts:
    """How much is held, by kind; soft-expired announcements count as announcements."""

    states: int
    prs: int
    announcements: int

    @property
    def total(self) -> int:
        """All held events."""
        return self.states + self.prs + self.announcements


class Purgatory:
    """Held events, the queue of their identifiers, expired events and placeholders.

    All methods are done in one step. Nothing is durable here: who calls
    journals first. `room` counts what is held; the way in keeps it within its bounds.

    Args:
      clock: seconds of Trio's clock, for the queue.
    """

    def __init__(
        self,
        settings: PurgatorySettings | None = None,
        sync: SyncSettings | None = None,
        *,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self.settings = settings or PurgatorySettings()
        self.sync = sync or SyncSettings()
        self.sync_queue = SyncQueue(clock)
        self.expired = ExpiredIds(self.settings.expired_memory_secs)
        self.overdue = Overdue(self.settings.expired_max_bytes, self.settings.expired_retry_secs)
        self.placeholders = Placeholders()
        self.uploads = Uploads()
        self._clock = clock
        self._changes = Changes()
        self._states: dict[str, HeldState] = {}
        self._prs: dict[str, HeldPr] = {}
        self._announcements: dict[str, HeldAnnouncement] = {}
        self._states_of: dict[str, dict[str, HeldState]] = {}
        self._prs_of: dict[str, dict[str, HeldPr]] = {}
        self._linked: dict[str, Counter[str]] = {}
        self._announcements_of: dict[str, dict[str, HeldAnnouncement]] = {}
        self._numbers = count(1)
        self._versions: dict[str, int] = {}
        self.room = Capacity()

    def add_state(
        self, state: State, origin: Origin, accepted_at: float, *, delay: float | None = None
    ) -> HeldState:
        """Hold a state and queue its identifier; one that is held already stays as it is (B 1.8).

        Args:
          accepted_at: Unix seconds of its acceptance.
          delay: seconds until the hunt; by origin when None (S3).
        """
        if (known := self._states.get(state.event.id)) is not None:
            return known
        held = HeldState(origin, accepted_at, state)
        self._states[held.event_id] = held
        self._states_of.setdefault(held.identifier, {})[held.event_id] = held
        self._arrived(held, delay)
        return held

    def add_pr(
        self, pr: PullRequest, origin: Origin, accepted_at: float, *, delay: float | None = None
    ) -> HeldPr:
        """Hold a pull request under each of its identifiers; else as `add_state`."""
        if (known := self._prs.get(pr.event.id)) is not None:
            return known
        held = HeldPr(origin, accepted_at, pr)
        self._prs[held.event_id] = held
        for identifier in held.identifiers:
            self._prs_of.setdefault(identifier, {})[held.event_id] = held
        if len(held.identifiers) > 1:
            for identifier in held.identifiers:
                self._linked.setdefault(identifier, Counter()).update(held.identifiers)
        self._arrived(held, delay)
        return held

    def add_announcement(
        self,
        announcement: Announcement,
        origin: Origin,
        accepted_at: float,
        *,
        soft_expired_at: float | None = None,
    ) -> HeldAnnouncement:
        """Hold an announcement; a newer one replaces its owner's, an older one changes nothing.

        Returns what is held of that owner and identifier now (B 2.5).
        """
        group = self._announcements_of.setdefault(announcement.identifier, {})
        known = group.get(announcement.owner)
        if known is not None and known.event.order >= announcement.event.order:
            return known
        if known is not None:
            self._forget(self._announcements, known)
        held = HeldAnnouncement(origin, accepted_at, announcement, soft_expired_at)
        self._announcements[held.event_id] = group[announcement.owner] = held
        self.room.take(held.event)
        self._versions[held.identifier] = next(self._numbers)
        self._changes.announce(held.identifiers)
        return held

    def soft_expire(self, held: HeldAnnouncement, at: float) -> None:
        """Note that the repository is gone; the announcement waits on unserved (B 2.7)."""
        held.soft_expired_at = at
        self._versions[held.identifier] = next(self._numbers)
        self._changes.announce(held.identifiers)

    def revive_announcement(self, held: HeldAnnouncement, at: float) -> None:
        """Start its time anew at `at` (Unix seconds); its repository has been made again."""
        held.accepted_at, held.soft_expired_at = at, None
        self._versions[held.identifier] = next(self._numbers)
        self._changes.announce(held.identifiers)

    def clamp_timestamps(self, now: float) -> None:
        """Let nothing have come later than `now` (Unix seconds): the clock was set back (B 9).

        Else it would end as much later as the clock was wrong.
        """
        for held in (*self.hunted_events(), *self.announcements()):
            held.accepted_at = min(held.accepted_at, now)
            if isinstance(held, HeldAnnouncement) and held.soft_expired_at is not None:
                held.soft_expired_at = min(held.soft_expired_at, now)
        self.placeholders.clamp_timestamps(now)
        self.expired.clamp_timestamps(now)
        self.overdue.clamp_timestamps(now)

    def enqueue_sync(self, identifier: str, delay: float) -> None:
        """Hunt for the identifier after `delay` seconds, as if a new event had come."""
        self.sync_queue.enqueue(identifier, delay)
        self.note_change(identifier)

    def trigger_immediate_sync(self, identifier: str) -> None:
        """Hunt for the identifier after the immediate delay."""
        self.enqueue_sync(identifier, self.sync.immediate_delay_secs)

    def requeue_lost(self) -> tuple[str, ...]:
        """Queue every identifier in which something waits and that is not queued (B 8.10)."""
        lost = tuple(
            identifier
            for identifier in dict.fromkeys((*self._states_of, *self._prs_of))
            if identifier not in self.sync_queue
        )
        for identifier in lost:
            self.trigger_immediate_sync(identifier)
        return lost

    def is_known_by_id(self, event_id: str, now: float) -> bool:
        """Whether nothing but its id is left of an event whose data did not come (B 8.12).

        Its data cannot be looked for, so that relays may bring it again, after an hour (B 8.9).
        """
        expired = self.expired.was_expired(event_id, now) and not self.expired.reason(event_id)
        return expired and event_id not in self.overdue

    def is_refused_from_relays(self, event_id: str, now: float) -> bool:
        """Whether it expired, and relays that repeat it are refused (B 8.9); Unix seconds."""
        at = self.expired.expired_at(event_id, now)
        if at is None:
            return False
        by_id = self.is_known_by_id(event_id, now)
        return not by_id or now < at + self.settings.expired_retry_secs

    def find_state(self, identifier: str) -> list[HeldState]:
        """The states held under the identifier, oldest first (NIP-01 on a tie)."""
        return sorted(self._states_of.get(identifier, {}).values(), key=lambda h: h.event.order)

    def find_prs_for_identifier(self, identifier: str) -> list[HeldPr]:
        """The pull requests that wait under the identifier, oldest first."""
        return sorted(self._prs_of.get(identifier, {}).values(), key=lambda h: h.event.order)

    def waits_with(self, identifier: str) -> Collection[str]:
        """The identifiers under which the pull requests that wait there wait, too."""
        return self._linked.get(identifier, ())

    def find_announcements(self, identifier: str) -> list[HeldAnnouncement]:
        """The announcements held of the identifier, soft-expired ones too, oldest first."""
        found = self._announcements_of.get(identifier, {})
        return sorted(found.values(), key=lambda h: h.event.order)

    def announcements_version(self, identifier: str) -> int:
        """A number that is another one after each change to what `find_announcements` finds."""
        return self._versions.get(identifier, 0)

    def find_announcement(self, owner: str, identifier: str) -> HeldAnnouncement | None:
        """The announcement held of that owner and identifier, or None."""
        return self._announcements_of.get(identifier, {}).get(owner)

    def get(self, event_id: str) -> HeldEvent | None:
        """What is held under that event id, or None."""
        return (
            self._states.get(event_id)
            or self._prs.get(event_id)
            or self._announcements.get(event_id)
        )

    def hunted_events(self) -> Iterator[HuntedEvent]:
        """All held states and pull requests, in the order in which they were added."""
        yield from tuple(self._states.values())
        yield from tuple(self._prs.values())

    def announcements(self) -> Iterator[HeldAnnouncement]:
        """All held announcements, in the order in which they were added."""
        yield from tuple(self._announcements.values())

    def held_by(self, author: str) -> list[HeldEvent]:
        """Everything held that an author signed."""
        held: tuple[HeldEvent, ...] = (*self.hunted_events(), *self.announcements())
        return [entry for entry in held if entry.event.pubkey == author]

    def remove_state_event(self, event_id: str) -> HeldState | None:
        """Let a state go (released, expired or deleted); returns it, or None if it is not held."""
        if (held := self._states.get(event_id)) is not None:
            self._forget(self._states, held)
            _drop(self._states_of, held.identifier, event_id)
            self._left(held)
        return held

    def remove_pr(self, event_id: str) -> HeldPr | None:
        """Let a pull request go, under all its identifiers; returns it, or None."""
        if (held := self._prs.get(event_id)) is not None:
            self._forget(self._prs, held)
            for identifier in held.identifiers:
                _drop(self._prs_of, identifier, event_id)
            if len(held.identifiers) > 1:
                self._unlink(held.identifiers)
            self._left(held)
        return held

    def remove_announcement(self, event_id: str) -> HeldAnnouncement | None:
        """Let an announcement go (served, replaced, expired or deleted); returns it, or None."""
        if (held := self._announcements.get(event_id)) is not None:
            self._forget(self._announcements, held)
            _drop(self._announcements_of, held.identifier, held.announcement.owner)
            self._versions[held.identifier] = next(self._numbers)
            if held.identifier not in self._announcements_of:
                del self._versions[held.identifier]
            self._left(held)
        return held

    def has_pending_events(self, identifier: str) -> bool:
        """Whether a state or pull request waits there (announcements are not hunted)."""
        return identifier in self._states_of or identifier in self._prs_of

    @property
    def held_total(self) -> int:
        """How many events are held."""
        return self.room.total.events

    def counts(self) -> HeldCounts:
        """How much is held, by kind."""
        return HeldCounts(len(self._states), len(self._prs), len(self._announcements))

    def record_attempt(
        self, event_id: str, url: str, result: ResultClass, detail: str, at: float
    ) -> None:
        """Note for a held event what became of an attempt at `at` (Unix seconds; B 8.3)."""
        held = self._states.get(event_id) or self._prs.get(event_id)
        if held is not None:
            held.note(url, at, result, detail)

    def note_change(self, identifier: str) -> None:
        """Tell those who wait that something changed that purgatory does not hold itself."""
        self._changes.announce((identifier,))

    def watch(self, identifier: str, on_change: Callable[[], None]) -> Watch:
        """An eye on the identifier for a hunt, which opens and closes it."""

        def newly_queued_due() -> float | None:
            entry = self.sync_queue.get(identifier)
            return entry.newly_queued_due if entry is not None else None

        def newly_queued_taken() -> None:
            if (entry := self.sync_queue.get(identifier)) is not None:
                entry.on_newcomers_taken(self._clock())

        return Watch(identifier, on_change, self._changes, newly_queued_due, newly_queued_taken)

    def _arrived(self, held: HuntedEvent, delay: float | None) -> None:
        if delay is None:
            user = held.origin is Origin.USER
            delay = self.sync.default_delay_secs if user else self.sync.immediate_delay_secs
        self.room.take(held.event)
        for identifier in held.identifiers:
            self.sync_queue.enqueue(identifier, delay)
        self._changes.announce(held.identifiers)

    def _unlink(self, identifiers: Sequence[str]) -> None:
        for identifier in identifiers:
            linked = self._linked[identifier]
            linked.subtract(identifiers)
            for each in identifiers:
                if not linked[each]:
                    del linked[each]
            if not linked:
                del self._linked[identifier]

    def _left(self, held: HeldEvent) -> None:
        for identifier in held.identifiers:
            if not self.has_pending_events(identifier):
                self.sync_queue.remove(identifier)
            self.note_change(identifier)

    def _forget(self, entries: dict[str, _Held], held: _Held) -> None:
        del entries[held.event_id]
        self.room.give_back(held.event)


def _drop(groups: dict[str, dict[str, _Held]], identifier: str, key: str) -> None:
    group = groups[identifier]
    del group[key]
    if not group:
        del groups[identifier]
