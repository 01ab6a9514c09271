"""What upload-pack says of a repository without refs, where git says too little (B 6.2)."""

from __future__ import annotations

import re
from typing import Final

from ...errors import ProtocolBroken
from ...git.protocol.pktline import FLUSH_BYTES, PacketBuffer, pkt_line
from ...git.serving.ref_answers import PREAMBLE, V1_LINE

LEAST_BYTES: Final = len(V1_LINE) + len(FLUSH_BYTES)
"""So much of git's answer shows whether it has refs to name."""
_PREFIX: Final = b"ref-prefix "
_WANT: Final = re.compile(rb"[0-9a-f]{4}want ([0-9a-f]{40})")

# What git says itself before the refs of a repository that has some.
CAPABILITIES: Final = (
    b"multi_ack thin-pack side-band side-band-64k ofs-delta shallow deepen-since deepen-not "
    b"deepen-relative no-progress include-tag multi_ack_detailed allow-tip-sha1-in-want "
    b"allow-reachable-sha1-in-want no-done filter object-format=sha1 agent=purgatory-sync"
)


def asks_for_unborn(request: bytes) -> bool:
    """Whether a v2 request lists refs and wants to hear of a HEAD that names no branch yet."""
    arguments, prefixes = set(), []
    buffer = PacketBuffer()
    buffer.feed(request)
    try:
        while (packet := buffer.next_packet()) is not None:
            line = packet.rstrip(b"\n") if isinstance(packet, bytes) else b""
            arguments.add(line)
            if line.startswith(_PREFIX):
                prefixes.append(line.removeprefix(_PREFIX))
    except ProtocolBroken:
        return False  # git says what is wrong
    named = not prefixes or any(b"HEAD".startswith(prefix) for prefix in prefixes)
    return named and {b"command=ls-refs", b"unborn"} <= arguments


def unborn_line(branch: str) -> bytes:
    """The line of a list of refs (v2) for a HEAD that names no branch yet."""
    return pkt_line(b"unborn HEAD symref-target:" + branch.encode() + b"\n")


def with_capabilities(first: bytes) -> bytes:
    """The beginning of git's answer, with what git before 2.41 leaves out without refs."""
    line = pkt_line(b"0" * 40 + b" capabilities^{}\0" + CAPABILITIES)
    if first == FLUSH_BYTES:
        return line + FLUSH_BYTES
    if first == V1_LINE + FLUSH_BYTES:
        return V1_LINE + line + FLUSH_BYTES
    return first


def answer_of_nothing(request: bytes) -> bytes:
    """The answer to a request for objects of a repository that has none: git's own words."""
    wanted = _WANT.search(request)
    if wanted is None:
        return FLUSH_BYTES
    return pkt_line(b"ERR upload-pack: not our ref " + wanted[1])


NO_REFS: Final = PREAMBLE + with_capabilities(FLUSH_BYTES)
"""The whole answer to info/refs of a repository that has none, in v0."""
