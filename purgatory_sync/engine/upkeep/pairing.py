"""A store and a git folder belong together: an id in both of them says so (docs/storage.md).

Else the expiry of one store's announcement would delete what another store serves, and a store
that begins anew what it does not know of.
"""

from __future__ import annotations

import enum
import secrets

import attrs

from ...errors import ConfigurationError, InvalidEvent, RepositoryError
from ...git.folder.folder_owner import FolderOwner, read_owner, write_owner
from ...nostr import kinds
from ...nostr.announcement import Announcement
from ...nostr.filters import Filter
from ...release.index.repositories import Repositories
from ...release.index.repository_index import EVERYTHING
from ...release.making import new_token
from ...runtime.logger import get_logger
from ...settings import Settings
from ...store.protocol import Change, Journal, Made, Store

ID_BYTES = 16
log = get_logger(__name__)


class Pairing(enum.Enum):
    """How a store and a git folder stand to each other at a start."""

    SAME = "they belong together, or nothing is here that could be lost"
    FIRST = "an older version wrote both: what it made is noted"
    NEW_STORE = "the store begins anew beside repositories"
    EMPTY_FOLDER = "the folder is empty, and events are served"
    OTHERS = "the folder belongs to another store"


@attrs.frozen
class Sides:
    """What is known of both at a start.

    Attributes:
      store_id, folder_id: the git folder that the store knows, and what the folder says.
      store_is_new: nothing is served, held or made by it.
      folder_is_empty: there is no repository in it.
      names_this_store: the folder says that it belongs to the store at this path.
    """

    store_id: str | None
    folder_id: str | None
    store_is_new: bool
    folder_is_empty: bool
    names_this_store: bool = False


def judge(sides: Sides) -> Pairing:
    """Decide by what both sides say; see `Pairing`."""
    if sides.store_id is not None and sides.store_id == sides.folder_id:
        return Pairing.SAME
    if sides.store_is_new:
        return Pairing.SAME if sides.folder_is_empty else Pairing.NEW_STORE
    if sides.folder_id is not None:
        # A store of an older version at its old place: a backup from before the upgrade.
        restored = sides.store_id is None and sides.names_this_store
        return Pairing.FIRST if restored else Pairing.OTHERS
    if sides.folder_is_empty:
        return Pairing.EMPTY_FOLDER
    return Pairing.FIRST if sides.store_id is None else Pairing.SAME


async def pair(
    store: Store, journal: Journal, repositories: Repositories, settings: Settings
) -> Journal:
    """Let both know each other, or refuse to start; the caller has locked both.

    Returns the journal with what was noted.

    Raises:
      ConfigurationError: the folder belongs to another store; nothing was changed.
      StoreError: likewise.
    """
    owner = await repositories.run(_read_owner, settings)
    path = str(settings.relay_data_path.absolute())
    pairing, count = await _judge_both(store, journal, repositories, owner, path)
    if pairing is Pairing.OTHERS:
        raise ConfigurationError(_other(settings, owner))
    _say(pairing, settings, count)
    return await _note(store, journal, repositories, settings, owner, pairing)


async def require_pair(
    store: Store, journal: Journal, repositories: Repositories, settings: Settings
) -> None:
    """Refuse two that do not belong together, as `pair` does; nothing is written.

    Raises:
      ConfigurationError: the folder belongs to another store.
    """
    owner = await repositories.run(_read_owner, settings)
    path = str(settings.relay_data_path.absolute())
    pairing, _ = await _judge_both(store, journal, repositories, owner, path)
    if pairing is Pairing.OTHERS:
        raise ConfigurationError(_other(settings, owner))


async def _judge_both(
    store: Store,
    journal: Journal,
    repositories: Repositories,
    owner: FolderOwner | None,
    store_path: str,
) -> tuple[Pairing, int]:
    """How they stand to each other, and how many repositories are there."""
    there = await repositories.run(repositories.all_named)
    sides = Sides(
        journal.git_folder,
        None if owner is None else owner.id,
        store_is_new=not journal.held and not journal.made and not await store.find([Filter()], 1),
        folder_is_empty=not there,
        names_this_store=owner is not None and owner.store == store_path,
    )
    return judge(sides), len(there)


