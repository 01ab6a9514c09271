"""The last steps of every release: one transaction, out of purgatory, subscribers told (B 7.1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable

import attrs
import trio

from ..nostr.event import Event
from ..purgatory.entries import HeldAnnouncement, HeldEvent, HeldPr, HeldState, HuntedEvent
from ..purgatory.purgatory import Purgatory
from ..purgatory.release_result import ProcessResult
from ..runtime.logger import get_logger
from ..store.protocol import Change, Made
from .index.ledger import Ledger
from .index.repositories import Repositories
from .index.repository_index import RepositoryIndex

Notify = Callable[[Event], Awaitable[None] | None]

TELL_SECS = 10.0
log = get_logger(__name__)


@attrs.frozen
class Core:
    """What every release works with.

    Attributes:
      notify: told of every event that becomes served, after the transaction; may be async.
      retires: the time (Unix seconds) for repositories that no announcement names any more, which
        leave their place and are kept for a while; None: they stay where they are (B 13.10).
    """

    index: RepositoryIndex
    ledger: Ledger
    purgatory: Purgatory
    repositories: Repositories
    notify: Notify
    retires: Callable[[], float] | None = None


@attrs.define
class ReleaseReport:
    """What one round of judging did so far.

    Attributes:
      completed: the identifiers of the pull requests that became served.
    """

    states: list[str] = attrs.field(factory=list)
    prs: list[str] = attrs.field(factory=list)
    announcements: list[str] = attrs.field(factory=list)
    repositories: int = 0
    completed: set[str] = attrs.field(factory=set)
    errors: dict[str, str] = attrs.field(factory=dict)

    @property
    def released(self) -> int:
        """How many events became served."""
        return len(self.states) + len(self.prs) + len(self.announcements)

    def count(self, held: HeldEvent) -> None:
        """One more that is served now."""
        self.errors.pop(held.event_id, None)
        if isinstance(held, HeldState):
            self.states.append(held.event_id)
        elif isinstance(held, HeldPr):
            self.prs.append(held.event_id)
            self.completed.update(held.identifiers)
        else:
            self.announcements.append(held.event_id)
        log.info("released", event_id=held.event_id, kind=held.event.kind)

    def result(self) -> ProcessResult:
        """The report, frozen."""
        return ProcessResult(
            states_released=tuple(self.states),
            prs_released=tuple(self.prs),
            announcements_released=tuple(self.announcements),
            repos_synced=self.repositories,
            errors=dict(self.errors),
        )


async def serve(
    core: Core,
    report: ReleaseReport,
    promotes: Sequence[str],
    entry: HuntedEvent | None = None,
    superseded: Sequence[HeldEvent] = (),
) -> None:
    """Save the announcements that become served, then the event, and un-hold them all at once.

    Args:
      promotes: ids of held announcements.
      entry: the event whose release promotes them, if there is one.
      superseded: what is un-held unsaved because the event is served (B 1.6).

    Raises:
      StoreError: nothing was saved, everything stays held.

    Cancellation is atomic up to notification: either nothing is saved, or all is saved and
    released, though some subscribers may be missed.
    """
    promoted = [held for each in promotes if (held := core.purgatory.get(each))]
    entries: list[HeldEvent] = [*promoted, *([entry] if entry else [])]
    events = [held.event for held in entries]
    ids = tuple(held.event_id for held in (*entries, *superseded))
    change = Change(save=tuple(events), unhold=ids, made=_filled(core, promoted))
    applied = await core.ledger.apply(change)
    for held in superseded:
        forget(core.purgatory, held)
    for held in entries:
        forget(core.purgatory, held)
        report.count(held)
    for event in events:
        if event.id in applied.saved:
            await tell(core.notify, event)


def _filled(core: Core, promoted: Sequence[HeldEvent]) -> list[Made]:
    """The notes that the repositories of announcements have data from now on, or are not here.

    A start makes none for the latter, which serve only as acceptances (B 2.7, 3.8, 9).
    """
    notes = []
    for held in promoted:
        if isinstance(held, HeldAnnouncement):
            owner, identifier = held.announcement.owner, held.announcement.identifier
            made = core.ledger.made(owner, identifier)
            if not core.repositories.exists(owner, identifier):
                notes.append(Made(owner, identifier, ""))
            elif made is not None and made.token:  # without one it was found (B 2.7)
                notes.append(attrs.evolve(made, filled=True))
    return notes


async def drop(core: Core, entry: HuntedEvent) -> None:
    """Un-hold an event unsaved: something newer of its author is served already (B 1.6)."""
    await core.ledger.apply(Change(unhold=(entry.event_id,)))
    forget(core.purgatory, entry)


def forget(purgatory: Purgatory, held: HeldEvent) -> None:
    """Take an entry out of memory; the journal was changed before."""
    if isinstance(held, HeldState):
        purgatory.remove_state_event(held.event_id)
    elif isinstance(held, HeldPr):
        purgatory.remove_pr(held.event_id)
    else:
        purgatory.remove_announcement(held.event_id)


async def tell(notify: Notify, event: Event) -> None:
    """Tell subscribers; a subscriber's failure is logged and stops nothing.

    One who takes longer than ten seconds is cancelled: the identifier is locked meanwhile.
    """
    try:
        told = notify(event)
        if isawaitable(told):
            with trio.move_on_after(TELL_SECS) as scope:
                await told
            if scope.cancelled_caught:
                log.error("subscribers took too long", event_id=event.id)
    except Exception:
        log.exception("subscribers could not be told", event_id=event.id)
