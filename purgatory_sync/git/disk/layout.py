"""How a bare repository lies on disk, and how a change of it is made durable."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from dulwich.config import ConfigFile

from ...errors import RepositoryError, RepositoryUnusable

UNBORN_HEAD = "refs/heads/purgatory-sync-unborn"
"""What HEAD names while no ref is chosen: clients that create `main` after cloning an empty
repository fail where HEAD is an unborn `refs/heads/main` (B 2.4)."""

ALTERNATES = "objects/info/alternates"

UNSYNCED = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS)
"""What file systems answer that cannot sync a folder; nothing more can be done there."""

_ERA = "purgatory-sync-era"
_BESIDE = "tmp_move_"  # git prunes what begins with tmp_
_PLACING_TRIES = 3

CONFIG = b"""\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
[gc]
\tauto = 0
\tpruneExpire = never
[lsrefs]
\tunborn = ignore
[uploadpack]
\tallowTipSHA1InWant = true
\tallowReachableSHA1InWant = true
\tallowFilter = true
"""


def objects_dir(repository: Path) -> str:
    """Where loose objects are (two levels), and the folder `pack` with all others."""
    return f"{repository}/objects"


def pack_dir(repository: Path) -> str:
    """Where packs are; one is visible when both its `.pack` and its `.idx` are there."""
    return f"{repository}/objects/pack"


def is_repository(path: Path) -> bool:
    """Whether a bare repository is at `path`, judged as git does: HEAD, objects, refs."""
    return (
        os.path.lexists(f"{path}/HEAD")
        and os.path.isdir(f"{path}/objects")
        and os.path.isdir(f"{path}/refs")
    )


def borrows(repository: Path) -> bool:
    """Whether git reads objects of other repositories as if they were in this one.

    Raises:
      RepositoryError: that cannot be told.
    """
    try:
        with open(f"{repository}/{ALTERNATES}", "rb") as file:
            return any(line and not line.startswith(b"#") for line in file.read().split(b"\n"))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise local_failure(f"read {repository}/{ALTERNATES}", error) from error


def require_format(repository: Path) -> None:
    """Refuse what needs more than SHA-1 names, refs in files, and all objects to be read.

    Raises:
      RepositoryError: no repository is there, its objects have SHA-256 names, it keeps its refs in
        another form than files, or it borrows objects of others.
    """
    if not is_repository(repository):
        raise RepositoryError(f"no git repository at {repository}")
    if borrows(repository):
        raise RepositoryUnusable(
            f"{repository} borrows objects of other repositories ({ALTERNATES}): start again, and"
            f" they are taken in, or do so with `git -C {repository} repack -a -d` and remove that"
            " file"
        )
    try:
        with open(f"{repository}/config", "rb") as file:
            content = file.read()
            if b"extensions" not in content.lower():
                return
            file.seek(0)
            config = ConfigFile.from_file(file)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise RepositoryError(f"the config of {repository} cannot be read: {error}") from error
    expected = {b"objectformat": b"sha1", b"refstorage": b"files"}
    for name, only in expected.items():
        try:
            value = config.get((b"extensions",), name)
        except KeyError:
            continue
        if value.lower() != only:
            raise RepositoryUnusable(
                f"{repository} has {name.decode()} {value.decode(errors='replace')}; "
                f"only {only.decode()} is supported: convert the repository first"
            )


def read_era(repository: Path) -> str:
    """What lasts from one dropping of objects to the next; empty where none was ever dropped.

    What was found here in one GC generation may be missing in the next.

    Raises OSError when it cannot be read.
    """
    try:
        with open(f"{repository}/{_ERA}", encoding="ascii") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def begin_era(repository: Path) -> None:
    """Make known, durably, that objects are about to be dropped."""
    # In one step: a file that is empty for a moment, or for good when the disk is full, would say
    # that nothing was ever dropped.
    write_durably(f"{repository}/{_ERA}.new", os.urandom(16).hex().encode())
    os.rename(f"{repository}/{_ERA}.new", f"{repository}/{_ERA}")
    fsync_dir(repository)


class Pinned:
    """A repository that is not mistaken for what is at its place later.

    That may be one that was made anew, or the same one without objects that were dropped. The open
    folder keeps its number from being given to another. As a context manager it is closed on
    leaving.

    Args:
      era: since when nothing may have been dropped (`read_era`); now when absent.

    Attributes:
      fd: the open folder.

    Raises OSError when it cannot be opened.
    """

    def __init__(self, repository: Path, era: str | None = None) -> None:
        self._repository = repository
        self._closed = False
        self._era = read_era(repository) if era is None else era
        self.fd = os.open(repository, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def require_same(self) -> None:
        """Refuse another one, and one where objects were dropped.

        Raises:
          RepositoryError: what is at its place now is not the repository that was opened, or it
            may lack what it had then.
        """
        try:
            there = os.stat(self._repository)
        except FileNotFoundError as error:
            raise RepositoryError(f"{self._repository} is gone") from error
        if not os.path.samestat(os.fstat(self.fd), there):
            raise RepositoryError(f"{self._repository} was replaced meanwhile")
        if read_era(self._repository) != self._era:
            raise RepositoryError(f"objects of {self._repository} were dropped meanwhile")

    def close(self) -> None:
        """Let it go; nothing to do the second time."""
        if not self._closed:
            self._closed = True
            os.close(self.fd)

    def __enter__(self) -> Pinned:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def fsync_dir(path: Path | str) -> None:
    """Make names that were created, renamed or removed in a folder survive a power cut.

    Nothing is done where the file system cannot (`disk_probe` tells the operator once).
    """
    try:
        _fsync(path, os.O_DIRECTORY)
    except OSError as error:
        if error.errno not in UNSYNCED:
            raise


def fsync_file(path: Path | str) -> None:
    """Bring a file's bytes (not its name) to the disk."""
    _fsync(path)


