"""git's rules for objects that are received (fsck.c), for machines without git.

Refused is what `index-pack --strict` refuses with the exceptions of `index_git`, and the odd case
more; nothing that git refuses is accepted knowingly.
"""

from __future__ import annotations

import re
from io import BytesIO
from urllib.parse import unquote, urlsplit

import attrs
from dulwich.config import ConfigFile

from ...errors import BadPack
from .format import BLOB, COMMIT, TREE
from .object_links import COMMIT_HEAD, TAG_HEAD, Link, TreeEntry, object_links, tree_entries

MAX_SPECIAL_BYTES = 1 << 20

_NULL = bytes(20)
_KNOWN_TYPES = {0o040000, 0o100000, 0o120000, 0o160000}
_SYMLINK = 0o120000
_MAX_ATTRIBUTES_LINE_BYTES = 2048
_IGNORED_ON_HFS = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_SHORT_ON_NTFS = re.compile(r"(?:gitmod|gitatt|g(?:i(?:7[0-9a-f]*)?)?)~[0-9]+")
# Name and address, then a date and a zone; a date without space before it is let pass, and so is
# a zone of another form.
_IDENTITY = re.compile(rb"[^<>\n]* <[^<>\n]*>(?:[^ \n][^\n]*| +(0|[1-9][0-9]*) [^\n]*|)\n")
_MAX_TIME = 2**63 - 1


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
      BadPack: git would not accept it, or it cannot be understood.
    """
    if kind != BLOB:
        raise BadPack("a .gitmodules that is no file")
    try:
        config = ConfigFile.from_file(BytesIO(data))
    except ValueError as error:
        raise BadPack(f"a .gitmodules that cannot be understood: {error}") from error
    for section in config.sections():
        if section[0].lower() != b"submodule" or len(section) < 2:
            continue
        _judge_module_name(section[1])
        for key, value in config.items(section):
            _judge_module_value(key.lower(), value)


def judge_attributes(kind: int, data: bytes) -> None:
    """Judge what is read as `.gitattributes`.

    Raises:
      BadPack: git would not accept it.
    """
    if kind != BLOB:
        raise BadPack("a .gitattributes that is no file")
    if max(map(len, data.split(b"\n"))) >= _MAX_ATTRIBUTES_LINE_BYTES:
        raise BadPack("a .gitattributes with a line that is too long")


def _judge_tree(data: bytes) -> Judged:
    judged = Judged([])
    last = b""
    paths = set()
    for entry in tree_entries(data):
        _judge_entry(entry, judged)
        key = entry.path + (b"/" if entry.kind == TREE else b"\0")
        if entry.path in paths:
            raise BadPack("a tree with two entries of one name")
        if key <= last:
            raise BadPack("a tree that is not sorted")
        last = key
        paths.add(entry.path)
        if entry.kind is not None:
            judged.links.append(Link(entry.name, entry.kind))
    return judged


def _judge_entry(entry: TreeEntry, judged: Judged) -> None:
    type_bits = int(entry.mode, 8) & 0o170000
    if type_bits not in _KNOWN_TYPES:
        raise BadPack("a tree's entry of an unknown mode")
    if entry.path in (b".", b"..") or b"/" in entry.path:
        raise BadPack("a tree's entry that leads elsewhere")
    if entry.name == _NULL:
        raise BadPack("a tree's entry that names nothing")
    read_as = _special_names(entry.path)
    if "gitmodules" in read_as:
        if type_bits == _SYMLINK:
            raise BadPack("a .gitmodules that is a symbolic link")
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
    head = COMMIT_HEAD.match(data)
    if head is None or b"\0" in data:
        raise BadPack("a damaged commit, or one with a NUL")
    rest = _judge_identity(data[head.end() :], b"author ")
    if rest.startswith(b"author "):
        raise BadPack("a commit with several authors")
    _judge_identity(rest, b"committer ")


def _judge_tag(data: bytes) -> None:
    head = TAG_HEAD.match(data)
    if head is None:
        raise BadPack("a damaged tag")
    rest = data[head.end() :]
    line, newline, rest = rest.partition(b"\n")
    if not newline or not line.startswith(b"tag "):
        raise BadPack("a tag without a name")
    if rest.startswith(b"tagger "):
        _judge_identity(rest, b"tagger ")


def _judge_identity(data: bytes, role: bytes) -> bytes:
    """Judge the line that says who and when; returns what follows it."""
    if not data.startswith(role):
        raise BadPack(f"a commit without its {role.decode().strip()} line")
    match = _IDENTITY.match(data, len(role))
    if match is None or data[len(role) :].startswith(b"<"):
        raise BadPack(f"a damaged {role.decode().strip()} line")
    if match[1] and int(match[1][:40]) > _MAX_TIME:
        raise BadPack("a date beyond all times")
    return data[match.end() :]


def _judge_module_name(name: bytes) -> None:
    if not name or b".." in re.split(rb"[/\\]", name):
        raise BadPack("a .gitmodules with a name that leads elsewhere")


def _judge_module_value(key: bytes, value: bytes) -> None:
    if key in (b"url", b"path") and value.startswith(b"-"):
        raise BadPack(f"a .gitmodules whose {key.decode()} is an option")
    if key == b"update" and value.startswith(b"!"):
        raise BadPack("a .gitmodules that runs a command")
    if key == b"url" and not _is_sound_url(value.decode("utf-8", errors="replace")):
        raise BadPack("a .gitmodules with a URL that misleads")


def _is_sound_url(url: str) -> bool:
    if "\n" in unquote(url):
        return False
    _, _, behind = url.partition("::")
    for text in (url, behind):
        if text.lower().startswith(("http:", "https:", "ftp:", "ftps:")):
            try:
                return bool(urlsplit(text).hostname)
            except ValueError:
                return False
    return True
