"""The answers of upload-pack with a pack in them: bytes in, pack bytes out, each byte judged.

Bytes may come in pieces of any size and the result is the same; nothing is kept but the packet
at hand.
"""

from __future__ import annotations

import enum
import re
from typing import Final

from ...errors import ObjectsRefused, ProtocolBroken
from ..protocol.pktline import Mark, Packet, PacketBuffer

# Progress, keep-alives and the heads of tiny packets are noise; a server may not drown us in it.
_NOISE_BYTES: Final = 1 << 20
_NOISE_SHARE: Final = 8
# A packet costs us the same, large or small: tiny ones must not keep the event loop busy.
_PACKET_COST: Final = 5
_TINY_BYTES: Final = 32
_TINY_COST: Final = 64
# Some servers send a packet for each write: go-git 5 tiny ones for an object, dulwich 2. An object
# takes 9 bytes of pack at least (a head of 1, deflated data of 8), so that a pack which only says
# that it has many objects may bring no more noise than another.
_OBJECT_NOISE: Final = 8 * _TINY_COST
_LEAST_OBJECT_BYTES: Final = 9
_MAX_ACKS: Final = 4096
_PACK, _PROGRESS, _FATAL = 1, 2, 3
_PACK_HEAD_BYTES: Final = 12
_ACK: Final = re.compile(rb"ACK [0-9a-f]{40}")
_ACK_V0: Final = re.compile(rb"ACK [0-9a-f]{40}(?: (?:common|continue|ready))?")


class EmptyAnswer(ProtocolBroken):
    """A body without a byte: what servers without protocol v2 answer to a v2 request."""


class _Phase(enum.Enum):
    HEAD = enum.auto()
    BANDS = enum.auto()
    END = enum.auto()


class FetchAnswer:
    """What the answers of both protocols share: lines, then a pack in side bands, then a flush."""

    def __init__(self) -> None:
        self.pack_bytes = 0
        self._pack_head = b""
        self._buffer = PacketBuffer()
        self._phase = _Phase.HEAD
        self._begun = False
        self._band = 0
        self._left = 0
        self._noise = 0
        self._fatal = bytearray()

    @property
    def ended(self) -> bool:
        """Whether the answer is here whole, however long the connection stays open after it."""
        return self._phase is _Phase.END

    @property
    def wants_more_haves(self) -> bool:
        """The server gave no pack yet, for it knows too little of what we have."""
        return False

    @property
    def pack_objects(self) -> int | None:
        """How many objects the pack says it has; None before it has said so."""
        if len(self._pack_head) < _PACK_HEAD_BYTES or not self._pack_head.startswith(b"PACK"):
            return None
        return int.from_bytes(self._pack_head[8:], "big")

    def feed(self, data: bytes) -> bytes:
        """Judge the next bytes of the body.

        Returns the bytes of pack among them.

        Raises:
          ObjectsRefused: the server says in the protocol's own ways that it does not give them.
          ProtocolBroken: anything else that is not the answer to what was asked.
        """
        self._begun = self._begun or bool(data)
        self._buffer.feed(data)
        while self._phase is _Phase.HEAD and self._take_head():
            pass
        pack = self._demultiplex() if self._phase is _Phase.BANDS else b""
        if self._phase is _Phase.END and len(self._buffer):
            raise ProtocolBroken("bytes after the end of the pack")
        return pack

    def finish(self) -> None:
        """Judge the end of the body.

        Raises:
          EmptyAnswer: there was none.
          ProtocolBroken: it ends too early.
        """
        if not self._begun:
            raise EmptyAnswer("an empty answer")
        if self._phase is not _Phase.END:
            raise ProtocolBroken("the answer ends early")

    def _take_head(self) -> bool:
        """Take one packet before the pack; False when it has not arrived whole."""
        packet = self._buffer.next_packet()
        if packet is None:
            return False
        if isinstance(packet, bytes) and packet.startswith(b"ERR "):
            raise refusal(packet[4:])
        self._judge_head(packet)
        return True

    def _judge_head(self, packet: Packet) -> None:
        raise NotImplementedError

    def _demultiplex(self) -> bytes:
        pack = []
        while True:
            if not self._left and not self._next_band():
                break
            part = self._buffer.take(self._left)
            self._left -= len(part)
            if self._band == _PACK:
                pack.append(part)
                self.pack_bytes += len(part)
                if len(self._pack_head) < _PACK_HEAD_BYTES:
                    self._pack_head += part[: _PACK_HEAD_BYTES - len(self._pack_head)]
            elif self._band == _PROGRESS:
                self._noise += len(part)
            else:
                self._fatal += part
                if not self._left:
                    raise self._broken_off()
            if not part and self._left:
                break
        self._judge_noise()
        return b"".join(pack)

    def _judge_noise(self) -> None:
        came = self.pack_bytes // _LEAST_OBJECT_BYTES
        objects = min(self.pack_objects or 0, came)
        allowed = _NOISE_BYTES + self.pack_bytes // _NOISE_SHARE + objects * _OBJECT_NOISE
        if self._noise > allowed:
            raise ProtocolBroken("more progress messages than pack")

    def _next_band(self) -> bool:
        """Begin the next packet of the pack; False when there is none, or not yet."""
        length = self._buffer.peek_length()
        if length is None or (length > 4 and len(self._buffer) < 5):
            return False
        if length == Mark.FLUSH.value:
            self._buffer.take(4)
            self._phase = _Phase.END
            return False
        if length < 5:
            raise ProtocolBroken(f"a packet of length {length} inside the pack")
        self._band = self._buffer.take(5)[4]
        if self._band not in (_PACK, _PROGRESS, _FATAL):
            raise ProtocolBroken(f"side band {self._band}")
        self._left = length - 5
        self._noise += _PACKET_COST if self._left >= _TINY_BYTES else _TINY_COST
        self._judge_noise()
        return True

    def _broken_off(self) -> ObjectsRefused | ProtocolBroken:
        if not self.pack_bytes:
            return refusal(bytes(self._fatal))
        return ProtocolBroken(f"the server broke off: {words(bytes(self._fatal))}")


