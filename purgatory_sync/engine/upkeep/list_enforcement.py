"""What is held and named by the operator's lists ends, at a start and at each change (B 5.1)."""

from __future__ import annotations

import trio

from ...policy.curation import judge_event, judge_repositories
from ...policy.rules.hosting import NO_LISTS, hosts
from ...policy.rules.known_facts import Known
from ...policy.rules.verdict import Action
from ...purgatory.entries import HeldAnnouncement, HeldEvent, HeldPr, HeldState
from ...release.commit import Core, forget
from ...release.making import remove_made_empty
from ...release.releaser import Releaser
from ...release.retention import note_what_ends
from ...runtime.logger import get_logger
from ...store.protocol import Change

log = get_logger(__name__)


async def end_what_is_blocked(core: Core, releaser: Releaser, service: str) -> int:
    """Un-hold what is refused or hosted no longer, so that it is hunted for no more.

    What is served stays served. Each event ends under the locks of its identifiers.

    Args:
      service: our host[:port].

    Returns how many ended.

    Raises:
      StoreError: those that are left stay held.
    """
    ended = 0
    # Announcements last: what waits for them is judged by them.
    for held in (*core.purgatory.hunted_events(), *core.purgatory.announcements()):
        await trio.lowlevel.checkpoint()
        if not await _is_blocked(held, core, service):
            continue
        async with releaser.hold(*held.identifiers):
            there = core.purgatory.get(held.event_id) is held
            if there and await _is_blocked(held, core, service):
                await _end(held, core)
                ended += 1
    return ended


async def _end(held: HeldEvent, core: Core) -> None:
    if isinstance(held, HeldState | HeldPr):
        await note_what_ends(core, held)
    with trio.CancelScope(shield=True):  # journal, memory and disk change together
        await core.ledger.apply(Change(unhold=[held.event_id]))
        forget(core.purgatory, held)
        if isinstance(held, HeldAnnouncement):
            await remove_made_empty(core, held.announcement.owner, held.announcement.identifier)
    log.info("held no longer: blocked", event_id=held.event_id, kind=held.event.kind)


async def _is_blocked(held: HeldEvent, core: Core, service: str) -> bool:
    lists = core.index.lists
    if isinstance(held, HeldAnnouncement) and not hosts(held.announcement, service, lists):
        return True
    if lists == NO_LISTS:
        return False
    data = {each: await core.index.data(each) for each in held.identifiers}
    known = Known(now=held.accepted_at, service=service, data=data)
    verdict = judge_event(held.event, lists) or judge_repositories(held.parsed, known, lists)
    return verdict is not None and verdict.action is Action.REFUSE
