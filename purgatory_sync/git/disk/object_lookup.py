"""Which objects a repository has, of what type they are, and what tags name in the end."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from ...errors import LocalFailure, RepositoryError
from ..pack.format import KIND_NAMES
from .object_reader import StoredObjects, TooBigToRead

_MAX_TAG_BYTES = 64 * 1024 * 1024
_MAX_COMMIT_BYTES = 1024 * 1024
_MAX_TAGS_ON_TAGS = 100
_OID = re.compile(r"[0-9a-f]{40}")
_TAG = re.compile(rb"object ([0-9a-f]{40})\ntype (?:commit|tree|blob|tag)\n")
_COMMITTER = re.compile(rb"\ncommitter [^\n]*> ([0-9]{1,18}) ")


def is_oid(text: str) -> bool:
    """Whether a text is a SHA-1 object name: 40 lower-case hex digits."""
    return _OID.fullmatch(text) is not None


def existing(repository: Path, oids: Collection[str]) -> frozenset[str]:
    """Those of the OIDs that are here; a second look is taken before a miss is believed.

    Raises:
      RepositoryError: the index of a pack is damaged.
    """
    found: set[str] = set()
    wanted = {oid: bytes.fromhex(oid) for oid in oids if is_oid(oid)}
    try:
        for _ in range(2):
            if not wanted:
                break
            with StoredObjects(repository) as objects:
                found.update(oid for oid, name in wanted.items() if objects.glance(name))
            wanted = {oid: name for oid, name in wanted.items() if oid not in found}
    except LocalFailure as error:
        raise RepositoryError(str(error)) from error
    return frozenset(found)


class ObjectLookup:
    """Answers questions about the objects of one repository; open it for one call only.

    An object that is damaged counts as missing.

    Raises:
      RepositoryError: the index of a pack is damaged (when it is opened).
    """

    def __init__(self, repository: Path) -> None:
        try:
            self._objects = StoredObjects(repository)
        except LocalFailure as error:
            raise RepositoryError(str(error)) from error

    def __enter__(self) -> ObjectLookup:
        return self

    def __exit__(self, *exc: object) -> None:
        self._objects.close()

    def kind(self, oid: str) -> str | None:
        """`commit`, `tree`, `blob` or `tag`; None when the object is missing."""
        try:
            kind = self._objects.kind(bytes.fromhex(oid)) if is_oid(oid) else None
        except LocalFailure:
            return None
        return KIND_NAMES[kind].decode() if kind in KIND_NAMES else None

    def peel(self, oid: str) -> tuple[str, str] | None:
        """The object that a tag (or a chain of tags) names, and its type; any other object itself.

        Returns None when an object on the way is missing.
        """
        for _ in range(_MAX_TAGS_ON_TAGS):
            kind = self.kind(oid)
            if kind != "tag":
                return (oid, kind) if kind else None
            tag = _TAG.match(self._read(oid, _MAX_TAG_BYTES))
            if tag is None:
                return None
            oid = tag[1].decode()
        return None

    def commit_time(self, oid: str) -> int:
        """The committer's time in Unix seconds; 0 where it cannot be read."""
        match = _COMMITTER.search(self._read(oid, _MAX_COMMIT_BYTES))
        return int(match[1]) if match else 0

    def _read(self, oid: str, max_bytes: int) -> bytes:
        try:
            found = self._objects.read(bytes.fromhex(oid), max_bytes)
        except (LocalFailure, TooBigToRead):
            return b""
        return found.data if found else b""
