"""What was held before the operator's lists named it ends at the next start (B 2.2 a, 5.1)."""

from __future__ import annotations

from ...policy.curation import judge_author, judge_repositories
from ...policy.rules.hosting import NO_LISTS, hosts
from ...policy.rules.known_facts import Known
from ...policy.rules.verdict import Action
from ...purgatory.entries import HeldAnnouncement, HeldEvent, HeldPr, HeldState
from ...release.commit import Core, forget
from ...release.making import remove_made_empty
from ...release.retention import note_what_ends
from ...runtime.logger import get_logger
from ...settings import CurationSettings
from ...store.protocol import Change

log = get_logger(__name__)


async def end_what_is_blocked(core: Core, lists: CurationSettings, service: str) -> None:
    """Un-hold what is refused or hosted no longer, so that it is hunted for no more.

    What is served stays served.

    Args:
      service: our host[:port].

    Raises:
      StoreError: nothing was changed.
    """
    purgatory = core.purgatory
    held = (*purgatory.announcements(), *purgatory.hunted_events())
    blocked = [each for each in held if await _is_blocked(each, core, lists, service)]
    if not blocked:
        return
    for each in blocked:
        if isinstance(each, HeldState | HeldPr):
            await note_what_ends(core, each)
    await core.ledger.apply(Change(unhold=[each.event_id for each in blocked]))
    for each in blocked:
        log.info("held no longer: blocked", event_id=each.event_id, kind=each.event.kind)
        forget(purgatory, each)
        if isinstance(each, HeldAnnouncement):
            announced = each.announcement
            await remove_made_empty(core, announced.owner, announced.identifier)


async def _is_blocked(held: HeldEvent, core: Core, lists: CurationSettings, service: str) -> bool:
    if isinstance(held, HeldAnnouncement) and not hosts(held.announcement, service, lists):
        return True
    if lists == NO_LISTS:
        return False
    data = {each: await core.index.data(each) for each in held.identifiers}
    known = Known(now=held.accepted_at, service=service, data=data)
    verdict = judge_author(held.event.pubkey, lists) or judge_repositories(
        held.parsed, known, lists
    )
    return verdict is not None and verdict.action is Action.REFUSE
