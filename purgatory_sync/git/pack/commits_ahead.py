"""The commits that a pack begins with, read while it arrives."""

from __future__ import annotations

import zlib
from hashlib import sha1
from typing import Final

from ...errors import BadPack
from .format import COMMIT, HEADER_BYTES, OFS_DELTA, REF_DELTA, parse_entry_header

MAX_COMMITS: Final = 50_000
_MAX_COMMIT_BYTES: Final = 64 * 1024
# Deflated data is never larger than what it stands for by more than this.
_MORE_BYTES: Final = 128


class CommitsAhead:
    """Git writes commits first, newest first: a pack that is cut has told most of them.

    It judges nothing: what it cannot read ends it, without a word.

    Attributes:
      oids: of the whole commits so far, in the pack's order; those that are deltas are left out.
    """

    def __init__(self) -> None:
        self.oids: list[str] = []
        self._rest = b""
        self._begun = self._over = False

    def feed(self, data: bytes) -> None:
        """Read the next bytes of the pack."""
        if self._over:
            return
        self._rest += data
        at = 0
        if not self._begun:
            if len(self._rest) < HEADER_BYTES:
                return
            at, self._begun = HEADER_BYTES, True
        try:
            while (after := self._read(at)) is not None:
                at = after
        except (BadPack, zlib.error):
            self._over = True
        self._rest = b"" if self._over else self._rest[at:]

    def _read(self, at: int) -> int | None:
        """Read the entry at a place; returns where the next begins, None while it is not here."""
        try:
            kind, size, data_at, _ = parse_entry_header(self._rest, at, 1 << 40)
        except IndexError:
            return None
        whole = len(self._rest) >= data_at + size + _MORE_BYTES
        if kind not in (COMMIT, OFS_DELTA, REF_DELTA) or size > _MAX_COMMIT_BYTES:
            raise BadPack("no commit")
        inflater = zlib.decompressobj()
        packed = self._rest[data_at : data_at + size + _MORE_BYTES]
        # Not more than it says: 64 KiB may inflate to 64 MiB, here on the event loop.
        content = inflater.decompress(packed, size + 1)
        if len(content) > size:
            raise BadPack("no entry")
        if not inflater.eof:
            if whole:
                raise BadPack("no entry")
            return None
        if kind == COMMIT:
            head = b"commit %d\0" % len(content)
            self.oids.append(sha1(head + content, usedforsecurity=False).hexdigest())
            if len(self.oids) >= MAX_COMMITS:
                self._over = True
                return None
        return data_at + len(packed) - len(inflater.unused_data)
