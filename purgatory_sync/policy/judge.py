"""The entry: one event, what is known, a verdict."""

from __future__ import annotations

from typing import Literal

from ..errors import InvalidEvent
from ..nostr import kinds
from ..nostr.address import check_identifier
from ..nostr.event import Event
from ..nostr.pull_request import PullRequest
from ..settings import CurationSettings, PurgatorySettings
from .curation import judge_author, judge_origin, judge_repositories
from .kinds.announcements import judge_announcement
from .kinds.deletions import judge_deletion
from .kinds.pull_requests import judge_pr
from .kinds.states import judge_state
from .rules.hosting import NO_LISTS
from .rules.known_facts import Known
from .rules.lacking import lacks_reference
from .rules.limits import judge_form
from .rules.references import ALWAYS_ACCEPTED, UNREFERENCED
from .rules.verdict import Action, Verdict, duplicate, refuse

PROOF = "invalid: kind 22242 proves who a client is: send it as AUTH"
PROTECTED = "restricted: a protected event is taken from its author only: publish it here yourself"
# Two relays that follow one another would tell each other for ever what neither of them keeps.
PASSING = "invalid: ephemeral events are passed on for who publishes them here: publish it here"


def judge(
    event: Event,
    origin: Literal["user", "sync"],
    known: Known,
    settings: PurgatorySettings,
    lists: CurationSettings = NO_LISTS,
) -> Verdict:
    """May this event stay (B 1-5)? Id and signature are verified already.

    Args:
      origin: whether a user sent it or a relay that is followed.
      known: the snapshot for this event; `identifiers_of` says which announcements it needs.
      settings: how much is held.
      lists: whose events and which repositories the operator takes.
    """
    if (blocked := judge_author(event.pubkey, lists)) is not None:
        return blocked
    if known.served:
        return duplicate("already served")
    if known.held:
        return duplicate("already held, waiting for git data")
    if (not_taken := judge_origin(origin, lists)) is not None:
        return not_taken
    if (malformed := judge_form(event, known.now)) is not None:
        return malformed
    newest = known.newest_served
    if newest is not None and event.order <= newest.order:
        return duplicate("a newer version is served")
    if event.kind == kinds.CLIENT_AUTH:
        return refuse(PROOF)
    if origin == "sync" and event.is_protected:
        return refuse(PROTECTED)
    if origin == "sync" and kinds.is_ephemeral(event.kind):
        return refuse(PASSING)
    if known.deleted:
        return refuse("invalid: deleted by its author")
    if (curated := judge_repositories(event, known, lists)) is not None:
        return curated
    if event.kind == kinds.ANNOUNCEMENT:
        return judge_announcement(event, known, settings, lists)
    if event.kind == kinds.STATE:
        return judge_state(event, origin, known, settings)
    if event.kind in kinds.PR_KINDS:
        return judge_pr(event, origin, known, settings)
    if event.kind == kinds.DELETION:
        return judge_deletion(event, known)
    if event.kind in ALWAYS_ACCEPTED or known.referenced:
        return Verdict(Action.SERVE)
    return refuse(UNREFERENCED, lacks_reference(event))


def identifiers_of(event: Event) -> tuple[str, ...]:
    """The identifiers whose announcements the snapshot needs; none when the event is malformed."""
    try:
        if event.kind in (kinds.ANNOUNCEMENT, kinds.STATE):
            return (check_identifier(event.first("d")),)
        if event.kind in kinds.PR_KINDS:
            return PullRequest.parse(event).identifiers
    except InvalidEvent:
        pass
    return ()
