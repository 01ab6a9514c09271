"""Who rules a repository: the members of each owner's set, from what each author signed (B 3.7).

Nobody is a member by somebody else's word alone: a member names him, and he names a member.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import attrs

from ..roles import Roles
from .paths import Nobody, Path, Paths
from .reaching import confirm, reach


@attrs.frozen
class Membership:
    """The sets of all owners of one identifier; pure, iterative, each worked out once.

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
    _groups: dict[str, frozenset[str]] = attrs.field(factory=dict, eq=False, repr=False)
    _owners: dict[str, list[str]] = attrs.field(factory=dict, eq=False, repr=False)
    _naming: dict[str, list[str]] = attrs.field(factory=dict, eq=False, repr=False)
    _authorising: dict[str, frozenset[str]] = attrs.field(factory=dict, eq=False, repr=False)

    def members(self, owner: str) -> frozenset[str]:
        """Everybody who may push to the owner's repository and publish states for it.

        An owner outside of the set is forwarded: it points at a group that it is no member of.
        """
        root = self.paths.of(owner).root
        if root is None:
            return frozenset()
        members = self.group(root)
        return members if owner in members or owner in self.served else frozenset()

    def why_nobody(self, owner: str) -> Path | None:
        """Why the owner's set is empty; None when it is not."""
        if self.members(owner):
            return None
        path = self.paths.of(owner)
        return attrs.evolve(path, nobody=path.nobody or Nobody.FORWARDED)

    def group(self, root: str) -> frozenset[str]:
        """A root with everybody who was confirmed: named by a member, and naming a member.

        Args:
          root: a key that may be a maintainer.
        """
        if root not in self._groups:
            # Those who name one another end up with the same group: it is worked out once.
            kin = self._kin(root)
            members = confirm(kin, self._names, self._by_named().__getitem__)
            self._groups.update(dict.fromkeys(kin, members))
        return self._groups[root]

    def owners_authorising(self, author: str) -> frozenset[str]:
        """The owners whose set holds the author; worked out once for each author."""
        if not self._able(author):
            return frozenset()
        if author not in self._authorising:
            by_root = self._owners_by_root()
            self._authorising[author] = frozenset(
                owner
                for root in self._around(author)
                if root in by_root and author in (members := self.group(root))
                for owner in by_root[root]
                if owner in members or owner in self.served
            )
        return self._authorising[author]

    def owners_needing(self, key: str) -> frozenset[str]:
        """The owners that have the key in their set or on their path: it matters that it stays."""
        return self.owners_authorising(key) | reach(key, self.paths.pointing().get)

    def moderators(self, owner: str) -> frozenset[str]:
        """Whom members made moderators and who accepted it; for pages, they rule nothing."""
        members = self.members(owner)

        def assigned(key: str) -> Iterable[str]:
            named = self.roles[key].moderators if key in members else ()
            return (each for each in named if each in self.roles and self.roles[each].moderates)

        naming: dict[str, list[str]] = {}
        for candidate in {each for member in members for each in assigned(member)}:
            for named in self.roles[candidate].acknowledged:
                naming.setdefault(named, []).append(candidate)
        return confirm(members, assigned, lambda key: naming.get(key, ())) - members

    def seen(self, owner: str) -> frozenset[str]:
        """Whose announcements matter for an owner: on its path, in its group, or named by one.

        Never those whom only an invited one names: it is no member.
        """
        found = {*self.paths.way(owner)}
        if (roles := self.roles.get(owner)) is not None:
            found.update(roles.named)
        if (root := self.paths.of(owner).root) is not None:
            for member in self.group(root):
                found.add(member)
                found.update(self.roles[member].named, self.roles[member].moderators)
        return frozenset(found)

    def owners_seeing(self, author: str) -> frozenset[str]:
        """The owners for whom the author is `seen`; of all at once, for they may be many."""
        naming = {key for key, roles in self.roles.items() if author in roles.names}
        found = naming | reach(author, self.paths.pointing().get)
        naming |= {key for key, roles in self.roles.items() if author in roles.moderators}
        naming.add(author)
        for root, owners in self._owners_by_root().items():
            if not self.group(root).isdisjoint(naming):
                found.update(owners)
        return frozenset(found & self.roles.keys())

    def _able(self, key: str) -> bool:
        """Whether a key can be a member: it announced the repository and has not left."""
        roles = self.roles.get(key)
        return roles is not None and roles.may

    def _names(self, key: str) -> Iterable[str]:
        return filter(self._able, self.roles[key].named)

    def _by_named(self) -> Mapping[str, list[str]]:
        """By key, who can be a member and names it."""
        if not self._naming:
            for key, roles in self.roles.items():
                self._naming.setdefault(key, [])
                for named in roles.named if roles.may else ():
                    self._naming.setdefault(named, []).append(key)
        return self._naming

    def _kin(self, key: str) -> frozenset[str]:
        """Those who name one another in pairs, from this key on: all of them have one group."""
        return reach(key, lambda one: (x for x in self._names(one) if one in self.roles[x].names))

    def _around(self, author: str) -> frozenset[str]:
        """Whom the author reaches by names and who reach him: only their groups can hold him."""
        naming: dict[str, list[str]] = {}
        for key in reach(author, self._names):
            for named in self.roles[key].named:
                naming.setdefault(named, []).append(key)
        return reach(author, naming.get)

    def _owners_by_root(self) -> Mapping[str, list[str]]:
        if not self._owners:
            for owner in self.roles:
                if (root := self.paths.of(owner).root) is not None:
                    self._owners.setdefault(root, []).append(owner)
        return self._owners
