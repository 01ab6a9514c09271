"""The command that fetches by hand: one URL, some objects, one repository."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs
import trio
from rich.filesize import decimal

from ..errors import (
    AttemptFailed,
    ConfigurationError,
    Forbidden,
    ObjectsRefused,
    ProxyFailed,
    PurgatorySyncError,
)
from ..git.disk.repository import create_bare, is_repository, present_oids, remove_repository
from ..git.fetch.client import GIT_THREADS, GitClient
from ..git.ingest.quarantine import Quarantined, sweep_quarantine
from ..runtime.blocking import blocking
from ..runtime.net.gate import Gate
from ..settings import HuntSettings
from ..settings_loader import Loaded
from ..version import PROGRAM
from .output.fetch_progress import progress_on
from .output.logs import configure_logging
from .output.printing import printing
from .output.telling import plain

LACKING: Final = 1

_OID: Final = re.compile(r"[0-9a-f]{40}")
_SHOWN: Final = 20


def fetch_by_hand(loaded: Loaded, url: str, *oids: str, into: Path) -> int:
    """Fetch objects with all their history into a bare repository, made when it is missing.

    What binds the node's hunts binds this too: addresses, limits, proof before joining.

    Args:
      loaded: the settings of the hunt count.
      url: a clone URL, http or https.
      oids: names of objects, 40 hexadecimal digits.
      into: the repository.

    Returns 0 when all that was asked for is here, 1 when the server lacks some of it.

    Raises:
      ConfigurationError: what is asked for is no name of an object.
      PurgatorySyncError: nothing was fetched and nothing is changed; one sentence says why. Or
        only the telling failed: standard output is full or gone.
    """
    configure_logging("error")  # what went wrong is one sentence, told at the end
    for warning in loaded.warnings:
        sys.stderr.write(f"{PROGRAM}: {warning}\n")
    fetch = _Fetch(loaded.settings.hunt, url, _judged(oids), into.absolute())
    interrupted, code = False, 0
    try:
        code = trio.run(fetch.run)
    except* KeyboardInterrupt:  # it may come out of a nursery
        interrupted = True
    if interrupted:
        raise KeyboardInterrupt
    return code


def _judged(oids: Collection[str]) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys(oid.lower() for oid in oids))
    for oid in wanted:
        if not _OID.fullmatch(oid):
            raise ConfigurationError(
                f"{plain(oid)} is not the name of an object: 40 hexadecimal digits are "
                "(SHA-1 only, and no names of refs)"
            )
    if not wanted:
        raise ConfigurationError("no object is named: give one OID or more")
    return wanted


@attrs.frozen
class _Fetch:
    settings: HuntSettings
    url: str
    wanted: tuple[str, ...]
    path: Path
    limiter: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(GIT_THREADS))

    @property
    def tmp(self) -> Path:
        """Where data waits: on the repository's file system, out of sight of its readers."""
        return self.path.parent / f".{self.path.name}.tmp"

    async def run(self) -> int:
        made = await blocking(self.limiter, self._make)
        try:
            here = await blocking(self.limiter, present_oids, self.path, self.wanted)
            missing = tuple(oid for oid in self.wanted if oid not in here)
            if not missing:
                _say(f"all of the {len(self.wanted)} objects are here already: no server was asked")
                return 0
            proven = await self._fetch(missing)
            made = False
        finally:
            with trio.CancelScope(shield=True):
                await blocking(self.limiter, self._clean, made)
        return self._tell(missing, proven)

    async def _fetch(self, missing: tuple[str, ...]) -> Quarantined:
        settings = self.settings
        gate = Gate.for_settings(settings)
        with progress_on(sys.stderr) as progress:
            try:
                async with (
                    GitClient(settings, gate, self.tmp, limiter=self.limiter) as client,
                    await client.fetch_oids(self.path, self.url, missing, progress) as proven,
                ):
                    progress.phase("joining")
                    await proven.join()
            except AttemptFailed as error:
                raise PurgatorySyncError(_sentence(error)) from error
            return proven

    def _make(self) -> bool:
        """Have the repository and nothing that a killed process left; whether it is new."""
        sweep_quarantine(self.tmp)
        if is_repository(self.path):
            return False
        self.path.parent.mkdir(parents=True, exist_ok=True)
        create_bare(self.path, self.tmp)
        return True

    def _clean(self, remove: bool) -> None:
        if remove:
            remove_repository(self.path, self.tmp)
        with suppress(OSError):  # another process works beside us
            self.tmp.rmdir()

    def _tell(self, missing: tuple[str, ...], proven: Quarantined) -> int:
        lacking = [oid for oid in missing if oid not in proven.obtained]
        _say(
            f"got {len(proven.obtained)} of the {len(missing)} objects, with all their history: "
            f"{proven.objects} objects in a pack of {decimal(proven.pack_bytes)}"
        )
        if len(missing) < len(self.wanted):
            _say(f"{len(self.wanted) - len(missing)} more were here already")
        for oid in lacking[:_SHOWN]:
            _say(f"the server lacks {oid}")
        if len(lacking) > _SHOWN:
            _say(f"the server lacks {len(lacking) - _SHOWN} more")
        return LACKING if lacking else 0


def _sentence(error: AttemptFailed) -> str:
    """What an operator is told: all that the outside does not learn, too."""
    reason = ""
    if isinstance(error, Forbidden) and isinstance(error.__cause__, PermissionError):
        reason = f": {error.__cause__}"
    elif isinstance(error, ProxyFailed):
        reason = " (NGIT_HUNT_PROXY)"
    elif isinstance(error, ObjectsRefused) and error.server_message not in str(error):
        reason = f'; it says "{error.server_message}"'
    return plain(f"nothing was fetched: {error}{reason}")


def _say(line: str) -> None:
    with printing():
        sys.stdout.write(f"{line}\n")
