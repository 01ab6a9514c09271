"""What a repository has, read by 20-byte name: types, sizes, whole objects within a limit."""

from __future__ import annotations

import contextlib
import mmap
import os
import zlib
from collections.abc import Iterator
from math import inf
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from dulwich.errors import ApplyDeltaError
from dulwich.pack import apply_delta

from ...errors import BadPack, LocalFailure
from ...runtime.bounded import Bounded
from ..pack.format import KINDS_BY_NAME, GitObject, delta_sizes, read_entry_header
from ..pack.index import PackIndexReader
from .layout import objects_dir, pack_dir

_LOOSE_HEADER_BYTES = 64
# The tables that a zlib stream may begin with come before the first byte that it yields.
_LOOSE_READ_BYTES = 4096
# Of long chains of deltas some steps are kept: else each object of one costs all of those below it,
# and a stranger's pack may be one chain of 4,095.
_KEPT_EVERY = 64
_KEPT_BYTES = 16 << 20
_DAMAGE = (BadPack, ApplyDeltaError, IndexError, ValueError, zlib.error)


class TooBigToRead(Exception):
    """An object is there but larger than every caller wants to hold in memory."""


class StoredObjects:
    """The objects of one repository; open it for one call, in one thread, and close it.

    Before a miss is believed, its folders are read again: another thread may just have
    joined what was missing. Packs that go while they are open stay readable. Alternates are not
    followed: no repository here has any.

    Damage that is met in the repository raises LocalFailure.
    """

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._objects = objects_dir(repository)
        self._pack_dir = pack_dir(repository)
        self._packs: dict[str, _Pack] = {}
        self._kept: Steps = Bounded(
            inf, weigh=lambda object: len(object.data), most_weight=_KEPT_BYTES, by_use=True
        )
        self._loose_folders: frozenset[str] = frozenset()
        self._read_folders()

    def __enter__(self) -> StoredObjects:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give all files back."""
        for pack in self._packs.values():
            pack.close()
        self._packs.clear()

    def kind(self, name: bytes) -> int | None:
        """The type of an object; None when the repository does not have it."""
        found = self._locate(name)
        if found is None:
            return None
        with self._damage(name):
            return found.kind()

    def glance(self, name: bytes) -> bool:
        """Whether the repository had an object when it was last looked at: cheap, one look."""
        return self._locate_once(name) is not None

    def packs_of(self, name: bytes) -> list[str]:
        """All packs (`pack-…`) that have an object; none where it is loose, or not here."""
        self._locate(name)
        stems = (stem for stem, pack in self._packs.items() if pack.index.find(name) is not None)
        return list(stems)

    def names_in(self, stem: str) -> Iterator[bytes]:
        """The names of all objects of a pack."""
        return self._packs[stem].index.names()

    def count_in(self, stem: str) -> int:
        """How many objects a pack has."""
        return self._packs[stem].index.count

    def read(self, name: bytes, max_bytes: int) -> GitObject | None:
        """A whole object; None when the repository does not have it.

        Raises:
          TooBigToRead: it, or a base that it is made of, has more than `max_bytes`.
        """
        found = self._locate(name)
        if found is None:
            return None
        with self._damage(name):
            return found.read(max_bytes)

    def _locate(self, name: bytes) -> _Packed | _Loose | None:
        found = self._locate_once(name)
        if found is None and self._read_folders():
            found = self._locate_once(name)
        return found

    def _locate_once(self, name: bytes) -> _Packed | _Loose | None:
        for pack in self._packs.values():
            offset = pack.index.find(name)
            if offset is not None and pack.open():
                return _Packed(pack, offset)
        oid = name.hex()
        if oid[:2] not in self._loose_folders:
            return None
        path = f"{self._objects}/{oid[:2]}/{oid[2:]}"
        return _Loose(path) if os.path.exists(path) else None

    def _read_folders(self) -> bool:
        """Find packs and folders of loose objects that are new; whether there can be any."""
        try:
            before = self._loose_folders
            self._loose_folders = frozenset(os.listdir(self._objects))
            names = set(os.listdir(self._pack_dir))
        except FileNotFoundError:
            return False
        new = self._loose_folders != before
        for name in names:
            stem, _, suffix = name.rpartition(".")
            if suffix != "idx" or stem in self._packs or f"{stem}.pack" not in names:
                continue
            with contextlib.suppress(FileNotFoundError):
                self._packs[stem] = _Pack(f"{self._pack_dir}/{stem}", self._kept)
                new = True
        return new

    @contextlib.contextmanager
    def _damage(self, name: bytes) -> Iterator[None]:
        try:
            yield
        except _DAMAGE as error:
            raise LocalFailure(
                f"object {name.hex()} of {self._repository} cannot be read ({error}): "
                "run git fsck there"
            ) from error


class _Pack:
    """One pack with its index; its own bytes are mapped when they are first needed.

    Attributes:
      kinds: by offset, the types of some objects within long chains of deltas.
    """

    def __init__(self, stem: str, kept: Steps) -> None:
        self._stem = stem
        self.kept = kept
        self.kinds: dict[int, int] = {}
        try:
            self.index = PackIndexReader(f"{stem}.idx")
        except ValueError as error:
            raise LocalFailure(f"{error}: run git fsck on the repository") from error
        self._bytes: mmap.mmap | None = None

    def open(self) -> bool:
        """Whether the pack's bytes can be had (it may have gone since the folder was read)."""
        if self._bytes is None:
            try:
                with open(f"{self._stem}.pack", "rb", buffering=0) as file:
                    self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except FileNotFoundError:
                return False
            except ValueError as error:
                raise LocalFailure(f"{self._stem}.pack is empty: run git fsck") from error
        return True

    @property
    def bytes(self) -> mmap.mmap:
        if self._bytes is None:
            raise LocalFailure(f"{self._stem}.pack is not open")
        return self._bytes

    def close(self) -> None:
        self.index.close()
        if self._bytes is not None:
            self._bytes.close()


