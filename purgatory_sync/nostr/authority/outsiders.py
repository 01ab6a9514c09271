"""The position of a key without authority: invited, gone, on a path without an end (B 3.7)."""

from __future__ import annotations

import enum
from collections.abc import Iterable

import attrs

from .membership import Membership
from .paths import Path


class Position(enum.StrEnum):
    """Why a key is in no set of an identifier."""

    STRANGER = "stranger"
    INVITED = "invited"
    LEFT = "left"
    REMOVED = "removed"
    BROKEN = "broken"
    PATH = "path"


@attrs.frozen
class Outsider:
    """A key that is in no set, and what it lacks.

    Attributes:
      by: who invited it, or the lead that its own announcement points at and that names it no more.
      path: where its own pointers end, for PATH.
    """

    position: Position
    by: str | None = None
    path: Path | None = None


def position_of(author: str, sets: Membership, owners: Iterable[str] | None = None) -> Outsider:
    """What an author is who has no authority in the repositories of these owners.

    Args:
      owners: whose sets it might be in; None: all.
    """
    inviter = _inviter(author, sets, sets.roles if owners is None else owners)
    roles = sets.roles.get(author)
    if roles is None:
        return Outsider(Position.INVITED if inviter else Position.STRANGER, inviter)
    if not roles.may:
        return Outsider(Position.LEFT if roles.left else Position.BROKEN, inviter)
    path = sets.paths.of(author)
    if path.root is None:
        return Outsider(Position.PATH, inviter, path)
    if inviter is not None:
        return Outsider(Position.INVITED, inviter)
    if path.root != author:
        return Outsider(Position.REMOVED, path.root)
    return Outsider(Position.STRANGER)


def _inviter(author: str, sets: Membership, owners: Iterable[str]) -> str | None:
    """A member who names the author; the lowest key, so that it is always the same."""
    naming = {key for key, roles in sets.roles.items() if author in roles.names}
    if not naming:
        return None
    return min(sets.members_of_any(owners) & naming, default=None)
