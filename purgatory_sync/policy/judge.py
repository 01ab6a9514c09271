"""The entry: one parsed event, what is known, a verdict; before it, what needs neither.

An offer is judged in this order: id and signature, `judge_unread`, parsing, locks, the snapshot,
`judge`. What a stranger sends too large or against the lists costs no lock, no read and no parsing.
"""

from __future__ import annotations

from typing import Literal

import attrs

from ..nostr import kinds
from ..nostr.announcement import Announcement
from ..nostr.event import Event
from ..nostr.parsed import Deletion, Parsed, Vanish
from ..nostr.pull_request import PullRequest
from ..nostr.state import State
from ..settings import CurationSettings, PurgatorySettings
from .curation import judge_event, judge_repositories
from .kinds.announcements import judge_announcement, judge_private
from .kinds.deletions import judge_deletion
from .kinds.profiles import judge_profile
from .kinds.pull_requests import judge_pr
from .kinds.states import judge_state
from .kinds.statuses import judge_status
from .kinds.vanishing import VANISHED, judge_vanish
from .rules.hosting import NO_LISTS
from .rules.known_facts import Known
from .rules.lacking import lacks_reference, lacks_release
from .rules.limits import MAX_EVENT_BYTES, judge_form
from .rules.references import ALWAYS_ACCEPTED, UNREFERENCED, WAITS, carries_protected
from .rules.verdict import Action, Verdict, duplicate, refuse

PROOF = "invalid: kind 22242 proves who a client is: send it as AUTH"
PROTECTED = "restricted: a protected event is taken from its author only: publish it here yourself"
CARRIES_PROTECTED = (
    "restricted: a repost must not carry a protected event: send it with empty content"
)
# Two relays that follow one another would tell each other for ever what neither of them keeps.
PASSING = "invalid: ephemeral events are passed on for who publishes them here: publish it here"


def judge_unread(
    event: Event,
    now: float,
    lists: CurationSettings = NO_LISTS,
    max_event_bytes: int = MAX_EVENT_BYTES,
) -> Verdict | None:
    """Refuse what needs neither parsing nor a snapshot to be refused (B 1.7, 5.1); else None.

    Args:
      event: its id and signature are verified already.
      now: Unix seconds.
      max_event_bytes: of what is no state (settings).
    """
    blocked = judge_event(event, lists)
    if blocked is not None and event.kind != kinds.VANISH:
        return blocked
    return (
        refuse(PROOF)
        if event.kind == kinds.CLIENT_AUTH
        else judge_form(event, now, max_event_bytes)
    )


def judge(
    parsed: Parsed,
    origin: Literal["user", "sync"],
    known: Known,
    settings: PurgatorySettings,
    lists: CurationSettings = NO_LISTS,
) -> Verdict:
    """May this event stay (B 1-5)? `judge_unread` had nothing against it.

    Args:
      origin: whether a user sent it or a relay that is followed.
      known: the snapshot for this event and its identifiers.
      settings: how much is held.
      lists: whose events and which repositories the operator takes.
    """
    event = parsed.event
    if known.served:
        return duplicate("already served")
    if known.held:
        return duplicate("already held, waiting for git data")
    if isinstance(parsed, Vanish) and not (origin == "sync" and event.is_protected):
        return judge_vanish(parsed, known)
    newest = known.newest_served
    if newest is not None and event.order <= newest.order:
        return duplicate("a newer version is served")
    if origin == "sync" and event.is_protected:
        return refuse(PROTECTED)
    if carries_protected(event):
        return refuse(CARRIES_PROTECTED)
    if origin == "sync" and kinds.is_ephemeral(event.kind):
        return refuse(PASSING)
    if known.vanished:
        return refuse(VANISHED)
    if known.deleted:
        return attrs.evolve(refuse("invalid: deleted by its author"), bars=known.bars_used)
    if isinstance(parsed, Announcement) and parsed.is_private and not lists.private_mode:
        return judge_private(parsed, known)
    if (curated := judge_repositories(parsed, known, lists)) is not None:
        return curated
    if isinstance(parsed, Announcement):
        return judge_announcement(parsed, known, settings, lists)
    if isinstance(parsed, State):
        return judge_state(parsed, origin, known, settings)
    if isinstance(parsed, PullRequest):
        return judge_pr(parsed, origin, known, settings)
    if isinstance(parsed, Deletion):
        return judge_deletion(parsed, known, settings)
    if (refused := judge_status(event, known)) is not None:
        return refused
    if known.takes_part:
        return judge_profile(event)
    if event.kind in ALWAYS_ACCEPTED or known.own or known.referenced:
        return Verdict(Action.SERVE)
    if known.refers_to_held:
        return refuse(WAITS, lacks_release(event))
    return refuse(UNREFERENCED, lacks_reference(event))
