"""Objects given from one local repository to another by hard links, never by alternates.

Why the target has no holes at any moment: a pack joins a repository only when everything it leans
on is there (N5), and its modification time is the moment of joining. So the packs of a repository,
in the order of these times, can be taken one by one, and each prefix of that order is closed.
Linking in that order keeps the target closed as well, and since a hard link keeps the time, the
target can be taken from in the same way. Where both have the same pack, the earlier time holds.
"""

from __future__ import annotations

import errno
import os
import shutil
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import attrs

from ...errors import RepositoryError
from .layout import fsync_dir, fsync_file, local_failure, objects_dir, pack_dir, require_format
from .object_lookup import ObjectLookup, existing

_TRIES = 3
_BESIDE = "tmp_link_"  # git prunes what begins with tmp_
NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS)
_RANK = {"blob": 0, "tree": 1, "commit": 2, "tag": 3}


def link_objects(
    sources: Sequence[Path], target: Path, oids: Collection[str], *, copies: bool = True
) -> frozenset[str]:
    """Give a repository objects that others have (B 3.6, 7.2), with all their history.

    Args:
      sources: repositories to take from, the preferred ones first; those that are gone or damaged
        are skipped, and those that are shallow, partial or lean on alternates, since what they
        have need not be complete.
      target: the repository that shall have them.
      oids: the objects wanted; a source that has none of those still missing is not touched.
      copies: whether a file is copied where a link cannot be; else that is an error.

    All packs of a source that the target lacks are linked (copied where the file system has no
    links), oldest first, and its loose objects at their place between them. A pack that is only
    half there is left out. A crash leaves part of it done, and the target without holes.

    Returns those of the OIDs that the target has afterwards.

    Raises:
      RepositoryError: the target is missing or of a kind that is not supported, or the disk
        refuses.
    """
    require_format(target)
    try:
        missing = frozenset(oids) - existing(target, oids)
        for source in sources:
            if not missing:
                break
            if _can_give(source, missing):
                _link_all(source, target, copies=copies)
                missing -= existing(target, missing)
    except OSError as error:
        raise local_failure(f"copy objects to {target}", error) from error
    return frozenset(oids) - missing


def link_packs(source: Path, target: Path, stems: Collection[str]) -> None:
    """Give a repository some packs of another, oldest first; with what it has they are closed.

    Raises:
      RepositoryError: the target is missing or of a kind that is not supported, or the disk
        refuses; a part of them may be there then.
    """
    require_format(target)
    try:
        packs = [pack for pack in _packs(source) if pack.path.removeprefix("pack/") in stems]
        for pack in packs:
            _take(source, target, pack.path)
            _keep_earlier_time(source, target, pack)
        fsync_dir(pack_dir(target))
    except OSError as error:
        raise local_failure(f"copy objects to {target}", error) from error


def _can_give(source: Path, oids: Collection[str]) -> bool:
    """Whether a repository has some of the OIDs, and by how it was made their history too."""
    try:
        require_format(source)
        if not existing(source, oids):
            return False
    except RepositoryError:
        return False
    if os.path.exists(f"{source}/shallow") or os.path.exists(f"{source}/objects/info/alternates"):
        return False
    with suppress(FileNotFoundError):
        return not any(name.endswith(".promisor") for name in os.listdir(pack_dir(source)))
    return True


@attrs.frozen
class _Item:
    """A pack (without extension) or a loose object, by its path in the folder of objects."""

    path: str
    time_ns: int


def _link_all(source: Path, target: Path, *, copies: bool) -> None:
    folders = {"pack"}
    try:
        for _ in range(_TRIES):
            packs = _packs(source)
            try:
                for item in _in_order(source, packs, _loose(source)):
                    folders.add(os.path.dirname(item.path))
                    _take(source, target, item.path, copies=copies)
                for pack in packs:
                    _keep_earlier_time(source, target, pack, copies=copies)
            except FileNotFoundError:
                # Repacked meanwhile: what comes later may lean on what is gone, so begin again.
                continue
            return
    finally:
        for folder in (*sorted(folders), ""):
            with suppress(FileNotFoundError):
                fsync_dir(f"{objects_dir(target)}/{folder}")


