"""The commands that keep what is stored in order, of a running node or of one that is stopped."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import trio
from cyclopts import App, Parameter
from rich.console import Console, RenderableType
from rich.text import Text

from ..engine.keeping.backup_restore import restore_backup
from ..engine.keeping.keepers import Keepers
from ..engine.keeping.offline import open_offline
from ..errors import ConfigurationError, InvalidKey
from ..nostr.address import is_hex_key
from ..nostr.keys import decode_npub, encode_npub
from ..settings import Settings
from ..settings_loader import load_settings
from .asking import Asker, NoNode
from .operating import AsJson, Folder, print_json, print_text
from .output.printing import printing, showing
from .output.tables import LEAST_WIDTH, deleted_table, prs_table, repositories_table
from .output.telling import plain, tell_deleted, tell_prs, tell_purged, tell_repositories

T = TypeVar("T")

GitFolder = Annotated[
    Path | None,
    Parameter(
        name="--git-data-path",
        help="The git folder, where no node runs; NGIT_GIT_DATA_PATH when absent.",
        show_default=False,
    ),
]


def add_keeping_commands(app: App) -> None:
    """Let the program know the commands."""
    said = "List the repositories on the disk: made here or found there, served or not."
    app.command(_list, name="list", help=said)
    said = "Remove a repository that is neither served nor held, no matter who put it there."
    app.command(_remove, name="remove", help=said)
    said = "Back up store and repositories, of a running node too."
    app.command(_backup, name="backup", help=said)
    said = "Fill two empty folders from a backup."
    app.command(_restore, name="restore", help=said)
    said = "Tell what goes with a repository, an author or an event; --execute takes it out."
    app.command(_purge, name="purge", help=said)


def _list(
    *,
    deleted: Annotated[
        bool, Parameter(negative=(), help="Those that were deleted and are kept for a time.")
    ] = False,
    prs: Annotated[
        bool, Parameter(negative=(), help="Those of contributors, below /prs/ (GRASP-06).")
    ] = False,
    owner: Annotated[
        str | None, Parameter(help="Only those of this key: npub1… or hex.", show_default=False)
    ] = None,
    json: AsJson = False,
    relay_data_path: Folder = None,
    git_data_path: GitFolder = None,
) -> int:
    settings = settings_of(relay_data_path, git_data_path)
    npub = _npub_of(owner) if owner is not None else None
    if deleted and prs:
        raise ConfigurationError(
            "what is below /prs/ is not kept when it is deleted: leave one out"
        )
    if prs:
        below = ask_or_open(
            settings, Asker.list_prs, lambda keepers: keepers.prs.listing(), looks=True
        )
        below = tuple(each for each in below if npub in (None, each.npub))
        print_listed(below, prs_table, lambda all: tell_prs(all, time.time()), as_json=json)
        return 0
    if deleted:
        kept = ask_or_open(
            settings, Asker.list_deleted, lambda keepers: keepers.caretaker.deleted(), looks=True
        )
        kept = tuple(each for each in kept if npub in (None, each.npub))
        print_listed(kept, deleted_table, tell_deleted, as_json=json)
        return 0
    listed = ask_or_open(settings, Asker.list, lambda keepers: keepers.caretaker.list(), looks=True)
    listed = tuple(each for each in listed if npub in (None, each.npub))
    print_listed(listed, repositories_table, tell_repositories, as_json=json)
    return 0


def print_listed(
    listed: tuple[T, ...],
    table: Callable[[tuple[T, ...], float], RenderableType],
    tell: Callable[[tuple[T, ...]], Text],
    *,
    as_json: bool,
) -> None:
    """Print a table on a terminal that is wide enough; elsewhere a line for each, or JSON.

    Raises:
      PurgatorySyncError: it cannot be printed.
    """
    if as_json:
        print_json(listed)
    elif sys.stdout.isatty() and (console := Console(highlight=False)).width >= LEAST_WIDTH:
        with printing():
            console.print(table(listed, time.time()))
    else:
        print_text(tell(listed))


def _npub_of(owner: str) -> str:
    try:
        return encode_npub(owner if is_hex_key(owner) else decode_npub(owner))
    except InvalidKey as error:
        raise ConfigurationError(
            f"--owner {owner} is no key: write npub1… or 64 hex digits ({error})"
        ) from error


def _remove(
    repository: Annotated[str, Parameter(help="npub1…/identifier, as `list` prints it.")],
    /,
    *,
    relay_data_path: Folder = None,
    git_data_path: GitFolder = None,
) -> int:
    remove_by_hand(settings_of(relay_data_path, git_data_path), repository)
    print_text(Text(f"removed {plain(repository)}"))
    return 0


def remove_by_hand(settings: Settings, name: str) -> None:
    """Remove a repository that is neither served nor held."""
    ask_or_open(
        settings,
        lambda node: node.remove(name),
        lambda keepers: keepers.caretaker.remove(name),
    )


def _backup(
    folder: Annotated[Path, Parameter(help="A new folder, or one that is empty.")],
    /,
    *,
    json: AsJson = False,
    relay_data_path: Folder = None,
    git_data_path: GitFolder = None,
) -> int:
    settings = settings_of(relay_data_path, git_data_path)
    target = folder.absolute()
    with showing("backing up") as tell:
        made = ask_or_open(
            settings,
            lambda node: node.backup(target, tell),
            lambda keepers: keepers.backup.make(target, tell),
            looks=True,
        )
    if json:
        print_json(made)
    else:
        counted = f"{made.repositories} repositories, {made.served} events served, {made.held} held"
        print_text(Text(f"backed up to {target}: {counted}"))
    return 0


def _purge(
    name: Annotated[str, Parameter(help="npub1…/identifier, npub1…, or the id of an event.")],
    /,
    *,
    execute: Annotated[
        bool, Parameter(negative=(), help="Do it; for events there is no way back.")
    ] = False,
    at_once: Annotated[
        bool,
        Parameter(negative=(), help="Delete repositories now, those deleted before too."),
    ] = False,
    prs: Annotated[
        bool,
        Parameter(negative=(), help="What is below /prs/ of this npub1…[/identifier], at once."),
    ] = False,
    json: AsJson = False,
    relay_data_path: Folder = None,
    git_data_path: GitFolder = None,
) -> int:
    settings = settings_of(relay_data_path, git_data_path)
    if prs:
        purged = ask_or_open(
            settings,
            lambda node: node.purge_prs(name, execute=execute),
            lambda keepers: keepers.prs.purge(name, execute=execute),
        )
    else:
        purged = ask_or_open(
            settings,
            lambda node: node.purge(name, execute=execute, at_once=at_once),
            lambda keepers: keepers.purger.purge(name, execute=execute, at_once=at_once),
        )
    print_json(purged) if json else print_text(tell_purged(purged))
    return 0


def _restore(
    folder: Annotated[Path, Parameter(help="The folder of a backup.")],
    /,
    *,
    json: AsJson = False,
    relay_data_path: Folder = None,
    git_data_path: GitFolder = None,
) -> int:
    settings = settings_of(relay_data_path, git_data_path)
    with showing("restoring") as tell:
        made = restore_backup(folder.absolute(), settings, tell)
    if json:
        print_json(made)
    else:
        print_text(
            Text(
                f"restored {made.repositories} repositories to {settings.git_data_path} and"
                f" {made.served + made.held} events to {settings.relay_data_path}: start the node"
            )
        )
    return 0


def ask_or_open(
    settings: Settings,
    ask: Callable[[Asker], T],
    offline: Callable[[Keepers], Awaitable[T]],
    *,
    looks: bool = False,
) -> T:
    """Let the running node do it, or do it under the locks of one that is stopped.

    Args:
      looks: it changes nothing, so that an older version can still read the store.
    """

    async def work() -> T:
        async with open_offline(settings, looks=looks) as keeper:
            return await offline(keeper)

    try:
        with Asker(settings.relay_data_path) as node:
            return ask(node)
    except NoNode:
        return trio.run(work)


def settings_of(relay_data_path: Path | None, git_data_path: Path | None) -> Settings:
    """The settings of the node whose folders these are; of the environment where they are None."""
    given = {"relay_data_path": relay_data_path, "git_data_path": git_data_path}
    flags = {key: str(path) for key, path in given.items() if path is not None}
    return load_settings(flags, os.environ).settings