def _fsync(path: Path | str, flags: int = 0) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_durably(path: Path | str, content: bytes, mode: int = 0o644) -> None:
    """Write a file anew and bring its bytes (not yet its name) to the disk."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with open(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(fd)


def move_file(source: Path | str, target: str) -> None:
    """Rename a file that is durable; to another disk it is copied beside its place first.

    An owner's folder may be a link to another disk, or be mounted there.
    """
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        folder, name = os.path.split(target)
        # Without the ending of a pack it is taken for none.
        beside = f"{folder}/{_BESIDE}{name.replace('.', '-')}"
        with suppress(FileNotFoundError):
            os.unlink(beside)
        shutil.copy2(source, beside)
        fsync_file(beside)
        os.rename(beside, target)
        os.unlink(source)


def rename_into(source: Path, target: Path) -> None:
    """Rename durably into a folder that is made, with those above it, when it is missing.

    Raises OSError; nothing was renamed then.
    """
    for remaining in reversed(range(_PLACING_TRIES)):
        try:
            os.rename(source, target)
            break
        except FileNotFoundError:  # no folder yet, or a removal took the empty one away
            if not remaining or not os.path.lexists(source):
                raise
        folders = (target.parent, *target.absolute().parent.parents)
        missing = [folder for folder in folders if not folder.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            with suppress(FileNotFoundError):
                fsync_dir(folder.parent)
    fsync_dir(target.parent)


def local_failure(doing: str, error: OSError) -> RepositoryError:
    """The typed error for a failure of our own disk, with the remedy where it is known."""
    remedy = {
        errno.ENOSPC: "; free some disk space",
        errno.EDQUOT: "; free some disk space",
        errno.EACCES: "; check who owns the folder and its permissions",
        errno.EPERM: "; check who owns the folder and its permissions",
        errno.EROFS: "; the file system is mounted read-only",
        errno.EMFILE: "; raise the limit of open files",
    }.get(error.errno or 0, "")
    return RepositoryError(f"cannot {doing}: {error.strerror or error}{remedy}")
