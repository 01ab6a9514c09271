"""Repositories that nothing announces leave their place, and may come back (B 13.10)."""

from __future__ import annotations

from pathlib import Path

import attrs

from ..errors import RepositoryError, StoreError
from ..git.disk.layout import local_failure
from ..policy.push import NOSTR
from ..runtime.logger import get_logger
from ..store.protocol import Change, Made
from .commit import Core
from .index.repositories import Repositories
from .index.retained_repositories import DeletedRepository, RetainedRepositories
from .repository_sync import drop_refs

log = get_logger(__name__)


async def retire(core: Core, owner: str, identifier: str) -> None:
    """Take a repository out of service when no announcement of its owner is here, held or served.

    Only one that was made here, or that a purge names: what was found stays at its place. One
    without data goes for good.
    The caller holds the identifier's lock. What fails is logged; a start, and every day, it is
    tried again.
    """
    if core.retires is None or not core.repositories.exists(owner, identifier):
        return
    made = core.ledger.made(owner, identifier)
    if made is None or made.ending:
        return
    try:
        if owner in (await core.index.data(identifier)).known:
            return
        if not await core.repositories.run(_may_leave, core.repositories, made):
            return
        if not await remove_if_empty(core, made):
            await put_away(core, made, core.retires())
    except (RepositoryError, StoreError, OSError) as error:
        log.error("a deleted repository is where it was", identifier=identifier, error=str(error))


async def put_away(core: Core, made: Made, now: float) -> None:
    """Take the repository of a note out of its place; it is kept until its time is over.

    Raises:
      RepositoryError: the disk refuses.
      StoreError: nothing was changed.
    """
    if not made.filled:  # when it comes back it is not one that stayed empty
        await core.ledger.apply(Change(made=[attrs.evolve(made, filled=True)]))
    retained = RetainedRepositories(core.repositories)
    await core.repositories.run(retained.put, made.owner, made.identifier, int(now))


async def remove_if_empty(core: Core, made: Made) -> bool:
    """Remove a repository that was made for an announcement and stayed empty; whether it was.

    Raises:
      RepositoryError: it cannot be looked at, or the disk refuses.
      StoreError: it is gone, its note is not.
    """
    repositories, owner, identifier = core.repositories, made.owner, made.identifier
    if made.filled or await _has_requests(core, made):
        return False
    if not await repositories.run(repositories.remove_made_empty, owner, identifier, made.token):
        return False
    await forget_note(core, made)
    return True


async def forget_note(core: Core, made: Made) -> None:
    """Forget who made a repository that is gone, unless a deleted one of its name is kept.

    Without a note that would never leave (B 13.10).

    Raises:
      RepositoryError: the disk cannot be read.
      StoreError: nothing was changed.
    """
    if await last_retained(core, made.owner, made.identifier) is None:
        await core.ledger.apply(Change(forget_made=[made]))


async def last_retained(core: Core, owner: str, identifier: str) -> DeletedRepository | None:
    """The newest deleted repository of an owner and identifier.

    Raises:
      RepositoryError: the disk refuses.
    """
    retained = RetainedRepositories(core.repositories)
    try:
        found = await core.repositories.run(retained.of, owner, identifier)
    except OSError as error:
        raise local_failure("look for deleted repositories", error) from error
    return found[-1] if found else None


async def take_back(core: Core, deleted: DeletedRepository) -> bool:
    """Put a deleted repository at its place again, without refs of pull requests that are gone.

    The caller holds the identifier's lock. Returns False where its place is on another disk.

    Raises:
      RepositoryError: the disk refuses.
      StoreError: nothing was changed.
    """
    repositories = core.repositories
    ids = await repositories.run(repositories.pull_request_ids, deleted.retained.path)
    known = {*await core.index.pull_requests(ids)}
    known |= {
        each.event_id
        for each in core.purgatory.placeholders
        if (each.owner, each.identifier) == (deleted.owner, deleted.identifier)
    }
    await repositories.run(_drop, deleted.retained.path, [i for i in ids if i not in known])
    return await repositories.run(RetainedRepositories(repositories).take_back, deleted)


def _drop(path: Path, ids: list[str]) -> None:
    drop_refs(path, {f"{NOSTR}{each}": None for each in ids})


def _may_leave(repositories: Repositories, made: Made) -> bool:
    """Whether what is there is what the note means, or was to be taken out by the operator."""
    path = repositories.path(made.owner, made.identifier)
    return made.found or repositories.is_noted(path, made)


async def _has_requests(core: Core, made: Made) -> bool:
    """Whether it has the commit of a pull request that is served or held: not its owner's alone."""
    repositories = core.repositories
    if not repositories.exists(made.owner, made.identifier):
        return False
    path = repositories.path(made.owner, made.identifier)
    for each in await repositories.run(repositories.pull_request_ids, path):
        if core.purgatory.get(each) is not None or await core.index.serves(each):
            return True
    return False
