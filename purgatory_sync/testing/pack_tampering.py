"""Answers with a pack in them, taken apart and put together again; packs to put in instead."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

_BAND_BYTES: Final = 60_000
_PACK_BAND: Final = 1
_HEAD: Final = b"PACK\x00\x00\x00\x02\x00\x00\x00\x00"
EMPTY_PACK: Final = _HEAD + hashlib.sha1(_HEAD, usedforsecurity=False).digest()
_ENVIRONMENT: Final = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C"}


def pkt(data: bytes) -> bytes:
    """A pkt-line."""
    return b"%04x%b" % (len(data) + 4, data)


def change_pack(body: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """An answer of upload-pack with another pack in it; one without a pack stays as it is.

    Args:
      body: the whole answer, of protocol v2 or v0 with side bands.
      change: makes the new pack of the old one; progress messages are left out.
    """
    head, pack, position = b"", b"", 0
    while position < len(body):
        length = int(body[position : position + 4], 16)
        packet = body[position : position + max(4, length)]
        position += len(packet)
        if length > 4 and packet[4] == _PACK_BAND:
            pack += packet[5:]
        elif not pack and (length <= 4 or packet[4] > 3):
            head += packet
    if not pack:
        return body
    new = change(pack)
    starts = range(0, len(new), _BAND_BYTES)
    bands = [pkt(b"\x01" + new[start : start + _BAND_BYTES]) for start in starts]
    return head + b"".join(bands) + b"0000"


def refused_oid(body: bytes) -> str | None:
    """What git names when it refuses; None for an answer that is no refusal."""
    if body[4:8] != b"ERR ":
        return None
    found = re.search(rb"[0-9a-f]{40}", body)
    return found[0].decode() if found else ""


def pack_of(repository: Path, *revisions: str) -> bytes:
    """All of a repository as a pack, or what these revisions need (`main`, `^main~1`)."""
    arguments = ["pack-objects", "--stdout", "--quiet", "--revs", *([] if revisions else ["--all"])]
    given = "".join(f"{revision}\n" for revision in revisions)
    return _git(repository, *arguments, stdin=given.encode())


def shallow_pack_of(repository: Path, revision: str = "HEAD") -> bytes:
    """One commit with its files and nothing of its history."""
    listed = _git(repository, "rev-list", "--objects", "--no-walk", revision)
    names = b"".join(line[:40] + b"\n" for line in listed.splitlines())
    return _git(repository, "pack-objects", "--stdout", "--quiet", stdin=names)


def _git(repository: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    return subprocess.run(
        ["git", "-C", repository, *arguments],
        input=stdin,
        stdout=subprocess.PIPE,
        env={**os.environ, **_ENVIRONMENT},
        check=True,
    ).stdout
