"""The cases of who rules what, as one table, and how its shorthand is read.

Keys are capital letters. Of each author the tags of its announcement: `M A 10 20` is the role tag
`["M", <A>, "10", "20"]`, `mt A B` is `["maintainers", <A>, <B>]`, `-` is an announcement without
any of them. What is expected: of each owner the members of its set, `nobody` for none; an owner
after `held` has an announcement that is not served.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from purgatory_sync.nostr.authority.membership import Membership
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.roles import Roles

LONG_NAMES = {"mt": "maintainers"}


@attrs.frozen
class Case:
    """One line of the table.

    Attributes:
      what: its number, and what it shows.
      tags: by author, `A: M A, m B | B: M A`; `held A: …`: it is not served.
      sets: by owner, `A: A B | B: nobody`.
    """

    what: str
    tags: str
    sets: str


def key(letter: str) -> str:
    """The key that a letter stands for."""
    return f"{ord(letter):064x}" if len(letter) == 1 else letter


def tag(text: str) -> tuple[str, ...]:
    """One tag: a word that is one capital letter is a key."""
    name, *values = text.split(" ")
    return LONG_NAMES.get(name, name), *(key(v) if v.isupper() else v for v in values)


def event(letter: str, tags: Iterable[tuple[str, ...]], created_at: int = 1) -> Event:
    """An announcement without a signature: the sets come of what it says."""
    tags = (("d", "x"), *tags)
    return Event(f"{created_at:064x}", key(letter), created_at, 30617, tags, "", "0" * 128)


def announced(text: str) -> tuple[dict[str, Event], frozenset[str]]:
    """The announcements of a line by key, and which of them are served."""
    events, served = {}, set()
    for part in text.split(" | "):
        author, _, tags = part.partition(": ")
        letter = author.removeprefix("held ")
        listed = [] if tags == "-" else [tag(each) for each in tags.split(", ")]
        events[key(letter)] = event(letter, listed)
        if author == letter:
            served.add(key(letter))
    return events, frozenset(served)


def membership(text: str) -> Membership:
    """The sets that follow from a line."""
    events, served = announced(text)
    return Membership({each: Roles.of(e) for each, e in events.items()}, served)


def letters(keys: Iterable[str]) -> str:
    """Keys as the table writes them."""
    return " ".join(sorted(chr(int(each, 16)) for each in keys)) or "nobody"


def expected(case: Case) -> Mapping[str, str]:
    """By owner's letter, the set as the table writes it."""
    return dict(each.split(": ", 1) for each in case.sets.split(" | "))


