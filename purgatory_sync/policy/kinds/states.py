"""Whether a repository state is released, held or refused (B 3)."""

from __future__ import annotations

import attrs

from ...nostr.authority.outsiders import position_of
from ...nostr.authority.repository_data import RepositoryData, Standing
from ...nostr.state import State
from ...settings import PurgatorySettings
from ..rules.known_facts import Known
from ..rules.lacking import lacks_announcement
from ..rules.limits import judge_room
from ..rules.position_words import NOT_AUTHORIZED, why_not
from ..rules.verdict import HELD_MESSAGE, Action, Verdict, refuse

EXPIRED_BEFORE = "invalid: previously expired from purgatory without git data"


def judge_state(state: State, origin: str, known: Known, settings: PurgatorySettings) -> Verdict:
    """Judge a state that is new and not deleted (B 3.1-3.5).

    Args:
      origin: `user` or `sync`; an id that expired before is held anew for a user only.
    """
    lacks = lacks_announcement(state.identifier)
    data = known.data.get(state.identifier)
    if data is None or not data.known:
        return refuse("invalid: no announcement exists for this repository", lacks)
    owners = data.owners_authorising(state.author)
    if not owners:
        verdict = refuse(f"{NOT_AUTHORIZED}: {why_not(state.author, data)}", lacks)
        return attrs.evolve(verdict, outsider=position_of(state.author, data.sets).position)
    revives = tuple(
        data.known[owner].announcement.event.id
        for owner in owners
        if data.known[owner].standing is Standing.SOFT_EXPIRED
    )
    if known.objects_here and can_be_released(state, data, owners):
        return Verdict(Action.SERVE, revives=revives)
    if origin == "sync" and known.expired:
        return refuse(EXPIRED_BEFORE, transient=known.known_by_id)
    full = judge_room(state.event, known, settings)
    return full or Verdict(Action.HOLD, HELD_MESSAGE, revives=revives)


def can_be_released(state: State, data: RepositoryData, owners: tuple[str, ...]) -> bool:
    """Whether data alone keeps the state from being served (B 1.3, 3.5).

    Args:
      owners: those whose maintainer set holds the author.
    """
    if state.unsatisfiable:
        return False
    here = data.with_repository(owners)
    if state.empty:
        return any(data.known[owner].standing is Standing.SERVED for owner in here)
    return bool(here)
