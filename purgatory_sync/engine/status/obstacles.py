"""Why a held event stays held even with every object here, and what its author can do (B 10.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from ...nostr.authority.outsiders import Position, position_of
from ...nostr.authority.repository_data import RepositoryData
from ...policy.rules.position_words import why_no_authority, why_not
from ...purgatory.entries import HeldAnnouncement, HeldEvent, HeldState, HuntedEvent
from ...release.index.missing_objects import Missing
from .models import Obstacle

_BY_POSITION: Final[dict[Position, Obstacle]] = {
    Position.INVITED: "invited",
    Position.PATH: "path",
}


@attrs.frozen
class Held:
    """What holds an event back, if anything does.

    Attributes:
      remedy: a sentence for its author: what to publish; None where nothing helps, or all is well.
    """

    obstacle: Obstacle | None = None
    remedy: str | None = None


def what_holds(
    held: HeldEvent, looked: Missing | None, known: Mapping[str, RepositoryData]
) -> Held:
    """Judge a held event as its release would.

    Args:
      known: what is announced under each of its identifiers.
      looked: what it concerns and lacks; None where that was not looked at.
    """
    if isinstance(held, HeldAnnouncement):
        return _of_announcement(held, known[held.identifier])
    obstacle = _of_objects(held, looked)
    if obstacle == "unannounced" and isinstance(held, HeldState):
        return _of_author(held, known[held.identifier])
    return Held(obstacle)


def by_itself(held: HeldEvent) -> Held:
    """What can be told without looking at anything else."""
    return Held() if isinstance(held, HeldAnnouncement) else Held(_of_objects(held, None))


def _of_announcement(held: HeldAnnouncement, data: RepositoryData) -> Held:
    """One whose lead pointers end nowhere, or outside of its own group, proves nothing."""
    why = why_no_authority(held.announcement.owner, data)
    return Held() if why is None else Held("path", why)


def _of_author(held: HeldState, data: RepositoryData) -> Held:
    author = held.state.author
    position = position_of(author, data.sets).position
    return Held(_BY_POSITION.get(position, "unauthorised"), why_not(author, data))


def _of_objects(held: HuntedEvent, looked: Missing | None) -> Obstacle | None:
    if held.unsatisfiable:
        return "unsatisfiable"
    if looked is None:
        return None
    if looked.concern.below_prs and not looked.concern.repositories:
        return None  # a push below /prs/ is all that it waits for
    if not any(looked.concern.owners.values()):
        return "unannounced"
    if not looked.concern.repositories:
        return "no_repository"
    return "no_refs" if isinstance(held, HeldState) and held.state.empty else None
