"""Connectivity check (N5): every object that a new object references must exist here.

A repository is closed because only closed packs ever join it; so it is enough to follow the links
of what is new by one step. Data that another program wrote is walked in full.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ...errors import BadPack, LocalFailure, NotClosed
from ..disk.object_reader import StoredObjects, TooBigToRead
from ..pack.format import BLOB, COMMIT, KIND_NAMES, TREE, GitObject
from ..pack.object_links import Link, object_links, tree_entries
from ..pack.quick_check import check_attributes, check_object
from ..pack.reader import Unpacked, Unsure

MAX_WALKED_BYTES = 256 << 20
"""Commits, tags and trees larger than this count as incomplete in a full walk."""

_MAX_RELATIVES = 64
_MAX_RELATIVE_BYTES = 4 << 20
_FEW_LINKS = 32


def check_closure(unpacked: Unpacked, stored: StoredObjects) -> None:
    """Judge each object of a small pack, and that all it needs is in the pack or stored.

    Raises:
      NotClosed: something is in neither.
      BadPack: an object is not of the type that another says it is.
      Unsure: an object is of a form that only git can judge.
    """
    needed: dict[bytes, int] = {}
    attributes: set[bytes] = set()
    for name, object in unpacked.objects.items():
        _require_same(name, object, stored)
        links = check_object(*object)
        for target, of in links.all:
            if needed.setdefault(target, of) != of:
                raise BadPack(f"{target.hex()} is named as two different types")
        attributes.update(links.attributes)
    outside = [Link(*link) for link in needed.items() if not _is_inside(Link(*link), unpacked)]
    vouched = _vouched(unpacked, stored, len(outside))
    for link in outside:
        if link not in vouched:
            require_stored(link, stored)
    for name in attributes:
        _check_attributes(name, unpacked, stored)


def require_stored(link: Link, stored: StoredObjects) -> None:
    """Require that the repository has an object, and that it is of the type said.

    Raises:
      NotClosed: it is missing.
      BadPack: it is of another type.
    """
    kind = stored.kind(link.name)
    if kind is None:
        raise NotClosed(f"the {KIND_NAMES[link.kind].decode()} {link.name.hex()} did not come")
    if kind != link.kind:
        raise BadPack(f"{link.name.hex()} is no {KIND_NAMES[link.kind].decode()}")


def require_same(name: bytes, object: GitObject, stored: StoredObjects, max_bytes: int) -> None:
    """Require that an object which the repository has already is the same there.

    hashlib does not detect SHA-1 collisions; a name that comes with other bytes is one (or damage).

    Raises:
      BadPack: it is another one.
      TooBigToRead: what is stored is larger than `max_bytes`.
    """
    if stored.glance(name) and stored.read(name, max_bytes) not in (object, None):
        raise BadPack(f"{name.hex()} is here already with other bytes: a SHA-1 collision")


def _is_inside(link: Link, unpacked: Unpacked) -> bool:
    object = unpacked.objects.get(link.name)
    if object is not None and object.kind != link.kind:
        raise BadPack(f"{link.name.hex()} is no {KIND_NAMES[link.kind].decode()}")
    return object is not None


def _require_same(name: bytes, object: GitObject, stored: StoredObjects) -> None:
    try:
        require_same(name, object, stored, _MAX_RELATIVE_BYTES)
    except TooBigToRead as error:
        raise Unsure("a large object that is here already") from error


def _check_attributes(name: bytes, unpacked: Unpacked, stored: StoredObjects) -> None:
    object = unpacked.objects.get(name)
    if object is None:
        try:
            object = stored.read(name, _MAX_RELATIVE_BYTES)
        except TooBigToRead as error:
            raise Unsure("a large .gitattributes") from error
    if object is not None:
        check_attributes(object.data)


def _vouched(unpacked: Unpacked, stored: StoredObjects, outside: int) -> set[Link]:
    """Links of stored objects that are at hand: the repository has those, it is closed."""
    if not outside:
        return set()
    at_hand = dict(unpacked.bases)
    if outside > _FEW_LINKS:
        at_hand |= _relatives(unpacked, stored)
    vouched = {Link(name, object.kind) for name, object in at_hand.items()}
    for kind, data in at_hand.values():
        try:
            vouched.update(object_links(kind, data))
        except BadPack as error:
            raise LocalFailure(f"{error} in the repository: run git fsck there") from error
    return vouched


def _relatives(unpacked: Unpacked, stored: StoredObjects) -> dict[bytes, GitObject]:
    """Stored trees that stand where new trees stand now: most of their entries are the same."""
    found: dict[bytes, GitObject] = {}

    def read(name: bytes, kind: int) -> GitObject | None:
        if name not in found and name not in unpacked.objects and len(found) < _MAX_RELATIVES:
            try:
                object = stored.read(name, _MAX_RELATIVE_BYTES)
            except TooBigToRead:
                return None
            if object is not None and object.kind == kind:
                found[name] = object
        return found.get(name)

    pairs = []
    for kind, data in unpacked.objects.values():
        if kind == COMMIT:
            tree, *parents = object_links(COMMIT, data)
            for parent in parents:
                if (old := read(parent.name, COMMIT)) is not None:
                    pairs.append((tree.name, object_links(COMMIT, old.data)[0].name))
    while pairs:
        new_name, old_name = pairs.pop()
        new = unpacked.objects.get(new_name)
        if new is None or new.kind != TREE or (old := read(old_name, TREE)) is None:
            continue
        before = {e.path: e.name for e in tree_entries(old.data) if e.kind == TREE}
        for entry in tree_entries(new.data):
            if entry.kind == TREE and before.get(entry.path, entry.name) != entry.name:
                pairs.append((entry.name, before[entry.path]))
    return found


def complete_oids(repository: Path, oids: Collection[str]) -> frozenset[str]:
    """Those OIDs that are here with all their history, trees and blobs (B 3.6); blocking work.

    A full walk, for data that another program wrote; submodules' commits are not followed.

    Args:
      repository: a bare repository.
      oids: 40 hexadecimal digits each; others are not complete.

    Memory: a 20-byte name for each object that is reached, and the way to the one in hand.

    Objects that are damaged or not what others say they are count as missing.
    """
    with StoredObjects(repository) as stored:
        walk = _Walk(stored)
        names = {oid: _raw_name(oid) for oid in oids}
        return frozenset(
            oid for oid, name in names.items() if name is not None and walk.is_complete(name)
        )


def _raw_name(oid: str) -> bytes | None:
    try:
        return bytes.fromhex(oid) if len(oid) == 40 else None
    except ValueError:
        return None


class _Step:
    """An object on the way to the one in hand, and its links that are still to be followed."""

    __slots__ = ("complete", "key", "todo")

    def __init__(self, key: bytes, todo: list[Link]) -> None:
        self.key = key
        self.todo = todo
        self.complete = True


class _Walk:
    """Depth first, so that what a missing object makes incomplete is known exactly."""

    def __init__(self, stored: StoredObjects) -> None:
        self._stored = stored
        self._known: dict[bytes, bool] = {}

    def is_complete(self, name: bytes) -> bool:
        kind = self._kind(name)
        if kind is None:
            return False
        link = Link(name, kind)
        way: list[_Step] = []
        self._follow(link, way)
        while way:
            step = way[-1]
            if step.todo and step.complete:
                self._follow(step.todo.pop(), way)
                continue
            way.pop()
            self._known[step.key] = step.complete
            if way:
                way[-1].complete &= step.complete
        return self._known[_key(link)]

    def _follow(self, link: Link, way: list[_Step]) -> None:
        """Look at an object for the first time, or remember what it is."""
        key = _key(link)
        if key not in self._known:
            links = self._links(link)
            if links:
                way.append(_Step(key, links))
                return
            self._known[key] = links is not None
        if way:
            way[-1].complete &= self._known[key]

    def _links(self, link: Link) -> list[Link] | None:
        """Where a stored object points; None when it is missing or is not what it should be."""
        if link.kind == BLOB:
            return [] if self._kind(link.name) == BLOB else None
        try:
            object = self._stored.read(link.name, MAX_WALKED_BYTES)
            if object is None or object.kind != link.kind:
                return None
            return object_links(*object)
        except (BadPack, LocalFailure, TooBigToRead):
            return None

    def _kind(self, name: bytes) -> int | None:
        try:
            return self._stored.kind(name)
        except LocalFailure:
            return None


def _key(link: Link) -> bytes:
    # One name as two types is damage, which must not be remembered as completeness.
    return link.name + bytes((link.kind,))
