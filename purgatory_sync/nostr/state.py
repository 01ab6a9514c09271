"""Repository states, kind 30618: which commit each branch and tag names (NIP-34; B 1.3, 1.4)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from ..errors import InvalidEvent
from ..refnames import conflicting, is_valid_refname
from . import kinds
from .address import check_identifier
from .event import Event

_OID = re.compile(r"[0-9a-fA-F]{40}")
_NONE = "0" * 40
_PREFIXES = ("refs/heads/", "refs/tags/")


@attrs.frozen
class State:
    """What a state says, judged: what B 1.3 skips is not in here.

    Attributes:
      refs: branch and tag names with the OID of each (lower-case hex), in the event's order.
      head: the branch that HEAD shall name, or None (B 1.4).
      unsatisfiable: some value can never be an object here, or every ref was skipped.
      empty: it names no ref at all, or only symbolic ones: it deletes (B 3.5).
    """

    event: Event
    identifier: str
    refs: Mapping[str, str]
    head: str | None
    unsatisfiable: bool
    empty: bool

    @property
    def author(self) -> str:
        """The author of the state, in hex."""
        return self.event.pubkey

    @property
    def identifiers(self) -> tuple[str, ...]:
        """The same, for code that treats all events alike."""
        return (self.identifier,)

    @property
    def oids(self) -> frozenset[str]:
        """Every object that must be here before the state is served."""
        return frozenset(self.refs.values())

    @classmethod
    def parse(cls, event: Event) -> State:
        """Read a state.

        Raises:
          InvalidEvent: another kind, no `d`, or a name that is also a folder of another (B 1.3).
        """
        if event.kind != kinds.STATE:
            raise InvalidEvent("not a repository state (kind 30618)")
        identifier = check_identifier(event.first("d"))
        named = _named_refs(event)
        if (pair := conflicting(named)) is not None:
            raise InvalidEvent(f"the refs {pair[0]} and {pair[1]} cannot exist together")
        refs = {n: v.lower() for n, v in named.items() if _OID.fullmatch(v) and v != _NONE}
        symbolic = {n for n, v in named.items() if v.startswith("ref: ")}
        mentioned = {tag[0] for tag in event.tags if tag and tag[0].startswith("refs/")}
        empty = mentioned == symbolic
        return cls(
            event,
            identifier,
            refs,
            _head(event),
            unsatisfiable=len(refs) + len(symbolic) < len(named) or (not refs and not empty),
            empty=empty,
        )


def _named_refs(event: Event) -> dict[str, str]:
    named: dict[str, str] = {}
    for tag in event.tags:
        if len(tag) > 1 and tag[0].startswith(_PREFIXES) and is_valid_refname(tag[0]):
            named.setdefault(tag[0], tag[1])
    return named


def _head(event: Event) -> str | None:
    value = (event.first("HEAD") or "").removeprefix("ref: ")
    return value if value.startswith("refs/heads/") and is_valid_refname(value) else None
