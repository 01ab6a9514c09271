"""A pack beyond memory: scanned while it comes, judged by git or by dulwich in a child."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import attrs

from ...errors import DoubledObject, LocalFailure
from ...runtime.children import ChildLimits
from ...settings import HuntSettings
from ..disk.disk_guard import local_errors, require_free_space
from ..disk.layout import pack_dir, require_format
from ..pack.depth import check_depth
from ..pack.scan import PackScanner, Scanned
from .doubles import take_out_doubles
from .index_dulwich import index_with_dulwich
from .index_git import RECEIVED, GitStream, Watch, child_limits, index_with_git, judges_by_the_table

Indexer = Callable[[Path, Path, ChildLimits, Watch], str]


@attrs.frozen
class Indexed:
    """A pack that was judged sound and closed.

    Attributes:
      name: `pack-<40 hex>` in the folder's `objects/pack/`.
      objects: how many it holds as it came.
    """

    name: str
    objects: int


class _Judge(Protocol):
    """Who gets the bytes that the scan let pass; see `index_git.GitStream`."""

    def take(self, data: bytes) -> None: ...
    def judge(self, trailer: bytes, limits: ChildLimits, watch: Watch) -> str: ...
    def stop(self) -> None: ...


class LargePack:
    """One pack on its way into a quarantine folder.

    First `scan` and `begin`, which starts no judge that the scan makes superfluous; then `take`
    again and again; then `judge`. The methods block, one at a time. `stop` must be called in every
    case; after that the caller removes the folder.

    Args:
      settings: the limits of B 8.4 and who judges.
      repository: the bare repository that the pack shall join.
      folder: the quarantine folder.

    Raises DiskFull and LocalFailure.
    """

    def __init__(self, settings: HuntSettings, repository: Path, folder: Path) -> None:
        self._settings = settings
        self._repository = repository
        self._folder = folder
        self._bytes = 0
        self._scanner = PackScanner(settings)
        self._judge: _Judge = _NoJudge()
        with local_errors("judge a pack"):
            require_format(repository)
            # Found out here, in a thread.
            self._git_judges = settings.ingest != "dulwich" and judges_by_the_table()
            self._first_limits = self._worst_limits()

    @property
    def is_dense(self) -> bool:
        """Whether what came last inflated to far more than usual, or nothing has come yet."""
        return self._scanner.is_dense

    def scan(self, data: bytes) -> bytes:
        """Scan the next bytes of the pack; returns what `hand_on` may be called with.

        Raises:
          TooLarge, BadPack: the pack is refused.
          DiskFull, LocalFailure: it cannot be kept.
        """
        self._bytes += len(data)
        return self._scanner.feed(data)

    def begin(self, *, stream: bool) -> None:
        """Get ready for `hand_on`.

        Args:
          stream: git may be started at once, to work while the pack is on its way. It then dies
            with the thread in which this is called.

        Raises DiskFull and LocalFailure.
        """
        with local_errors("judge a pack"):
            self._judge = self._find_judge(stream)

    def hand_on(self, scanned: bytes) -> None:
        """Give bytes that were scanned to the judge; raises as `scan`."""
        with local_errors("judge a pack"):
            self._require_space()
            self._judge.take(scanned)

    def take(self, data: bytes) -> None:
        """Scan the next bytes of the pack and hand them on; raises as `scan`."""
        self.hand_on(self.scan(data))

    def judge(self) -> Indexed:
        """Judge the whole pack: checksums, forms of objects, limits, closure (N5).

        Raises:
          BadPack, NotClosed, TooLarge: it is refused.
          DiskFull, LocalFailure: it could not be judged.
        """
        settings = self._settings
        scanned, trailer = self._scanner.finish()
        with local_errors("judge a pack"):
            self._require_space()
            limits = self._limits(scanned)
            try:
                name = self._judge.judge(trailer, limits, self._require_space)
            except DoubledObject:
                name = self._judge_without_doubles(limits)
            if scanned.needs_depth_check(settings.max_delta_depth):
                pack = Path(pack_dir(self._folder), f"{name}.pack")
                check_depth(pack, settings.max_delta_depth)
        return Indexed(name, scanned.objects)

    def _judge_without_doubles(self, limits: ChildLimits) -> str:
        self._judge.stop()
        take_out_doubles(self._repository, self._folder, limits, self._require_space)
        name = index_with_git(self._repository, self._folder, limits, self._require_space)
        (self._folder / RECEIVED).unlink()
        return name

    def stop(self) -> None:
        """End the judge; the second call does nothing."""
        self._judge.stop()

    def _find_judge(self, stream: bool) -> _Judge:
        who = self._settings.ingest
        if who == "dulwich" or (who == "auto" and not self._git_judges):
            return _Spilled(self._repository, self._folder, index_with_dulwich)
        if not stream:
            return _Spilled(self._repository, self._folder, index_with_git)
        return GitStream(self._repository, self._folder, self._first_limits)

    def _limits(self, scanned: Scanned) -> ChildLimits:
        most = self._settings.max_pack_bytes
        return child_limits(self._repository, self._bytes, scanned, most)

    def _worst_limits(self) -> ChildLimits:
        """While nothing is known but that the scan lets nothing pass that is beyond the limits."""
        settings = self._settings
        worst = Scanned(
            objects=settings.max_objects,
            total_bytes=settings.max_inflated_bytes
            + settings.max_inflated_ratio * settings.max_pack_bytes,
            largest_bytes=settings.max_object_bytes,
            named_bases=settings.max_objects,
            named_base_bytes=settings.max_pack_bytes,
            depth=settings.max_delta_depth,
        )
        most = settings.max_pack_bytes
        return child_limits(self._repository, most, worst, most)

    def _require_space(self) -> None:
        require_free_space(self._folder, self._settings.min_free_bytes)


class _NoJudge:
    """The judge before one is started: does nothing."""

    def take(self, data: bytes) -> None:
        raise LocalFailure("the pack was not begun")

    def judge(self, trailer: bytes, limits: ChildLimits, watch: Watch) -> str:
        raise LocalFailure("the pack was not begun")

    def stop(self) -> None:
        pass


class _Spilled:
    """Keeps the pack in a file until it is complete; another judge then indexes the file."""

    def __init__(self, repository: Path, folder: Path, indexer: Indexer) -> None:
        self._repository = repository
        self._folder = folder
        self._indexer = indexer
        self._file = (folder / RECEIVED).open("wb", buffering=0)

    def take(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def judge(self, trailer: bytes, limits: ChildLimits, watch: Watch) -> str:
        self.take(trailer)
        self.stop()
        name = self._indexer(self._repository, self._folder, limits, watch)
        (self._folder / RECEIVED).unlink(missing_ok=True)
        return name

    def stop(self) -> None:
        self._file.close()
