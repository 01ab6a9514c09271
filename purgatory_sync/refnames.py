"""What may be the name of a ref, and which names cannot stand side by side."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_COMPONENT_BYTES = 250
"""git locks a loose ref as `<component>.lock`, and file names end at 255 bytes."""

MAX_REFNAME_BYTES = 1024
"""Far below PATH_MAX, so that every clone can write the ref below its own folder."""

_REFUSED = re.compile(
    r"""
      [\x00-\x20\x7f~^:?*\[\\]    # control characters, and what has a meaning in revisions or globs
    | \.\. | @\{
    | (?:^|/) [./]                # a component that is empty or starts with a dot
    | (?:/|\.|\.lock) \Z
    | \.lock/
    """,
    re.VERBOSE,
)
# Nearly every name; to ask for all that is refused takes four times as long.
_WORD = r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*"
_PLAIN = re.compile(rf"{_WORD}(?:/{_WORD})+")


def is_valid_refname(name: str) -> bool:
    """Whether `git check-ref-format` accepts a name, and file systems can hold it (B 1.3).

    Args:
      name: a full name such as `refs/heads/main`; git wants at least one slash in it.

    Returns False, beyond what git judges, for more than `MAX_COMPONENT_BYTES` in a component or
    `MAX_REFNAME_BYTES` in all, and for text that is not UTF-8.
    """
    if len(name) <= MAX_COMPONENT_BYTES and _PLAIN.fullmatch(name) and ".lock" not in name:
        return True
    if "/" not in name or _REFUSED.search(name):
        return False
    try:
        raw = name.encode()
    except UnicodeEncodeError:
        return False
    return len(raw) <= MAX_REFNAME_BYTES and all(
        len(component) <= MAX_COMPONENT_BYTES for component in raw.split(b"/")
    )


def conflicting(names: Iterable[str]) -> tuple[str, str] | None:
    """The first two names of which one is a folder of the other, or None (B 1.3).

    Returns (folder, name) such as (`refs/heads/x`, `refs/heads/x/y`); stock git can hold only one
    of them.
    """
    known = set(names)
    if known.isdisjoint(_folders(known)):
        return None
    for name in sorted(known):
        end = name.find("/")
        while end != -1:
            if name[:end] in known:
                return name[:end], name
            end = name.find("/", end + 1)
    return None


def _folders(names: Iterable[str]) -> set[str]:
    """Every folder that one of the names is in; most names are in the same few."""
    folders: set[str] = set()
    for name in names:
        folder = name.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return folders
