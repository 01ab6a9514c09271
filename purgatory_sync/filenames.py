"""Names of files are bytes of UTF-8, independent of the locale of the process.

Python turns text into names by the locale; with another one than UTF-8 it would look for other
files than those that were written, or find that a name cannot be written at all. What these
functions give is turned by it into the right bytes.
"""

from __future__ import annotations

import os


def to_file_name(text: str) -> str:
    """What names a file for Python whose name is the text in UTF-8; surrogates stand for bytes."""
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def from_file_name(name: str) -> str:
    """The text of a file's name as Python lists it; bytes that are no UTF-8 become surrogates."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")
