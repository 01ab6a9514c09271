"""Whose relays count of those that are served for others' sake: members', not invited ones'."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from ....nostr.announcement import Announcement
from ....nostr.authority.membership import Membership
from ....nostr.roles import Roles

Hosts = Callable[[Announcement], bool]


@attrs.frozen
class _Known:
    roles: Roles
    hosted: bool
    blocked: bool


@attrs.define
class MembersBeside:
    """Knows the announcements of each identifier, those that are hosted here and those beside.

    Attributes:
      hosts: whether an announcement has its repository here.
      blocked: whether the operator's blacklists keep it out of every set (B 5.1).
    """

    hosts: Hosts
    blocked: Hosts
    _known: dict[str, dict[str, _Known]] = attrs.field(factory=dict)

    def announced(self, announcement: Announcement) -> bool:
        """Take an announcement in place of an older one of its author; whether it is hosted."""
        of_identifier = self._known.setdefault(announcement.identifier, {})
        hosted = self.hosts(announcement)
        blocked = self.blocked(announcement)
        of_identifier[announcement.owner] = _Known(announcement.roles, hosted, blocked)
        return hosted

    def withdrawn(self, owner: str, identifier: str) -> None:
        """Forget an announcement that left."""
        of_identifier = self._known[identifier]
        del of_identifier[owner]
        if not of_identifier:
            del self._known[identifier]

    def counting(self, identifier: str) -> dict[str, bool]:
        """By owner, of those beside: whether it is a member of a repository that is hosted here."""
        known = self._known.get(identifier, {})
        beside = [owner for owner, each in known.items() if not each.hosted]
        if not beside:
            return {}
        roles = {owner: each.roles for owner, each in known.items() if not each.blocked}
        sets = Membership(roles, roles.keys())
        members = sets.members_of_any(owner for owner, each in known.items() if each.hosted)
        return {owner: owner in members for owner in beside}
