"""What clients of upload-pack ask for, read from whole requests; what is not plain is git's.

None stands for: git itself must answer. It does so for all that is malformed, too, and says what is
wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import attrs

from ...errors import ProtocolBroken
from ..protocol.pktline import Mark, Packet, PacketBuffer

MAX_PACKETS: Final = 6_000
"""So many of wants or haves fit in 256 KiB; more of tiny ones would keep the event loop busy."""

_WITHOUT_EFFECT: Final = (b"agent=", b"server-option=")
_SHA1: Final = b"object-format=sha1"
_PREFIX: Final = b"ref-prefix "
_WANT: Final = re.compile(rb"want ([0-9a-f]{40})")
_FIRST_WANT: Final = re.compile(rb"want ([0-9a-f]{40})(?: ([^\n]*))?")
_HAVE: Final = re.compile(rb"have ([0-9a-f]{40})")
_V2_WORDS: Final = frozenset((b"thin-pack", b"no-progress", b"include-tag", b"ofs-delta"))
_V0_WORDS: Final = _V2_WORDS | {
    b"deepen-not",  # that it could ask so; it does in lines of their own
    b"deepen-since",
    b"multi_ack",
    b"multi_ack_detailed",
    b"no-done",
    b"side-band",
    b"side-band-64k",
    _SHA1,
}


@attrs.frozen
class ListRefs:
    """A `ls-refs` of protocol v2.

    Attributes:
      peel: whether tags are told with what they name.
      symrefs: whether HEAD is told with the ref that it names.
      prefixes: refs that begin with none of them are left out; all are told where there is none.
    """

    peel: bool
    symrefs: bool
    prefixes: tuple[bytes, ...]


@attrs.frozen
class FetchPack:
    """A request for objects by a client that has nothing, or has all of it.

    Attributes:
      wants: 40 hex digits each.
      haves: the same.
      version: of the protocol: 0 (also for 1) or 2.
      band: bytes of pack in one packet of a side-band; 0 where none was asked for.
    """

    wants: frozenset[bytes]
    haves: frozenset[bytes]
    version: int
    band: int


BAND_64K: Final = 65515
BAND_1K: Final = 995


def read_request_v2(body: bytes) -> ListRefs | FetchPack | None:
    """Read a whole request of protocol v2."""
    packets = _packets(body)
    if packets is None or packets[-1:] != [Mark.FLUSH]:
        return None
    lines, arguments = _parted(packets[:-1])
    if arguments is None or not all(map(_has_no_effect, lines[1:])):
        return None
    if lines[:1] == [b"command=ls-refs"]:
        return _list_refs(arguments)
    return _fetch_v2(arguments) if lines[:1] == [b"command=fetch"] else None


def read_request_v0(body: bytes) -> FetchPack | None:
    """Read a whole request of protocol v0 or v1 from a client that has nothing yet."""
    packets = _packets(body)
    if packets is None or packets[-2:] not in ([Mark.FLUSH, b"done"], [Mark.FLUSH, b"done\n"]):
        return None
    lines = _lines(packets[:-2])
    if not lines or (first := _FIRST_WANT.fullmatch(lines[0])) is None:
        return None
    words = (first[2] or b"").split()
    known = all(word in _V0_WORDS or word.startswith(b"agent=") for word in words)
    others = [_WANT.fullmatch(line) for line in lines[1:]]
    if not known or b"ofs-delta" not in words or not all(others):
        return None
    band = BAND_64K if b"side-band-64k" in words else BAND_1K if b"side-band" in words else 0
    wants = frozenset((first[1], *(match[1] for match in others if match)))
    return FetchPack(wants, frozenset(), 0, band)


def _packets(body: bytes) -> list[Packet] | None:
    buffer, packets = PacketBuffer(), list[Packet]()
    buffer.feed(body)
    try:
        while (packet := buffer.next_packet()) is not None:
            packets.append(packet)
            if len(packets) > MAX_PACKETS:
                return None
    except ProtocolBroken:
        return None
    return None if len(buffer) else packets


def _lines(packets: Sequence[Packet]) -> list[bytes] | None:
    """The lines without their ends; None where a mark is among them."""
    lines = [packet.removesuffix(b"\n") for packet in packets if isinstance(packet, bytes)]
    return lines if len(lines) == len(packets) else None


def _parted(packets: Sequence[Packet]) -> tuple[list[bytes], list[bytes] | None]:
    """The lines of command and capabilities, and the arguments; None where it is not plain."""
    at = packets.index(Mark.DELIM) if Mark.DELIM in packets else len(packets)
    head, arguments = _lines(packets[:at]), _lines(packets[at + 1 :])
    return (head, arguments) if head is not None else ([], None)


def _has_no_effect(capability: bytes) -> bool:
    return capability == _SHA1 or capability.startswith(_WITHOUT_EFFECT)


def _list_refs(arguments: list[bytes]) -> ListRefs | None:
    prefixes = tuple(a.removeprefix(_PREFIX) for a in arguments if a.startswith(_PREFIX))
    words = {argument for argument in arguments if not argument.startswith(_PREFIX)}
    if not words <= {b"peel", b"symrefs", b"unborn"}:
        return None
    return ListRefs(b"peel" in words, b"symrefs" in words, prefixes)


def _fetch_v2(arguments: list[bytes]) -> FetchPack | None:
    wants, haves, words = set(), set(), set()
    for argument in arguments:
        if match := _WANT.fullmatch(argument):
            wants.add(match[1])
        elif match := _HAVE.fullmatch(argument):
            haves.add(match[1])
        else:
            words.add(argument)
    if not wants or not words <= _V2_WORDS | {b"done"} or not {b"done", b"ofs-delta"} <= words:
        return None
    return FetchPack(frozenset(wants), frozenset(haves), 2, BAND_64K)
