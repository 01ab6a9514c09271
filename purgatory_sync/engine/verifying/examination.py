"""One repository on the disk, held against the state that rules it and its pull requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from ...git.disk.alignment import ALIGNED
from ...git.disk.repository import list_refs, read_head
from ...git.maintenance.integrity import Integrity, judge_objects
from ...nostr.state import State
from ...release.repository_sync import choose_head


@attrs.frozen
class Examined:
    """What is wrong with one repository; nothing where all are empty.

    Attributes:
      refs: a sentence for each ref that is not as it should be.
      objects: what is missing or damaged.
    """

    refs: tuple[str, ...] = ()
    objects: Integrity = attrs.field(factory=Integrity)

    def __bool__(self) -> bool:
        return bool(self.refs or self.objects)


def examine(path: Path, state: State | None, wanted: Mapping[str, str], scratch: Path) -> Examined:
    """Look at refs and all that they, and the state, name; blocking work.

    Args:
      state: the served state that rules it, if there is one.
      wanted: refs of served pull requests → their commits; those that are not here are no flaw.
      scratch: a folder for what git prints.

    Raises:
      RepositoryError: it could not be looked at.
    """
    refs = list_refs(path)
    tips = frozenset(refs.values())
    wrong = [
        f"{name} is {refs[name]}, and its pull request says {oid}"
        for name, oid in wanted.items()
        if refs.get(name, oid) != oid
    ]
    if state is not None and not state.unsatisfiable:
        tips |= state.oids
        wrong += _against(state, refs, read_head(path))
    return Examined(tuple(wrong), judge_objects(path, tips, scratch))


def _against(state: State, refs: Mapping[str, str], head: str | None) -> Iterator[str]:
    now = {name: oid for name, oid in refs.items() if name.startswith(ALIGNED)}
    for name in sorted({*now, *state.refs}):
        is_now, should = now.get(name, "not there"), state.refs.get(name)
        if should is None:
            yield f"{name} is {is_now}, and the state that rules has no such ref"
        elif is_now != should:
            yield f"{name} is {is_now}, and the state that rules says {should}"
    chosen = choose_head(state)
    if chosen is not None and head != chosen:
        yield f"HEAD names {head or 'no ref'}, and by the state that rules {chosen}"