CASES = (
    Case("1 sole owner", "A: -", "A: A"),
    Case("2 listed without an announcement: invited", "A: mt B", "A: A"),
    Case("3 its announcement does not list back", "A: mt B | B: -", "A: A | B: B"),
    Case("4 both list one another", "A: mt B | B: mt A", "A: A B | B: A B"),
    Case("5 only the other lists", "A: - | B: mt A", "A: A | B: B"),
    Case(
        "6 invitees confirm no one another", "A: mt B | B: mt C | C: mt B", "A: A | B: B C | C: B C"
    ),
    Case("7 a one-way circle", "A: mt B | B: mt C | C: mt A", "A: A | B: B | C: C"),
    Case("8 a chain of pairs", "A: mt B | B: mt A C | C: mt B", "A: A B C | B: A B C | C: A B C"),
    Case(
        "9 roles beat the legacy list",
        "A: M A 10, m B 10, mt A C | B: M A 20, m B 20 | C: mt A",
        "A: A B | B: A B | C: C",
    ),
    Case("10 a legacy list beside roles", "A: M A, mt X | X: mt A", "A: A | X: X"),
    Case(
        "11 a moderator's tag is a role tag",
        "A: o O, mt X | O: M A, o O | X: mt A",
        "A: A | O: nobody | X: X",
    ),
    Case("12 both implicit", "A: m B | B: m A", "A: A B | B: A B"),
    Case("13 left", "A: M A 10, m B 10 | B: M A 10, m B 10 20", "A: A | B: A"),
    Case("14 broken", "A: M A 10, m B 10 | B: M A 10, m B 10 defer", "A: A | B: A"),
    Case("15 a moderator of itself only", "A: M A, m B | B: M A, o B", "A: A | B: A"),
    Case("16 ended itself", "A: m A 10 20", "A: nobody"),
    Case("17 invited again", "A: M A 10, m B 20 35 45 | B: M A, m B 20 35", "A: A | B: A"),
    Case("18 came back", "A: M A 10, m B 20 35 45 | B: M A, m B 20 35 50", "A: A B | B: A B"),
    Case(
        "19 its acceptance stands", "A: M A 10, m B 20 35 45 | B: M A 20, m B 20", "A: A B | B: A B"
    ),
    Case("20 removed, forwarded", "A: M A 10, m B 20 35 | B: M A 20, m B 20", "A: A | B: A"),
    Case(
        "21 a member's member",
        "A: M A, m B | B: M A, m B, m C | C: M B, m C",
        "A: A B C | B: A B C | C: A B C",
    ),
    Case(
        "22 a copy that defers",
        "A: M A, m B | B: M A, m B, m C 30 defer | C: M A, m C",
        "A: A B | B: A B | C: A B",
    ),
    Case(
        "23 handed over",
        "A: M B, m A | B: M B, m A, m C | C: M A, m C",
        "A: A B C | B: A B C | C: A B C",
    ),
    Case("24 the lead is not known", "A: M B, m A", "A: nobody"),
    Case("25 two leads", "A: M B, M C, m A | B: M A, m B", "A: nobody | B: nobody"),
    Case("26 a circle", "A: M B | B: M A", "A: nobody | B: nobody"),
    Case("27 the lead names no lead", "A: mt A B | B: M A 20, m B 20", "A: A B | B: nobody"),
    Case(
        "28 a fork on the coordinate", "A: M A 10 | C: M A 20 40, m C 20 40, M C 50", "A: A | C: C"
    ),
    Case("29 a stranger names", "A: - | D: - | S: M S, m A, m D", "A: A | D: D | S: S"),
    Case("30 ended with a word", "A: M A, m B yesterday | B: M A", "A: A | B: A"),
    Case(
        "31 two records, one active", "A: M A, m B 0 100, m B 200 | B: M A, m B", "A: A B | B: A B"
    ),
    Case("32 from lead to member", "A: M A, M B 0 100, m B 100 | B: M A, m B", "A: A B | B: A B"),
    Case("33 its only record is broken", "A: m A x", "A: nobody"),
    Case("34 a later role takes it back", "A: m A 0 100 120 defer, M A 200", "A: A"),
    Case("35 of the same time does not", "A: m A 10 defer, M A 10", "A: nobody"),
    Case("35 without a time does not", "A: m A 10 defer, M A", "A: nobody"),
    Case("35 an earlier one does not", "A: m A 10 defer, M A 5", "A: nobody"),
    Case("36 deferred under another letter", "A: M A 5, o A 10 defer", "A: nobody"),
    Case("38 deleted its acceptance", "A: mt B", "A: A | B: nobody"),
    Case("39 never acknowledged", "A: M A, m B | B: M B", "A: A | B: B"),
    Case("40 forwarded, not served", "held A: m A 1 2, M L | L: M L", "A: nobody | L: L"),
    Case("40 forwarded, served", "A: m A 1 2, M L | L: M L", "A: L | L: L"),
    Case("41 there is no clock", "A: M A, m B 4102444800 | B: M A, m B", "A: A B | B: A B"),
    Case("42 a moderator rules nothing", "A: M A, o O | O: M A, o O", "A: A | O: A"),
    Case("43 a group without a lead", "A: m A, m B | B: m B, m A", "A: A B | B: A B"),
    Case("44 it calls one lead who is none", "A: m A, m B | B: M A, m B", "A: A B | B: nobody"),
    Case("45 it leads, and another", "A: M A, M B | B: M A, m B", "A: nobody | B: nobody"),
    Case("46 a fork's mark changes nothing", "A: mt B | B: mt A, u 30617:A:x", "A: A B | B: A B"),
)
