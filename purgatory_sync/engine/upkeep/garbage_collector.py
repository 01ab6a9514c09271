"""Objects that expired events and placeholders left behind leave the disk (docs/storage.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import attrs
import trio

from ...errors import PurgatorySyncError
from ...git.maintenance.garbage import Needed, pack_what_is_needed, sharing
from ...release.commit import Core
from ...release.index.repositories import extract_identifier_from_repo_path
from ...release.releaser import Releaser
from ...release.retention import named_oids
from ...runtime.blocking import blocking
from ...runtime.logger import get_logger

AT_MOST_EVERY_SECS = 3_600.0
AT_LEAST_EVERY_SECS = 86_400.0
_WORTH_IT = 8
log = get_logger(__name__)


@attrs.define
class Dropper:
    """Garbage-collects repositories marked as having unreachable objects; seldom, and with care.

    A repository is seen to once an hour at most, and less and less often, down to once a day,
    while that fails or frees less than an eighth: it is packed anew as a whole, with all that share
    packs with it. So what shares with one that was just seen to waits as long as that one, else
    strangers with many small ones could have a large one packed all the time.

    Attributes:
      min_free_bytes: bytes that must stay free on the disk.
      place: for the thread that works on it.
    """

    core: Core
    releaser: Releaser
    min_free_bytes: int
    place: trio.CapacityLimiter
    _next: dict[Path, float] = attrs.field(factory=dict)
    _every: dict[Path, float] = attrs.field(factory=dict)

    def is_due(self, path: Path, now: float) -> bool:
        """Whether something was left in the repository, and its time has come; blocks."""
        return self._next.get(path, now) <= now and self.core.repositories.left(path) is not None

    async def drop(self, path: Path) -> None:
        """See to one repository, and those that share packs with it; failures are logged.

        Cancelled, it leaves each repository as it was, or without its unreachable objects.
        """
        identifier = extract_identifier_from_repo_path(path)
        if identifier is None:
            return
        together = [path]
        try:
            relatives = await blocking(self.place, self.core.repositories.relatives, path)
            together = await blocking(self.place, sharing, path, relatives) or together
            if not self._waits_with_others(path, together):
                await self._drop(together, identifier)
        except (PurgatorySyncError, OSError) as error:
            self._wait(together, worth_it=False)
            log.warning("nothing dropped", path=str(path), error=str(error))
        except Exception:
            self._wait(together, worth_it=False)
            log.exception("dropping crashed", path=str(path))

    def _waits_with_others(self, path: Path, together: Iterable[Path]) -> bool:
        now = trio.current_time()
        latest = max(self._next.get(each, now) for each in together)
        if latest > now:
            self._next[path] = latest
        return latest > now

    def _wait(self, paths: Iterable[Path], *, worth_it: bool) -> None:
        now = trio.current_time()
        for old in [each for each, at in self._next.items() if at + AT_LEAST_EVERY_SECS < now]:
            del self._next[old]
            self._every.pop(old, None)
        for path in paths:
            every = self._every.get(path, AT_MOST_EVERY_SECS)
            self._next[path] = now + every
            longer = min(2 * every, AT_LEAST_EVERY_SECS)
            self._every[path] = AT_MOST_EVERY_SECS if worth_it else longer

    async def _drop(self, together: Sequence[Path], identifier: str) -> None:
        path, *relatives = together
        tmp = self.core.repositories.tmp
        noted = await blocking(self.place, self._noted, together)
        if path not in noted:  # seen to together with a relative
            return
        named = await named_oids(self.core, identifier)
        free = self.min_free_bytes
        needed = await blocking(self.place, pack_what_is_needed, path, relatives, named, tmp, free)
        if needed is None:
            self._wait(together, worth_it=False)
            return
        try:
            async with self.releaser.hold(identifier):
                done = await self._put_in_place(needed, identifier)
                # What was named when it was packed, and is not any more, was packed, too.
                if done and named <= await named_oids(self.core, identifier):
                    await blocking(self.place, self._forget, noted, needed.seen)
        finally:
            with trio.CancelScope(shield=True):
                await blocking(self.place, needed.discard)
        worth_it = needed.dropped_bytes * _WORTH_IT >= needed.packed_bytes
        self._wait(together, worth_it=done and worth_it)

    def _noted(self, paths: Iterable[Path]) -> dict[Path, bytes]:
        found = {path: self.core.repositories.left(path) for path in paths}
        return {path: noted for path, noted in found.items() if noted is not None}

    def _forget(self, noted: Mapping[Path, bytes], seen: Iterable[Path]) -> None:
        for path in seen:
            if path in noted:
                self.core.repositories.forget_left(path, noted[path])

    async def _put_in_place(self, needed: Needed, identifier: str) -> bool:
        """Whether nothing is left to drop."""
        if not all(map(self.core.repositories.is_ours_alone, needed.seen)):
            return False
        if needed.dropped_bytes <= 0:
            return True
        named = await named_oids(self.core, identifier)
        if not await blocking(self.place, needed.put_in_place, named):
            log.info("nothing dropped: it has changed", identifier=identifier)
            return False
        for path in needed.seen:
            await blocking(self.place, self.core.repositories.changed, path)
        paths = [str(path) for path in needed.seen]
        log.info("dropped", paths=paths, bytes=needed.dropped_bytes)
        return True
