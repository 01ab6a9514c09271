"""Who rules a repository: the members of each owner's set, from what each author signed (B 3.7).

Membership needs two announcements: a member names the key, and the key names a member.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import attrs

from ..roles import Roles
from .groups import Component
from .paths import Path, PathProblem, Paths
from .reaching import confirm, reach
from .rulings import Ruling, Rulings

_NONE: frozenset[str] = frozenset()


@attrs.frozen
class Membership:
    """The sets of all owners of one identifier; pure, iterative, each worked out once.

    What concerns many owners or many authors is asked once for all of them: sets may overlap,
    so that to list each of many is the square of the work.

    Attributes:
      roles: what the newest announcement of each author says.
      served: the authors whose announcement is served; only they may be forwarded.
    """

    roles: Mapping[str, Roles]
    served: Collection[str]
    paths: Paths = attrs.field(
        init=False,
        eq=False,
        repr=False,
        default=attrs.Factory(lambda self: Paths(self.roles), takes_self=True),
    )
    _rulings: Rulings = attrs.field(
        init=False,
        eq=False,
        repr=False,
        default=attrs.Factory(
            lambda self: Rulings(self.roles, self.served, self.paths), takes_self=True
        ),
    )
    _unions: dict[tuple[Ruling, ...], frozenset[str]] = attrs.field(
        init=False, factory=dict, eq=False, repr=False
    )

    _left: list[dict[str, list[str]]] = attrs.field(init=False, factory=list, eq=False, repr=False)

    def members(self, owner: str) -> frozenset[str]:
        """The keys that may push to the owner's repository and publish states for it.

        An owner outside of the set is forwarded: it points at a group that it is no member of.
        """
        root = self.paths.of(owner).root
        if root is None:
            return _NONE
        members = self._rulings.members(root)
        return members if owner in members or owner in self.served else _NONE

    def members_of_any(self, owners: Iterable[str]) -> frozenset[str]:
        """All keys that are in the set of one of the owners."""
        asked, found = frozenset(owners), dict[Component, int]()
        for ruling in self._rulings.all():
            if not asked.isdisjoint(ruling.owners):
                met = found.get(ruling.component, 0)
                found[ruling.component] = met | ruling.group.members
        return _NONE.union(*(each.keys_of(bits) for each, bits in found.items()))

    def first_of(self, ranked: Sequence[str]) -> dict[str, str]:
        """By owner, the first of these keys that is in its set; owners without one are left out."""
        found: dict[str, str] = {}
        for component, keys in self._rulings.apart(ranked).items():
            rulings = self._rulings.of(component)
            first = component.firsts(keys, (ruling.group for ruling in rulings))
            for ruling in rulings:
                if ruling.group in first:
                    found.update(dict.fromkeys(ruling.owners, first[ruling.group]))
        return found

    def why_no_authority(self, owner: str) -> Path | None:
        """Why the owner's set is empty; None when it is not."""
        if self.members(owner):
            return None
        path = self.paths.of(owner)
        return attrs.evolve(path, problem=path.problem or PathProblem.FORWARDED)

    def problems(self, owners: Iterable[str]) -> dict[str, PathProblem]:
        """Why the sets of some of the owners are empty; those that are not are left out."""
        ruled = _NONE.union(*(ruling.owners for ruling in self._rulings.all()))
        empty = {owner: self.paths.of(owner).problem for owner in owners if owner not in ruled}
        return {owner: problem or PathProblem.FORWARDED for owner, problem in empty.items()}

    def owners_authorising(self, *authors: str) -> frozenset[str]:
        """The owners whose set holds one of the authors."""
        found = tuple(each for each in self._rulings.holding(*authors) if each.owners)
        if len(found) == 1:
            return found[0].owners
        # Many authors have the same: those who are in one group that many others take in, say.
        if found not in self._unions:
            self._unions[found] = _NONE.union(*(each.owners for each in found))
        return self._unions[found]

    def owners_needing(self, key: str) -> frozenset[str]:
        """The owners that have the key in their set or on their path: it matters that it stays."""
        return self.owners_authorising(key) | reach(key, self.paths.pointing().get)

    def moderators(self, owner: str) -> frozenset[str]:
        """The keys that members made moderators and that accepted; for pages, they rule nothing."""
        members = self.members(owner)

        def assigned(key: str) -> Iterable[str]:
            named = self.roles[key].moderators if key in members else ()
            return (each for each in named if each in self.roles and self.roles[each].moderates)

        naming: dict[str, list[str]] = {}
        for candidate in {each for member in members for each in assigned(member)}:
            for named in self.roles[candidate].acknowledged:
                naming.setdefault(named, []).append(candidate)
        return confirm(members, assigned, lambda key: naming.get(key, ())) - members

    def left_naming(self, key: str) -> Collection[str]:
        """Keys that ended their own role and still name this key, in any role."""
        if not self._left:
            self._left.append({})
            for left, roles in self.roles.items():
                for named in roles.acknowledged if roles.left else ():
                    self._left[0].setdefault(named, []).append(left)
        return self._left[0].get(key, ())

    def seen(self, owner: str) -> frozenset[str]:
        """Whose announcements matter for an owner: on its path, in its group, or named by one.

        Never those that only an invited key names: it is no member.
        """
        found = {*self.paths.way(owner)}
        if (roles := self.roles.get(owner)) is not None:
            found.update(roles.named)
        if (root := self.paths.of(owner).root) is not None:
            for member in self._rulings.members(root):
                found.add(member)
                found.update(self.roles[member].named, self.roles[member].moderators)
        return frozenset(found)

    def seen_by_any(self, owners: Iterable[str]) -> frozenset[str]:
        """Whose announcements matter for one of the owners: `seen`, for all of them at once."""
        asked = frozenset(owners)
        met: dict[str, None] = {}
        for owner in asked:
            self.paths.walk(owner, met)
        found = set(met)
        inside = dict[Component, int]()
        for ruling in self._rulings.all():
            if not asked.isdisjoint(ruling.pointing):
                had = inside.get(ruling.component, 0)
                inside[ruling.component] = had | ruling.group.members
        members = _NONE.union(*(each.keys_of(bits) for each, bits in inside.items()))
        for key in asked & self.roles.keys():
            found.update(self.roles[key].named)
        for key in members:
            found.add(key)
            found.update(self.roles[key].named, self.roles[key].moderators)
        return frozenset(found)

    def owners_seeing(self, author: str) -> frozenset[str]:
        """The owners for whom the author is `seen`; of all at once, for they may be many."""
        naming = {key for key, roles in self.roles.items() if author in roles.names}
        found = naming | reach(author, self.paths.pointing().get)
        naming |= {key for key, roles in self.roles.items() if author in roles.moderators}
        naming.add(author)
        found.update(*(each.pointing for each in self._rulings.holding(*naming)))
        return frozenset(found & self.roles.keys())
