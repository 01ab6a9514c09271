"""The judgement of large packs where no git is installed: dulwich in a limited process of its own.

Same rules as `index_git`: checksums, forms of objects, links by one step, what is here already is
compared with what comes under the same name.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import zlib
from binascii import crc32
from collections.abc import Callable
from hashlib import blake2b, sha1
from itertools import chain
from pathlib import Path

from dulwich.errors import ApplyDeltaError
from dulwich.object_format import SHA1
from dulwich.objects import RawObjectID
from dulwich.pack import (
    PackData,
    UnpackedObject,
    UnpackedObjectIterator,
    UnresolvedDeltas,
    extend_pack,
    write_pack_index_v2,
)

from ... import errors
from ...errors import AttemptFailed, BadPack, DiskFull, LocalFailure, NotClosed, TooLarge
from ...runtime.children import ChildLimits, run_child
from ..disk.disk_guard import local_errors
from ..disk.object_reader import StoredObjects, TooBigToRead
from ..pack.format import KIND_NAMES, TRAILER_BYTES, GitObject, pack_header
from ..pack.fsck_rules import MAX_SPECIAL_BYTES, judge_attributes, judge_modules, judge_object
from ..pack.object_links import Link
from ..pack.thin_packs import encode_entry
from .connectivity import require_same, require_stored
from .index_git import RECEIVED, Watch

_TYPED = (BadPack, DiskFull, LocalFailure, NotClosed, TooLarge)
_REFUSED = 3
MAX_BASE_BYTES = 1 << 30
"""No object that ever joined is larger (NGIT_HUNT_MAX_OBJECT_BYTES is lower)."""


def index_with_dulwich(repository: Path, folder: Path, limits: ChildLimits, watch: Watch) -> str:
    """Index and judge a pack without git; blocking work, ended by cancelling the task that waits.

    Arguments, result and errors are those of `index_git.index_with_git`.
    """
    with local_errors("run the process that indexes packs"):
        result = run_child(
            [sys.executable, "-P", "-m", __name__, *map(os.path.abspath, (repository, folder))],
            env=_environment(),
            stdin=None,
            scratch=folder,
            limits=limits,
            watch=watch,
        )
    if result.returncode == 0:
        return result.stdout.decode().strip()
    if result.returncode == _REFUSED:
        name, _, message = result.stdout.decode(errors="replace").strip().partition(": ")
        if name in {kind.__name__ for kind in _TYPED}:
            raise getattr(errors, name)(message)
    if result.returncode in (-signal.SIGXCPU, -signal.SIGXFSZ):
        raise TooLarge("judging the pack took more time or space than any honest one would")
    said = result.stderr.decode(errors="replace").strip().rpartition("\n")[2][:500]
    if said.startswith("MemoryError"):
        raise _too_much_memory()
    raise LocalFailure(f"the process that indexes packs ended with {result.returncode}: {said}")


def _too_much_memory() -> TooLarge:
    return TooLarge("judging the pack took too much memory: with git installed it may take less")


def _environment() -> dict[str, str]:
    here = str(Path(__file__).resolve().parents[3])
    paths = [here, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": os.pathsep.join(paths)}


class _Objects(UnpackedObjectIterator):
    """Each object of a pack once, with all that an index needs."""

    _compute_crc32 = True


class _Indexer:
    """Judges one pack; memory grows with the number of names that it holds or points at."""

    def __init__(self, stored: StoredObjects, pack: Path) -> None:
        self._stored = stored
        self._pack = pack
        self._entries: list[tuple[bytes, int, int]] = []
        self._kinds: dict[bytes, int] = {}
        self._digests: dict[bytes, bytes] = {}
        self._doubled = False
        self._extra: list[tuple[bytes, int, int]] = []
        self._links: set[Link] = set()
        self._special: set[tuple[bytes, Callable[[int, bytes], None]]] = set()

    def run(self) -> str:
        _check_trailer(self._pack)
        data = PackData.from_path(self._pack, SHA1)
        try:
            objects = _Objects.for_pack_data(data, self._resolve)
            for object in objects:
                self._take(object)
            bases = {name for name in objects.ext_refs() if name not in self._kinds}
        finally:
            # An error on its way keeps hold of the mapping; the process ends soon anyway.
            with contextlib.suppress(BufferError):
                data.close()
        for link in self._links:
            self._require(link)
        return self._write(bases)

    def _take(self, object: UnpackedObject) -> None:
        kind, chunks = object.obj_type_num, object.obj_chunks
        offset, crc = object.offset, object.crc32
        if kind is None or chunks is None or offset is None or crc is None:
            raise LocalFailure("dulwich did not unpack an object")
        content, name = b"".join(chunks), bytes(object.sha())
        digest = blake2b(content, digest_size=16).digest()
        if name in self._kinds:
            if self._digests[name] != digest:
                raise BadPack(f"{name.hex()} stands for two objects: a SHA-1 collision")
            self._doubled = True
            return
        self._digests[name] = digest
        require_same(name, GitObject(kind, content), self._stored, MAX_BASE_BYTES)
        judged = judge_object(kind, content)
        self._kinds[name] = kind
        self._entries.append((name, offset, crc))
        self._links.update(judged.links)
        self._special.update((module, judge_modules) for module in judged.modules)
        self._special.update((name, judge_attributes) for name in judged.attributes)

    def _resolve(self, name: bytes) -> tuple[int, list[bytes]]:
        base = self._stored.read(name, MAX_BASE_BYTES)
        if base is None:
            raise KeyError(name)
        return base.kind, [base.data]

    def _require(self, link: Link) -> None:
        kind = self._kinds.get(link.name)
        if kind is None:
            require_stored(link, self._stored)
        elif kind != link.kind:
            raise BadPack(f"{link.name.hex()} is no {KIND_NAMES[link.kind].decode()}")

    def _write(self, bases: set[RawObjectID]) -> str:
        """Complete the pack, write its index, and look once more into files that git reads."""
        with self._pack.open("r+b") as file:
            trailer, extra = extend_pack(file, bases, self._raw, SHA1)
            file.truncate()
        self._extra = list(extra)
        name = f"pack-{trailer.hex()}"
        final = self._pack.parent / "objects" / "pack" / f"{name}.pack"
        final.parent.mkdir(parents=True, exist_ok=True)
        with final.with_suffix(".idx").open("wb") as index:
            write_pack_index_v2(index, sorted([*self._entries, *self._extra]), trailer)
        os.rename(self._pack, final)
        with StoredObjects(self._pack.parent) as new:
            for special, judge in self._special:
                self._judge_special(special, judge, new)
        if self._doubled:
            name, final = self._without_doubles(final)
        for path in (final, final.with_suffix(".idx")):
            path.chmod(0o444)
        return name

    def _without_doubles(self, doubled: Path) -> tuple[str, Path]:
        """Write the pack anew with each object once: an index has each once, as git wants it."""
        names = sorted({*self._kinds, *(extra[0] for extra in self._extra)})
        beside = doubled.with_name("tmp_once")
        hashed, entries = sha1(usedforsecurity=False), []
        with StoredObjects(self._pack.parent) as new, beside.open("wb") as file:
            pieces = chain(
                [(b"", pack_header(len(names)))],
                ((each, _whole(each, new)) for each in names),
            )
            for each, packed in pieces:
                if each:
                    entries.append((each, file.tell(), crc32(packed)))
                hashed.update(packed)
                file.write(packed)
            file.write(hashed.digest())
        for path in (doubled, doubled.with_suffix(".idx")):
            path.unlink()
        final = doubled.with_name(f"pack-{hashed.hexdigest()}.pack")
        os.rename(beside, final)
        with final.with_suffix(".idx").open("wb") as index:
            write_pack_index_v2(index, entries, hashed.digest())
        return final.stem, final

    def _raw(self, name: bytes) -> tuple[int, bytes]:
        kind, chunks = self._resolve(name)
        return kind, b"".join(chunks)

    def _judge_special(
        self, name: bytes, judge: Callable[[int, bytes], None], new: StoredObjects
    ) -> None:
        try:
            object = new.read(name, MAX_SPECIAL_BYTES) or self._stored.read(name, MAX_SPECIAL_BYTES)
        except TooBigToRead as error:
            raise BadPack("a large .gitmodules or .gitattributes") from error
        if object is not None:
            judge(*object)


def _whole(name: bytes, new: StoredObjects) -> bytes:
    object = new.read(name, MAX_BASE_BYTES)
    if object is None:
        raise LocalFailure("a pack that was judged cannot be read")
    return encode_entry(object)


def _check_trailer(pack: Path) -> None:
    left = pack.stat().st_size - TRAILER_BYTES
    digest = sha1(usedforsecurity=False)
    with pack.open("rb") as file:
        while left > 0:
            piece = file.read(min(left, 1 << 20))
            digest.update(piece)
            left -= len(piece)
        if file.read() != digest.digest():
            raise BadPack("the pack's checksum does not hold")


def index_here(repository: Path, folder: Path) -> str:
    """Index and judge a pack in this process, without limits; `index_with_dulwich` has them.

    Arguments, result and errors are those of `index_git.index_with_git`.
    """
    with local_errors("index a pack"), StoredObjects(repository) as stored:
        try:
            return _Indexer(stored, folder / RECEIVED).run()
        except MemoryError as error:
            raise _too_much_memory() from error
        except TooBigToRead as error:
            raise TooLarge("a delta whose base is too large") from error
        except UnresolvedDeltas as error:
            raise BadPack(
                "a delta whose base is neither in the pack nor in the repository"
            ) from error
        except (ApplyDeltaError, AssertionError, LookupError, ValueError, zlib.error) as error:
            raise BadPack(f"the pack is damaged: {error}") from error


def main(arguments: list[str]) -> int:
    """What the process of its own runs: the name of the pack, or `<error>: <why>` and exit 3."""
    # Python ignores it; git ends by it, and both ways are to be told apart from a full disk.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    repository, folder = map(Path, arguments)
    try:
        sys.stdout.write(index_here(repository, folder) + "\n")
    except AttemptFailed as error:
        return _refuse(error)
    except BaseException as error:
        # dulwich's compiled parts do so where Python's raise MemoryError.
        if type(error).__name__ == "PanicException":
            return _refuse(_too_much_memory())
        raise
    return 0


def _refuse(error: AttemptFailed) -> int:
    sys.stdout.write(f"{type(error).__name__}: {error}\n")
    return _REFUSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
