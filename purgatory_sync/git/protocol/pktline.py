"""pkt-lines, taken apart as they arrive: nothing is kept but the packet at hand.

Stricter than git: four hex digits and nothing else make a length.
"""

from __future__ import annotations

import enum
import re
from typing import Final

from dulwich.protocol import pkt_line

from ...errors import ProtocolBroken

__all__ = ["DELIM_BYTES", "FLUSH_BYTES", "Mark", "Packet", "PacketBuffer", "pkt_line"]

MAX_PACKET_BYTES: Final = 65520
FLUSH_BYTES: Final = b"0000"
DELIM_BYTES: Final = b"0001"
_HEX: Final = re.compile(rb"[0-9a-fA-F]{4}")


class Mark(enum.Enum):
    """A packet without payload."""

    FLUSH = 0
    DELIM = 1
    RESPONSE_END = 2


Packet = bytes | Mark
_MARKS: Final = {mark.value: mark for mark in Mark}


class PacketBuffer:
    """Bytes that arrived and were not yet understood; never much more than one packet."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def __len__(self) -> int:
        return len(self._bytes)

    def feed(self, data: bytes) -> None:
        """Add bytes as they arrive, in pieces of any size."""
        self._bytes += data

    def peek_length(self) -> int | None:
        """The length that the next packet states (its own 4 bytes included), None while unknown.

        Raises:
          ProtocolBroken: not four hex digits, or more than git ever sends.
        """
        head = bytes(self._bytes[:4])
        if len(head) < 4:
            if head and not re.fullmatch(rb"[0-9a-fA-F]+", head):
                raise ProtocolBroken(f"not a pkt-line: {head!r}")
            return None
        if not _HEX.fullmatch(head):
            raise ProtocolBroken(f"not a pkt-line: {head!r}")
        length = int(head, 16)
        if length == 3 or length > MAX_PACKET_BYTES:
            raise ProtocolBroken(f"a pkt-line of length {length}")
        return length

    def peek_byte(self, position: int) -> int | None:
        """The byte at a position, None while it has not arrived."""
        return self._bytes[position] if position < len(self._bytes) else None

    def next_packet(self) -> Packet | None:
        """Take the next whole packet, None while it has not arrived whole.

        Raises:
          ProtocolBroken: as `peek_length`.
        """
        length = self.peek_length()
        if length is None:
            return None
        if length < 4:
            del self._bytes[:4]
            return _MARKS[length]
        if len(self._bytes) < length:
            return None
        return self.take(length)[4:]

    def take(self, count: int) -> bytes:
        """Take at most `count` bytes, packets or not."""
        taken = bytes(memoryview(self._bytes)[:count])
        del self._bytes[:count]
        return taken
