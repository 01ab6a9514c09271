"""What all pushes share: the pack is counted as it comes, proven, and names commits (B 6.7)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from ...errors import AttemptFailed, LocalFailure, NotClosed, PushRefused
from ...git.disk.repository import object_types
from ...git.ingest.quarantine import Quarantined
from ...git.ingest.sink import Ingest
from ...release.index.repositories import Repositories

Changes = Mapping[str, str | None]
Read = Callable[[], Awaitable[bytes]]

OUR_FAULT = "the server could not do it now, try again later"


def _take_all(size: int) -> None:
    """Default `judge`: any size that the limit allows."""


class CountedPack:
    """A pack as it comes, counted.

    Args:
      judge: told of all that has come so far with each piece; may raise PushRefused.

    Attributes:
      size: bytes read so far.
    """

    def __init__(
        self, read: Read, max_bytes: int, judge: Callable[[int], None] = _take_all
    ) -> None:
        self.size = 0
        self._read = read
        self._max_bytes = max_bytes
        self._judge = judge

    async def read(self) -> bytes:
        """The next piece; empty at the end.

        Raises:
          PushRefused: it is too large.
        """
        piece = await self._read()
        self.size += len(piece)
        if self.size > self._max_bytes:
            raise PushRefused(f"the pack has more than {self._max_bytes} bytes: push in parts")
        self._judge(self.size)
        return piece


async def prove_pack(ingest: Ingest, path: Path, pack: CountedPack) -> Quarantined | None:
    """The proven pack; None when there is none (B 6.5).

    Raises:
      PushRefused: it is none, or lacks what it needs.
      LocalFailure: it could not be judged.
    """
    try:
        async with ingest.open_sink(path) as sink:
            while piece := await pack.read():
                await sink.write(piece)
            return await sink.prove(()) if pack.size else None
    except LocalFailure:
        raise
    except NotClosed as error:
        raise PushRefused(
            f"the history in the pack has holes ({error}); from a shallow clone, "
            "`git fetch --unshallow` first"
        ) from error
    except AttemptFailed as error:
        raise PushRefused(f"the pack is refused: {error}") from error


async def require_commits(repositories: Repositories, path: Path, nostr: Mapping[str, str]) -> None:
    """Require that the refs of pull requests name commits that are here with all their history.

    Raises:
      PushRefused: one does not.
    """
    if not nostr:
        return
    oids = set(nostr.values())
    here = (await repositories.run(repositories.here, {"": ([path], oids)}))[""]
    types = await repositories.run(object_types, path, here)
    for name, oid in nostr.items():
        if types.get(oid) != "commit":
            what = f"is a {types[oid]}" if oid in types else "did not come with the pack"
            raise PushRefused(f"{name} must name a commit; {oid} {what}")
