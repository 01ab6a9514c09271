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

from ...errors import RepositoryError
from ...git.disk.linking import link_objects
from ...git.disk.repository import create_bare, list_haves, list_refs
from ...git.ingest.needed_packs import has_more, keep_packs, needed_packs, pack_names
from ...git.ingest.quarantine import quarantine_name
from ...release.index.repositories import PROVEN_MARKER
from ...runtime.logger import get_logger

MOST_LOOKED_AT: Final = 200_000
"""Objects of a pack; of a larger push all that was linked stays."""


log = get_logger(__name__)


@attrs.frozen
class Stage:
    """Where a push is received.

    Attributes:
      own: the packs of the repository that is there already.
      linked: the packs that came from each served repository.
      apart: those of them that can give no links.
    """

    path: Path
    own: frozenset[str]
    linked: tuple[frozenset[str], ...]
    apart: tuple[Path, ...] = ()


def make_stage(tmp: Path, own: Path, relatives: Sequence[Path]) -> Stage:
    """Make one of links; a crash leaves it in `tmp`, which the next start sweeps.

    Args:
      own: the repository of the path, there or not.
      relatives: served ones, each whole; nothing of them is copied.

    Raises:
      RepositoryError: the disk refuses; `discard` removes what is there.
    """
    path = tmp / quarantine_name("prs")
    create_bare(path, tmp, {PROVEN_MARKER: b""})
    if tips := frozenset(list_refs(own).values()):
        link_objects([own], path, tips)
    mine, linked, apart = pack_names(path), [], []
    for each in relatives:
        try:
            link_objects([each], path, list_haves(each), copies=False)
        except RepositoryError as error:  # what came of it is closed
            log.info("lends nothing to a push", path=str(each), error=str(error))
            apart.append(each)
        linked.append(pack_names(each))
    return Stage(path, mine, tuple(linked), tuple(apart))


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
