"""What one announcement says of authority: role tags `M`, `m`, `o`, or `maintainers` (B 1.10)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import attrs

from .address import is_hex_key
from .event import Event

LEAD: Final = "M"
MAINTAINER: Final = "m"
MODERATOR: Final = "o"
LETTERS: Final = frozenset((LEAD, MAINTAINER, MODERATOR))
DEFER: Final = "defer"
MAX_NAMES: Final = 64
"""Of one announcement so many names count, in the order of its tags."""

_DIGITS = re.compile(r"[0-9]{1,20}")
_BEYOND = 2**64


@attrs.frozen
class RoleRecord:
    """One role tag: its author says what its subject is, and since when.

    Attributes:
      letter: `M`, `m` or `o`.
      subject: hex key in lower case; empty when the tag names none.
      boundaries: start, end, start, …, as they stand in the tag; never compared with any time.
    """

    letter: str
    subject: str
    boundaries: tuple[str, ...] = ()

    @classmethod
    def parse(cls, tag: Sequence[str]) -> RoleRecord | None:
        """Read a tag; None when it is no role tag."""
        if not tag or tag[0] not in LETTERS:
            return None
        subject = tag[1].lower() if len(tag) > 1 else ""
        return cls(tag[0], subject if is_hex_key(subject) else "", tuple(tag[2:]))

    @property
    def valid(self) -> bool:
        """Whether it names a key and each boundary is one; otherwise it says nothing at all."""
        last = len(self.boundaries) - 1
        return bool(self.subject) and all(
            _is_number(value) or (value == DEFER and at == last and at % 2 == 1)
            for at, value in enumerate(self.boundaries)
        )

    @property
    def active(self) -> bool:
        """Whether it grants its role: never ended, or begun again."""
        return self.valid and (not self.boundaries or len(self.boundaries) % 2 == 1)

    @property
    def deferred(self) -> bool:
        """Whether its author keeps it as history and leaves the decision to others."""
        return self.valid and self.boundaries[-1:] == (DEFER,)

    @property
    def ended(self) -> bool:
        """Whether its author ended it at a time."""
        return self.valid and not self.active and not self.deferred

    @property
    def last_start(self) -> int | None:
        """The last start, in Unix seconds; None for a record without any time."""
        return (
            int(self.boundaries[(len(self.boundaries) - 1) // 2 * 2]) if self.boundaries else None
        )


@attrs.frozen
class Roles:
    """What an announcement says of its author and of others; no clock, nothing but its tags.

    Attributes:
      may: whether its author can be a maintainer: it has not ended its own role.
      left: where it may not, whether it went on purpose; else its own record is broken.
      named: keys that it assigns as maintainers, without its author, each once, at most 64.
      leads: keys that it calls the lead, itself included, each once; only one is a path.
      moderators: keys that it assigns as moderators, each once, at most 64.
      moderates: whether its author can be a moderator.
      acknowledged: all other keys that an active record of it names.
      names: `named` as a set.
    """

    may: bool = True
    left: bool = False
    named: tuple[str, ...] = ()
    leads: tuple[str, ...] = ()
    moderators: tuple[str, ...] = ()
    moderates: bool = False
    acknowledged: frozenset[str] = frozenset()
    names: frozenset[str] = attrs.field(
        init=False,
        eq=False,
        repr=False,
        default=attrs.Factory(lambda self: frozenset(self.named), takes_self=True),
    )

    @classmethod
    def of(cls, event: Event) -> Roles:
        """Read an announcement; a malformed role tag grants nothing, and is no error.

        Any role tag, even a malformed one, makes `maintainers` a mere copy for old readers.
        """
        read = [each for tag in event.tags if (each := RoleRecord.parse(tag)) is not None]
        if not read:
            listed = (key for key in event.all_values("maintainers") if is_hex_key(key))
            named = _others(listed, event.pubkey)
            return cls(named=named, acknowledged=frozenset(named))
        own = [each for each in read if each.subject == event.pubkey]
        active = [each for each in read if each.active]
        may = not own or (_has_active(own, LEAD, MAINTAINER) and not _is_deferred(own))
        named = _others((r.subject for r in active if r.letter != MODERATOR), event.pubkey)
        return cls(
            may=may,
            left=not may and _has_left(own),
            named=named,
            leads=tuple(dict.fromkeys(r.subject for r in active if r.letter == LEAD)),
            moderators=_others(r.subject for r in active if r.letter == MODERATOR),
            moderates=_has_active(own, MODERATOR) and not _is_deferred(own),
            acknowledged=frozenset(r.subject for r in active) - {event.pubkey},
        )


def _has_active(own: Iterable[RoleRecord], *letters: str) -> bool:
    return any(each.active and each.letter in letters for each in own)


def _has_left(own: Sequence[RoleRecord]) -> bool:
    """Whether the author ended its own role, or says that it is a moderator and no more."""
    only_moderates = all(each.valid and each.letter == MODERATOR for each in own)
    return only_moderates or any(each.ended and each.letter != MODERATOR for each in own)


def _is_deferred(own: Sequence[RoleRecord]) -> bool:
    """Whether the author left the decision on itself to others, and took it back nowhere.

    Only a record that starts later takes it back; one without a start, or of the same, does not.
    """
    starts = [each.last_start for each in own if each.active]
    latest = max((start for start in starts if start is not None), default=-1)
    return any(each.deferred and latest <= (each.last_start or 0) for each in own)


def _others(keys: Iterable[str], author: str | None = None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for key in keys if key != author))[:MAX_NAMES]


def _is_number(text: str) -> bool:
    """Python's own `int` and `isdigit` take signs, blanks and digits of other scripts, too."""
    return _DIGITS.fullmatch(text) is not None and int(text) < _BEYOND
