"""The three ways to judge a pack, each with a repository to judge it for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import attrs

from purgatory_sync.git.ingest.index_dulwich import index_here
from purgatory_sync.git.ingest.quarantine import Quarantined
from purgatory_sync.git.ingest.sink import Ingest
from purgatory_sync.git.pack.format import GitObject
from purgatory_sync.git.pack.reader import UnpackLimits
from purgatory_sync.settings import HuntSettings

from ..packs import oid_of

NOTHING_IS_SMALL = UnpackLimits(0, 0, 0, 0)


def in_this_process(repository: Path, folder: Path, limits: object, watch: object) -> str:
    """dulwich's way without the process of its own, which costs a test half a second."""
    return index_here(repository, folder)


@attrs.frozen
class Way:
    """One of the ways, and its repository."""

    settings: HuntSettings
    repository: Path
    tmp: Path

    async def prove(self, pack: bytes, *wants: GitObject, **changes: Any) -> Quarantined:
        """Prove a pack that comes in one piece."""
        settings = attrs.evolve(self.settings, **changes)
        async with Ingest(settings, self.tmp).open_sink(self.repository) as sink:
            await sink.write(pack)
            return await sink.prove([oid_of(want) for want in wants])

    def leftovers(self) -> list[str]:
        """What lies in quarantine."""
        return os.listdir(self.tmp) if self.tmp.exists() else []

    def files(self) -> dict[str, bytes]:
        """All that the repository consists of."""
        return {
            str(path.relative_to(self.repository)): path.read_bytes() if path.is_file() else b""
            for path in self.repository.rglob("*")
        }
