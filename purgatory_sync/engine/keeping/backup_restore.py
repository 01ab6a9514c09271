"""From a backup to the two folders of a node that does not run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ...errors import ConfigurationError, RepositoryError
from ...git.folder.repository_copy import copy_tree
from ...runtime.folders import make_folder
from ...settings import Settings
from .backup import Tell, require_empty
from .manifest import GIT, RELAY, Manifest, read_manifest


def restore_backup(source: Path, settings: Settings, tell: Tell) -> Manifest:
    """Fill the two folders of the settings from a backup (B 13.5).

    Packs are linked where both are on one file system, since they never change.

    Args:
      tell: called with what it does.

    Raises:
      ConfigurationError: it is no whole backup, or a folder is not empty.
      RepositoryError: the disk refuses; both folders are as they were.
    """
    tell("checking the backup")
    manifest = read_manifest(source)
    places = [(GIT, settings.git_data_path), (RELAY, settings.relay_data_path)]
    for _, folder in places:
        require_empty(folder)
    if settings.git_data_path.absolute() == settings.relay_data_path.absolute():
        raise ConfigurationError("NGIT_GIT_DATA_PATH and NGIT_RELAY_DATA_PATH are one folder")
    made: list[Path] = []
    try:
        for name, folder in places:
            tell(f"restoring {folder}")
            make_folder(folder.absolute().parent)
            part = folder.with_name(f".{folder.name}.part")
            made.append(part)
            copy_tree(source / name, part)
        os.sync()
        for _, folder in places:
            part = folder.with_name(f".{folder.name}.part")
            os.replace(part, folder)
            made.append(folder)
        os.sync()
    except OSError as error:
        for each in made:
            shutil.rmtree(each, ignore_errors=True)
        raise RepositoryError(
            f"{error.filename or 'a folder'} cannot be written: {error.strerror}; nothing was"
            " restored: free space or choose other folders, and restore again"
        ) from error
    return manifest
