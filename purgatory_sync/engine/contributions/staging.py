"""A push below `/prs/` is received into a repository of links, out of sight (B 12.6).

It has what the path has, and what served repositories of the identifier have, so that a client need
send only what is new. What is not needed of that is let go again before the whole is shown by one
rename, or linked into the repository that is there. Everything here blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from ...git.disk.linking import link_objects
from ...git.disk.object_lookup import ObjectLookup
from ...git.disk.repository import create_bare, list_haves, list_refs
from ...git.ingest.needed_packs import has_more, keep_packs, needed_packs, pack_names
from ...git.ingest.quarantine import quarantine_name
from ...release.index.repositories import PROVEN_MARKER

HEADS: Final = "refs/heads/"
MOST_HAVES: Final = 200
MOST_HEADS: Final = 400
"""Of one repository; they are read for each advertisement."""
MOST_LOOKED_AT: Final = 200_000
"""Objects of a pack; of a larger push all that was linked stays."""


@attrs.frozen
class Stage:
    """Where a push is received.

    Attributes:
      own: the packs of the repository that is there already.
      linked: the packs that came from each served repository.
    """

    path: Path
    own: frozenset[str]
    linked: tuple[frozenset[str], ...]


def newest_heads(repositories: Sequence[Path]) -> list[str]:
    """The branches' tips of served repositories, newest first: what clients need not send."""
    times: dict[str, int] = {}
    for path in repositories:
        heads = [oid for name, oid in list_refs(path).items() if name.startswith(HEADS)]
        with ObjectLookup(path) as lookup:
            for oid in heads[:MOST_HEADS]:
                if oid not in times and lookup.kind(oid) == "commit":
                    times[oid] = lookup.commit_time(oid)
    return sorted(times, key=lambda oid: (-times[oid], oid))[:MOST_HAVES]


def make_stage(tmp: Path, own: Path, relatives: Sequence[Path]) -> Stage:
    """Make one of links; a crash leaves it in `tmp`, which the next start sweeps.

    Args:
      own: the repository of the path, there or not.
      relatives: served ones, each whole.

    Raises:
      RepositoryError: the disk refuses; `discard` removes what is there.
    """
    path = tmp / quarantine_name("prs")
    create_bare(path, tmp, {PROVEN_MARKER: b""})
    if tips := frozenset(list_refs(own).values()):
        link_objects([own], path, tips)
    mine, linked = pack_names(path), []
    for each in relatives:
        link_objects([each], path, list_haves(each))
        linked.append(pack_names(each))
    return Stage(path, mine, tuple(linked))


def let_go(stage: Stage, refs: Mapping[str, str]) -> bool:
    """Remove the links to what the refs do not need.

    Returns whether the push brought objects that some ref alone, or none, needs: such a pack
    is to be tidied up when that ref is gone.

    Raises:
      NotClosed: something that they need is missing.
    """
    before = stage.own.union(*stage.linked)
    needed = needed_packs(stage.path, refs.values(), whole=before, most=MOST_LOOKED_AT)
    if needed is None:
        return True
    keep = set(stage.own) | (needed - before)
    for packs in stage.linked:  # each whole: its packs lean on one another
        if not needed.intersection(packs) <= keep:
            keep |= packs
    keep_packs(stage.path, keep)
    return len(refs) > 1 or has_more(stage.path, refs.values(), before, MOST_LOOKED_AT)
