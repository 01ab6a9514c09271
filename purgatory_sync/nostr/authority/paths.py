"""Where the pointers `M` of announcements lead, and why some lead to no root (B 3.7)."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import attrs

from ..roles import Roles


class PathProblem(enum.StrEnum):
    """Why an owner's set is empty."""

    UNKNOWN = "unknown"
    INACTIVE = "inactive"
    LEAD_UNKNOWN = "lead-unknown"
    NO_LEAD = "no-lead"
    TWO_LEADS = "two-leads"
    CIRCLE = "circle"
    FORWARDED = "forwarded"


@attrs.frozen
class Path:
    """Where the pointers lead from an owner.

    Attributes:
      root: the key at their end; None when no key rules.
      problem: why there is no root.
      at: the key at which they end, whether it is a root or not.
    """

    root: str | None
    problem: PathProblem | None
    at: str


@attrs.frozen
class Paths:
    """The paths of all owners of one identifier; each announcement is met once."""

    roles: Mapping[str, Roles]
    _ends: dict[str, Path] = attrs.field(factory=dict, eq=False, repr=False)

    def of(self, owner: str) -> Path:
        """Follow `M` from the owner's announcement to the one that points nowhere else.

        Without a lead an owner rules itself; a lead has to say that it is one.
        """
        roles = self.roles.get(owner)
        if roles is None:
            return Path(None, PathProblem.UNKNOWN, owner)
        if roles.leads:
            return self._end_of(owner)
        return Path(owner, None, owner) if roles.may else Path(None, PathProblem.INACTIVE, owner)

    def way(self, owner: str) -> tuple[str, ...]:
        """Every key that is met from the owner on, also a last one of which nothing is known."""
        way: dict[str, None] = {}
        self.walk(owner, way)
        return tuple(way)

    def walk(self, owner: str, met: dict[str, None]) -> None:
        """Add the keys of an owner's way, up to one that is among those met already."""
        key: str | None = owner
        while key is not None and key not in met:
            met[key] = None
            key = self._lead(key)

    def pointing(self) -> Mapping[str, list[str]]:
        """By lead, who points at it."""
        found: dict[str, list[str]] = {}
        for key in self.roles:
            if (lead := self._lead(key)) is not None:
                found.setdefault(lead, []).append(key)
        return found

    def _end_of(self, key: str) -> Path:
        """Where the path of a key ends that points at a lead, itself included."""
        way: dict[str, None] = {}
        at = key
        while at not in self._ends and at not in way:
            way[at] = None
            lead = self._lead(at)
            if lead is None or lead == at:
                self._ends[at] = self._stop(at)
            else:
                at = lead
        end = self._ends[at] if at in self._ends else Path(None, PathProblem.CIRCLE, at)
        self._ends.update(dict.fromkeys(way, end))
        return end

    def _stop(self, key: str) -> Path:
        roles = self.roles.get(key)
        if roles is None:
            return Path(None, PathProblem.LEAD_UNKNOWN, key)
        if len(roles.leads) > 1:
            return Path(None, PathProblem.TWO_LEADS, key)
        if not roles.leads:
            return Path(None, PathProblem.NO_LEAD, key)
        return Path(key, None, key) if roles.may else Path(None, PathProblem.INACTIVE, key)

    def _lead(self, key: str) -> str | None:
        """The one key that an announcement calls the lead, or None."""
        roles = self.roles.get(key)
        return roles.leads[0] if roles is not None and len(roles.leads) == 1 else None
