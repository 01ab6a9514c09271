"""The objects of an exported folder: proven as a hunt proves them, then joined (B 8.4, 13.14).

The folder may be a stranger's: its refs are not read, and no git obeys its config. Of its objects
those are taken that held events name, with their history.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio

from ...engine import PurgatorySync
from ...engine.keeping.exporting import BUNDLE, REPOSITORY
from ...errors import PurgatorySyncError, RepositoryError
from ...git.disk.scratch import scratch_name
from ...git.ingest.sink import Ingest
from ...git.maintenance.foreign_pack import GivenPack, bundled_pack, pack_of
from ...purgatory.entries import HuntedEvent
from ...release.index.missing_objects import needed_oids, owners_concerned
from ...runtime.blocking import blocking
from ...runtime.logger import get_logger
from .imported import GitData

_PIECE_BYTES: Final = 1 << 18

log = get_logger(__name__)


@attrs.frozen
class FolderGit:
    """The repository or bundle of an exported folder."""

    path: Path
    is_bundle: bool
    engine: PurgatorySync
    _place: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(1))

    @classmethod
    def of(cls, folder: Path, engine: PurgatorySync) -> FolderGit | None:
        """What a folder has; None where it has events only."""
        if (folder / BUNDLE).is_file():
            return cls(folder / BUNDLE, True, engine)
        if (folder / REPOSITORY).is_dir():
            return cls(folder / REPOSITORY, False, engine)
        return None

    async def take_in(self, identifiers: Iterable[str]) -> tuple[GitData, ...]:
        """Give what waits under the identifiers the objects that it names, and release it.

        What cannot be taken is told in the result. Cancelled, what joined is proven and complete.
        """
        done = []
        for identifier in tuple(identifiers):
            wanted = await self._wanted(identifier)
            obtained, problem = frozenset[str](), None
            for path, oids in wanted.items():
                try:
                    obtained |= await self._give(identifier, path, oids)
                except (PurgatorySyncError, OSError) as error:
                    problem = str(error)
            if wanted:
                done.append(GitData(identifier, len(obtained), problem))
        return tuple(done)

    async def _wanted(self, identifier: str) -> dict[Path, frozenset[str]]:
        """What held events lack, by the repository that shall have it."""
        core, purgatory = self.engine.keepers.exporter.core, self.engine.purgatory
        data = await core.index.data(identifier)
        entries: list[HuntedEvent] = [
            *purgatory.find_state(identifier),
            *purgatory.find_prs_for_identifier(identifier),
        ]
        found: defaultdict[Path, set[str]] = defaultdict(set)
        for entry in entries:
            if owners := data.with_repository(sorted(owners_concerned(entry, data))):
                found[core.repositories.path(owners[0], identifier)] |= needed_oids(entry)
        return {path: frozenset(oids) for path, oids in found.items()}

    async def _give(self, identifier: str, path: Path, oids: frozenset[str]) -> frozenset[str]:
        """Prove what the folder has of the objects, let it join, release what waits for it.

        Raises:
          AttemptFailed: it is refused. RepositoryError: the folder or the disk cannot be used.
        """
        engine, releaser = self.engine, self.engine.keepers.exporter.releaser
        repositories = engine.keepers.exporter.core.repositories
        scratch = repositories.tmp / scratch_name("given")
        ingest = Ingest(
            engine.settings.hunt,
            repositories.tmp,
            limiter=repositories.limiter,
            room=engine.pusher.ingest.room,
        )
        try:
            make = partial(bundled_pack if self.is_bundle else pack_of, self.path)
            pack = await blocking(self._place, make, oids, scratch)
            if pack is None:
                return frozenset()
            async with ingest.open_sink(path) as sink:
                at = pack.begin
                while piece := await blocking(self._place, _read, pack, at):
                    await sink.write(piece)
                    at += len(piece)
                quarantined = await sink.prove(oids)
            async with quarantined, releaser.hold(identifier):
                if self.is_bundle:  # it may hold more than is named
                    await repositories.run(repositories.note_left, path)
                await quarantined.join()
                engine.purgatory.note_change(identifier)
        finally:
            with trio.CancelScope(shield=True):
                await blocking(self._place, partial(shutil.rmtree, scratch, ignore_errors=True))
        await releaser.process_newly_available_git_data(path, quarantined.obtained)
        log.info("objects imported", identifier=identifier, oids=len(quarantined.obtained))
        return quarantined.obtained


def _read(pack: GivenPack, at: int) -> bytes:
    try:
        with pack.path.open("rb") as file:
            file.seek(at)
            return file.read(_PIECE_BYTES)
    except OSError as error:
        raise RepositoryError(f"{pack.path} cannot be read: {error.strerror}") from error