Steps: TypeAlias = "Bounded[tuple[_Pack, int], GitObject]"
"""Objects within long chains of deltas, by pack and offset: those that were needed last."""


class _Packed:
    """An object in a pack."""

    def __init__(self, pack: _Pack, offset: int) -> None:
        self._pack = pack
        self._offset = offset

    def _base_offset(self, base: int | bytes) -> int:
        offset = base if isinstance(base, int) else self._pack.index.find(base)
        if offset is None:
            raise BadPack("a delta's base is not in the same pack")
        return offset

    def kind(self) -> int:
        kinds, way, offset = self._pack.kinds, [], self._offset
        while (kind := kinds.get(offset)) is None:
            header = read_entry_header(self._pack.bytes, offset)
            if header.base is None:
                kind = header.kind
                break
            way.append(offset)
            offset = self._base_offset(header.base)
        for step in way[_KEPT_EVERY::_KEPT_EVERY]:
            kinds[step] = kind
        return kind

    def read(self, max_bytes: int) -> GitObject:
        deltas = []
        offset, kept = self._offset, self._pack.kept
        while True:
            if (known := kept.get((self._pack, offset))) is not None:
                kind, content = known
                break
            header = read_entry_header(self._pack.bytes, offset)
            if header.size > max_bytes:
                raise TooBigToRead
            content = self._inflate(header.data_at, header.size)
            if header.base is None:
                kind = header.kind
                break
            if max(delta_sizes(content)) > max_bytes:
                raise TooBigToRead
            deltas.append((offset, content))
            offset = self._base_offset(header.base)
        if len(content) > max_bytes:
            raise TooBigToRead
        while deltas:
            offset, instructions = deltas.pop()
            content = b"".join(apply_delta(content, instructions))
            if deltas and len(deltas) % _KEPT_EVERY == 0:
                kept.put((self._pack, offset), GitObject(kind, content))
        return GitObject(kind, content)

    def _inflate(self, at: int, size: int) -> bytes:
        inflater = zlib.decompressobj()
        content, step = b"", size + 64
        # One byte more than expected lets the inflater see the end of its stream.
        while not inflater.eof and len(content) <= size:
            piece = self._pack.bytes[at : at + step]
            if not piece:
                raise BadPack("the pack ends within it")
            at += len(piece)
            content += inflater.decompress(piece, size - len(content) + 1)
        if len(content) != size:
            raise BadPack(f"it has not the {size} bytes that the pack declares")
        return content


class _Loose:
    """An object in a file of its own."""

    def __init__(self, path: str) -> None:
        self._path = path

    def _start(self, size: int) -> tuple[int, int, bytes]:
        with open(self._path, "rb", buffering=0) as file:
            # What does not compress grows: a few bytes for each 16 KiB.
            content = file.read(size + size // 1000 + _LOOSE_READ_BYTES)
        content = zlib.decompressobj().decompress(content, size + _LOOSE_HEADER_BYTES)
        header, _, data = content.partition(b"\0")
        kind, _, declared = header.partition(b" ")
        if kind not in KINDS_BY_NAME:
            raise BadPack("it has no known type")
        return KINDS_BY_NAME[kind], int(declared), data

    def kind(self) -> int:
        return self._start(0)[0]

    def read(self, max_bytes: int) -> GitObject:
        _, size, _ = self._start(0)
        if size > max_bytes:
            raise TooBigToRead
        kind, _, data = self._start(size)
        if len(data) != size:
            raise BadPack(f"it has {len(data)} bytes and declares {size}")
        return GitObject(kind, data)
