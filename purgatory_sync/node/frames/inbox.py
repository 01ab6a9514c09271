"""Messages that were received and wait to be read; no I/O."""

from __future__ import annotations

from collections import deque
from typing import Final

from websockets.frames import Frame, Opcode

# Of a message in pieces; of empty ones no other limit counts.
MAX_FRAGMENTS: Final = 4096


class Inbox:
    """Puts frames together to messages, in order.

    Args:
      queued_messages: that may wait; with one more the inbox is full.
      long_bytes: with a message that is longer the inbox is full.

    Attributes:
      full: nothing more should be received until all is read.
    """

    def __init__(self, queued_messages: int, long_bytes: int) -> None:
        self._queued_messages = queued_messages
        self._long_bytes = long_bytes
        self._messages: deque[tuple[Opcode, bytes]] = deque()
        self._begun: tuple[Opcode, bytearray] | None = None
        self._fragments = 0
        self.full = False

    def __len__(self) -> int:
        """How many messages wait."""
        return len(self._messages)

    def add(self, frame: Frame) -> bool:
        """Add a data frame; False when its message has too many pieces."""
        if frame.fin and self._begun is None:
            self._put(frame.opcode, bytes(frame.data))
            return True
        opcode, message = self._begun or (frame.opcode, bytearray())
        message += frame.data
        self._begun = opcode, message
        self._fragments += 1
        if frame.fin:
            self._begun, self._fragments = None, 0
            self._put(opcode, bytes(message))
        return self._fragments <= MAX_FRAGMENTS

    def take(self) -> tuple[Opcode, bytes]:
        """The oldest message; there must be one."""
        message = self._messages.popleft()
        self.full = self.full and bool(self._messages)
        return message

    def _put(self, opcode: Opcode, message: bytes) -> None:
        self._messages.append((opcode, message))
        long = len(message) > self._long_bytes
        self.full = self.full or long or len(self._messages) > self._queued_messages
