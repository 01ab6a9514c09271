"""What a key without authority is told: what is missing, and what to publish (B 3.1, 6.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...nostr.authority.outsiders import Position, position_of
from ...nostr.authority.paths import Path, PathProblem
from ...nostr.authority.repository_data import RepositoryData
from ...nostr.keys import encode_npub

NOT_AUTHORIZED: Final = "restricted: author not authorized for this repository"

_YOURSELF: Final = "publish your own announcement (kind 30617) of this identifier that names them"
_OTHERS: Final[Mapping[PathProblem, str]] = {
    PathProblem.UNKNOWN: "this repository is not announced here",
    PathProblem.LEAD_UNKNOWN: "the lead {at} has no announcement of this identifier here: it has "
    "to publish one here that names itself with M, or you name it with m instead of M",
    PathProblem.NO_LEAD: "the lead {at} does not say in its own announcement that it leads: it has "
    "to name itself with M there, or you name it with m instead of M",
    PathProblem.TWO_LEADS: "the announcement of {at} calls more than one key the lead: one M tag "
    "has to be left",
    PathProblem.CIRCLE: "the M tags that begin in your announcement lead in a circle, through {at}"
    ": publish one that names you with M, or has no M tag",
    PathProblem.INACTIVE: "the lead {at} has ended its own role, or its role tags for itself are "
    "broken: publish an announcement that names another lead, or none",
    PathProblem.FORWARDED: "this announcement points at a repository of others, and is not served: "
    "publish one that names yourself with M",
}


def why_not(author: str, data: RepositoryData, owner: str | None = None) -> str:
    """What the author of a state lacks that no repository takes it.

    Args:
      owner: the only one whose repository is meant; None: any of the identifier.

    Returns a sentence without its full stop, for people.
    """
    outsider = position_of(author, data.sets, None if owner is None else [owner])
    by = None if outsider.by is None else encode_npub(outsider.by)
    match outsider.position:
        case Position.INVITED if author in data.known:
            return (
                f"you are invited by {by}, but your announcement names no maintainer: {_YOURSELF}"
            )
        case Position.INVITED:
            return f"you are invited by {by}: {_YOURSELF}"
        case Position.LEFT:
            return (
                "you have ended your role in your own announcement: to return, publish one with a "
                "new start of it that names a maintainer"
            )
        case Position.BROKEN:
            return (
                "the role tags for yourself in your own announcement are broken: publish one in "
                "which M or m names you, with times that are numbers or without"
            )
        case Position.REMOVED:
            return (
                f"your announcement points at {by}, which names you no more: ask to be named, or "
                "publish an announcement that names yourself with M, for a repository of your own"
            )
        case Position.PATH:
            return "" if outsider.path is None else _words(outsider.path)
    return "no maintainer names you: ask one to do it, or announce this repository yourself"


def why_no_authority(owner: str, data: RepositoryData) -> str | None:
    """Why no key may push to an owner's repository; None when one may."""
    path = data.sets.why_no_authority(owner)
    if path is None:
        return None
    if owner in data.known and data.known[owner].blocked:
        return "the operator of this service takes nothing more of this repository"
    if path.problem is PathProblem.INACTIVE and path.at == owner:
        return "the owner has ended its own role, or its role tags for itself are broken"
    return _words(path)


def _words(path: Path) -> str:
    problem = path.problem or PathProblem.FORWARDED
    return _OTHERS[problem].format(at=encode_npub(path.at))
