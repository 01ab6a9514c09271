"""Files with entries of the operator's lists, read at the start and at SIGHUP (B 5.5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ...errors import ConfigurationError
from ...policy.rules.list_entries import LISTS, OperatorList, Unacceptable
from ...settings import ListFileSettings

MAX_FILE_BYTES: Final = 8 * 1024 * 1024

_COMMENT: Final = re.compile(r"(?:\A|\s)#.*")


def read_files(files: ListFileSettings) -> Mapping[str, tuple[str, ...]]:
    """The entries of every file that is named, by the name of the list; it reads the disk.

    Raises:
      ConfigurationError: one of them cannot be read, or has a line that is no entry.
    """
    named = {each.name: (each, getattr(files, each.field)) for each in LISTS.values()}
    return {name: _read(path, listed) for name, (listed, path) in named.items() if path is not None}


def _read(path: Path, listed: OperatorList) -> tuple[str, ...]:
    variable = f"{listed.variable}_FILE"
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
        text = raw.decode()
    except OSError as error:
        raise ConfigurationError(
            f"{variable}: {path} cannot be read ({error.strerror or error}): let this user read"
            " it, or name another file"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{variable}: {path} is no text: write it in UTF-8") from error
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigurationError(f"{variable}: {path} has more than {MAX_FILE_BYTES} bytes")
    found: dict[str, None] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if entry := _COMMENT.sub("", line).strip():
            try:
                found[listed.read(entry)] = None
            except Unacceptable as error:
                raise ConfigurationError(
                    f"{variable}: line {number} of {path} is no entry ({error}): write"
                    f" {listed.accepted} there, or a # before it"
                ) from error
    if not found and listed.field == "repository_whitelist":
        raise ConfigurationError(
            f"{variable}: {path} has no entry, and an empty whitelist lets every repository in:"
            " write one into it, or remove the setting"
        )
    return tuple(found)
