"""Whose repositories are here: owners, maintainers and moderators, by served announcements."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from ...errors import InvalidEvent
from ...nostr.address import RepositoryId
from ...nostr.announcement import Announcement
from ...nostr.authority.membership import Membership
from ...nostr.event import Event
from ...nostr.roles import Roles

Judge = Callable[[Announcement], bool]


@attrs.frozen
class _Known:
    order: tuple[int, str]
    event_id: str
    roles: Roles
    hosted: bool
    blocked: bool


@attrs.define(eq=False)
class Leaders:
    """Knows who rules and who moderates; no I/O.

    Attributes:
      hosts: whether an announcement has its repository here.
      blocked: whether the operator's blacklists keep it out of every set (B 5.1).
    """

    hosts: Judge
    blocked: Judge
    _known: dict[str, dict[str, _Known]] = attrs.field(factory=dict, init=False)
    _places: dict[str, tuple[str, str]] = attrs.field(factory=dict, init=False)
    _unsettled: dict[str, None] = attrs.field(factory=dict, init=False)
    _found: dict[str, tuple[frozenset[str], tuple[str, ...]]] = attrs.field(
        factory=dict, init=False
    )
    _identifiers: dict[str, dict[str, None]] = attrs.field(factory=dict, init=False)

    def came(self, event: Event) -> None:
        """Note a served announcement in place of an older one of its author."""
        try:
            announced = Announcement.parse(event)
        except InvalidEvent:
            return
        of_identifier = self._known.setdefault(announced.identifier, {})
        before = of_identifier.get(announced.owner)
        if before is not None and before.order > event.order:
            return
        if before is not None:
            self._places.pop(before.event_id, None)
        hosted, blocked = self.hosts(announced), self.blocked(announced)
        known = _Known(event.order, event.id, announced.roles, hosted, blocked)
        of_identifier[announced.owner] = known
        self._places[event.id] = announced.identifier, announced.owner
        self._unsettled[announced.identifier] = None

    def gone(self, event_id: str) -> str | None:
        """Forget an announcement that is no longer served; its owner, if it was known."""
        place = self._places.pop(event_id, None)
        if place is None:
            return None
        identifier, owner = place
        del self._known[identifier][owner]
        if not self._known[identifier]:
            del self._known[identifier]
        self._unsettled[identifier] = None
        return owner

    def __contains__(self, key: str) -> bool:
        """Whether a key owns, maintains or moderates a repository here."""
        self._settle()
        return key in self._identifiers

    def coordinates(self, key: str) -> tuple[str, ...]:
        """By what coordinates others may refer to the repositories of a key."""
        self._settle()
        return tuple(
            each
            for identifier in self._identifiers.get(key, ())
            for each in self._found[identifier][1]
        )

    def _settle(self) -> None:
        for identifier in self._unsettled:
            before, _ = self._found.pop(identifier, (frozenset[str](), ()))
            keys, named = self._work_out(identifier)
            if keys:
                self._found[identifier] = keys, named
            for key in before - keys:
                del self._identifiers[key][identifier]
                if not self._identifiers[key]:
                    del self._identifiers[key]
            for key in sorted(keys - before):
                self._identifiers.setdefault(key, {})[identifier] = None
        self._unsettled.clear()

    def _work_out(self, identifier: str) -> tuple[frozenset[str], tuple[str, ...]]:
        known = self._known.get(identifier, {})
        roles = {owner: each.roles for owner, each in known.items() if not each.blocked}
        sets = Membership(roles, roles.keys())
        hosted = [owner for owner, each in known.items() if each.hosted and not each.blocked]
        members = sets.members_of_any(hosted)
        moderators = frozenset[str]().union(*(sets.moderators(each) for each in hosted))
        ruling = members.union(hosted)
        named = tuple(str(RepositoryId(each, identifier)) for each in sorted(ruling))
        return ruling | moderators, named
