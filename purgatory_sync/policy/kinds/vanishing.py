"""Requests to vanish, kind 62 (NIP-62; B 5.2)."""

from __future__ import annotations

from ...nostr.announcement import Announcement
from ...nostr.parsed import Vanish
from ...nostr.pull_request import PullRequest
from ...records import Tombstone
from ..rules.known_facts import Known
from ..rules.verdict import Action, Verdict, duplicate, refuse, vanish_target

ELSEWHERE = (
    "invalid: this request to vanish asks other relays: add a relay tag with wss://{service}, or "
    "with ALL_RELAYS"
)
VANISHED = "blocked: its author asked to vanish from here (NIP-62), after this was signed"


def judge_vanish(vanish: Vanish, known: Known) -> Verdict:
    """Serve the request, and end all that its author signed up to then, requests included.

    No list of the operator keeps it out, and an older one of its author has no effect any more.
    """
    request = vanish.event
    if not vanish.asks(known.service):
        return refuse(ELSEWHERE.format(service=known.service))
    if known.vanished:
        return duplicate("a newer request of this author to vanish is in force")
    held = known.targets_held
    evicts = [each.event.id for each in held if isinstance(each, Announcement)]
    waiting = [each.event.id for each in held if not isinstance(each, Announcement)]
    requests = (e for e in (*known.targets_served, *held) if isinstance(e, PullRequest))
    return Verdict(
        Action.SERVE,
        evicts=tuple(evicts),
        deletes=(*(each.event.id for each in known.targets_served), *waiting),
        removes=known.unannounced,
        bars=(
            Tombstone(vanish_target(request.pubkey), request.pubkey, request.created_at),
            # By these a start knows the refs that a crash left (`drop_deleted`).
            *(Tombstone(e.event.id, e.event.pubkey, request.created_at) for e in requests),
        ),
    )
