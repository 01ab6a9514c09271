"""Bring one event's objects and refs into the repositories it concerns (B 7.2, 7.3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import RepositoryError
from ..nostr.pull_request import PullRequest
from ..nostr.state import State
from .repositories import Repositories

HEADS = "refs/heads/"


def choose_head(state: State) -> str | None:
    """The branch that HEAD shall name: the state's, else main, master or its first (B 7.2)."""
    heads = [name for name in state.refs if name.startswith(HEADS)]
    for name in (state.head, f"{HEADS}main", f"{HEADS}master", *heads):
        if name in heads:
            return name
    return None


async def sync_to_owner_repos(
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
        if lacking := oids - await repositories.gather(sources, target, oids):
            raise RepositoryError(
                f"{len(lacking)} objects, {min(lacking)} first, could not be copied to {target}"
            )


async def align_repository_with_state(
    repositories: Repositories, repository: Path, state: State
) -> bool:
    """Set heads, tags and HEAD of one repository to what the state says; whether any ref moved.

    Raises:
      RepositoryError: an object is missing or of the wrong type; no ref was moved.
    """
    alignment = await repositories.align(repository, state.refs, choose_head(state))
    return bool(alignment.changed or alignment.deleted)


async def set_pull_request_ref(
    repositories: Repositories, repository: Path, pr: PullRequest
) -> bool:
    """Name the commit of a pull request `refs/nostr/<event-id>`; whether the ref moved.

    Raises:
      RepositoryError: it is no commit or not there; no ref was moved.
    """
    kind = (await repositories.types(repository, (pr.commit,))).get(pr.commit)
    if kind != "commit":
        raise RepositoryError(f"{pr.commit} is {'a ' + kind if kind else 'missing'}, not a commit")
    return await repositories.update_refs(repository, {pr.ref: pr.commit})
