"""Whether a pull request or an update of one is released, held or refused (B 4)."""

from __future__ import annotations

from ...nostr.pull_request import PullRequest
from ...settings import PurgatorySettings
from ..rules.known_facts import Known
from ..rules.lacking import lacks_announcement, lacks_reference
from ..rules.limits import judge_room
from ..rules.references import UNREFERENCED
from ..rules.verdict import HELD_MESSAGE, Action, Verdict, refuse
from .states import EXPIRED_BEFORE


def judge_pr(pr: PullRequest, origin: str, known: Known, settings: PurgatorySettings) -> Verdict:
    """Judge a pull request that is new and not deleted (B 4.1, 4.2, 12.3).

    Args:
      origin: `user` or `sync`; an id that expired before is held anew for a user only.
    """
    repositories = [
        owner
        for identifier in pr.identifiers
        if (data := known.data.get(identifier)) is not None
        for owner in data.owners_of_pr(pr)
    ]
    if not repositories and not known.referenced and known.contributed:
        if known.contributed_full is not None:
            return refuse(f"rate-limited: {known.contributed_full}", transient=True)
    elif not repositories and not known.referenced:
        lacks = (*lacks_announcement(*pr.identifiers), *lacks_reference(pr.event))
        return refuse(UNREFERENCED, lacks)
    if known.objects_here and (repositories or known.contributed) and not pr.unsatisfiable:
        return Verdict(Action.SERVE)
    if origin == "sync" and known.expired:
        return refuse(EXPIRED_BEFORE, transient=known.known_by_id)
    return judge_room(pr.event, known, settings) or Verdict(Action.HOLD, HELD_MESSAGE)
