"""From bytes of a stranger to proven objects: the small way in memory, the large way on disk."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import TracebackType

import attrs
import trio

from ...errors import BadPack, LocalFailure, TooLarge
from ...runtime.blocking import blocking
from ...settings import HuntSettings
from ..disk.disk_guard import local_errors, require_free_space
from ..disk.layout import Pinned, fsync_file, pack_dir, require_format
from ..disk.object_reader import StoredObjects, TooBigToRead
from ..pack.format import HEADER_BYTES, TRAILER_BYTES, read_count
from ..pack.index import encode_index
from ..pack.reader import Unpacked, UnpackLimits, Unsure, unpack
from ..pack.thin_packs import complete_pack
from .connectivity import check_closure
from .large_pack import LargePack
from .quarantine import PackInFolder, PackInMemory, Quarantined, make_quarantine, remove_quarantine
from .room import Room

SMALL_PACK_BYTES = 1 << 20
SMALL_LIMITS = UnpackLimits(
    objects=1_000, object_bytes=4 << 20, total_bytes=16 << 20, delta_depth=250
)

_SMALL_PLACES = 4
_LARGE_PLACES = 2
_STREAMS = 4
_PIECE_BYTES = 256 * 1024
_DENSE_PIECE_BYTES = 16 * 1024
_NO_OBJECTS = HEADER_BYTES + TRAILER_BYTES
_OID = re.compile(r"[0-9a-f]{40}")


class Ingest:
    """Turns what servers send into proven objects; one for an engine.

    Args:
      settings: the limits of B 8.4 and who judges large packs.
      tmp: the folder for quarantine, on the file system of the repositories; made when needed.
      limiter: worker threads for small packs and for joining (default: 4). Large packs have
        places of their own, so that they, however slow, hold up no small one; so have small ones
        that are not judged in memory.
      room: what may be received for a repository; all when absent.
    """

    def __init__(
        self,
        settings: HuntSettings,
        tmp: Path,
        *,
        limiter: trio.CapacityLimiter | None = None,
        room: Room | None = None,
    ) -> None:
        self.settings = settings
        self.tmp = tmp
        self.room = room
        self.limiter = limiter or trio.CapacityLimiter(_SMALL_PLACES)
        self.large_limiter = trio.CapacityLimiter(_LARGE_PLACES)
        self.scan_limiter = trio.CapacityLimiter(_LARGE_PLACES)
        self.unsure_limiter = trio.CapacityLimiter(_LARGE_PLACES)
        self._streams = trio.CapacityLimiter(_STREAMS)

    def open_sink(self, repository: Path, era: str | None = None) -> PackSink:
        """A place for one pack that shall join a repository.

        Args:
          era: when the sender was told what is here (`layout.read_era`); when absent, it is when
            the first bytes come.

        Raises:
          DiskFull: too little space is free to begin with.
          LocalFailure: that cannot be found out.
        """
        # That a repository is gone is for `prove` to say. It may be on another disk.
        for folder in (repository, self.tmp.parent):
            with local_errors("look for free space"), contextlib.suppress(FileNotFoundError):
                require_free_space(folder, self.settings.min_free_bytes)
        return PackSink(self, repository, era)

    def may_stream(self, sink: PackSink) -> bool:
        """Whether git may wait for the sink's pack; `give_back_stream` ends that.

        Transfers beyond those places go to a file first, so that hung servers hold nothing up.
        """
        try:
            self._streams.acquire_on_behalf_of_nowait(sink)
        except trio.WouldBlock:
            return False
        return True

    def give_back_stream(self, sink: PackSink) -> None:
        """Give the place back, if the sink has one."""
        if sink in self._streams.statistics().borrowers:
            self._streams.release_on_behalf_of(sink)

    def limits(self, pack_bytes: int) -> UnpackLimits:
        """What a pack of so many bytes may hold (B 8.4)."""
        return UnpackLimits(
            objects=self.settings.max_objects,
            object_bytes=self.settings.max_object_bytes,
            total_bytes=self.settings.max_inflated_bytes
            + self.settings.max_inflated_ratio * pack_bytes,
            delta_depth=self.settings.max_delta_depth,
        )


class PackSink:
    """Collects one pack and proves it: in memory up to 1 MiB, beyond that in quarantine.

    As a context manager (`async with`) it is closed on leaving.
    """

    def __init__(self, ingest: Ingest, repository: Path, era: str | None = None) -> None:
        self._ingest = ingest
        self._repository = repository
        self._era = era
        self._buffer = bytearray()
        self._bytes = 0
        self._folder: Path | None = None
        self._large: LargePack | None = None
        self._pinned: Pinned | None = None

    async def write(self, data: bytes) -> None:
        """Take the next bytes of the pack.

        Raises:
          TooLarge: more than NGIT_HUNT_MAX_PACK_BYTES have come, or another limit is exceeded.
          OverQuota: there is no room for so many.
          BadPack: what came so far is no pack.
          DiskFull, LocalFailure: they cannot be kept.

        After an error or a cancellation the sink is of no use but to be closed.
        """
        self._pin()
        self._bytes += len(data)
        if self._bytes > self._ingest.settings.max_pack_bytes:
            raise TooLarge(
                f"a pack of more than {self._ingest.settings.max_pack_bytes} bytes: "
                "raise NGIT_HUNT_MAX_PACK_BYTES if it is wanted"
            )
        if self._ingest.room is not None and self._bytes > _NO_OBJECTS:
            self._ingest.room.require(self, self._repository, self._bytes)
        self._buffer += data
        if len(self._buffer) > (_PIECE_BYTES if self._is_large() else SMALL_PACK_BYTES):
            await self._hand_on(self._ingest.scan_limiter)

    async def prove(
        self, wants: Collection[str], asked: Collection[str] | None = None
    ) -> Quarantined:
        """Judge the pack: checksums, forms of objects, limits, closure (N5).

        Args:
          wants: OIDs of 40 hexadecimal digits; whether all of them came is in the result's
            `obtained`, not judged.
          asked: what the server was asked for, when that is something else: an empty pack is an
            honest answer when all of it is here already.

        Raises:
          BadPack, NotClosed, TooLarge: it is refused.
          DiskFull, LocalFailure: it could not be judged; so when it is refused and may lean on
            what was dropped here meanwhile.

        Cancellation ends children and threads within moments; `aclose` removes the rest.
        """
        pinned = self._pin()
        try:
            proven = await self._prove(wants, asked, pinned)
            self._hand_over(proven)
            return proven
        except BadPack:
            with local_errors("judge a pack"):
                pinned.require_same()
            raise

    def _hand_over(self, proven: Quarantined) -> None:
        """What was received counts until it joined or was discarded."""
        if self._ingest.room is not None:
            self._ingest.room.hand_over(self, proven)
            proven.room = self._ingest.room

    async def _prove(
        self, wants: Collection[str], asked: Collection[str] | None, pinned: Pinned
    ) -> Quarantined:
        ingest = self._ingest
        # Of a pack without objects there is nothing for git to judge.
        if self._large is None and (ingest.settings.ingest != "git" or self._bytes <= _NO_OBJECTS):
            small = _SmallPack(ingest, self._repository, pinned, bytes(self._buffer))
            named = wants if asked is None else asked
            quarantined = await blocking(ingest.limiter, small.prove, wants, named)
            if quarantined is not None:
                self._pinned = None
                return quarantined
        if self._large is None:
            scan_limiter = limiter = ingest.unsure_limiter
        else:
            scan_limiter, limiter = ingest.scan_limiter, ingest.large_limiter
        await self._hand_on(scan_limiter)
        quarantined = await blocking(limiter, self._prove_large, wants, pinned)
        self._pinned = None
        ingest.give_back_stream(self)
        return quarantined

    async def aclose(self) -> None:
        """Remove what was not proven; nothing to do the second time. Not to be cancelled."""
        self._buffer.clear()
        if self._ingest.room is not None:
            self._ingest.room.give_back(self)
        if self._pinned is not None:
            self._pinned.close()
        if self._large is not None or self._folder is not None:
            with trio.CancelScope(shield=True):
                await blocking(self._ingest.limiter, self._remove)
        self._ingest.give_back_stream(self)

    async def __aenter__(self) -> PackSink:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _pin(self) -> Pinned:
        """The repository as it is when the proof begins; what it proves joins no other."""
        if self._pinned is None:
            with local_errors(f"open {self._repository}"):
                self._pinned = Pinned(self._repository, self._era)
        return self._pinned

    def _is_large(self) -> bool:
        """Whether the pack is, or says of itself that it is, beyond the small way."""
        if self._large is not None:
            return True
        if len(self._buffer) < HEADER_BYTES:
            return False
        return read_count(bytes(self._buffer[:HEADER_BYTES])) > SMALL_LIMITS.objects

    async def _hand_on(self, limiter: trio.CapacityLimiter) -> None:
        """Give what is in the buffer to the large way, which begins with it."""
        data = bytes(self._buffer)
        self._buffer.clear()
        if self._large is not None:
            for piece in _shares(self._large, data):
                await blocking(limiter, self._large.take, piece)
            return
        self._large = large = await blocking(limiter, self._make_large)
        scanned = [await blocking(limiter, large.scan, piece) for piece in _shares(large, data)]
        # In this thread, for a child dies with the one that starts it.
        large.begin(stream=self._ingest.may_stream(self))
        await blocking(limiter, large.hand_on, b"".join(scanned))

    def _make_large(self) -> LargePack:
        with local_errors("make a quarantine"):
            self._folder = make_quarantine(self._ingest.tmp, "pack")
        return LargePack(self._ingest.settings, self._repository, self._folder)

    def _prove_large(self, wants: Collection[str], pinned: Pinned) -> Quarantined:
        large, folder = self._large, self._folder
        if large is None or folder is None:
            raise LocalFailure("there is no quarantine")
        indexed = large.judge()
        with (
            local_errors("look into a pack"),
            StoredObjects(folder) as new,
            StoredObjects(self._repository) as stored,
        ):
            obtained = _obtained(wants, new.glance, stored)
        large.stop()
        with local_errors("bring a pack to the disk"):
            # Here, where it may take its time: joining holds a lock and a place of the small ones.
            for suffix in ("pack", "idx"):
                fsync_file(Path(pack_dir(folder), f"{indexed.name}.{suffix}"))
        self._folder = None
        return Quarantined(
            self._repository,
            obtained,
            size=(indexed.objects, self._bytes),
            pack=PackInFolder(folder, indexed.name),
            pinned=pinned,
            limiter=self._ingest.limiter,
        )

    def _remove(self) -> None:
        large, self._large = self._large, None
        if large is not None:
            large.stop()
        folder, self._folder = self._folder, None
        if folder is not None:
            remove_quarantine(folder)


@attrs.frozen
class _SmallPack:
    """A pack that is judged in memory, in one go."""

    ingest: Ingest
    repository: Path
    pinned: Pinned
    pack: bytes

    def prove(self, wants: Collection[str], asked: Collection[str]) -> Quarantined | None:
        """The proven pack, or None when it is for git (or dulwich) to judge."""
        with local_errors("judge a pack"), StoredObjects(self.repository) as stored:
            require_format(self.repository)
            require_free_space(self.repository, self.ingest.settings.min_free_bytes)
            try:
                unpacked = self._unpack(stored)
                check_closure(unpacked, stored)
            except (Unsure, TooBigToRead):
                return None
            obtained = _obtained(wants, unpacked.objects.__contains__, stored)
            if not unpacked.objects and not _obtained(asked, _never, stored).issuperset(asked):
                raise BadPack("an empty pack, though not all that was asked for is here")
        proven = self._complete(unpacked) if unpacked.objects else None
        return Quarantined(
            self.repository,
            obtained,
            size=(len(unpacked.objects), len(self.pack)),
            pack=proven,
            pinned=self.pinned,
            limiter=self.ingest.limiter,
        )

    def _unpack(self, stored: StoredObjects) -> Unpacked:
        allowed = self.ingest.limits(len(self.pack))
        # A pack beyond the small limits is not refused yet: the large way judges by the settings.
        limits = UnpackLimits(*map(min, attrs.astuple(SMALL_LIMITS), attrs.astuple(allowed)))
        return unpack(self.pack, limits, lambda name: stored.read(name, limits.object_bytes))

    def _complete(self, unpacked: Unpacked) -> PackInMemory:
        pack, entries = complete_pack(self.pack, unpacked.entries, unpacked.bases)
        return PackInMemory(pack, encode_index(entries, pack[-TRAILER_BYTES:]), self.ingest.tmp)


def _shares(large: LargePack, data: bytes) -> Iterator[bytes]:
    """What is scanned in one turn: little of a bomb, so that others get its place."""
    at = 0
    while at < len(data):
        share = data[at : at + _DENSE_PIECE_BYTES] if large.is_dense else data[at:]
        yield share
        at += len(share)


def _obtained(
    wants: Collection[str], came: Callable[[bytes], bool], stored: StoredObjects
) -> frozenset[str]:
    names = {want: bytes.fromhex(want) for want in wants if _OID.fullmatch(want)}
    return frozenset(
        want for want, name in names.items() if came(name) or stored.kind(name) is not None
    )


def _never(name: bytes) -> bool:
    return False
