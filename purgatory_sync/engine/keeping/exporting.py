"""One repository for others: a bare clone or a bundle, and the signed events about it (B 13.12)."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio

from ...errors import ConfigurationError, InvalidKey, RepositoryError
from ...git.disk.refs import update_refs
from ...git.disk.repository import list_refs
from ...git.disk.scratch import scratch_name
from ...git.folder.repository_copy import copy_repository
from ...git.maintenance.repository_export import bundle, clone_bare
from ...nostr.address import RepositoryId
from ...nostr.authority.repository_data import Standing
from ...nostr.event import encode_event
from ...nostr.keys import decode_npub, encode_npub
from ...release.commit import Core
from ...release.releaser import Releaser
from ...runtime.blocking import blocking
from ...runtime.folders import lies_within, missing_folders, remove_empty
from ...runtime.logger import get_logger
from ...settings import Settings
from ...store.protocol import Store
from .export_events import Belonging, belonging, with_what_refers

EVENTS: Final = "events.jsonl"
REPOSITORY: Final = "repository.git"
BUNDLE: Final = "repository.bundle"
_SERVED_REFS: Final = ("refs/heads/", "refs/tags/")
_NOSTR: Final = "refs/nostr/"
_WRITTEN_AT_ONCE: Final = 1 << 20

log = get_logger(__name__)


@attrs.frozen
class Exported:
    """What an export has.

    Attributes:
      repository: `npub1…/identifier`.
      folder: where it lies.
      git: the name of the bare repository, or of the bundle, in it.
      refs: how many it has.
      events: lines of `events.jsonl`.
    """

    repository: str
    folder: str
    git: str
    refs: int
    events: int


@attrs.frozen
class Exporter:
    """Writes what is served of a repository into a new folder; the repository stays as it is."""

    store: Store
    core: Core
    releaser: Releaser
    settings: Settings
    _place: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(1))

    async def export(
        self,
        name: str,
        target: Path,
        *,
        as_bundle: bool = False,
        tell: Callable[[str], None] = lambda _: None,
    ) -> Exported:
        """Write refs, objects and events as they are served at one moment.

        Args:
          name: `npub1…/identifier`, or the identifier where one owner's is served.
          target: absolute; does not exist. What is under way lies beside it.
          as_bundle: a git bundle in place of a bare repository.
          tell: called with what is done.

        Raises:
          ConfigurationError: there is no such repository that is served, or the folder cannot be
            used.
          RepositoryError, StoreError: the disk refuses, or the repository cannot be read.

        An error or cancellation leaves nothing.
        """
        self._judge(target)
        repository = await self._find(name)
        part = target.with_name(f".{target.name}.part-{secrets.token_hex(4)}")
        copy = self.core.repositories.tmp / scratch_name("export")
        made = await blocking(self._place, missing_folders, target.parent)
        try:
            await blocking(self._place, _make, part)
            tell("taking a picture of it")
            async with self.releaser.hold(repository.identifier):
                await self._require_served(repository)
                events = await belonging(self.core, self.store, repository)
                await blocking(self._place, self._copy, repository, copy)
            tell("refs and objects")
            refs = await blocking(self._place, _write_git, copy, part, events, as_bundle)
            tell("events")
            written = await self._write_events(repository, events, part / EVENTS)
            await blocking(self._place, _finish, part, target)
        finally:
            with trio.CancelScope(shield=True):
                for each in (part, copy):
                    await blocking(self._place, partial(shutil.rmtree, each, ignore_errors=True))
                await blocking(self._place, remove_empty, made)
        log.info("exported", repository=_name(repository), folder=str(target), events=written)
        git = BUNDLE if as_bundle else REPOSITORY
        return Exported(_name(repository), str(target), git, refs, written)

    def _judge(self, target: Path) -> None:
        if not target.is_absolute():
            raise ConfigurationError(f"{target}: name the folder of an export from the root on")
        if os.path.lexists(target):
            raise ConfigurationError(
                f"{target} is there already: name a folder that does not exist"
            )
        ours = (self.settings.git_data_path, self.settings.relay_data_path)
        if any(lies_within(target, each) for each in ours):
            raise ConfigurationError(f"{target} lies inside the node's data: choose another folder")

    async def _find(self, name: str) -> RepositoryId:
        """The repository of a name, served.

        Raises:
          ConfigurationError: there is none, or several have the name.
        """
        npub, slash, identifier = name.partition("/")
        if slash:
            try:
                repository = RepositoryId(decode_npub(npub), identifier)
            except InvalidKey as error:
                raise ConfigurationError(
                    f"{name} names no repository: write npub1…/identifier, as `list` does ({error})"
                ) from error
            await self._require_served(repository)
            return repository
        known = (await self.core.index.data(name)).known
        there = [each for owner in known if self._exists(each := RepositoryId(owner, name))]
        served = [each for each in there if known[each.owner].standing is Standing.SERVED]
        found = served or there
        if len(found) > 1:
            several = ", ".join(map(_name, found))
            raise ConfigurationError(f"several repositories are called {name}: name one: {several}")
        if not found:
            raise ConfigurationError(
                f"no repository {name} is served here: `list` shows those that are"
            )
        await self._require_served(found[0])
        return found[0]

    async def _require_served(self, repository: RepositoryId) -> None:
        data = await self.core.index.data(repository.identifier)
        known, name = data.known.get(repository.owner), _name(repository)
        if known is not None and known.announcement.is_private:
            raise ConfigurationError(f"{name} is private: it is not handed on")
        if known is None or not self._exists(repository):
            raise ConfigurationError(
                f"no repository {name} is served here: `list` shows those that are"
            )
        if known.standing is not Standing.SERVED:
            raise ConfigurationError(
                f"{name} is only held, it waits for its data: export it when `list` says served"
            )

    def _exists(self, repository: RepositoryId) -> bool:
        # Whether it is hosted depends on settings, which a stopped node's shell may not have.
        return self.core.repositories.exists(repository.owner, repository.identifier)

    def _copy(self, repository: RepositoryId, copy: Path) -> None:
        """By hard links, in no time: what follows then needs no lock."""
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy_repository(self.core.repositories.path(repository.owner, repository.identifier), copy)

    async def _write_events(self, repository: RepositoryId, events: Belonging, path: Path) -> int:
        lines, count = bytearray(), 0
        async for event in with_what_refers(self.store, repository, events.ids):
            lines += encode_event(event) + b"\n"
            count += 1
            if len(lines) >= _WRITTEN_AT_ONCE:
                await blocking(self._place, _append, path, bytes(lines))
                lines.clear()
        await blocking(self._place, _append, path, bytes(lines))
        return count


def _name(repository: RepositoryId) -> str:
    return f"{encode_npub(repository.owner)}/{repository.identifier}"


def _make(part: Path) -> None:
    try:
        part.mkdir(parents=True)
    except OSError as error:
        raise ConfigurationError(f"{part.parent} cannot be used: {error.strerror}") from error


def _write_git(copy: Path, part: Path, events: Belonging, as_bundle: bool) -> int:
    """The number of refs: branches, tags, and those of served pull requests."""
    requests = {f"{_NOSTR}{event_id}" for event_id in events.pull_requests}
    refs = list_refs(copy)
    others = [ref for ref in refs if not ref.startswith(_SERVED_REFS) and ref not in requests]
    if others:
        update_refs(copy, dict.fromkeys(others))
    if as_bundle:
        bundle(copy, part / BUNDLE, copy)
    else:
        clone_bare(copy, part / REPOSITORY, copy)
    return len(refs) - len(others)


def _append(path: Path, lines: bytes) -> None:
    try:
        with path.open("ab") as file:
            file.write(lines)
    except OSError as error:
        raise _disk_refuses(path, error) from error


def _finish(part: Path, target: Path) -> None:
    """Make it durable, then show it by one rename."""
    try:
        os.sync()
        if os.path.lexists(target):
            raise ConfigurationError(
                f"{target} is there already: name a folder that does not exist"
            )
        os.rename(part, target)
        os.sync()
    except OSError as error:
        raise _disk_refuses(target, error) from error


def _disk_refuses(path: Path, error: OSError) -> RepositoryError:
    return RepositoryError(f"{path} cannot be written: {error.strerror}; nothing was left")
