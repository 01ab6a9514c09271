"""Where data waits until it is proven, and the one step by which it joins a repository."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Protocol

import attrs
import trio

from ...errors import LocalFailure
from ...runtime.blocking import blocking
from ...runtime.children import ProcessIdentity
from ..disk.disk_guard import local_errors
from ..disk.layout import (
    Pinned,
    fsync_dir,
    fsync_file,
    move_file,
    objects_dir,
    pack_dir,
    write_durably,
)
from ..disk.ref_lock import exclusive
from ..disk.scratch import scratch_name
from .room import Room

_NAME = re.compile(r"[a-z_]+-(?P<pid>[0-9]+)-(?P<ticks>[0-9]+)-[0-9a-f]+(?:\.[a-z]+)?")


def quarantine_name(kind: str) -> str:
    """A new name that says which process owns what has it: `<kind>-<pid>-<start>-<random>`.

    Args:
      kind: lower-case letters, for people who look into the folder.
    """
    return scratch_name(kind)


def make_quarantine(tmp: Path, kind: str) -> Path:
    """Make a folder of our own in `tmp` (which is made too)."""
    folder = tmp / quarantine_name(kind)
    folder.mkdir(parents=True)
    return folder


def remove_quarantine(path: Path) -> None:
    """Remove a file or a whole folder; what cannot be removed now, the next sweep removes."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def sweep_quarantine(tmp: Path) -> list[Path]:
    """Remove what processes that run no more have left in `tmp`.

    Files and folders whose name is not of our making, or whose owner lives, are left alone.

    Returns what was removed.
    """
    removed = []
    with contextlib.suppress(FileNotFoundError):
        for path in sorted(tmp.iterdir()):
            match = _NAME.fullmatch(path.name)
            if match and not ProcessIdentity(int(match["pid"]), int(match["ticks"])).is_alive():
                remove_quarantine(path)
                removed.append(path)
    return removed


class ProvenPack(Protocol):
    """A pack that waits for joining; its methods block."""

    def join(self, repository: Path) -> None:
        """Make it part of the repository; see `Quarantined.join`."""

    def discard(self) -> None:
        """Remove what lies on disk of it."""


@attrs.frozen
class PackInMemory:
    """A small pack, not on disk before it joins.

    Attributes:
      pack: the complete pack, no longer thin.
      index: its version 2 index.
      tmp: the folder for quarantine, on the repository's file system.
    """

    pack: bytes = attrs.field(repr=False)
    index: bytes = attrs.field(repr=False)
    tmp: Path

    def join(self, repository: Path) -> None:
        name = f"pack-{self.pack[-20:].hex()}"
        if _is_there(repository, name):
            return
        self.tmp.mkdir(parents=True, exist_ok=True)
        stem = self.tmp / quarantine_name("join")
        pack, index = stem.with_suffix(".pack"), stem.with_suffix(".idx")
        try:
            write_durably(pack, self.pack, 0o444)
            write_durably(index, self.index, 0o444)
            _show(pack, index, repository, name)
        finally:
            pack.unlink(missing_ok=True)
            index.unlink(missing_ok=True)

    def discard(self) -> None:
        pass


@attrs.frozen
class PackInFolder:
    """A large pack and its index, in a quarantine folder that goes with them.

    Attributes:
      folder: the quarantine folder, on the repository's file system.
      name: `pack-<40 hex>`; its files lie in the folder's `objects/pack/`.
    """

    folder: Path
    name: str

    def join(self, repository: Path) -> None:
        if not _is_there(repository, self.name):
            pack = Path(pack_dir(self.folder), f"{self.name}.pack")
            index = pack.with_suffix(".idx")
            for path in (pack, index):
                if path.exists():  # else a join that failed came as far as this
                    fsync_file(path)
            _show(pack, index, repository, self.name)
        self.discard()

    def discard(self) -> None:
        remove_quarantine(self.folder)


class Quarantined:
    """Proven objects that are not yet part of their repository.

    As a context manager (`async with`) it discards on leaving what was not joined. Without
    `async with`, the caller calls `discard` in the end.

    Args:
      pinned: the repository as it was when the proof began; closed with this.

    Attributes:
      repository: the bare repository that they were proven for, and join.
      obtained: the wanted OIDs that are here: in the pack, or in the repository already.
      objects: number of objects in the pack.
      pack_bytes: bytes of pack as received.
      room: told when it joined or was discarded.
    """

    def __init__(
        self,
        repository: Path,
        obtained: frozenset[str],
        *,
        size: tuple[int, int],
        pack: ProvenPack | None,
        pinned: Pinned,
        limiter: trio.CapacityLimiter,
    ) -> None:
        self.repository = repository
        self._pinned = pinned
        self.obtained = obtained
        self.objects, self.pack_bytes = size
        self._pack = pack
        self._limiter = limiter
        self._discarded = False
        self.room: Room | None = None

    async def join(self) -> None:
        """Make the objects part of the repository, durably (N5); nothing to do the second time.

        The pack's modification time is the moment of joining, and later than that of any other:
        in its order, each pack leans on earlier ones only. A pack that is there already is left as
        it is.

        Raises:
          DiskFull, LocalFailure: nothing was joined; so when the repository was made anew since the
            proof began, too: what the pack leans on went with the old one.

        Cancellation is noticed before it begins; then it is finished.
        """
        if self._discarded:
            raise LocalFailure("what was discarded cannot be joined any more")
        if self._pack is not None:
            await blocking(self._limiter, self._join, self._pack)
            self._pack = None
        self._give_back()
        self._pinned.close()

    def _join(self, pack: ProvenPack) -> None:
        with local_errors(f"join a pack to {self.repository}"):
            self._pinned.require_same()
            # Another process may be about to drop what the pack leans on.
            with exclusive(self.repository):
                self._pinned.require_same()
                pack.join(self.repository)
        if self.room is not None:
            self.room.joined(self.repository)

    def _give_back(self) -> None:
        if self.room is not None:
            self.room.give_back(self)

    async def discard(self) -> None:
        """Remove what was not joined; nothing to do the second time. Not to be cancelled."""
        self._pinned.close()
        self._give_back()
        pack, self._pack = self._pack, None
        self._discarded = self._discarded or pack is not None
        if pack is None or isinstance(pack, PackInMemory):
            return
        with trio.CancelScope(shield=True):
            await blocking(self._limiter, pack.discard)

    async def __aenter__(self) -> Quarantined:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.discard()


def _is_there(repository: Path, name: str) -> bool:
    stem = f"{pack_dir(repository)}/{name}"
    return os.path.exists(f"{stem}.pack") and os.path.exists(f"{stem}.idx")


def _show(pack: Path, index: Path, repository: Path, name: str) -> None:
    folder = pack_dir(repository)
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder)
        fsync_dir(objects_dir(repository))
    # Readers want both files, so the second rename is the moment at which the pack is there.
    if pack.exists():
        now = max(time.time_ns(), _newest_ns(folder) + 1)
        os.utime(pack, ns=(now, now))
        move_file(pack, f"{folder}/{name}.pack")
    move_file(index, f"{folder}/{name}.idx")
    fsync_dir(folder)


def _newest_ns(folder: str) -> int:
    """The time of the pack that joined last: the clock may have been set back since."""
    newest = 0
    for name in os.listdir(folder):
        if name.endswith(".pack"):
            with contextlib.suppress(FileNotFoundError):
                newest = max(newest, os.stat(f"{folder}/{name}").st_mtime_ns)
    return newest
