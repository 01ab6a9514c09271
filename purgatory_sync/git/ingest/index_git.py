"""git's own judgement of a pack: `index-pack --strict` in quarantine, limited, unconfigured.

`--strict` requires of every link that leads out of the pack that its object is in the repository
and of the right type: that is closure by one step, as `closure.check_closure` has it for small
packs. It also compares what is here already with what comes under the same name.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import IO

from ...errors import BadPack, DiskFull, DoubledObject, LocalFailure, NotClosed, TooLarge
from ...runtime.children import PIPE, Child, ChildEnded, ChildLimits, ChildResult
from ..disk.disk_guard import local_errors
from ..disk.layout import objects_dir, pack_dir
from ..disk.object_reader import StoredObjects, TooBigToRead
from ..pack.fsck_rules import MAX_SPECIAL_BYTES, judge_modules
from ..pack.fsck_table import JUDGED_BY_US, TABLE
from ..pack.scan import Scanned

RECEIVED = "received.pack"
"""The pack as it came, in the quarantine folder."""

THREADS = min(2, os.cpu_count() or 1)
"""Of one git: with two, deltas are resolved in half the time, and there are no more cores to
leave idle on small machines."""

Watch = Callable[[], None]
"""What looks after something while a child works, and raises what shall end the child."""

_MIB = 1 << 20
_BASE_MEMORY_BYTES = 512 * _MIB
_MEMORY_PER_OBJECT_BYTES = 1024
_INDEX_BYTES_PER_OBJECT = 64
_BASE_FILE_BYTES = 64 * _MIB
_BASE_CPU_SECS = 60
_CPU_BYTES_PER_SEC = 10 * _MIB

_WORDS_BYTES = 16 * _MIB
"""Of each odd `.gitmodules` git says a line; a sender of more does it on purpose."""

_PROBE_SECS = 30
_UNKNOWN = re.compile(rb"Unhandled message id: (\w+)")
_ODD_URLS = re.compile(rb"^warning: [^\n]*?\b([0-9a-f]{40})\b[^\n]*?: gitmodulesUrl: ", re.M)

_NOT_STARTED = (126, 127)

_NAME = re.compile(rb"(?:pack|keep)\t([0-9a-f]{40})\n")
_DOUBLED = re.compile(r"^fatal: The same object [0-9a-f]{40} appears twice in the pack", re.M)
_MISSING = re.compile(r"did not receive expected object")
_OURS = re.compile(
    r"Permission denied|Read-only file system|Input/output error|[Uu]nable to create|"
    r"Too many open files|not a git repository|dubious ownership|Resource temporarily unavailable"
)
_NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded")
_NO_MEMORY = re.compile(r"[Oo]ut of memory|Cannot allocate memory|mmap failed")


def find_git() -> str | None:
    """The installed git, or None."""
    return shutil.which("git")


def child_limits(
    repository: Path, pack_bytes: int, scanned: Scanned, max_file_bytes: int
) -> ChildLimits:
    """What a child may use for a pack that has been scanned.

    Args:
      repository: its indexes are mapped by the child.
      pack_bytes: size of the pack as it came.
      scanned: what the scan found.
      max_file_bytes: how much the bases of a thin pack may add, at most.
    """
    indexes = 0
    for path in Path(pack_dir(repository)).glob("*.idx"):
        with contextlib.suppress(FileNotFoundError):  # repacked meanwhile
            indexes += path.stat().st_size
    return ChildLimits(
        memory_bytes=_BASE_MEMORY_BYTES
        + 2 * pack_bytes
        + indexes
        + 4 * scanned.largest_bytes
        + _MEMORY_PER_OBJECT_BYTES * scanned.objects,
        cpu_secs=_BASE_CPU_SECS + scanned.total_bytes // _CPU_BYTES_PER_SEC,
        file_bytes=_BASE_FILE_BYTES
        + pack_bytes
        + _INDEX_BYTES_PER_OBJECT * scanned.objects
        + min(scanned.named_base_bytes, max_file_bytes),
    )


def index_with_git(repository: Path, folder: Path, limits: ChildLimits, watch: Watch) -> str:
    """Let git index and judge a pack; blocking work, ended by cancelling the task that waits.

    Args:
      repository: the bare repository that the pack shall join.
      folder: the quarantine folder; holds the pack as received, and the result in `objects/pack/`.
      limits: of the child.
      watch: called again and again meanwhile; what it raises ends the child.

    Returns the name of the pack there, without suffix.

    Raises:
      BadPack, NotClosed: git refuses it.
      TooLarge: the child went beyond its limits.
      DiskFull, LocalFailure: git could not do its work.
    """
    with local_errors("run git index-pack"), (folder / RECEIVED).open("rb") as pack:
        child = _start(repository, folder, limits, pack)
        try:
            return _judged(child.wait(watch), repository, folder)
        finally:
            child.kill()


class GitStream:
    """git at work on a pack that is still on its way: it is written once, by git itself.

    Arguments and errors are those of `index_with_git`. The child dies with the thread that makes
    this; the methods block, one at a time, in any thread. `stop` must be called in every case.
    """

    def __init__(self, repository: Path, folder: Path, limits: ChildLimits) -> None:
        self._repository, self._folder = repository, folder
        with local_errors("run git index-pack"):
            self._child = _start(repository, folder, limits, PIPE)

    def take(self, data: bytes) -> None:
        """Hand on the next bytes of the pack."""
        with local_errors("feed git index-pack"):
            try:
                self._child.feed(data)
            except ChildEnded:
                raise refusal(self._child.wait()) from None

    def judge(self, trailer: bytes, limits: ChildLimits, watch: Watch) -> str:
        """Hand on the end of the pack and wait for git's judgement.

        Args:
          trailer: the last bytes.
          limits: now that more is known of the pack.
          watch: called again and again meanwhile; what it raises is raised.

        Returns the name of the pack in the folder's `objects/pack/`, without suffix.
        """
        self._child.tighten(limits)
        self.take(trailer)
        return _judged(self._child.wait(watch), self._repository, self._folder)

    def stop(self) -> None:
        """End git, if it runs."""
        self._child.kill()


def _start(repository: Path, folder: Path, limits: ChildLimits, stdin: IO[bytes] | int) -> Child:
    git = find_git()
    if git is None:
        raise LocalFailure("git is not installed: install it, or set NGIT_HUNT_INGEST=auto")
    os.makedirs(pack_dir(folder), exist_ok=True)
    return Child(
        _command(git),
        env=git_environment(repository, folder),
        stdin=stdin,
        scratch=folder,
        limits=limits,
        output_bytes=_WORDS_BYTES,
    )


def _judged(result: ChildResult, repository: Path, folder: Path) -> str:
    """The name of the pack, once what git leaves to us was judged, too."""
    name = _name(result)
    if len(result.stderr) >= _WORDS_BYTES:
        raise TooLarge("git has more to say of the pack than is read")
    named = {bytes.fromhex(oid.decode()) for oid in _ODD_URLS.findall(result.stderr)}
    if named:
        with StoredObjects(folder) as new, StoredObjects(repository) as stored:
            for oid in sorted(named):
                _judge_modules(oid, new, stored)
    return name


def _judge_modules(name: bytes, new: StoredObjects, stored: StoredObjects) -> None:
    try:
        object = new.read(name, MAX_SPECIAL_BYTES) or stored.read(name, MAX_SPECIAL_BYTES)
    except TooBigToRead as error:
        raise BadPack("a large .gitmodules") from error
    if object is not None:
        judge_modules(*object)


@functools.cache
def strictness(git: str) -> str | None:
    """The argument by which this git judges by `fsck_table`; one that it does not know is left out.

    None where it knows too little to refuse what is refused: another judge has to do it. Blocks,
    for some milliseconds the first time.

    Raises OSError when it cannot be started, TimeoutExpired when it does not end.
    """
    unknown: set[str] = set()
    while True:
        known = [each for each in TABLE if each.id.lower() not in unknown]
        if any(not each.taken for each in TABLE if each.id.lower() in unknown):
            return None
        severity = {each.id: "ignore" for each in known if each.taken} | {JUDGED_BY_US: "warn"}
        severity |= {each.id: "error" for each in known if not each.taken}
        argument = "--strict=" + ",".join(f"{name}={what}" for name, what in severity.items())
        tried = subprocess.run(
            [git, "index-pack", "--stdin", argument],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            cwd="/",
            timeout=_PROBE_SECS,
        )
        match = _UNKNOWN.search(tried.stderr)
        if match is None:
            return argument
        unknown.add(match[1].decode().lower())


def judges_by_the_table() -> bool:
    """Whether git is installed and knows all that is refused; blocks as `strictness`."""
    git = find_git()
    return git is not None and strictness(git) is not None


def _name(result: ChildResult) -> str:
    if result.returncode != 0:
        raise refusal(result)
    match = _NAME.search(result.stdout)
    if match is None:
        raise LocalFailure(f"git index-pack said {result.stdout[:80]!r}")
    return f"pack-{match[1].decode()}"


def _command(git: str) -> list[str]:
    argument = strictness(git)
    if argument is None:
        raise LocalFailure(
            "this git is too old to refuse what is refused: install 2.39.1 or newer, or set"
            " NGIT_HUNT_INGEST=auto"
        )
    return [
        git,
        "-c",
        "core.packedGitWindowSize=16m",
        "-c",
        "core.packedGitLimit=128m",
        "-c",
        "core.deltaBaseCacheLimit=64m",
        # Larger files go through without being held in memory whole.
        "-c",
        "core.bigFileThreshold=16m",
        "-c",
        "pack.writeReverseIndex=false",
        "index-pack",
        "--stdin",
        "--fix-thin",
        f"--threads={THREADS}",
        argument,
    ]


def git_environment(repository: Path, folder: Path, *others: Path) -> dict[str, str]:
    """The whole environment of a git that reads a repository and writes into quarantine only.

    Args:
      folder: the quarantine folder; what a killed git leaves goes with it.
      others: repositories whose objects are read, too.
    """
    read = (_quoted(os.path.abspath(objects_dir(each))) for each in (repository, *others))
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_DIR": os.path.abspath(repository),
        "GIT_OBJECT_DIRECTORY": os.path.abspath(objects_dir(folder)),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": ":".join(read),
        # Nothing may stand in for what is missing.
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_GRAFT_FILE": os.devnull,
        "GIT_SHALLOW_FILE": "",
        "GIT_NO_LAZY_FETCH": "1",
    }


def _quoted(path: str) -> str:
    """A path as git reads it in a list that colons separate."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def refusal(result: ChildResult) -> Exception:
    """What git's end means, by its words."""
    text = result.stderr.decode(errors="replace")
    fatal = [line for line in text.splitlines() if line.startswith(("fatal:", "error:"))]
    said = " ".join((fatal or text.splitlines())[-2:])[:500]
    if result.returncode in (-signal.SIGXCPU, -signal.SIGXFSZ):
        return TooLarge("judging the pack took more time or space than any honest one would")
    if _NO_MEMORY.search(text):
        return TooLarge(f"judging the pack took too much memory: {said}")
    if _NO_SPACE.search(text):
        return DiskFull(said)
    if result.returncode < 0:
        return LocalFailure(f"git index-pack was ended by signal {-result.returncode}")
    if result.returncode in _NOT_STARTED:
        return LocalFailure(f"git could not be started: {said}")
    if not text.strip():  # git always says why, but where a full disk keeps its words
        return LocalFailure(
            f"git index-pack ended with {result.returncode} and its words were lost: "
            "free some disk space"
        )
    if _OURS.search(text):
        return LocalFailure(f"git index-pack could not work: {said}")
    if _MISSING.search(text):
        return NotClosed(said)
    if _DOUBLED.search(text):
        return DoubledObject(f"git refuses the pack: {said}")
    return BadPack(f"git refuses the pack: {said}")
