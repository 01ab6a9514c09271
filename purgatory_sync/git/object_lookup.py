"""Which objects a repository has and of what type, without inflating what need not be inflated."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Collection
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Final

from dulwich.object_format import SHA1
from dulwich.objects import RawObjectID
from dulwich.pack import Pack, PackIndex, load_pack_index

from .layout import objects_dir, pack_dir

KINDS: Final = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}

_OFS_DELTA, _REF_DELTA = 6, 7
_MAX_CHAIN = 10_000
_MAX_TAGS_ON_TAGS = 100
_OID = re.compile(r"[0-9a-f]{40}")
_TAG = re.compile(rb"object ([0-9a-f]{40})\ntype (?:commit|tree|blob|tag)\n")
_COMMITTER = re.compile(rb"\ncommitter [^\n]*> ([0-9]{1,18}) ")


class _OpenPack:
    """One pack and its index; the pack itself is opened when its bytes are asked for."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.index: PackIndex = load_pack_index(f"{base}.idx", SHA1)
        self._fd = -1
        self._pack: Pack | None = None

    def offset(self, raw: bytes) -> int | None:
        try:
            return self.index.object_offset(RawObjectID(raw))
        except KeyError:
            return None

    def _header(self, offset: int) -> tuple[int, int, bytes]:
        """The kind of an entry, where what follows its size begins, and the bytes from there."""
        if self._fd < 0:
            self._fd = os.open(f"{self.base}.pack", os.O_RDONLY | os.O_CLOEXEC)
        start = os.pread(self._fd, 64, offset)
        kind, at = start[0] >> 4 & 7, 0
        while start[at] & 0x80:
            at += 1
        return kind, offset + at + 1, start[at + 1 :]

    def kind(self, offset: int) -> str | None:
        """The type of an entry; a delta has that of the object its chain begins with."""
        for _ in range(_MAX_CHAIN):
            kind, _, rest = self._header(offset)
            if kind == _OFS_DELTA:
                offset -= _base_distance(rest)
            elif kind == _REF_DELTA:
                base = self.offset(rest[:20])
                if base is None:
                    return None
                offset = base
            else:
                return KINDS.get(kind)
        return None

    def read_start(self, offset: int, limit: int) -> bytes:
        """The first bytes of an object, at least `limit` of them where it has so many."""
        kind, data_at, _ = self._header(offset)
        if kind in KINDS:
            return zlib.decompressobj().decompress(os.pread(self._fd, limit + 64, data_at), limit)
        if self._pack is None:
            self._pack = Pack(self.base, object_format=SHA1)
        kind, chunks = self._pack.resolve_object(offset, *self._pack.data.get_object_at(offset))
        return b"".join(chunks)  # type: ignore[arg-type]

    def close(self) -> None:
        self.index.close()
        if self._pack is not None:
            self._pack.close()
        if self._fd >= 0:
            os.close(self._fd)


def _base_distance(rest: bytes) -> int:
    """How far before an OFS_DELTA its base begins (gitformat-pack)."""
    value, at = rest[0] & 0x7F, 0
    while rest[at] & 0x80:
        at += 1
        value = (value + 1 << 7) | rest[at] & 0x7F
    if value == 0:
        raise ValueError("a delta based on itself")
    return value


