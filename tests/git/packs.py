"""Objects, packs and hostile packs, built by hand."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from hashlib import sha1
from pathlib import Path

from purgatory_sync.git.disk.layout import CONFIG, UNBORN_HEAD
from purgatory_sync.git.pack.format import (
    BLOB,
    COMMIT,
    KIND_NAMES,
    OFS_DELTA,
    REF_DELTA,
    TAG,
    TREE,
    GitObject,
)
from purgatory_sync.git.pack.reader import object_name
from purgatory_sync.git.pack.thin_packs import encode_entry_header

WHO = b"A U Thor <a@example.com> 1700000000 +0100"


def name_of(object: GitObject) -> bytes:
    return object_name(object.kind, object.data)


def oid_of(object: GitObject) -> str:
    return name_of(object).hex()


def blob(data: bytes) -> GitObject:
    return GitObject(BLOB, data)


def tree(*entries: tuple[bytes, bytes, GitObject | bytes]) -> GitObject:
    """Entries as (mode, file name, object or 20-byte name), in the order given."""
    lines = []
    for mode, path, target in entries:
        name = target if isinstance(target, bytes) else name_of(target)
        lines.append(mode + b" " + path + b"\0" + name)
    return GitObject(TREE, b"".join(lines))


def commit(root: GitObject, *parents: GitObject, message: bytes = b"m\n") -> GitObject:
    lines = [b"tree " + oid_of(root).encode()]
    lines += [b"parent " + oid_of(parent).encode() for parent in parents]
    lines += [b"author " + WHO, b"committer " + WHO, b"", message]
    return GitObject(COMMIT, b"\n".join(lines))


def tag(target: GitObject, name: bytes = b"v1", kind: bytes | None = None) -> GitObject:
    lines = [
        b"object " + oid_of(target).encode(),
        b"type " + (kind or KIND_NAMES[target.kind]),
        b"tag " + name,
        b"tagger " + WHO,
        b"",
        b"m\n",
    ]
    return GitObject(TAG, b"\n".join(lines))


def history(commits: int, label: bytes = b"file") -> list[GitObject]:
    """Blob, tree and commit for each of some commits, each on the one before."""
    objects: list[GitObject] = []
    parents: list[GitObject] = []
    for i in range(commits):
        content = blob(label + b" %d\n" % i * 20)
        root = tree((b"100644", b"a.txt", content))
        tip = commit(root, *parents)
        objects += [content, root, tip]
        parents = [tip]
    return objects


def with_trailer(pack: bytes | bytearray) -> bytes:
    return bytes(pack) + sha1(pack, usedforsecurity=False).digest()


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def delta(base: bytes, result: bytes) -> bytes:
    """Instructions that insert the whole result."""
    inserts = [result[at : at + 127] for at in range(0, len(result), 127)]
    return (
        varint(len(base))
        + varint(len(result))
        + b"".join(bytes([len(piece)]) + piece for piece in inserts)
    )


def copying_delta(base_size: int, times: int) -> bytes:
    """Instructions that copy the first 64 KiB of the base again and again."""
    return varint(base_size) + varint(times << 16) + b"\x80" * times


class PackBuilder:
    """A pack written entry by entry; nothing keeps it from being nonsense."""

    def __init__(self) -> None:
        self._body = bytearray()
        self.count = 0

    def add(self, object: GitObject) -> int:
        return self.raw(object.kind, len(object.data), b"", object.data)

    def ofs_delta(self, base_at: int, instructions: bytes) -> int:
        distance = 12 + len(self._body) - base_at
        encoded = bytearray([distance & 0x7F])
        distance >>= 7
        while distance:
            distance -= 1
            encoded.insert(0, distance & 0x7F | 0x80)
            distance >>= 7
        return self.raw(OFS_DELTA, len(instructions), bytes(encoded), instructions)

    def ref_delta(self, base: bytes, instructions: bytes) -> int:
        return self.raw(REF_DELTA, len(instructions), base, instructions)

    def raw(self, kind: int, size: int, base: bytes, content: bytes) -> int:
        """Any entry; returns where it begins."""
        at = 12 + len(self._body)
        self._body += encode_entry_header(kind, size) + base + zlib.compress(content)
        self.count += 1
        return at

    def build(self, count: int | None = None, extra: bytes = b"") -> bytes:
        number = self.count if count is None else count
        return with_trailer(b"PACK" + struct.pack(">LL", 2, number) + self._body + extra)


def make_repository(path: Path, objects: Sequence[GitObject] = ()) -> Path:
    """A bare repository with loose objects; not brought to the disk, tests do not outlive it."""
    for folder in ("objects/pack", "refs"):
        (path / folder).mkdir(parents=True)
    (path / "HEAD").write_text(f"ref: {UNBORN_HEAD}\n")
    (path / "config").write_bytes(CONFIG)
    write_loose(path, objects)
    return path


def write_loose(repository: Path, objects: Iterable[GitObject], name: bytes | None = None) -> None:
    for object in objects:
        oid = (name or name_of(object)).hex()
        file = repository / "objects" / oid[:2] / oid[2:]
        file.parent.mkdir(exist_ok=True)
        header = b"%s %d\0" % (KIND_NAMES[object.kind], len(object.data))
        file.write_bytes(zlib.compress(header + object.data))
