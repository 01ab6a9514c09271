"""Bring one event's objects and refs into the repositories it concerns (B 7.2, 7.3).

Everything here is synchronous: callers take it to a thread in one go (`Repositories.run`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..errors import CannotName, RepositoryError
from ..git.disk.alignment import align_refs
from ..git.disk.refs import update_refs
from ..git.disk.repository import list_refs, object_types, present_oids
from ..nostr.pull_request import PullRequest
from ..nostr.state import State
from .index.missing_objects import Concern
from .index.prs_folder import copy_commit
from .index.repositories import Repositories

HEADS = "refs/heads/"


def choose_head(state: State) -> str | None:
    """The branch that HEAD shall name: the state's, else main, master or its first (B 7.2)."""
    heads = [name for name in state.refs if name.startswith(HEADS)]
    for name in (state.head, f"{HEADS}main", f"{HEADS}master", *heads):
        if name in heads:
            return name
    return None


def awaited_head(states: Iterable[State]) -> str:
    """The branch that HEAD will name when the newest of the states has its data."""
    newest = max(states, key=lambda state: state.event.order, default=None)
    if newest is None:
        return f"{HEADS}main"
    return newest.head or choose_head(newest) or f"{HEADS}main"


def sync_to_owner_repos(
    repositories: Repositories,
    sources: Sequence[Path],
    targets: Sequence[Path],
    oids: frozenset[str],
) -> None:
    """Give every target repository the objects, gathered from all sources.

    Raises:
      RepositoryError: a target lacks an object afterwards; what was copied stays, it is complete.
    """
    for target in targets:
        if lacking := oids - repositories.gather(sources, target, oids):
            raise RepositoryError(
                f"{len(lacking)} objects, {min(lacking)} first, could not be copied to {target}"
            )


def align_repository_with_state(repository: Path, state: State) -> bool:
    """Set heads, tags and HEAD of one repository to what the state says; whether any ref moved.

    Raises:
      RepositoryError: an object is missing or of the wrong type; no ref was moved.
    """
    alignment = align_refs(repository, state.refs, choose_head(state))
    return bool(alignment.changed or alignment.deleted)


def bring_state(
    repositories: Repositories, sources: Sequence[Path], targets: Sequence[Path], state: State
) -> int:
    """Objects into every target, then its refs; how many of them had refs moved.

    Raises:
      RepositoryError: see the two steps; targets before the one that failed are aligned.
    """
    sync_to_owner_repos(repositories, sources, targets, state.oids)
    return sum(align_repository_with_state(target, state) for target in targets)


def bring_pull_request(repositories: Repositories, targets: Sequence[Path], pr: PullRequest) -> int:
    """The commit into every target, named `refs/nostr/<event-id>`; how many refs moved.

    Raises:
      RepositoryError: it is no commit, or not there.
    """
    sync_to_owner_repos(repositories, targets, targets, frozenset((pr.commit,)))
    moved = 0
    for target in targets:
        kind = object_types(target, (pr.commit,)).get(pr.commit)
        if kind != "commit":
            raise CannotName(f"{pr.commit} is a {kind}, not a commit")
        moved += update_refs(target, {pr.ref: pr.commit})
    return moved


def bring_contributed(repositories: Repositories, concern: Concern, pr: PullRequest) -> None:
    """The commit from below `/prs/` into every announced repository, and named where it came from.

    Raises:
      RepositoryError, LocalFailure, NotClosed: it is no commit, or cannot be copied.
    """
    holding = [path for path in concern.contributed if present_oids(path, (pr.commit,))]
    for target in concern.repositories:
        try:
            copied = copy_commit(holding, target, pr.commit)
        finally:  # a part of it may be there
            repositories.changed(target)
        if not copied and holding:
            raise RepositoryError(f"{pr.commit} could not be copied to {target}")
    for path in holding:
        kind = object_types(path, (pr.commit,)).get(pr.commit)
        if kind != "commit":
            raise CannotName(f"{pr.commit} is a {kind}, not a commit")
        update_refs(path, {pr.ref: pr.commit})


def drop_refs(repository: Path, unless: Mapping[str, str | None]) -> None:
    """Delete the refs that are there, but for those that name the OID given here (B 4.2, 4.3).

    Raises:
      RepositoryError: they could not be deleted; none was.
    """
    there = list_refs(repository)
    wrong = [ref for ref, oid in unless.items() if ref in there and there[ref] != oid]
    if wrong:
        update_refs(repository, dict.fromkeys(wrong))
