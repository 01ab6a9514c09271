"""Which keys a graph of names reaches, and which are let in: linear in any graph (B 3.7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def reach(start: str, following: Callable[[str], Iterable[str] | None]) -> frozenset[str]:
    """Every key that is reached, the start included."""
    found, todo = {start}, [start]
    while todo:
        for key in following(todo.pop()) or ():
            if key not in found:
                found.add(key)
                todo.append(key)
    return frozenset(found)


def confirm(
    seed: Iterable[str],
    names: Callable[[str], Iterable[str]],
    named_by: Callable[[str], Iterable[str]],
) -> frozenset[str]:
    """Let in who is named by one inside and names one inside, until nothing changes.

    Args:
      seed: who is inside from the beginning.
      names: the keys that a key names and that may be let in.
      named_by: who names a key and may be let in.
    """
    inside = set(seed)
    todo = list(inside)
    wanted, willing = set[str](), set[str]()
    while todo:
        key = todo.pop()
        wants, likes = set(names(key)) - wanted, set(named_by(key)) - willing
        wanted |= wants
        willing |= likes
        coming = ((wants & willing) | (likes & wanted)) - inside
        inside |= coming
        todo += coming
    return frozenset(inside)
