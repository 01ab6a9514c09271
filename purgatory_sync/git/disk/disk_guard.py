"""What can go wrong with our own disk: errors as ours, and space that must stay free."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from ...errors import DiskFull, LocalFailure, RepositoryError
from ...runtime.folders import free_bytes
from .layout import local_failure


@contextlib.contextmanager
def local_errors(doing: str) -> Iterator[None]:
    """Turn failures of our own disk and repositories into DiskFull or LocalFailure.

    Args:
      doing: what was being done, for "cannot …".
    """
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise (DiskFull if full else LocalFailure)(str(local_failure(doing, error))) from error
    except RepositoryError as error:
        raise LocalFailure(str(error)) from error


def require_free_space(folder: Path, min_free_bytes: int, more: int = 0) -> None:
    """Refuse to write where too little would be left.

    Args:
      folder: any folder of the file system in question.
      min_free_bytes: bytes that must stay free.
      more: bytes that are about to be written.

    Raises:
      DiskFull: less than that is free.
    """
    free = free_bytes(folder)
    if free - more < min_free_bytes:
        raise DiskFull(
            f"{free} bytes are free beside the repositories, {min_free_bytes} must stay free: "
            "free some space or lower NGIT_HUNT_MIN_FREE_BYTES"
        )