def _packs(source: Path) -> list[_Item]:
    """The packs that are there with both files, oldest first."""
    folder = pack_dir(source)
    packs = []
    with suppress(FileNotFoundError):
        names = set(os.listdir(folder))
        for name in names:
            stem = name.removesuffix(".idx")
            if stem != name and f"{stem}.pack" in names:
                packs.append(_Item(f"pack/{stem}", os.stat(f"{folder}/{stem}.pack").st_mtime_ns))
    return sorted(packs, key=lambda pack: (pack.time_ns, pack.path))


def _loose(source: Path) -> Iterator[_Item]:
    """The loose objects, in no order."""
    folder = objects_dir(source)
    for inner in os.listdir(folder):
        if len(inner) == 2:
            for entry in os.scandir(f"{folder}/{inner}"):
                if len(entry.name) == 38:
                    yield _Item(f"{inner}/{entry.name}", entry.stat().st_mtime_ns)


def _in_order(source: Path, packs: Sequence[_Item], loose: Iterable[_Item]) -> list[_Item]:
    """All in the order of joining; between two packs, loose objects before what names them."""
    times = [pack.time_ns for pack in packs]
    ordered = []
    with ObjectLookup(source) as lookup:
        for item in loose:
            kind = lookup.kind(item.path.replace("/", ""))
            if kind is not None:
                place = bisect_left(times, item.time_ns), _RANK[kind], item.time_ns, item.path
                ordered.append((place, item))
    for i, pack in enumerate(packs):
        ordered.append(((i, len(_RANK), pack.time_ns, pack.path), pack))
    return [item for _, item in sorted(ordered, key=lambda pair: pair[0])]


def _take(source: Path, target: Path, path: str, *, copies: bool = True) -> None:
    """Link a pack or a loose object that the target lacks; a pack's index last, which shows it."""
    here, there = f"{objects_dir(source)}/{path}", f"{objects_dir(target)}/{path}"
    endings = (".pack", ".idx") if path.startswith("pack/") else ("",)
    if all(os.path.exists(there + ending) for ending in endings):
        return
    os.makedirs(os.path.dirname(there), exist_ok=True)
    for ending in endings:
        place(here + ending, there + ending, copies=copies)


def _keep_earlier_time(source: Path, target: Path, pack: _Item, *, copies: bool = True) -> None:
    """Let a pack that both had already stand where it stood in the source.

    Not by changing the time, for the file may be a link in a third repository too.
    """
    here = f"{objects_dir(source)}/{pack.path}.pack"
    there = f"{objects_dir(target)}/{pack.path}.pack"
    if os.stat(there).st_mtime_ns > pack.time_ns and _trailer(here) == _trailer(there):
        place(here, there, copies=copies)


def _trailer(pack: str) -> bytes:
    with open(pack, "rb") as file:
        file.seek(-20, os.SEEK_END)
        return file.read()


def place(source: str, target: str, *, copies: bool = True) -> None:
    """Make `target` the same file as `source`, or a durable copy; in one step if it is there.

    Raises OSError, also where no link can be and `copies` is false.
    """
    folder, name = os.path.split(target)
    # Without an ending of its own: what a crash leaves must not look like a pack or an index.
    beside = f"{folder}/{_BESIDE}{name.replace('.', '-')}"
    with suppress(FileNotFoundError):
        os.unlink(beside)
    try:
        os.link(source, beside)
    except OSError as error:
        if error.errno not in NO_LINK or not copies:
            raise
        shutil.copy2(source, beside)
        fsync_file(beside)
    os.rename(beside, target)
    with suppress(FileNotFoundError):
        os.unlink(beside)  # both were the same file already, then rename does nothing
