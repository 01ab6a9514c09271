"""Where objects of any form that git accepts point, unusual forms included."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from ...errors import BadPack
from .format import BLOB, COMMIT, KINDS_BY_NAME, TREE

_HEX = rb"([0-9a-fA-F]{40})\n"
COMMIT_HEAD: Final = re.compile(
    rb"tree " + _HEX + rb"((?:parent [0-9a-fA-F]{40}\n)*)(?!parent )", re.DOTALL
)
TAG_HEAD: Final = re.compile(rb"object " + _HEX + rb"type (commit|tree|blob|tag)\n")

_TYPE_BITS = 0o170000
_FOLDER = 0o040000
_FILES = (0o100000, 0o120000)


class Link(NamedTuple):
    """What an object points at: a 20-byte name and the type that it must have."""

    name: bytes
    kind: int


class TreeEntry(NamedTuple):
    """A tree's entry: the mode as written, the file name, the 20-byte name of what it names."""

    mode: bytes
    path: bytes
    name: bytes

    @property
    def kind(self) -> int | None:
        """The type of what it names; None for a submodule's commit, which need not be here."""
        return _kind_of_mode(self.mode)


@lru_cache(maxsize=256)
def _kind_of_mode(mode: bytes) -> int | None:
    type_bits = int(mode, 8) & _TYPE_BITS
    if type_bits == _FOLDER:
        return TREE
    return BLOB if type_bits in _FILES else None


def tree_entries(data: bytes) -> Iterator[TreeEntry]:
    """The entries of a tree, in its order.

    Raises:
      BadPack: it cannot be read.
    """
    at, size = 0, len(data)
    while at < size:
        space = data.find(b" ", at, at + 32)
        nul = data.find(b"\0", space)
        mode = data[at:space]
        if space < 0 or nul <= space + 1 or nul + 21 > size or not mode or mode.strip(b"01234567"):
            raise BadPack("a damaged tree")
        yield TreeEntry(mode, data[space + 1 : nul], data[nul + 1 : nul + 21])
        at = nul + 21


def object_links(kind: int, data: bytes) -> list[Link]:
    """What an object points at; gitlinks are left out.

    Raises:
      BadPack: it cannot be read.
    """
    if kind == BLOB:
        return []
    if kind == TREE:
        entries = ((entry.name, entry.kind) for entry in tree_entries(data))
        return [Link(name, of) for name, of in entries if of is not None]
    if kind == COMMIT:
        match = COMMIT_HEAD.match(data)
        if match is None:
            raise BadPack("a damaged commit")
        parents = match[2].splitlines()
        return [
            Link(bytes.fromhex(match[1].decode()), TREE),
            *(Link(bytes.fromhex(line[7:].decode()), COMMIT) for line in parents),
        ]
    match = TAG_HEAD.match(data)
    if match is None:
        raise BadPack("a damaged tag")
    return [Link(bytes.fromhex(match[1].decode()), KINDS_BY_NAME[match[2]])]