class ObjectLookup(AbstractContextManager["ObjectLookup"]):
    """Looks objects up in one repository; open it for one call and close it after.

    Packs and loose files that appear meanwhile are found: before a miss is believed, the folder of
    packs is read again. Alternates are not followed (nothing of ours makes them), and an object
    whose header is damaged counts as missing. A repository that is gone holds nothing.
    """

    def __init__(self, repository: Path) -> None:
        self._objects = objects_dir(repository)
        self._pack_dir = pack_dir(repository)
        self._packs: list[_OpenPack] = []
        self._seen: set[str] = set()
        self._loose_folders: frozenset[str] = frozenset()
        self._scan()

    def __exit__(self, *exc: object) -> None:
        for pack in self._packs:
            pack.close()
        self._packs.clear()

    def _scan(self) -> list[_OpenPack]:
        """Open the packs that were not there before; a `.pack` without `.idx` is not there yet."""
        found: list[_OpenPack] = []
        with suppress(FileNotFoundError, NotADirectoryError):
            self._loose_folders = frozenset(n for n in os.listdir(self._objects) if len(n) == 2)
            names = set(os.listdir(self._pack_dir))
            for name in sorted(names):
                base, _, extension = name.rpartition(".")
                if extension != "idx" or name in self._seen or f"{base}.pack" not in names:
                    continue
                with suppress(OSError, AssertionError, KeyError, ValueError):
                    found.append(_OpenPack(f"{self._pack_dir}/{base}"))
                    self._seen.add(name)
        self._packs += found
        return found

    def _locate(self, oid: str) -> tuple[_OpenPack, int] | str | None:
        """Where an object is: a pack and an offset, a loose file, or nowhere."""
        raw = bytes.fromhex(oid)
        for i, pack in enumerate(self._packs):
            offset = pack.offset(raw)
            if offset is not None:
                if i:
                    self._packs.insert(0, self._packs.pop(i))
                return pack, offset
        if oid[:2] in self._loose_folders:
            path = f"{self._objects}/{oid[:2]}/{oid[2:]}"
            if os.path.exists(path):
                return path
        return None

    def _find(self, oid: str) -> tuple[_OpenPack, int] | str | None:
        if not _OID.fullmatch(oid):
            return None
        place = self._locate(oid)
        if place is None:
            self._scan()
            place = self._locate(oid)
        return place

    def present(self, oids: Collection[str]) -> frozenset[str]:
        """Those of the OIDs that are here; one second look for all that seem to be missing."""
        wanted = {oid for oid in oids if _OID.fullmatch(oid)}
        missing = {oid for oid in wanted if self._locate(oid) is None}
        if missing:
            self._scan()
            missing = {oid for oid in missing if self._locate(oid) is None}
        return frozenset(wanted - missing)

    def kind(self, oid: str) -> str | None:
        """`commit`, `tree`, `blob` or `tag`; None when the object is missing or damaged."""
        place = self._find(oid)
        try:
            if isinstance(place, str):
                return _read_loose(place, 1)[0]
            return place and place[0].kind(place[1])
        except (OSError, LookupError, ValueError, zlib.error):
            return None

    def read_start(self, oid: str, limit: int) -> bytes:
        """The first `limit` bytes of an object (or more); empty when missing or damaged."""
        place = self._find(oid)
        try:
            if isinstance(place, str):
                return _read_loose(place, limit)[1]
            return place[0].read_start(place[1], limit) if place else b""
        except Exception:  # what dulwich raises on damaged packs has no common base
            return b""

    def peel(self, oid: str) -> tuple[str, str] | None:
        """The object that a tag (or a chain of tags) names, and its type; any other object itself.

        Returns None when an object on the way is missing or damaged.
        """
        for _ in range(_MAX_TAGS_ON_TAGS):
            kind = self.kind(oid)
            if kind != "tag":
                return (oid, kind) if kind else None
            tag = _TAG.match(self.read_start(oid, 128))
            if tag is None:
                return None
            oid = tag[1].decode()
        return None

    def commit_time(self, oid: str) -> int:
        """The committer's time in Unix seconds; 0 where it cannot be read."""
        match = _COMMITTER.search(self.read_start(oid, 8192))
        return int(match[1]) if match else 0


def _read_loose(path: str, limit: int) -> tuple[str | None, bytes]:
    """Type and first bytes of a loose object."""
    with open(path, "rb", buffering=0) as file:
        content = zlib.decompressobj().decompress(file.read(limit + 128), limit + 32)
    header, _, data = content.partition(b"\0")
    kind = header.partition(b" ")[0].decode("ascii", errors="replace")
    return (kind if kind in KINDS.values() else None), data


def loose_kind(path: str) -> str | None:
    """The type that a loose object's header says; None when it is damaged.

    Raises:
      OSError: the file cannot be read.
    """
    try:
        return _read_loose(path, 1)[0]
    except zlib.error:
        return None
