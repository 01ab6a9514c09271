"""Fetching from a repository that is files on a web server: into one pack for the same proof.

The files that hold what is wanted are found by walking loose objects and reading the packs'
indexes; all that is new becomes one pack, so that it is judged as that of any server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from hashlib import sha1
from typing import Final, Protocol, TypeVar

import attrs

from ...errors import BadPack, BadStatus, ObjectsRefused, TooLarge
from ..pack.format import HEADER_BYTES, TRAILER_BYTES, GitObject, pack_header, read_count
from ..pack.index import PackIndexReader
from ..pack.thin_packs import encode_entry
from .dumb_files import PACKS, listed_packs, loose_path, named_by, read_loose

MAX_PACKS: Final = 64
MAX_LOOSE: Final = 2_000
MAX_LOOSE_BYTES: Final = 64 << 20
# Of all that loose objects name, here or not: a tree of 64 MiB names two million.
MAX_NAMES: Final = 300_000
_MAX_LIST_BYTES: Final = 1 << 20
# 403 is what object stores say of a file that is not there.
_ABSENT: Final = (403, 404, 410)

Pieces = AsyncIterator[bytes]
T = TypeVar("T")


class FileSource(Protocol):
    """Where the files are, and what is known here; each call may raise AttemptFailed's errors."""

    def file(self, path: str) -> AbstractAsyncContextManager[Pieces]:
        """One file of the repository; BadStatus when it is not there."""

    async def here(self, oids: Collection[str]) -> frozenset[str]:
        """Those of the objects that are here already."""

    async def write(self, pack: bytes) -> None:
        """Take the next bytes of the pack."""

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Do some work beside the event loop."""


@attrs.frozen
class _Pack:
    name: str
    index: PackIndexReader


class DumbFetch:
    """One fetch from one repository of files.

    Args:
      source: the server and the repository here.
      max_index_bytes: of all indexes of packs together.
    """

    def __init__(self, source: FileSource, max_index_bytes: int) -> None:
        self._source = source
        self._index_bytes_left = max_index_bytes
        self._loose: dict[str, GitObject] = {}
        self._loose_bytes = 0
        self._digest = sha1(usedforsecurity=False)

    async def run(self, wanted: Sequence[str]) -> None:
        """Write one pack with what is wanted, as far as it is there, and all that it needs.

        Raises:
          ObjectsRefused: nothing of it is there.
          TooLarge: it takes more files than are asked for.
          BadPack: a file is damaged, or a loose object names one that is not there.
        """
        packs = await self._packs()
        needs_packs = await self._walk(wanted, packs)
        chosen = [pack for pack in packs if await self._is_new(pack)] if needs_packs else []
        if not chosen and not self._loose:
            raise ObjectsRefused("the server's files hold nothing that is wanted")
        count = len(self._loose) + sum(pack.index.count for pack in chosen)
        await self._write(pack_header(count))
        for found in self._loose.values():
            await self._write(encode_entry(found))
        for pack in chosen:
            await self._copy(pack)
        await self._source.write(self._digest.digest())

    async def _packs(self) -> list[_Pack]:
        names = listed_packs(await self._read(PACKS, _MAX_LIST_BYTES) or b"")
        if len(names) > MAX_PACKS:
            raise TooLarge(
                f"a repository of {len(names)} packs without git-upload-pack: "
                f"more than {MAX_PACKS} are not fetched (git gc at the server makes them one)"
            )
        packs = []
        for name in names:
            data = await self._read(f"objects/pack/{name}.idx", self._index_bytes_left)
            if data is None:
                continue  # repacked meanwhile
            self._index_bytes_left -= len(data)
            try:
                packs.append(_Pack(name, PackIndexReader(data)))
            except ValueError as error:
                raise BadPack(f"the index of {name} is damaged") from error
        return packs

    async def _walk(self, wanted: Sequence[str], packs: Sequence[_Pack]) -> bool:
        """Fetch loose objects from the wanted ones on; returns whether a pack is needed too."""
        needs_packs, level, seen = False, list(wanted), set(wanted)
        while level:
            here = await self._source.here(level)
            new = [oid for oid in level if oid not in here]
            loose = await self._source.in_thread(partial(_in_no_pack, new, packs))
            needs_packs = needs_packs or len(loose) < len(new)
            level = []
            for oid in loose:
                named = await self._fetch_loose(oid)
                if named is None and oid not in wanted:
                    raise BadPack(f"the server's files lack the object {oid}")
                for name in named or ():
                    if name not in seen:
                        seen.add(name)
                        level.append(name)
                if len(seen) > MAX_NAMES:
                    raise TooLarge(f"its loose objects name more than {MAX_NAMES} objects")
        return needs_packs

    async def _fetch_loose(self, oid: str) -> list[str] | None:
        """Fetch an object; returns what it names, or None when it is not there."""
        if len(self._loose) >= MAX_LOOSE:
            raise TooLarge(
                f"a repository without git-upload-pack and with more than {MAX_LOOSE} new "
                "loose objects: git gc at the server makes them one pack"
            )
        left = MAX_LOOSE_BYTES - self._loose_bytes
        file = await self._read(loose_path(oid), left)
        if file is None:
            return None
        found, named = await self._source.in_thread(partial(_read_and_follow, file, oid, left))
        self._loose[oid] = found
        self._loose_bytes += len(found.data)
        return named

    async def _is_new(self, pack: _Pack) -> bool:
        """Whether a pack holds anything that is not here."""
        names: list[str] = []
        for name in pack.index.names():
            names.append(name.hex())
            if len(names) == 10_000:
                if len(await self._source.here(names)) < len(names):
                    return True
                names = []
        return len(await self._source.here(names)) < len(names)

    async def _copy(self, pack: _Pack) -> None:
        """Write the entries of a pack; what deltas lean on lies as far back as it did."""
        digest = sha1(usedforsecurity=False)
        head, tail = b"", b""
        async with self._source.file(f"objects/pack/{pack.name}.pack") as pieces:
            async for piece in pieces:
                data = tail + piece
                if len(head) < HEADER_BYTES:
                    if len(data) < HEADER_BYTES:
                        tail = data
                        continue
                    head, data = data[:HEADER_BYTES], data[HEADER_BYTES:]
                    if read_count(head) != pack.index.count:
                        raise BadPack(f"{pack.name} and its index do not fit together")
                    digest.update(head)
                data, tail = data[:-TRAILER_BYTES], data[-TRAILER_BYTES:]
                digest.update(data)
                await self._write(data)
        if not head or digest.digest() != tail:
            raise BadPack(f"{pack.name} came damaged")

    async def _write(self, data: bytes) -> None:
        if data:
            self._digest.update(data)
            await self._source.write(data)

    async def _read(self, path: str, max_bytes: int) -> bytes | None:
        """A whole file; None when it is not there."""
        content = bytearray()
        try:
            async with self._source.file(path) as pieces:
                async for piece in pieces:
                    content += piece
                    if len(content) > max_bytes:
                        raise TooLarge(f"{path} has more than {max_bytes} bytes")
        except BadStatus as status:
            if status.status in _ABSENT:
                return None
            raise
        return bytes(content)


def _read_and_follow(file: bytes, oid: str, max_bytes: int) -> tuple[GitObject, list[str]]:
    found = read_loose(file, oid, max_bytes)
    return found, named_by(found, MAX_NAMES)


def _in_no_pack(oids: Collection[str], packs: Sequence[_Pack]) -> list[str]:
    """Those of the objects that no pack's index has."""
    return [
        oid
        for oid in oids
        if all(pack.index.position(bytes.fromhex(oid)) is None for pack in packs)
    ]
