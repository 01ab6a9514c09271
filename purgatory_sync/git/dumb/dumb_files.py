"""What the files of a repository say (gitrepository-layout): refs, packs, loose objects."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from hashlib import sha1
from typing import Final

from ...errors import BadPack, NotGit, TooLarge
from ..pack.format import KIND_NAMES, KINDS_BY_NAME, TREE, GitObject
from ..pack.object_links import object_links, tree_entries

PACKS: Final = "objects/info/packs"

_REF: Final = re.compile(rb"([0-9a-f]{40})\t([^\0-\x20]+)")
_PACK: Final = re.compile(r"P (pack-[0-9a-f]{40})\.pack")
_HEADER: Final = re.compile(rb"(commit|tree|blob|tag) ([0-9]{1,12})")
_HEADER_BYTES: Final = 32
_LEAST_BYTES: Final = 41


class FileRefs:
    """The file info/refs, taken line by line as it arrives.

    Attributes:
      refs: (name, OID) in the file's order; what an annotated tag is of comes with the tag.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False

    def feed(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        """The refs among the next bytes: OID and name (a peeled tag's ends in `^{}`).

        Raises:
          NotGit: the file is none of git's.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        if not self._begun and len(self._rest) >= _LEAST_BYTES:
            _read_ref(self._rest + b"x")
        for line in lines:
            self._begun = True
            yield _read_ref(line)
        if len(self._rest) > 4096:
            raise NotGit("a page instead of git")

    def finish(self) -> None:
        """Judge the end of the file; raises as `feed`."""
        if self._rest or not self._begun:
            raise NotGit("a page instead of git")


def _read_ref(line: bytes) -> tuple[str, bytes]:
    match = _REF.fullmatch(line)
    if match is None:
        raise NotGit("a page instead of git")
    return match[1].decode(), match[2]


def listed_packs(file: bytes) -> list[str]:
    """The packs that objects/info/packs names, without suffix; other lines mean nothing."""
    lines = file.decode("utf-8", "replace").splitlines()
    return list(dict.fromkeys(m[1] for line in lines if (m := _PACK.fullmatch(line.strip()))))


def loose_path(oid: str) -> str:
    """Where an object lies that is in no pack."""
    return f"objects/{oid[:2]}/{oid[2:]}"


def read_loose(file: bytes, oid: str, max_bytes: int) -> GitObject:
    """The object in a file of its own.

    Args:
      oid: its name, which its bytes must have.
      max_bytes: of the object, inflated.

    Raises:
      BadPack: it is damaged, or another object.
      TooLarge: it is larger.
    """
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(file, max_bytes + _HEADER_BYTES)
    except zlib.error as error:
        raise BadPack(f"the file of object {oid} is damaged") from error
    header, nul, content = data.partition(b"\0")
    match = _HEADER.fullmatch(header)
    if not nul or match is None:
        raise BadPack(f"the file of object {oid} is damaged")
    if int(match[2]) > max_bytes:
        raise TooLarge(f"the loose object {oid} has more than {max_bytes} bytes")
    if not inflater.eof or int(match[2]) != len(content):
        raise BadPack(f"the file of object {oid} is damaged")
    found = GitObject(KINDS_BY_NAME[match[1]], content)
    if name_of(found) != oid:
        raise BadPack(f"the file of object {oid} holds another object")
    return found


def named_by(found: GitObject, most: int) -> list[str]:
    """The objects that an object points at, each once; gitlinks are left out.

    Raises:
      BadPack: it cannot be read.
      TooLarge: it is a tree that names more than so many.
    """
    if found.kind != TREE:
        return [link.name.hex() for link in object_links(found.kind, found.data)]
    names: dict[str, None] = {}
    for entry in tree_entries(found.data):
        if entry.kind is not None:
            names[entry.name.hex()] = None
        if len(names) > most:
            raise TooLarge(f"a loose tree names more than {most} objects")
    return [*names]


def name_of(found: GitObject) -> str:
    """The OID of an object."""
    head = b"%s %d\0" % (KIND_NAMES[found.kind], len(found.data))
    return sha1(head + found.data, usedforsecurity=False).hexdigest()
