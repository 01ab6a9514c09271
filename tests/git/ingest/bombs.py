"""Packs that are small and mean to be large, and a process of its own to prove them in.

`python -m tests.git.ingest.bombs WAY` proves one after the other and prints a line of JSON for
each: its name and size, the error, the seconds that it took, and by how many bytes the peak memory
of the process, and of its largest child, exceeds by then what an honest pack needs.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import trio

from purgatory_sync.errors import AttemptFailed
from purgatory_sync.git.ingest import sink as ingest
from purgatory_sync.git.pack.format import BLOB
from purgatory_sync.git.pack.reader import UnpackLimits
from purgatory_sync.git.pack.thin_packs import encode_entry_header
from purgatory_sync.settings import GIB, MIB, HuntSettings

from ..packs import (
    PackBuilder,
    blob,
    copying_delta,
    delta,
    history,
    make_repository,
    varint,
    with_trailer,
)

_HEAD = b"PACK\0\0\0\2"
_BASE_BYTES = 1 << 16
# Not to be compressed, so that the packs have the sizes that such bombs are known by.
_BASE = Random(7).randbytes(_BASE_BYTES)


def _zeros(size: int) -> bytes:
    """The zlib stream of so many bytes of zeros (whole MiB): all of its blocks are the same."""
    deflate = zlib.compressobj(9, wbits=-15)
    deflate.compress(bytes(MIB))
    deflate.flush(zlib.Z_FULL_FLUSH)
    block = deflate.compress(bytes(MIB)) + deflate.flush(zlib.Z_FULL_FLUSH)
    adler = (size % 65521) << 16 | 1
    return b"\x78\xda" + block * (size // MIB) + b"\3\0" + adler.to_bytes(4, "big")


def _single(declared: int) -> bytes:
    entry = encode_entry_header(BLOB, declared) + _zeros(GIB)
    return with_trailer(_HEAD + (1).to_bytes(4, "big") + entry)


def _delta() -> bytes:
    pack = PackBuilder()
    base = pack.add(blob(_BASE))
    pack.ofs_delta(base, copying_delta(_BASE_BYTES, GIB // _BASE_BYTES))
    return pack.build()


def _long_delta() -> bytes:
    """A megabyte of instructions, each of which copies four kilobytes from anywhere."""
    pack = PackBuilder()
    base = pack.add(blob(_BASE))
    where = Random(8).randbytes(2 * (GIB // 4096))
    copies = [b"\xa3%b\x10" % where[at : at + 2] for at in range(0, len(where), 2)]
    steps = varint(_BASE_BYTES) + varint(GIB) + b"".join(copies)
    pack.ofs_delta(base, steps)
    return pack.build()


def _doubling_chain() -> bytes:
    pack = PackBuilder()
    at, size = pack.add(blob(_BASE)), _BASE_BYTES
    while size < 4 * GIB:
        twice = _copy(size) * 2
        at = pack.ofs_delta(at, varint(size) + varint(2 * size) + twice)
        size *= 2
    return pack.build()


def _wide_chain() -> bytes:
    """Each object is small enough, and the pack of 66 kB is 4 GiB together."""
    pack = PackBuilder()
    size = 64 * MIB
    at = pack.add(blob(_BASE))
    at = pack.ofs_delta(at, copying_delta(_BASE_BYTES, size // _BASE_BYTES))
    for number in range(63):
        tail = b"\x08%08d" % number
        at = pack.ofs_delta(at, varint(size) + varint(size) + _copy(size - 8) + tail)
    return pack.build()


def _copy(size: int) -> bytes:
    """Instructions that copy the first bytes of the base, 16 MiB less a byte at a time."""
    steps, at = b"", 0
    while at < size:
        length = min(size - at, 0xFFFFFF)
        steps += b"\xff" + at.to_bytes(4, "little") + length.to_bytes(3, "little")
        at += length
    return steps


def _empty_blobs() -> bytes:
    entry = encode_entry_header(BLOB, 0) + zlib.compress(b"")
    return with_trailer(_HEAD + (1_000_000).to_bytes(4, "big") + entry * 1_000_000)


def _of_itself() -> bytes:
    pack = PackBuilder()
    pack.add(blob(b"x" * 100 + bytes(range(100))))
    here = 12 + len(pack.build()) - 32
    pack.ofs_delta(here, delta(bytes(200), b"y"))
    return pack.build()


def _honest() -> bytes:
    pack = PackBuilder()
    for object in history(2):
        pack.add(object)
    return pack.build()


BOMBS: dict[str, Callable[[], bytes]] = {
    "zlib": lambda: _single(GIB),
    "zlib that lies": lambda: _single(8),
    "delta": _delta,
    "long delta": _long_delta,
    "doubling chain": _doubling_chain,
    "wide chain": _wide_chain,
    "a million empty blobs": _empty_blobs,
    "delta of itself": _of_itself,
}


def _large_file() -> bytes:
    """Within the limits; git need not have it in memory whole, dulwich must."""
    entry = encode_entry_header(BLOB, 192 * MIB) + _zeros(192 * MIB)
    return with_trailer(_HEAD + (1).to_bytes(4, "big") + entry)


async def _prove(pack: bytes, way: str, folder: Path) -> str:
    settings = HuntSettings(min_free_bytes=0, ingest="auto" if way == "small" else way)  # type: ignore[arg-type]
    repository = folder / "r.git"
    try:
        async with ingest.Ingest(settings, folder / "tmp").open_sink(repository) as sink:
            for at in range(0, len(pack), 65536):
                await sink.write(pack[at : at + 65536])
            await (await sink.prove(["12" * 20])).discard()
    except AttemptFailed as error:
        return type(error).__name__
    return ""


def _peaks() -> tuple[int, int]:
    who = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    own, children = (resource.getrusage(each).ru_maxrss * 1024 for each in who)
    return own, children


def main(way: str) -> None:
    """Prove an honest pack, then each bomb; print what they took."""
    if way == "dulwich":
        ingest.SMALL_LIMITS = UnpackLimits(0, 0, 0, 0)
    packs = {name: make() for name, make in BOMBS.items()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_repository(folder / "r.git")
        # The small way starts git for what it cannot judge; the first child weighs the most.
        for honest in {way, "git" if way == "small" else way}:
            if error := trio.run(_prove, _honest(), honest, folder):
                raise RuntimeError(f"an honest pack was refused: {error}")
        if way != "dulwich":
            packs["a large file"] = _large_file()
        before = _peaks()
        for name, pack in packs.items():
            start = time.perf_counter()
            error = trio.run(_prove, pack, way, folder)
            secs = round(time.perf_counter() - start, 3)
            own, children = (now - then for now, then in zip(_peaks(), before, strict=True))
            line = {"name": name, "bytes": len(pack), "error": error, "secs": secs}
            print(json.dumps(line | {"own": own, "children": children}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
