"""Heads and tags set exactly to a map: what a push and a hunt end with (B 6.7, 7.2)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs

from ...errors import RepositoryError
from .layout import UNBORN_HEAD
from .refs import LockedRefs, locked_refs
from .repository import read_head

ALIGNED = ("refs/heads/", "refs/tags/")
"""What alignment rules; `refs/nostr/*` and everything else is left as it is."""


@attrs.frozen
class Alignment:
    """What an alignment did.

    Attributes:
      changed: refs made or moved, sorted.
      deleted: refs removed, sorted.
      head: the ref that HEAD names now; None when it names none that exists.
    """

    changed: tuple[str, ...]
    deleted: tuple[str, ...]
    head: str | None


def align_refs(path: Path, wanted: Mapping[str, str], head: str | None) -> Alignment:
    """Set heads and tags exactly to a map, in one atomic step, and then HEAD (B 7.2).

    Args:
      path: the repository.
      wanted: ref → OID; every head and tag that is not in it is deleted.
      head: the ref that HEAD shall name, one of `wanted`; None leaves HEAD as it is while it names
        a ref that exists, and else gives it the unborn name of a new repository.

    Doing it again changes nothing. A crash leaves the old refs, the new refs with the old HEAD, or
    all of it done; doing it again heals the second.

    Raises:
      RepositoryError: as `refs.update_refs`, or a ref that is neither head nor tag, or a `head`
        that is not in `wanted`. Nothing has changed then.
    """
    for name in wanted:
        if not name.startswith(ALIGNED):
            raise RepositoryError(f"{name!a} is neither a branch nor a tag")
    if head is not None and not (head in wanted and head.startswith(ALIGNED[0])):
        raise RepositoryError(f"HEAD cannot name {head!a}: no such branch")
    with locked_refs(path) as refs:
        current = refs.resolved()
        gone = sorted(n for n in refs.names if n.startswith(ALIGNED) and n not in wanted)
        refs.apply({**dict.fromkeys(gone), **wanted})
        named = _align_head(path, refs, head)
    changed = sorted(name for name, oid in wanted.items() if current.get(name) != oid)
    return Alignment(tuple(changed), tuple(gone), named)


def _align_head(path: Path, refs: LockedRefs, head: str | None) -> str | None:
    before = read_head(path)
    if head is None and before in refs.resolved():
        return before
    after = head or UNBORN_HEAD
    if after != before:
        refs.write_head(after)
    return head
