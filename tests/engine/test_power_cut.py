"""What is promised is on the disk, not only in the system's memory: power cuts (N1).

A kill leaves all that was written; a power cut what was synced. So while a node does everything
that writes, each name and each file that it shows has to be synced before what relies on it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
from trio.testing import MockClock

from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.store.sqlite import SqliteStore
from purgatory_sync.testing.mock_context import clock_at

from .test_crash_points import NOW, acts, running

MAKING = ("mkdir", "rename", "replace", "link", "symlink")


@attrs.define
class Disk:
    """What a power cut would take.

    Attributes:
      unsynced: folders in which names were made since they were synced last.
      too_early: those that were so when a transaction ended.
    """

    folder: Path
    unsynced: set[Path] = attrs.field(factory=set)
    too_early: set[Path] = attrs.field(factory=set)
    _synced: set[int] = attrs.field(factory=set)

    def require(self, *, but: Path | None = None) -> None:
        """Nothing of what is shown would be lost."""
        assert self.unsynced - {but} == set()

    def executing(self, statement: str) -> None:
        """A transaction that ends says that all before it is done."""
        if statement == "COMMIT":
            self.too_early |= self.unsynced

    @contextmanager
    def watched(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", self._fsync)
            patch.setattr(os, "open", self._opening(os.open))
            patch.setattr(os, "unlink", self._unlinking(os.unlink))
            for name in MAKING:
                patch.setattr(os, name, self._making(name, getattr(os, name)))
            yield

    def _fsync(self, fd: int) -> None:
        self._synced.add(os.fstat(fd).st_ino)
        self.unsynced.discard(Path(os.readlink(f"/proc/self/fd/{fd}")))

    def _opening(self, change: Callable[..., int]) -> Callable[..., int]:
        def opening(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            fd = change(path, flags, *args, **kwargs)
            if flags & (os.O_WRONLY | os.O_RDWR):
                self._synced.discard(os.fstat(fd).st_ino)
            if flags & os.O_CREAT:
                self._made(Path(path))
            return fd

        return opening

    def _unlinking(self, change: Callable[..., None]) -> Callable[..., None]:
        def unlinking(path: Any, *, dir_fd: int | None = None) -> None:
            if Path(path).suffix in (".pack", ".idx") and self._is_shown(Path(path)):
                assert Path(path).parent not in self.unsynced, "what stands for it might be lost"
            with suppress(FileNotFoundError):
                gone = os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
                if gone.st_nlink == 1:  # another file will be given its number
                    self._synced.discard(gone.st_ino)
            change(path, dir_fd=dir_fd)

        return unlinking

    def _making(self, name: str, change: Callable[..., None]) -> Callable[..., None]:
        def making(*args: Any, **kwargs: Any) -> None:
            if self._is_shown(made := Path(args[-1 if name != "mkdir" else 0])):
                if name in ("rename", "replace", "link"):
                    self._require_content(Path(args[0]))
                    with suppress(FileNotFoundError):
                        self._synced.discard(made.lstat().st_ino)
                if made.name == "packed-refs":
                    self.require(but=made.parent)  # objects before refs
            change(*args, **kwargs)
            self._made(made)

        return making

    def _made(self, path: Path) -> None:
        # A lock that a power cut takes is one less to break.
        if self._is_shown(path) and path.suffix != ".lock":
            self.unsynced.add(path.parent)

    def _is_shown(self, path: Path) -> bool:
        return self.folder in path.parents and ".tmp" not in path.parts

    def _require_content(self, path: Path) -> None:
        status = path.lstat()
        inner = [*path.rglob("*")] if stat.S_ISDIR(status.st_mode) else []
        for each in (path, *inner):
            if each.is_file() or any(each.iterdir()):
                assert each.lstat().st_ino in self._synced, f"{each} is shown and not synced"


async def test_n1_what_is_shown_and_promised_survives_a_power_cut(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    folder = tmp_path / "live"
    folder.mkdir()
    disk = Disk(folder)
    with blocking_in_place(), disk.watched():
        async with running(folder, clock_at(NOW)) as engine:
            assert isinstance(engine.store, SqliteStore)
            engine.store._connection.set_trace_callback(disk.executing)
            for name, act in acts().items():
                await act(engine)
                assert disk.unsynced == set(), name
                assert disk.too_early == set(), name
