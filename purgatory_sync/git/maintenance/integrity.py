"""Whether a repository has all that its refs reach, unharmed: small ones in process, others by git.

A process for each of many small repositories costs more than reading all of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from contextlib import closing
from hashlib import sha1
from pathlib import Path
from typing import Final

import attrs

from ...errors import BadPack, LocalFailure, RepositoryError
from ...runtime.children import ChildLimits, run_child, stop_if_cancelled
from ..disk.layout import pack_dir
from ..disk.object_lookup import existing
from ..disk.object_reader import StoredObjects, TooBigToRead
from ..ingest.index_git import find_git, git_environment
from ..pack.format import BLOB, KIND_NAMES, TRAILER_BYTES, GitObject
from ..pack.index import PackIndexReader
from ..pack.object_links import Link, object_links
from ..pack.reader import object_name

SMALL_OBJECTS: Final = 2_000
"""About so many objects cost as much in process as a git does that is started for them."""
SMALL_OBJECT_BYTES: Final = 16 << 20
NAMED_AT_MOST: Final = 100

_PIECE_BYTES: Final = 1 << 20
_MEMORY_BYTES: Final = 1 << 30
_MEMORY_PER_OBJECT_BYTES: Final = 512
_CPU_SECS: Final = 3 * 3600
_MAX_SAID_BYTES: Final = 1 << 20
_SETTINGS: Final = (
    *("-c", "core.packedGitWindowSize=16m"),
    *("-c", "core.packedGitLimit=128m"),
    *("-c", "core.deltaBaseCacheLimit=64m"),
)
_MISSING: Final = re.compile(r"missing (?:blob|tree|commit|tag|unknown) ([0-9a-f]{40})")
_NO_FLAW: Final = ("notice: ", "hint:", "dangling ", "Checking ", "broken link from ", "to ", " ")


@attrs.frozen
class Integrity:
    """What is wrong with the objects of a repository; nothing where both are empty.

    Attributes:
      missing: objects that something reachable names and that are not here, at most 100.
      damaged: sentences about what is here and cannot be read, at most 100.
    """

    missing: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.damaged)


def judge_objects(path: Path, tips: Collection[str], scratch: Path) -> Integrity:
    """Judge all objects that the tips reach, and the checksums of all packs; blocking work.

    The contents of files are judged by their pack's checksum; where they are files of their own,
    only that they are there. Submodules' commits are not followed.

    Args:
      path: a bare repository of a form that is supported (its refs were read); nothing of it may
        be dropped meanwhile.
      tips: the OIDs that refs and events name.
      scratch: a folder for what git prints.

    Raises:
      RepositoryError: it cannot be read, or git is needed and is not there or gave up.
      trio.Cancelled: the task that waits was cancelled.
    """
    try:
        packs, count = _judge_packs(path)
        if packs:
            return Integrity(damaged=packs)  # what reads them would say the same again and again
        if count <= SMALL_OBJECTS:
            try:
                with StoredObjects(path) as stored:
                    return _walk(stored, tips)
            except TooBigToRead:
                pass
        return _ask_git(path, tips, count, scratch)
    except (OSError, LocalFailure) as error:
        raise RepositoryError(f"{path} could not be looked at: {error}") from error


def _judge_packs(path: Path) -> tuple[tuple[str, ...], int]:
    """What is wrong with the packs, and how many objects there are; loose ones by estimate."""
    damaged, count = [], 0
    folder = pack_dir(path)
    names = _listed(folder)
    for name in sorted(names):
        stem, _, suffix = name.rpartition(".")
        if suffix == "idx" and f"{stem}.pack" in names:
            stop_if_cancelled()
            try:
                count += _judge_pack(f"{folder}/{stem}")
            except (ValueError, BadPack) as error:
                damaged.append(f"{folder}/{stem}.pack: {error}")
    # git, too, takes the number of files in one folder for all 256.
    loose = sum(len(_listed(f"{path}/objects/{n:02x}")) for n in _loose_folders(path))
    return tuple(damaged[:NAMED_AT_MOST]), count + loose


def _loose_folders(path: Path) -> Iterator[int]:
    for name in _listed(f"{path}/objects"):
        if re.fullmatch("[0-9a-f]{2}", name):
            yield int(name, 16)


def _listed(folder: str) -> set[str]:
    try:
        return set(os.listdir(folder))
    except FileNotFoundError:
        return set()


def _judge_pack(stem: str) -> int:
    """How many objects a pack has.

    Raises:
      BadPack, ValueError: its checksum, or that of its index, does not hold.
    """
    trailer = _checksum(f"{stem}.pack")
    with closing(PackIndexReader(f"{stem}.idx")) as index:
        index.require_sound(trailer)
        return index.count


def _checksum(path: str) -> bytes:
    """The SHA-1 that a file ends with.

    Raises:
      BadPack: it is that of other bytes.
    """
    digest, last = sha1(usedforsecurity=False), b""
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(_PIECE_BYTES):
            stop_if_cancelled()
            last += piece
            digest.update(last[:-TRAILER_BYTES])
            last = last[-TRAILER_BYTES:]
    if digest.digest() != last:
        raise BadPack("its checksum does not hold")
    return last


def _walk(stored: StoredObjects, tips: Collection[str]) -> Integrity:
    """Follow all links once.

    Raises:
      TooBigToRead: an object is large.
    """
    missing: dict[str, None] = {}
    damaged: dict[str, None] = {}
    todo: list[tuple[bytes, int | None]] = [(bytes.fromhex(oid), None) for oid in tips]
    seen: set[bytes] = set()
    while todo:
        name, wanted = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            if wanted == BLOB:
                kind, links = stored.kind(name), None
            else:
                object = stored.read(name, SMALL_OBJECT_BYTES)
                kind, links = (None, None) if object is None else _judge(name, object)
            if kind is None:
                missing[name.hex()] = None
            elif wanted not in (None, kind):
                damaged[f"{name.hex()} is a {_word(kind)}, not a {_word(wanted)}"] = None
            else:
                todo.extend(links or ())
        except (BadPack, LocalFailure) as error:
            damaged[f"{name.hex()}: {error}"] = None
    return Integrity(tuple(missing)[:NAMED_AT_MOST], tuple(damaged)[:NAMED_AT_MOST])


def _judge(name: bytes, object: GitObject) -> tuple[int, list[Link]]:
    """The type of an object and what it names.

    Raises:
      BadPack: it is another than its name says, or cannot be read.
    """
    if object_name(*object) != name:
        raise BadPack(f"this {_word(object.kind)} has other bytes than its name says")
    return object.kind, object_links(*object)


def _word(kind: int | None) -> str:
    return KIND_NAMES[kind].decode() if kind in KIND_NAMES else "thing of no type"


def _ask_git(path: Path, tips: Collection[str], count: int, scratch: Path) -> Integrity:
    git = find_git()
    if git is None:
        raise RepositoryError(f"{path} is large, and git is not installed to look at it")
    env = git_environment(path, scratch)
    del env["GIT_OBJECT_DIRECTORY"], env["GIT_ALTERNATE_OBJECT_DIRECTORIES"]
    command = [git, *_SETTINGS, "fsck", "--connectivity-only", "--no-dangling", "--no-progress"]
    indexes = sum(each.stat().st_size for each in Path(pack_dir(path)).glob("*.idx"))
    memory = _MEMORY_BYTES + indexes + count * _MEMORY_PER_OBJECT_BYTES
    scratch.mkdir(parents=True, exist_ok=True)
    limits = ChildLimits(memory, _CPU_SECS, _MAX_SAID_BYTES)
    result = run_child(command, env=env, stdin=None, scratch=scratch, limits=limits)
    said = (result.stdout + b"\n" + result.stderr).decode(errors="replace").splitlines()
    # git begins at the refs; that another tip is here at all is looked at here.
    missing = dict.fromkeys(sorted(frozenset(tips) - existing(path, tips)))
    missing |= dict.fromkeys(match[1] for line in said if (match := _MISSING.search(line)))
    damaged = dict.fromkeys(
        line.strip()
        for line in said
        if line.strip() and not line.startswith(_NO_FLAW) and not _MISSING.search(line)
    )
    if result.returncode < 0 or (result.returncode and not missing and not damaged):
        raise RepositoryError(f"{path} could not be looked at: git fsck ended with {result}")
    return Integrity(tuple(missing)[:NAMED_AT_MOST], tuple(damaged)[:NAMED_AT_MOST])