async def _note(
    store: Store,
    journal: Journal,
    repositories: Repositories,
    settings: Settings,
    owner: FolderOwner | None,
    pairing: Pairing,
) -> Journal:
    """Write the id into the store, then into the folder: a crash between is ended by a start."""
    name = journal.git_folder or secrets.token_hex(ID_BYTES)
    made = await _made_before(store, journal, repositories) if pairing is Pairing.FIRST else []
    if journal.git_folder is None:
        await store.apply(Change(git_folder=name, made=made))
    ours = FolderOwner(name, str(settings.relay_data_path.absolute()))
    if owner != ours:
        await repositories.run(write_owner, settings.git_data_path, ours)
    return attrs.evolve(journal, git_folder=name, made=(*journal.made, *made))


def _read_owner(settings: Settings) -> FolderOwner | None:
    try:
        return read_owner(settings.git_data_path)
    except RepositoryError as error:
        raise ConfigurationError(
            f"{error}: it says to which store the repositories belong; if that is"
            f" {settings.relay_data_path} (NGIT_RELAY_DATA_PATH), remove that file and start again,"
            " else choose another NGIT_GIT_DATA_PATH"
        ) from error


async def _made_before(store: Store, journal: Journal, repositories: Repositories) -> list[Made]:
    """What a version without such notes made: for what is held, and for what is served.

    That it was made by this program the repository says itself; whether it has data, its refs.
    """
    announced = [
        *((row.event, False) for row in journal.held if row.sort == "announcement"),
        *((event, True) for event in await store.query([_ANNOUNCEMENTS], EVERYTHING)),
    ]
    made = []
    for event, served in announced:
        try:
            announcement = Announcement.parse(event)
            each = await repositories.run(
                _look, repositories, announcement.owner, announcement.identifier, served
            )
        except (InvalidEvent, RepositoryError, OSError) as error:
            log.warning("not noted who made its repository", event_id=event.id, error=str(error))
            continue
        if each is not None:
            made.append(each)
    return made


_ANNOUNCEMENTS = Filter(kinds=frozenset((kinds.ANNOUNCEMENT,)))


def _look(repositories: Repositories, owner: str, identifier: str, served: bool) -> Made | None:
    path = repositories.path(owner, identifier)
    if not repositories.exists(owner, identifier) or not repositories.is_ours_alone(path):
        return None
    if served or repositories.has_data(path):
        return Made(owner, identifier, "", filled=True)  # never removed, so never looked for
    made = Made(owner, identifier, new_token())
    repositories.note_made(path, made.token)
    return made


def _other(settings: Settings, owner: FolderOwner | None) -> str:
    theirs = "another store" if owner is None else f"the store in {owner.store}"
    git, relay = settings.git_data_path, settings.relay_data_path
    return (
        f"the repositories in {git} (NGIT_GIT_DATA_PATH) belong to {theirs}, not to the one in"
        f" {relay} (NGIT_RELAY_DATA_PATH): set both to folders that belong together; if these two"
        f" shall from now on, remove {git}/.owner: what is there stays, also when its events expire"
    )


def _say(pairing: Pairing, settings: Settings, count: int) -> None:
    """One sentence where something else than usual will happen."""
    git, relay = str(settings.git_data_path), str(settings.relay_data_path)
    if pairing is Pairing.NEW_STORE:
        log.warning(
            "the store is new, the repositories beside it are not: all of them stay, also"
            " when their events expire; each is served again when its announcement and its state"
            " come again and its objects prove whole; `purgatory-sync list` names them,"
            " `purgatory-sync remove` removes one",
            git_data_path=git,
            relay_data_path=relay,
            repositories=count,
        )
    elif pairing is Pairing.EMPTY_FOLDER:
        log.warning(
            "the store serves events, and the git folder is empty: if its disk is not mounted, stop"
            " and mount it; else the repositories are made again and hunted for as states come",
            git_data_path=git,
            relay_data_path=relay,
        )
