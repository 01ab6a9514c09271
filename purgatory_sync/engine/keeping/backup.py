"""A backup of store and repositories at one moment, of a running node or of a stopped one."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, closing, contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final

import attrs
import trio

from ...errors import ConfigurationError, RepositoryError
from ...git.folder.folder_owner import OWNER
from ...git.folder.repository_copy import copy_file, copy_repository
from ...release.commit import Core
from ...release.index.prs_folder import PrsFolder, all_contributed
from ...release.index.repositories import Repositories
from ...release.index.retained_repositories import RetainedRepositories
from ...release.releaser import Releaser
from ...runtime.blocking import blocking
from ...runtime.clock import WallClock
from ...runtime.folders import lies_within, missing_folders, remove_empty
from ...runtime.logger import get_logger
from ...settings import Settings
from ...store.opening import DATABASE
from ...version import __version__
from ..upkeep.vanish_journal import VANISH_FILE
from .manifest import FORMAT, GIT, RELAY, Manifest, digest, write_manifest
from .store_copy import copy_database

Tell = Callable[[str], None]

# Beside the database in NGIT_RELAY_DATA_PATH, where they are there.
KEPT_FILES: Final = ("service.nsec", VANISH_FILE)
_OWN_MODE: Final = 0o700

log = get_logger(__name__)


@attrs.define
class Backup:
    """Makes backups; one at a time.

    The store is copied before the repositories, so that these may be newer, which a start aligns
    (B 9), and never older, which would lack objects.

    Attributes:
      still: while it is entered, nothing is repacked and no object is dropped.
      ended: under `backup`, when the last one was whole, in Unix seconds.
    """

    core: Core
    releaser: Releaser
    settings: Settings
    clock: WallClock
    still: Callable[[], AbstractAsyncContextManager[object]]
    _place: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(1))
    ended: dict[str, float] = attrs.field(factory=dict)
    _busy: bool = False

    async def make(self, target: Path, tell: Tell) -> Manifest:
        """Write a backup into a folder that does not exist, or is empty (B 13.5).

        Args:
          target: absolute; what is under way lies beside it under a name of its own.
          tell: called with how far it is, for whom it takes long.

        Raises:
          ConfigurationError: the folder cannot be used, there is no store on disk, or another
            backup is being made.
          RepositoryError, StoreError: the disk refuses.

        An error or cancellation leaves no half backup.
        """
        self._judge(target)
        self._busy = True
        part = target.with_name(f".{target.name}.part-{secrets.token_hex(4)}")
        made = list[Path]()
        try:
            made = await blocking(self._place, missing_folders, target.parent)
            async with self.still():
                await blocking(self._place, _make, part)
                manifest = await self._fill(part, tell)
                await blocking(self._place, _finish, part, target, manifest)
        finally:
            self._busy = False
            with trio.CancelScope(shield=True):
                await blocking(self._place, partial(shutil.rmtree, part, ignore_errors=True))
                await blocking(self._place, remove_empty, made)
        self.ended["backup"] = manifest.ended_at
        log.info("backed up", folder=str(target), repositories=manifest.repositories)
        return manifest

    def _judge(self, target: Path) -> None:
        if self._busy:
            raise ConfigurationError("another backup is being made: wait for its end")
        if self.settings.database_backend == "memory":
            raise ConfigurationError("a store in memory has no backup: NGIT_DATABASE_BACKEND")
        if not target.is_absolute():
            raise ConfigurationError(f"{target}: name the folder of a backup from the root on")
        require_empty(target)
        ours = (self.settings.git_data_path, self.settings.relay_data_path)
        if any(lies_within(target, each) for each in ours):
            raise ConfigurationError(f"{target} lies inside what is backed up: choose another")

    async def _fill(self, part: Path, tell: Tell) -> Manifest:
        begun = self.clock.now()
        with self._saving_what_is_removed(part) as problems:
            tell("the store")
            await blocking(self._place, self._copy_store, part)
            tell("the repositories")
            repositories = await self._copy_repositories(part, tell)
        if problems:
            raise problems[0]
        key, held, served = await blocking(self._place, _counts, part / RELAY / DATABASE)
        files = await blocking(self._place, _digests, part)
        return Manifest(
            FORMAT, __version__, begun, self.clock.now(), key, held, served, repositories, files
        )

    def _copy_store(self, part: Path) -> None:
        source = self.settings.relay_data_path
        copy_database(source / DATABASE, part / RELAY / DATABASE)
        try:
            for name in KEPT_FILES:
                if (source / name).exists():
                    copy_file(source / name, part / RELAY / name)
            copy_file(self.settings.git_data_path / OWNER, part / GIT / OWNER)
        except OSError as error:
            raise RepositoryError(f"{error.filename} cannot be copied: {error.strerror}") from error

    async def _copy_repositories(self, part: Path, tell: Tell) -> int:
        repositories = self.core.repositories
        named = await blocking(self._place, repositories.all_named)
        by_identifier = sorted((identifier, owner) for owner, identifier in named)
        done, step = 0, max(1, len(named) // 100)
        for identifier, group in groupby(by_identifier, key=lambda each: each[0]):
            paths = [repositories.path(owner, identifier) for _, owner in group]
            async with self.releaser.hold(identifier):
                await blocking(self._place, self._copy_all, paths, part)
            done += len(paths)
            if done % step < len(paths):
                tell(f"{done} of {len(named)} repositories")
        for identifier, path in await blocking(self._place, all_contributed, self._git_data):
            async with self.releaser.hold(identifier):
                await blocking(self._place, self._copy_all, [path], part)
            done += 1
        retained = RetainedRepositories(repositories)
        for each in await blocking(self._place, retained.all):
            async with self.releaser.hold(each.identifier):
                await blocking(self._place, self._copy_all, [each.retained.path], part)
        return done

    @property
    def _git_data(self) -> Path:
        return self.settings.git_data_path

    def _copy_all(self, paths: Sequence[Path], part: Path) -> None:
        for path in paths:
            if path.exists():  # else it was removed, and saved before
                copy_repository(path, self._place_of(path, part))

    def _place_of(self, path: Path, part: Path) -> Path:
        return part / GIT / path.relative_to(self.settings.git_data_path)

    @contextmanager
    def _saving_what_is_removed(self, part: Path) -> Iterator[list[RepositoryError]]:
        """The copy of the store may need what is removed meanwhile."""
        problems: list[RepositoryError] = []

        def save(path: Path) -> None:
            target = self._place_of(path, part)
            try:
                if not target.exists():
                    copy_repository(path, target)
            except RepositoryError as error:
                problems.append(error)

        repositories = self.core.repositories
        folders: list[Repositories | PrsFolder] = [repositories]
        folders += [repositories.prs] if repositories.prs is not None else []
        for each in folders:
            each.before_removal = save
        try:
            yield problems
        finally:
            for each in folders:
                each.before_removal = None


def _make(part: Path) -> None:
    try:
        part.mkdir(_OWN_MODE, parents=True)
        for name in (RELAY, GIT):
            (part / name).mkdir()
    except OSError as error:
        raise ConfigurationError(f"{part.parent} cannot be used: {error.strerror}") from error


def require_empty(folder: Path) -> None:
    """Raises ConfigurationError unless the folder does not exist, or is empty."""
    try:
        there = next(folder.iterdir(), None)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be used: {error.strerror}") from error
    if there is not None:
        raise ConfigurationError(f"{folder} is not empty: name a folder that is, or a new one")


def _finish(part: Path, target: Path, manifest: Manifest) -> None:
    """Make it durable, then show it by one rename."""
    try:
        write_manifest(part, manifest)
        os.sync()
        os.replace(part, target)
        os.sync()
    except OSError as error:
        raise RepositoryError(f"{target} cannot be written: {error.strerror}") from error


def _digests(part: Path) -> dict[str, str]:
    files = [*(part / RELAY).iterdir(), part / GIT / OWNER]
    return {str(each.relative_to(part)): digest(each) for each in sorted(files)}


def _counts(database: Path) -> tuple[str | None, int, int]:
    with closing(sqlite3.connect(database)) as connection:
        row = connection.execute("SELECT value FROM meta WHERE key = 'service_key'").fetchone()
        (held,) = connection.execute("SELECT count(*) FROM held").fetchone()
        (served,) = connection.execute("SELECT count(*) FROM event").fetchone()
    return (None if row is None else str(row[0])), held, served
