"""Authority judged again at release: which repositories an event rules now (B 3.4, 7.2, 7.3)."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable

import attrs

from ..nostr.authority.repository_data import RepositoryData, Standing
from ..nostr.pull_request import PullRequest
from ..nostr.state import State
from .kinds.states import can_be_released


class Ruled(enum.StrEnum):
    """What becomes of a held state whose objects are all here."""

    RELEASE = "release"
    OUTDATED = "outdated"
    SUPERSEDED = "superseded"
    WAITS = "waits"
    UNAUTHORISED = "unauthorised"


@attrs.frozen
class StateRuling:
    """Where a state rules at this moment.

    Attributes:
      outcome: RELEASE to `owners`; OUTDATED: saved, no ref moved (B 3.4); SUPERSEDED: its author
        has a newer served one, dropped unsaved (B 1.6); WAITS: stays held, because there is
        no repository for it, it can never be satisfied, or only held ones could be emptied (B 3.5);
        UNAUTHORISED: in no set any more, stays held.
      owners: whose repositories are aligned, in the order of their keys.
      promotes: ids of held announcements that are served together with it (B 2.6), and of the one
        that made its author a member, held or softly expired.
    """

    outcome: Ruled
    owners: tuple[str, ...] = ()
    promotes: tuple[str, ...] = ()


def rule_state(state: State, data: RepositoryData, served: Iterable[State]) -> StateRuling:
    """Judge a held state again, its objects being here (B 7.2).

    Args:
      data: the identifier's announcements as they are now.
      served: the served states of the identifier, of any author.
    """
    served = tuple(served)
    if any(s.author == state.author and _newer(s, state) for s in served):
        return StateRuling(Ruled.SUPERSEDED)
    authorising = data.owners_authorising(state.author)
    if not authorising:
        return StateRuling(Ruled.UNAUTHORISED)
    if not can_be_released(state, data, authorising):
        return StateRuling(Ruled.WAITS)
    newer = data.sets.owners_authorising(*(s.author for s in served if _newer(s, state)))
    owners = tuple(owner for owner in data.with_repository(authorising) if owner not in newer)
    if not owners:
        return StateRuling(Ruled.OUTDATED)
    if state.empty:
        return StateRuling(Ruled.RELEASE, owners)
    promotes = held_announcements(data, owners)
    return StateRuling(
        Ruled.RELEASE, owners, (*promotes, *_acceptance(state.author, promotes, data))
    )


def newest_for(owner: str, data: RepositoryData, served: Iterable[State]) -> State | None:
    """The served state that rules the owner's repository (B 3.4), or None."""
    members = data.maintainer_set(owner)
    mine = (s for s in served if s.author in members)
    return max(mine, key=lambda s: s.event.order, default=None)


def ruling_states(data: RepositoryData, served: Iterable[State]) -> dict[str, State]:
    """By owner, the served state that rules its repository; for all of them at once (B 3.4)."""
    newest = sorted(served, key=lambda s: s.event.order)
    by_author = {state.author: state for state in newest}
    ranked = sorted(by_author, key=lambda author: by_author[author].event.order, reverse=True)
    return {owner: by_author[first] for owner, first in data.sets.first_of(ranked).items()}


@attrs.frozen
class PrRuling:
    """Where a pull request belongs at this moment, for one identifier.

    Attributes:
      owners: whose repositories get its commit and ref; none: it stays held.
      promotes: ids of held announcements that are served together with it (B 2.6).
    """

    owners: tuple[str, ...]
    promotes: tuple[str, ...]


def rule_pr(pr: PullRequest, data: RepositoryData) -> PrRuling:
    """The repositories of one identifier that a pull request concerns (B 4.1, 7.3)."""
    owners = data.with_repository(data.owners_of_pr(pr))
    return PrRuling(owners, held_announcements(data, owners))


def held_announcements(data: RepositoryData, owners: Iterable[str]) -> tuple[str, ...]:
    """The ids of the owners' announcements that are held."""
    return tuple(
        data.known[owner].announcement.event.id
        for owner in owners
        if data.known[owner].standing is Standing.HELD
    )


def _acceptance(author: str, promoted: Collection[str], data: RepositoryData) -> tuple[str, ...]:
    """The id of the author's own announcement that waits, because it made him a member (B 3.8)."""
    known = data.known.get(author)
    if known is None or known.standing is Standing.SERVED:
        return ()
    event_id = known.announcement.event.id
    return () if event_id in promoted else (event_id,)


def _newer(one: State, other: State) -> bool:
    return one.event.order > other.event.order
