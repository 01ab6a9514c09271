"""What a file system does with names, links and folders, tried once before it is relied on."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import attrs

from ...errors import ConfigurationError
from ...filenames import from_file_name, to_file_name
from ...runtime.folders import make_folder
from ..disk.layout import UNSYNCED
from ..disk.scratch import scratch_name

# Decomposed, composed, and in capitals: what a file system may take for one name.
_NAME, _OTHERS = "probe-\u00fc", ("probe-u\u0308", "PROBE-\u00dc", "Probe-\u00fc")


@attrs.frozen
class DiskTraits:
    """How a file system differs from what is usual.

    Attributes:
      exact_names: whether names that differ in case or in Unicode's forms are two names.
      durable_names: whether names survive a power cut once their folder is synced.
    """

    exact_names: bool = True
    durable_names: bool = True


def probe_disk(tmp: Path) -> DiskTraits:
    """Try it in a folder of our own, which is made when it is missing; what is tried is removed.

    Raises:
      ConfigurationError: nothing can be written there, or what git's locks need is missing.
    """
    folder = tmp / scratch_name("probe")
    try:
        make_folder(tmp)
        folder.mkdir()
        try:
            return _probe(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise ConfigurationError(
            f"{tmp.parent} cannot be used ({error.strerror or error}): make it a folder that this"
            " user may write to, or choose another NGIT_GIT_DATA_PATH"
        ) from error


def _probe(folder: Path) -> DiskTraits:
    os.mkdir(folder / to_file_name(_NAME))
    others = (folder / to_file_name(name) for name in _OTHERS)
    exact = not any(os.path.lexists(other) for other in others)
    exact = exact and [from_file_name(name) for name in os.listdir(folder)] == [_NAME]
    return DiskTraits(exact, _syncs(folder) and _links(folder))


def _links(folder: Path) -> bool:
    """Whether a lock can be made in one step: by a hard link, else by a symbolic one."""
    (folder / "file").touch()
    with suppress(OSError):
        os.link(folder / "file", folder / "link")
        return True
    os.symlink("file", folder / "link")
    return True


def _syncs(folder: Path) -> bool:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno in UNSYNCED:
            return False
        raise
    finally:
        os.close(fd)
    return True
