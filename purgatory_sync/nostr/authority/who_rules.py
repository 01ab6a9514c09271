"""Who rules one owner's repository, and who is beside its set: for pages and reports (B 3.7)."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ..address import is_hex_key
from .paths import Path
from .reaching import reach
from .repository_data import RepositoryData


@attrs.frozen
class WhoRules:
    """All keys in hex, in order.

    Attributes:
      lead: the key where the pointers of its members end; None without pointers.
      maintainers: its set.
      moderators: keys that members made moderators, and that accepted.
      invited: keys that a member names and that have not accepted, with the member.
      left: who was named by members, or names one, and has ended the own role.
      forwarded_to: the root of its set, when the owner is not in it.
      no_authority: why the set is empty, or None.
    """

    lead: str | None
    maintainers: tuple[str, ...]
    moderators: tuple[str, ...]
    invited: Mapping[str, str]
    left: tuple[str, ...]
    forwarded_to: str | None
    no_authority: Path | None


def who_rules(owner: str, data: RepositoryData) -> WhoRules:
    """Look at an owner's set and around it."""
    sets = data.sets
    members = sets.members(owner)
    root = sets.paths.of(owner).root if members else None
    named = {
        name: member
        for member in sorted(members, reverse=True)
        for name in sets.roles[member].named
        if name not in members
    }
    moderators = sets.moderators(owner)
    left = {key for key in named if key in sets.roles and sets.roles[key].left}
    left = left.union(*(sets.left_naming(member) for member in members)) - members - moderators
    leads = root is not None and bool(sets.roles[root].leads)
    return WhoRules(
        lead=root if leads else None,
        maintainers=tuple(sorted(members)),
        moderators=tuple(sorted(moderators)),
        invited={name: by for name, by in sorted(named.items()) if name not in left},
        left=tuple(sorted(left)),
        forwarded_to=None if owner in members else root,
        no_authority=sets.why_no_authority(owner),
    )


def by_lists_alone(owner: str, data: RepositoryData) -> frozenset[str]:
    """The keys with authority by the rule of former versions: `maintainers` followed one way.

    Only to tell what changes with it: nothing is authorised by this.
    """

    def listed(key: str) -> list[str]:
        known = data.known.get(key)
        values = known.announcement.event.all_values("maintainers") if known else ()
        return [value for value in values if is_hex_key(value)]

    return reach(owner, listed) if owner in data.known else frozenset()
