"""Repositories are made for announcements; only what was made empty goes with them (B 2.7)."""

from __future__ import annotations

import secrets

import attrs

from ..errors import RepositoryError, StoreError
from ..git.disk.layout import local_failure
from ..runtime.logger import get_logger
from ..store.protocol import Change, Made
from .commit import Core
from .index.repositories import Repositories
from .index.retained_repositories import DeletedRepository, RetainedRepositories
from .retiring import last_retained, remove_if_empty, take_back

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
    planned = await plan_repository(core, owner, identifier, served=served)
    if planned.notes or planned.forget:
        await core.ledger.apply(Change(made=planned.notes, forget_made=planned.forget))
    await make_planned(core, planned)


@attrs.frozen
class Planned:
    """A repository that is about to be made.

    Attributes:
      token: by which it is known again.
      notes, forget: what the store must have, and have no more, before it is made.
      deleted: what is brought back instead of making one (B 13.10).
      served: whether its announcement is.
    """

    owner: str
    identifier: str
    token: str
    notes: tuple[Made, ...]
    deleted: DeletedRepository | None = None
    forget: tuple[Made, ...] = ()
    served: bool = False


async def plan_repository(
    core: Core, owner: str, identifier: str, *, served: bool = False
) -> Planned:
    """What `make_repository` notes and makes, for a caller with a transaction of its own.

    The identifier's lock is held from here until `make_planned` has returned. A repository that was
    to be removed (B 5.2) is removed now.

    Raises:
      RepositoryError: it cannot be removed; nothing was changed.
      StoreError: as `Ledger.apply`.
    """
    token, deleted = new_token(), None
    notes = forget = tuple[Made, ...]()
    note = core.ledger.made(owner, identifier)
    if note is not None and note.ending:
        await _remove(core, note)  # what is announced now is another one
        note = None
    if core.repositories.exists(owner, identifier):
        # Without a token it says nothing of what is there, which was found.
        if note is not None and note.found:
            forget = (note,)  # what was to be taken out is announced again
        elif served and note is not None and note.token and not note.filled:
            notes = (attrs.evolve(note, filled=True),)
    elif (deleted := await last_retained(core, owner, identifier)) is None:
        notes = (Made(owner, identifier, token, served),)
    elif note is not None:
        back = await core.repositories.run(_note_back, core.repositories, deleted, note)
        if back is None:
            forget = (note,)
        elif back != note:
            notes = (back,)
    return Planned(owner, identifier, token, notes, deleted, forget, served)


def _note_back(repositories: Repositories, deleted: DeletedRepository, note: Made) -> Made | None:
    """The note of a deleted repository that comes back; None where it counts as found from then on.

    It is no empty one, and may be another than the one that was made last by its name.
    """
    path = deleted.retained.path
    if note.found or not (token := repositories.token_of(path)):
        return note if repositories.is_noted(path, note) else None
    return Made(note.owner, note.identifier, token, filled=True)


async def make_planned(core: Core, planned: Planned) -> None:
    """Make a repository whose notes are in the store, unless one is there: that stays as it is.

    Raises:
      RepositoryError: the disk refuses, or what is there cannot be used.
      StoreError: nothing was made.
    """
    repositories, owner, identifier = core.repositories, planned.owner, planned.identifier
    if planned.deleted is not None:
        if await take_back(core, planned.deleted):
            return
        made = Made(owner, identifier, planned.token, planned.served)
        await core.ledger.apply(Change(made=[made]))
    await repositories.run(repositories.create, owner, identifier, planned.token)


async def remove_made_empty(core: Core, owner: str, identifier: str) -> None:
    """Remove the repository of an announcement that ends, if it was made for it and stayed empty.

    All else stays: it was found here, or its data was served once. What cannot be
    removed is logged.
    """
    made = core.ledger.made(owner, identifier)
    repositories = core.repositories
    try:
        if made is not None and await remove_if_empty(core, made):
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
    retained = RetainedRepositories(repositories)
    try:
        await repositories.run(retained.remove_all, made.owner, made.identifier)
    except OSError as error:
        raise local_failure("remove deleted repositories", error) from error
    await core.ledger.apply(Change(forget_made=[made]))
