"""Whether the node is alive and ready, for balancers and service managers (B 13.3)."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import attrs
import msgspec
import trio

from ...errors import PurgatorySyncError
from ...runtime.blocking import blocking
from ...runtime.folders import free_bytes
from ...runtime.logger import get_logger
from ..http.exchange import Exchange

HEALTHZ: Final = "/healthz"
READYZ: Final = "/readyz"
RETRY_AFTER_SECS: Final = 10
CHECK_SECS: Final = 5.0
KEPT_SECS: Final = 1.0
OK: Final = "ok"

_NOT_CACHED: Final = (b"cache-control", b"no-store")
_LATER: Final = (b"retry-after", b"%d" % RETRY_AFTER_SECS)

log = get_logger(__name__)


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `/readyz` says.

    Attributes:
      checks: each check's name with `ok` or what is wrong; empty while the node is ready.
      warnings: what an operator should look at, although the node is ready.
    """

    ready: bool
    checks: dict[str, str] = {}
    warnings: tuple[str, ...] = ()


@attrs.frozen
class Checks:
    """What a node must be able to do while it is ready; each raises what is wrong.

    Attributes:
      store: reads from the store, and writes through its writer.
      git_folder: repositories are made here.
      min_free_bytes: of disk beside the repositories, below which a warning is given.
    """

    store: Callable[[], Awaitable[None]]
    git_folder: Path
    min_free_bytes: int


class NodeHealth:
    """How the node is, from its first moment to its last.

    Attributes:
      stage: what a start is doing.
      stopping: a signal has ended it.
      checks: None until it serves.
    """

    def __init__(self) -> None:
        self.stage = "starting"
        self.stopping = False
        self.checks: Checks | None = None
        self._started_at = trio.current_time()
        self._place = trio.CapacityLimiter(1)
        self._asking = trio.Lock()
        self._kept: tuple[float, Report] | None = None

    async def watch(self) -> None:
        """Log what a start that takes long is doing, every ten seconds until it serves."""
        while self.checks is None:
            await trio.sleep(RETRY_AFTER_SECS)
            if self.checks is None:
                log.info("still starting", stage=self.stage, secs=self._secs())

    async def answer(self, exchange: Exchange) -> bool:
        """Answer `/healthz` and `/readyz`; False for other paths."""
        if exchange.path not in (HEALTHZ, READYZ):
            return False
        if not await exchange.is_read():
            return True
        if exchange.path == HEALTHZ:
            await exchange.respond(200, b"ok\n", more=[_NOT_CACHED])
        else:
            report = await self.report()
            body = msgspec.json.encode(report) + b"\n"
            status, more = (200, [_NOT_CACHED]) if report.ready else (503, [_NOT_CACHED, _LATER])
            await exchange.respond(status, body, "application/json", more)
        return True

    async def answer_early(self, exchange: Exchange) -> None:
        """Tell what else is asked of a node that does not serve yet."""
        sentence = f"this service is starting ({self.stage}, {self._secs()} s so far)\n"
        await exchange.respond(503, sentence.encode(), more=[_NOT_CACHED, _LATER])

    async def report(self) -> Report:
        """Whether the node can take what it is sent; looked up once a second at most."""
        if self.stopping:
            return Report(ready=False, checks={"stopping": "it was told to stop"})
        if self.checks is None:
            return Report(ready=False, checks={"start": f"{self.stage}, {self._secs()} s so far"})
        async with self._asking:
            now = trio.current_time()
            if self._kept is None or now - self._kept[0] >= KEPT_SECS:
                self._kept = now, await self._look(self.checks)
            return self._kept[1]

    async def _look(self, checks: Checks) -> Report:
        found = {
            "store": await _says(checks.store),
            "git_folder": await _says(lambda: self._writable(checks.git_folder)),
        }
        if set(found.values()) != {OK}:
            return Report(ready=False, checks=found)
        return Report(ready=True, warnings=await blocking(self._place, _warnings, checks))

    async def _writable(self, folder: Path) -> None:
        if not await blocking(self._place, os.access, folder, os.W_OK | os.X_OK):
            raise PermissionError(f"{folder} cannot be written")

    def _secs(self) -> int:
        return round(trio.current_time() - self._started_at)


async def _says(check: Callable[[], Awaitable[None]]) -> str:
    with trio.move_on_after(CHECK_SECS):
        try:
            await check()
        except (PurgatorySyncError, OSError) as error:
            return str(error)
        return OK
    return f"no answer within {CHECK_SECS:g} s"


def _warnings(checks: Checks) -> tuple[str, ...]:
    free = free_bytes(checks.git_folder)
    if free >= checks.min_free_bytes:
        return ()
    return (f"{free} bytes are free beside the repositories: nothing is hunted",)
