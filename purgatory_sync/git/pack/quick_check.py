"""What an object points at, and whether it is of a form that git is known to accept.

A white list: what these patterns do not know raises `Unsure`; a judge that knows all of git's
rules then decides. So a mistake here costs time, not safety.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .format import BLOB, COMMIT, KINDS_BY_NAME, TREE
from .object_links import Link
from .reader import Unsure

_IDENTITY = rb"[^<>\n\0 ][^<>\n\0]* <[^<>\n\0]*> (?:0|[1-9][0-9]{0,10}) [+-][0-9]{4}\n"
_COMMIT = re.compile(
    rb"tree ([0-9a-f]{40})\n"
    rb"((?:parent [0-9a-f]{40}\n)*)"
    rb"author "
    + _IDENTITY
    + rb"committer "
    + _IDENTITY
    + rb"(?:[a-zA-Z][^\n\0]*\n(?: [^\n\0]*\n)*)*"
    rb"\n[^\0]*\Z"
)
_TAG = re.compile(
    rb"object ([0-9a-f]{40})\n"
    rb"type (commit|tree|blob|tag)\n"
    rb"tag [A-Za-z0-9][A-Za-z0-9._+-]*\n"
    rb"tagger " + _IDENTITY + rb"\n[^\0]*\Z"
)
_TREE_ENTRY = re.compile(rb"(100644|100755|120000|40000|160000) ([^/\0]+)\0(.{20})", re.DOTALL)
# Names with a meaning for git, or that some file system takes for one with such a meaning.
_SPECIAL_NAME = re.compile(
    rb"^\.{1,2}$|^\.git(?:[ .:]|$)|^\.gitmodules|^\.gitattributes.|^\.?g[a-z0-9]*~"
    rb"|[\\:]|\xe2\x80|\xe2\x81|\xef\xbb\xbf|~[0-9]",
    re.IGNORECASE,
)
_NULL = bytes(20)
_MAX_ATTRIBUTES_BYTES = 1 << 20
_MAX_ATTRIBUTES_LINE_BYTES = 2000


class Links(NamedTuple):
    """Where an object points.

    Attributes:
      all: every object that must be there too (gitlinks need not).
      attributes: those of them that are read as `.gitattributes`.
    """

    all: list[Link]
    attributes: list[bytes]


_NO_LINKS = Links([], [])


def check_object(kind: int, data: bytes) -> Links:
    """Judge an object's form, and say where it points.

    Raises:
      Unsure: it may be sound or not.
    """
    if kind == BLOB:
        return _NO_LINKS
    if kind == TREE:
        return _check_tree(data)
    if kind == COMMIT:
        return Links(_check_commit(data), [])
    return Links([_check_tag(data)], [])


def check_attributes(data: bytes) -> None:
    """Judge the content of a `.gitattributes`: git refuses long lines there.

    Raises:
      Unsure: it may be sound or not.
    """
    if len(data) > _MAX_ATTRIBUTES_BYTES:
        raise Unsure("a large .gitattributes")
    if max(map(len, data.split(b"\n"))) > _MAX_ATTRIBUTES_LINE_BYTES:
        raise Unsure("a .gitattributes with a long line")


def _check_tree(data: bytes) -> Links:
    at, last = 0, b""
    links, attributes = [], []
    paths = set()
    for match in _TREE_ENTRY.finditer(data):
        if match.start() != at:
            break
        at = match.end()
        mode, path, name = match.groups()
        if name == _NULL or _SPECIAL_NAME.search(path):
            raise Unsure("a special name in a tree")
        # git sorts folders as if their names ended in a slash, so that a file and a folder of
        # one name need not stand side by side.
        key = path + (b"/" if mode == b"40000" else b"\0")
        if key <= last or path in paths:
            raise Unsure("a tree out of order")
        last = key
        paths.add(path)
        if mode != b"160000":
            links.append(Link(name, TREE if mode == b"40000" else BLOB))
        if path.lower() == b".gitattributes":
            if not mode.startswith(b"100"):
                raise Unsure("a .gitattributes that is no file")
            attributes.append(name)
    if at != len(data):
        raise Unsure("a tree of unusual form")
    return Links(links, attributes)


def _check_commit(data: bytes) -> list[Link]:
    match = _COMMIT.match(data)
    if match is None:
        raise Unsure("a commit of unusual form")
    parents = match[2].splitlines()
    return [
        Link(bytes.fromhex(match[1].decode()), TREE),
        *(Link(bytes.fromhex(line[7:].decode()), COMMIT) for line in parents),
    ]


def _check_tag(data: bytes) -> Link:
    match = _TAG.match(data)
    if match is None:
        raise Unsure("a tag of unusual form")
    return Link(bytes.fromhex(match[1].decode()), KINDS_BY_NAME[match[2]])
