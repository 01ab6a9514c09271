"""Repositories are made for announcements; only what was made empty goes with them (B 2.7)."""

from __future__ import annotations

import secrets

import attrs

from ..errors import RepositoryError, StoreError
from ..runtime.logger import get_logger
from ..store.protocol import Change, Made
from .commit import Core

TOKEN_BYTES = 16
log = get_logger(__name__)


def new_token() -> str:
    """What a repository is known by as the one that was made."""
    return secrets.token_hex(TOKEN_BYTES)


async def make_repository(core: Core, owner: str, identifier: str, *, served: bool = False) -> None:
    """Make the repository of an announcement unless one is there, which is taken as it is.

    That it is made is noted in the store first. What is there without such a note, or is another
    one than the note means, was not made for an announcement here: no expiry removes it.

    Args:
      served: its announcement is served already, so that it never is an empty one.

    Raises:
      RepositoryError: the disk refuses, or what is there cannot be used.
      StoreError: nothing was made.
    """
    repositories = core.repositories
    token = new_token()
    note = core.ledger.made(owner, identifier)
    if note is not None and note.ending:
        await _remove(core, note)  # what is announced now is another one
    if not repositories.exists(owner, identifier):
        await core.ledger.apply(Change(made=[Made(owner, identifier, token, served)]))
    elif served and note is not None and not note.filled:
        await core.ledger.apply(Change(made=[attrs.evolve(note, filled=True)]))
    await repositories.run(repositories.create, owner, identifier, token)


async def remove_made_empty(core: Core, owner: str, identifier: str) -> None:
    """Remove the repository of an announcement that ends, if it was made for it and stayed empty.

    All else stays: it was found here, or its data was served once. What cannot be
    removed is logged.
    """
    made = core.ledger.made(owner, identifier)
    repositories = core.repositories
    try:
        if made is not None and not made.filled and not await _has_requests(core, made):
            token = made.token
            if await repositories.run(repositories.remove_made_empty, owner, identifier, token):
                await core.ledger.apply(Change(forget_made=[made]))
                return
        if repositories.exists(owner, identifier):
            log.info(
                "repository kept: it was not made empty for the announcement that ended",
                path=str(repositories.path(owner, identifier)),
            )
    except (RepositoryError, StoreError) as error:
        log.error("repository not removed", identifier=identifier, error=str(error))


async def remove_ending(core: Core, made: Made) -> None:
    """Remove a repository whose owner vanished (B 5.2); what cannot be removed is logged.

    Then its note stays, and it is tried again when it is announced anew, and at a start.
    """
    try:
        await _remove(core, made)
    except (RepositoryError, StoreError) as error:
        log.error("repository not removed", identifier=made.identifier, error=str(error))


async def _remove(core: Core, made: Made) -> None:
    repositories = core.repositories
    if await repositories.run(repositories.path(made.owner, made.identifier).exists):
        await repositories.run(repositories.remove, made.owner, made.identifier)
    await core.ledger.apply(Change(forget_made=[made]))


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
