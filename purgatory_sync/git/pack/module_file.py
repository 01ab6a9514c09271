"""`.gitmodules` as git reads it, and what in it endangers clones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from ...errors import BadPack

_BOM = b"\xef\xbb\xbf"
_SPACE = b" \t\n\r"
_ESCAPED = {b"t": b"\t", b"b": b"\b", b"n": b"\n", b"\\": b"\\", b'"': b'"'}
_RELATIVE = re.compile(rb"\.{1,2}[/\\]")
_BY_CURL = re.compile(rb"(?:https?|ftps?):(?://|:)")


class ModuleValue(NamedTuple):
    """One setting of a submodule; the value is None where no `=` follows the key."""

    name: bytes
    key: bytes
    value: bytes | None


class _Unreadable(Exception):
    """git reads no further."""


class _Reader:
    """The characters as git takes them: CRLF is one end of a line, and so is the file's end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = len(_BOM) if data.startswith(_BOM) else 0
        self.ended = False

    def next(self) -> bytes:
        if self._at >= len(self._data):
            self.ended = True
            return b"\n"
        if self._data[self._at : self._at + 2] == b"\r\n":
            self._at += 1
        self._at += 1
        return self._data[self._at - 1 : self._at]


def module_values(data: bytes) -> Iterator[ModuleValue]:
    """The settings of submodules in git's order; where git stops reading, this does too."""
    reader, section = _Reader(data), b""
    try:
        while not reader.ended:
            char = reader.next()
            if char in (b"#", b";"):
                while reader.next() != b"\n":
                    pass
            elif char == b"[":
                section = _section(reader)
            elif char.isalpha():
                key, value = _setting(reader, char)
                kind, dot, name = section.partition(b".")
                if kind == b"submodule" and dot:
                    yield ModuleValue(_c_text(name), key, None if value is None else _c_text(value))
            elif char not in _SPACE:
                return
    except _Unreadable:
        return


def judge_module_file(data: bytes) -> None:
    """Judge the content of a `.gitmodules`: clones follow what it says (docs/objects.md).

    Raises:
      BadPack: it names an option, a command, or a place elsewhere.
    """
    for name, key, value in module_values(data):
        if not name or b".." in re.split(rb"[/\\]", name):
            raise BadPack("a .gitmodules with a name that leads elsewhere (gitmodulesName)")
        if value is None:
            continue
        if key in (b"url", b"path") and value.startswith(b"-"):
            raise BadPack(f"a .gitmodules whose {key.decode()} is an option")
        if key == b"update" and value.startswith(b"!"):
            raise BadPack("a .gitmodules that runs a command (gitmodulesUpdate)")
        if key == b"url" and _speaks_for_another(value):
            raise BadPack("a .gitmodules with the end of a line in a URL (gitmodulesUrl)")


def _speaks_for_another(url: bytes) -> bool:
    """Whether a credential helper would read the URL as two lines."""
    curl = _RELATIVE.match(url) or _BY_CURL.match(url)
    return curl is not None and b"\n" in unquote_to_bytes(url)


def _section(reader: _Reader) -> bytes:
    name = bytearray()
    while (char := reader.next()) != b"]":
        if reader.ended:
            raise _Unreadable
        if char in _SPACE:
            return bytes(name) + b"." + _subsection(reader, char)
        if not (char.isalnum() or char in b"-."):
            raise _Unreadable
        name += char.lower()
    return bytes(name)


def _subsection(reader: _Reader, char: bytes) -> bytes:
    while char in _SPACE:
        if char == b"\n":
            raise _Unreadable
        char = reader.next()
    if char != b'"':
        raise _Unreadable
    name = bytearray()
    while (char := reader.next()) != b'"':
        if char == b"\\":
            char = reader.next()
        if char == b"\n":
            raise _Unreadable
        name += char
    if reader.next() != b"]":
        raise _Unreadable
    return bytes(name)


def _setting(reader: _Reader, char: bytes) -> tuple[bytes, bytes | None]:
    key = bytearray()
    while char.isalnum() or char == b"-":
        key += char.lower()
        char = reader.next()
    while char in b" \t":
        char = reader.next()
    if char == b"\n":
        return bytes(key), None
    if char != b"=":
        raise _Unreadable
    return bytes(key), _value(reader)


def _value(reader: _Reader) -> bytes:
    value, spaces, quoted = bytearray(), 0, False
    while (char := reader.next()) != b"\n":
        if char in _SPACE and not quoted:
            spaces += bool(value)
            continue
        if char in b"#;" and not quoted:
            while reader.next() != b"\n":
                pass
            return bytes(value)
        value += b" " * spaces
        spaces = 0
        if char == b"\\":
            char = reader.next()
            if char == b"\n":
                continue
            if char not in _ESCAPED:
                raise _Unreadable
            value += _ESCAPED[char]
        elif char == b'"':
            quoted = not quoted
        else:
            value += char
    if quoted:
        raise _Unreadable
    return bytes(value)


def _c_text(value: bytes) -> bytes:
    """git's texts end at a NUL."""
    return value.partition(b"\0")[0]
