"""Lists of refs as bytes, as git's upload-pack writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ..protocol.pktline import FLUSH_BYTES, pkt_line
from .served_refs import ServedRef, ServedRefs
from .upload_requests import ListRefs

PREAMBLE: Final = pkt_line(b"# service=git-upload-pack\n") + FLUSH_BYTES
V1_LINE: Final = pkt_line(b"version 1\n")
_SYMREF: Final = re.compile(rb" symref=HEAD:[^ ]+")


def list_refs_answer(served: ServedRefs, request: ListRefs) -> bytes:
    """The answer to `ls-refs` (v2): HEAD first, then all others in git's order."""
    return b"".join((*_listed(served, request), FLUSH_BYTES))


def _listed(served: ServedRefs, request: ListRefs) -> Iterator[bytes]:
    prefixes = request.prefixes
    head = served.head
    if head is not None and (not prefixes or b"HEAD".startswith(prefixes)):
        target = b" symref-target:" + head.name if request.symrefs else b""
        yield _line(head, b"HEAD" + target, request.peel)
    for ref in served.refs:
        if not prefixes or ref.name.startswith(prefixes):
            yield _line(ref, ref.name, request.peel)


def _line(ref: ServedRef, name: bytes, peel: bool) -> bytes:
    peeled = b" peeled:" + ref.peeled if peel and ref.peeled else b""
    return pkt_line(b"%b %b%b\n" % (ref.oid, name, peeled))


def advertised(served: ServedRefs, capabilities: bytes, version: int) -> bytes | None:
    """The whole answer to `info/refs` (v0 or v1) of a repository that has refs.

    Args:
      capabilities: what git says behind its first ref, of any repository of the same kind whose
        HEAD names a ref.
      version: 0 or 1.

    Returns None where git must be asked: nothing is advertised yet.
    """
    if not served.refs or (served.head is not None and not _SYMREF.search(capabilities)):
        return None
    named = b" symref=HEAD:" + served.head.name if served.head else b""
    words = _SYMREF.sub(lambda _: named, capabilities)
    lines = [ref for name in _names(served) for ref in name]
    first, *others = lines
    return b"".join(
        (
            PREAMBLE,
            V1_LINE if version == 1 else b"",
            pkt_line(first + b"\0" + words + b"\n"),
            *(pkt_line(line + b"\n") for line in others),
            FLUSH_BYTES,
        )
    )


def _names(served: ServedRefs) -> Iterator[tuple[bytes, ...]]:
    if served.head is not None:
        yield (b"%b HEAD" % served.head.oid,)
    for ref in served.refs:
        line = b"%b %b" % (ref.oid, ref.name)
        yield (line, b"%b %b^{}" % (ref.peeled, ref.name)) if ref.peeled else (line,)


def capabilities_of(advertisement: bytes) -> bytes | None:
    """What git says behind its first ref; None where that is not there, or names no HEAD.

    Args:
      advertisement: the beginning of git's answer, with the whole first packet.
    """
    rest = advertisement.removeprefix(V1_LINE)
    size = int(rest[:4], 16) if re.match(rb"[0-9a-f]{4}", rest) else 0
    if not 4 < size <= len(rest):
        return None
    _, nul, words = rest[4:size].partition(b"\0")
    return words.rstrip(b"\n") if nul and _SYMREF.search(words) else None
