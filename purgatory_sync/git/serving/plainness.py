"""Whether git would serve a repository as its files say, with no setting that changes it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from dulwich.config import ConfigFile

from ..disk.layout import ALTERNATES, CONFIG

CHANGES_HISTORY: Final = ("shallow", "info/grafts", ALTERNATES, "commondir", "gitdir")
"""Files by which git shows other commits than the objects say, or other objects or refs."""

_MAX_CONFIG_BYTES: Final = 64 * 1024
_CORE: Final = {
    b"repositoryformatversion": (b"0",),
    b"bare": (b"true",),
    b"filemode": None,
    b"logallrefupdates": None,
    b"ignorecase": None,
    b"precomposeunicode": None,
    b"symlinks": None,
}
_SAYS_NOTHING_HERE: Final = (b"branch", b"gc", b"gitweb", b"http", b"receive", b"remote", b"user")
_OURS: Final = (
    (b"lsrefs", b"unborn"),
    *(
        (b"uploadpack", name)
        for name in (b"allowtipsha1inwant", b"allowreachablesha1inwant", b"allowfilter")
    ),
)
"""Settings that the environment of our children overrules."""


def is_plain(repository: Path) -> bool:
    """Whether refs and objects are all that rules what git serves of a repository.

    Settings of its `config` that hide refs, allow more requests or point elsewhere, and files that
    change its history, make it other than plain: git itself must then answer for it.

    Raises OSError when it cannot be read.
    """
    if any(os.path.lexists(f"{repository}/{name}") for name in CHANGES_HISTORY):
        return False
    with open(f"{repository}/config", "rb") as file:
        content = file.read(_MAX_CONFIG_BYTES + 1)
        if content == CONFIG:
            return True
        if len(content) > _MAX_CONFIG_BYTES:
            return False
        file.seek(0)
        try:
            config = ConfigFile.from_file(file)
        except ValueError:
            return False
    return all(
        _is_harmless(section, key.lower(), value)
        for section in config.sections()
        for key, value in config.items(section)
    )


def _is_harmless(section: tuple[bytes, ...], key: bytes, value: bytes) -> bool:
    first = section[0].lower()
    if first == b"core":
        allowed = _CORE.get(key, ())
        return allowed is None or value.lower() in allowed
    return first in _SAYS_NOTHING_HERE or (len(section) == 1 and (first, key) in _OURS)
