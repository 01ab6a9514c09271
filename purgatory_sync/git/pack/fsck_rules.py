"""The rules for objects that are received, for machines without git: fsck_table, id by id.

Refused is what git refuses as `index_git` calls it.
"""

from __future__ import annotations

import re

import attrs

from ...errors import BadPack
from .format import BLOB, COMMIT, TREE
from .module_file import judge_module_file
from .object_links import COMMIT_HEAD, TAG_HEAD, Link, TreeEntry, object_links, tree_entries

MAX_SPECIAL_BYTES = 16 << 20
"""git, too, judges no `.gitmodules` and no `.gitattributes` beyond that (core.bigFileThreshold)."""

_NULL = bytes(20)
_SYMLINK = 0o120000
_MAX_ATTRIBUTES_LINE_BYTES = 2048
_IGNORED_ON_HFS = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_SHORT_ON_NTFS = re.compile(r"(?:gitmod|gitatt|g(?:i(?:7[0-9a-f]*)?)?)~[0-9]+")


@attrs.frozen
class Judged:
    """What a sound object means for others.

    Attributes:
      links: what must be there too.
      modules: names of what is read as `.gitmodules`.
      attributes: names of what is read as `.gitattributes`.
    """

    links: list[Link]
    modules: list[bytes] = attrs.field(factory=list)
    attributes: list[bytes] = attrs.field(factory=list)


def judge_object(kind: int, data: bytes) -> Judged:
    """Judge one object by itself.

    Raises:
      BadPack: git would not accept it.
    """
    if kind == BLOB:
        return Judged([])
    if kind == TREE:
        return _judge_tree(data)
    _judge_headers(data)
    links = object_links(kind, data)
    if kind == COMMIT:
        _judge_commit(data)
    else:
        _judge_tag(data)
    return Judged(links)


def judge_modules(kind: int, data: bytes) -> None:
    """Judge what is read as `.gitmodules`: clones follow what it says.

    Raises:
      BadPack: it would endanger them.
    """
    if kind == BLOB:  # git does not read a folder of that name
        judge_module_file(data)


def judge_attributes(kind: int, data: bytes) -> None:
    """Judge what is read as `.gitattributes`.

    Raises:
      BadPack: git would not accept it.
    """
    lines = data.partition(b"\0")[0].split(b"\n")
    if kind == BLOB and max(map(len, lines)) >= _MAX_ATTRIBUTES_LINE_BYTES:
        raise BadPack("a .gitattributes with a line that is too long (gitattributesLineLength)")


def _judge_tree(data: bytes) -> Judged:
    judged = Judged([])
    for entry in tree_entries(data):
        _judge_entry(entry, judged)
        if entry.kind is not None:
            judged.links.append(Link(entry.name, entry.kind))
    return judged


def _judge_entry(entry: TreeEntry, judged: Judged) -> None:
    # One of no known type is a submodule's commit for git.
    type_bits = int(entry.mode, 8) & 0o170000
    if entry.path in (b".", b"..") or b"/" in entry.path:
        raise BadPack("a tree's entry that leads elsewhere (hasDot, hasDotdot, fullPathname)")
    if entry.name == _NULL and entry.kind is not None:
        raise BadPack("a tree's entry that names nothing (nullSha1)")
    read_as = _special_names(entry.path)
    if "gitmodules" in read_as:
        if type_bits == _SYMLINK:
            raise BadPack("a .gitmodules that is a symbolic link (gitmodulesSymlink)")
        judged.modules.append(entry.name)
    if "gitattributes" in read_as and type_bits != _SYMLINK:
        judged.attributes.append(entry.name)


def _special_names(path: bytes) -> set[str]:
    """As which of git's own files some file system reads a name."""
    found = set()
    for part in path.decode("utf-8", errors="replace").split("\\"):
        on_hfs = _IGNORED_ON_HFS.sub("", part).lower()
        on_ntfs = part.lower().partition(":")[0].rstrip(" .")
        found |= {on_hfs[1:], on_ntfs[1:]} if part[:1] in ".\u200c\ufeff" else {on_hfs[1:]}
        if _SHORT_ON_NTFS.fullmatch(on_ntfs):
            found |= {"gitmodules", "gitattributes"}
    return found & {"gitmodules", "gitattributes"}


def _judge_headers(data: bytes) -> None:
    head, blank, _ = data.partition(b"\n\n")
    if b"\0" in head:
        raise BadPack("a NUL in the header of a commit or tag")
    if not blank and not data.endswith(b"\n"):
        raise BadPack("a commit or tag whose header does not end")


def _judge_commit(data: bytes) -> None:
    if COMMIT_HEAD.match(data) is None:
        raise BadPack("a commit that does not parse")


def _judge_tag(data: bytes) -> None:
    head = TAG_HEAD.match(data)
    if head is None:
        raise BadPack("a tag that does not parse")
    line, newline, _ = data[head.end() :].partition(b"\n")
    if not newline or not line.startswith(b"tag "):
        raise BadPack("a tag without a name (missingTagEntry, missingTag)")
