"""What a start does with the journal, so that a crash at any moment heals itself (B 9)."""

from __future__ import annotations

from collections.abc import Iterable

import trio

from ...errors import InvalidEvent, RepositoryError
from ...nostr.announcement import Announcement
from ...nostr.parsed import parse
from ...nostr.pull_request import PullRequest
from ...nostr.state import State
from ...purgatory.entries import HeldPr, Origin
from ...purgatory.overdue import Kept
from ...purgatory.purgatory import Purgatory
from ...release.commit import Core
from ...release.making import make_repository, remove_ending, remove_made_empty
from ...release.pr_release import drop_other_pull_request_refs
from ...release.releaser import Releaser
from ...runtime.logger import get_logger
from ...store.protocol import HeldRow, Journal

AT_ONCE = 8
log = get_logger(__name__)


async def restore(journal: Journal, core: Core, now: float) -> None:
    """Put everything that is journaled back into purgatory, and queue every held identifier.

    Args:
      now: Unix seconds; what was noted later than that counts from now on.

    What a crash kept from being done to the disk after its row is done: repositories are made or
    removed (B 2.4, 2.7, 5.2), refs that a held pull request forbids are deleted (B 4.2).
    """
    core.ledger.restore_made(journal.made)
    for made in journal.made:
        if made.ending:
            await remove_ending(core, made)
    for held in journal.held:
        try:
            await _restore_row(held, core)
        except InvalidEvent as error:
            log.error("held event not understood", event_id=held.event.id, error=str(error))
        except RepositoryError as error:
            log.error("repository not made or removed", event_id=held.event.id, error=str(error))
    for expired in journal.expired:
        core.purgatory.expired.remember(expired.event_id, expired.at, expired.reason)
    for row in journal.overdue:
        try:
            identifiers = parse(row.event).identifiers
        except InvalidEvent as error:
            log.error("expired event not understood", event_id=row.event.id, error=str(error))
            continue
        core.purgatory.overdue.add(Kept.of(row.event, identifiers, row.since, now))
    for each in journal.placeholders:
        core.purgatory.placeholders.add(each)
    core.purgatory.clamp_timestamps(now)
    requests = (each for each in core.purgatory.hunted_events() if isinstance(each, HeldPr))
    await drop_other_pull_request_refs(core, requests)


async def _restore_row(row: HeldRow, core: Core) -> None:
    purgatory, origin = core.purgatory, Origin(row.origin)
    delay = purgatory.sync.immediate_delay_secs
    parsed = parse(row.event)
    if isinstance(parsed, State):
        purgatory.add_state(parsed, origin, row.accepted_at, delay=delay)
    elif isinstance(parsed, PullRequest):
        purgatory.add_pr(parsed, origin, row.accepted_at, delay=delay)
    elif isinstance(parsed, Announcement):
        purgatory.add_announcement(
            parsed, origin, row.accepted_at, soft_expired_at=row.soft_expired_at
        )
        step = make_repository if row.soft_expired_at is None else remove_made_empty
        await step(core, parsed.owner, parsed.identifier)
    else:
        raise InvalidEvent(f"kind {row.event.kind} is never held")


def held_identifiers(purgatory: Purgatory) -> tuple[str, ...]:
    """Every identifier under which something is held, each once."""
    held = (*purgatory.announcements(), *purgatory.hunted_events())
    return tuple(dict.fromkeys(i for entry in held for i in entry.identifiers))


async def release_what_is_here(releaser: Releaser, identifiers: Iterable[str]) -> None:
    """Run B 7 on every held identifier: a crash may have come between joining and releasing."""
    waiting = iter(tuple(identifiers))

    async def work() -> None:
        for identifier in waiting:
            await releaser.process(identifier)

    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(work)
