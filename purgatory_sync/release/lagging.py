"""Repositories whose refs are not those of the newest served state that rules them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..git.disk.alignment import ALIGNED
from ..git.disk.repository import is_repository, list_refs, read_head
from ..nostr.state import State
from .commit import Core
from .making import make_repository
from .repository_sync import choose_head


async def hosted_owners(core: Core, identifier: str) -> tuple[str, ...]:
    """The owners whose served announcements have their repository here, or ought to.

    One that was served as an acceptance only, when its repository had gone, has none (B 9).
    """
    found = []
    for owner in await core.index.hosted_owners(identifier):
        note = core.ledger.made(owner, identifier)
        without = note is not None and not (note.token or note.filled)
        if not without or core.repositories.exists(owner, identifier):
            found.append(owner)
    return tuple(found)


async def make_hosted(core: Core, identifier: str) -> None:
    """Make the repositories of served announcements that are not on this disk.

    Raises:
      RepositoryError: the disk refuses.
    """
    repositories = core.repositories
    for owner in await hosted_owners(core, identifier):
        if not repositories.exists(owner, identifier):
            await make_repository(core, owner, identifier, served=True)


async def lags(core: Core, identifier: str) -> bool:
    """Whether a repository of a served announcement is not there, or not what it should be.

    Cheap: a store that is asked once, and the refs of each repository. Without the identifier's
    lock the answer may be outdated at once.

    Raises:
      RepositoryError, StoreError: a repository or the store cannot be read.
    """
    owners = await hosted_owners(core, identifier)
    states = await core.index.ruling_states(identifier)
    ruled = [(core.repositories.path(owner, identifier), states.get(owner)) for owner in owners]
    return bool(ruled) and await core.repositories.run(_any_lags, ruled)


def _any_lags(ruled: Sequence[tuple[Path, State | None]]) -> bool:
    return any(not is_repository(path) or _differs(path, state) for path, state in ruled)


def _differs(path: Path, state: State | None) -> bool:
    if state is None or state.unsatisfiable:
        return False
    refs = {name: oid for name, oid in list_refs(path).items() if name.startswith(ALIGNED)}
    head = choose_head(state)
    return refs != state.refs or (head is not None and read_head(path) != head)