class _Expect(enum.Enum):
    ANY_SECTION = enum.auto()
    ACKNOWLEDGMENTS = enum.auto()
    PACKFILE = enum.auto()


class FetchAnswerV2(FetchAnswer):
    """The answer to `requests.fetch_v2`: what was asked for and nothing else.

    Args:
      negotiates: the request left `done` out, so that the server may answer with what we have in
        common instead of a pack.

    Attributes:
      common: what the server has of the objects that we have.
    """

    def __init__(self, *, negotiates: bool = False) -> None:
        super().__init__()
        self.common: list[str] = []
        self._expect = _Expect.ANY_SECTION if negotiates else _Expect.PACKFILE
        self._ready = False
        self._lines = 0

    @property
    def wants_more_haves(self) -> bool:
        return self.ended and self._expect is _Expect.ACKNOWLEDGMENTS

    def _judge_head(self, packet: Packet) -> None:
        line = packet.rstrip(b"\n") if isinstance(packet, bytes) else packet
        if self._expect is _Expect.ACKNOWLEDGMENTS:
            self._acknowledged(line)
        elif line == b"acknowledgments" and self._expect is _Expect.ANY_SECTION:
            self._expect = _Expect.ACKNOWLEDGMENTS
        elif line == b"packfile":
            self._phase = _Phase.BANDS
        else:
            raise ProtocolBroken(f"a section that was not asked for: {_shown(packet)}")

    def _acknowledged(self, line: Packet) -> None:
        self._lines += 1
        if self._lines > _MAX_ACKS:
            raise ProtocolBroken("acknowledgements without end")
        if line is Mark.FLUSH and not self._ready:
            self._phase = _Phase.END
        elif line is Mark.DELIM and self._ready:
            self._expect = _Expect.PACKFILE
        elif line == b"ready":
            self._ready = True
        elif isinstance(line, bytes) and _ACK.fullmatch(line):
            self.common.append(line[4:].decode("ascii"))
        elif line != b"NAK":
            raise ProtocolBroken(f"a line that was not asked for: {_shown(line)}")


class FetchAnswerV0(FetchAnswer):
    """The answer to `requests.fetch_v0`: NAK or ACK, then the pack."""

    def __init__(self) -> None:
        super().__init__()
        self._acks = 0

    def _take_head(self) -> bool:
        length = self._buffer.peek_length()
        if self._acks and length is not None and length > 4:
            kind = self._buffer.peek_byte(4)
            if kind is not None and kind <= _FATAL:
                self._phase = _Phase.BANDS
                return False
        return super()._take_head()

    def _judge_head(self, packet: Packet) -> None:
        line = packet.rstrip(b"\n") if isinstance(packet, bytes) else b""
        if line != b"NAK" and not _ACK_V0.fullmatch(line):
            raise ProtocolBroken(f"a line that was not asked for: {_shown(packet)}")
        self._acks += 1
        if self._acks > _MAX_ACKS:
            raise ProtocolBroken("acknowledgements without end")


def refusal(message: bytes) -> ObjectsRefused:
    """The error for a server's words (an ERR line, band 3)."""
    said = words(message)
    return ObjectsRefused(f"the server refuses: {said}", said)


def words(message: bytes) -> str:
    """A server's words, harmless in logs and pages: one line of at most 200 characters."""
    text = message.decode("utf-8", "replace").strip()
    return "".join(char if char.isprintable() else " " for char in text)[:200]


def _shown(packet: Packet) -> str:
    return words(packet[:40]) if isinstance(packet, bytes) else packet.name.lower()
