"""The two forms in which refs lie on disk: loose files and `packed-refs`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import attrs

from ...errors import RepositoryError
from ...filenames import from_file_name, to_file_name

_HEADER = b"# pack-refs with: peeled fully-peeled sorted \n"
_TRAITS = re.compile(rb"# pack-refs with:([^\n]*)\n")
_ENTRY = re.compile(rb"([0-9a-f]{40}) ([^\n\r]+)\n(?:\^([0-9a-f]{40})\n)?")
_LOOSE = re.compile(rb"([0-9a-fA-F]{40})(?:\s|\Z)")
_SYMBOLIC = re.compile(rb"ref:\s*(\S+)\s*\Z")
_MAX_LOOSE_BYTES = 4096
_MAX_HOPS = 5
_NULL = "0" * 40


@attrs.frozen
class PackedRef:
    """A line of `packed-refs`.

    Attributes:
      oid: what the ref names.
      peeled: what the tag at `oid` names in the end; None when it is no tag (or, in a file that
        is not fully peeled, not known).
    """

    oid: str
    peeled: str | None = None


@attrs.frozen
class RefFiles:
    """All refs of a repository as they lie on disk.

    Names are text with surrogates for bytes that are no UTF-8, so that nothing is lost when
    `packed-refs` is written anew.

    Attributes:
      loose: name → OID of the loose files.
      symbolic: name → name, for loose files with `ref: …`.
      broken: names of loose files that hold neither.
      folders: folders below `refs/heads` and its like, inner ones first.
      packed: the lines of `packed-refs`.
      fully_peeled: whether the file says that it tells every annotated tag's target.
    """

    loose: Mapping[str, str]
    symbolic: Mapping[str, str]
    broken: frozenset[str]
    folders: tuple[str, ...]
    packed: Mapping[str, PackedRef]
    fully_peeled: bool

    @property
    def files(self) -> frozenset[str]:
        """The names that have a loose file, readable or not."""
        return self.broken.union(self.loose, self.symbolic)

    @property
    def names(self) -> frozenset[str]:
        """Every name that is taken, broken ones included."""
        return self.files.union(self.packed)

    def resolved(self) -> dict[str, str]:
        """Name → OID as git sees it: loose over packed, symbolic refs followed, broken ones not."""
        refs = {name: ref.oid for name, ref in self.packed.items()}
        for name in self.broken:
            refs.pop(name, None)
        refs.update(self.loose)
        for name in self.symbolic:
            refs.pop(name, None)
        plain = dict(refs)
        for name, target in self.symbolic.items():
            for _ in range(_MAX_HOPS):
                if target not in self.symbolic:
                    break
                target = self.symbolic[target]
            if target in plain:
                refs[name] = plain[target]
        return refs


def read_refs(repository: Path) -> RefFiles:
    """Read all refs; loose ones first, so that one being packed meanwhile is not missed.

    Raises:
      RepositoryError: `packed-refs` is damaged or a file cannot be read.
    """
    loose: dict[str, str] = {}
    symbolic: dict[str, str] = {}
    broken: set[str] = set()
    folders: list[str] = []
    try:
        for name in _loose_names(str(repository), "refs", folders):
            content = _read_loose(f"{repository}/{to_file_name(name)}")
            if match := _LOOSE.match(content):
                oid = match[1].decode().lower()
                if oid == _NULL:
                    broken.add(name)
                else:
                    loose[name] = oid
            elif match := _SYMBOLIC.match(content):
                symbolic[name] = _text(match[1])
            elif content or os.path.lexists(f"{repository}/{to_file_name(name)}"):
                broken.add(name)
        packed, fully_peeled = _read_packed(repository)
    except OSError as error:
        raise RepositoryError(f"the refs of {repository} cannot be read: {error}") from error
    return RefFiles(loose, symbolic, frozenset(broken), tuple(folders), packed, fully_peeled)


def _loose_names(repository: str, folder: str, folders: list[str]) -> list[str]:
    names: list[str] = []
    try:
        found = os.scandir(f"{repository}/{to_file_name(folder)}")
        entries = sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:
        return names
    for entry in entries:
        name = f"{folder}/{from_file_name(entry.name)}"
        if entry.is_dir(follow_symlinks=False):
            names += _loose_names(repository, name, folders)
            if folder != "refs":
                folders.append(name)
        elif entry.is_file() and not entry.name.endswith(".lock"):
            names.append(name)
    return names


def _read_loose(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_MAX_LOOSE_BYTES)
    except FileNotFoundError:
        return b""


def _read_packed(repository: Path) -> tuple[dict[str, PackedRef], bool]:
    try:
        with open(f"{repository}/packed-refs", "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return {}, True
    header = _TRAITS.match(content)
    at = header.end() if header else 0
    packed: dict[str, PackedRef] = {}
    for match in _ENTRY.finditer(content, at):
        if match.start() != at:
            break
        peeled = match[3].decode() if match[3] else None
        packed[_text(match[2])] = PackedRef(match[1].decode(), peeled)
        at = match.end()
    if at != len(content):
        line = content.count(b"\n", 0, at) + 1
        raise RepositoryError(
            f"{repository}/packed-refs is damaged in line {line}; repair or remove that line"
        )
    return packed, header is not None and b"fully-peeled" in header[1].split()


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def format_packed(packed: Mapping[str, PackedRef]) -> bytes:
    """The content of a `packed-refs` in which every annotated tag's target is told."""
    lines = [_HEADER]
    for name, ref in sorted((_bytes(name), ref) for name, ref in packed.items()):
        lines.append(b"%s %s\n" % (ref.oid.encode(), name))
        if ref.peeled is not None:
            lines.append(b"^%s\n" % ref.peeled.encode())
    return b"".join(lines)
