"""Negentropy, protocol version 1: two sides learn which ids only one of them has (NIP-77).

A message is a version byte and ranges of ids, each up to a bound: one side's fingerprint of it, its
ids, or nothing. Who disagrees with a fingerprint answers with a finer division of that range, until
ranges are small enough for their ids. The initiator learns what differs; the responder keeps no
state between messages, and so needs no more than its inventory.
"""

from __future__ import annotations

import attrs

from ...errors import PurgatorySyncError
from .inventory import FINGERPRINT_BYTES, ID_BYTES, Bound, Inventory, varint

VERSION = 0x61
BUCKETS = 16
# Room for what closes a message: a skip, and the fingerprint of the rest.
SPARE_BYTES = 200
MIN_FRAME_BYTES = 4096

_SKIP, _FINGERPRINT, _IDS = 0, 1, 2
_END = Bound(2**64 - 1)


class InvalidNegentropy(PurgatorySyncError):
    """A message that is none, or of another version."""


@attrs.define
class Difference:
    """What one message of the responder taught the initiator; ids in hex.

    Attributes:
      have: only the initiator has these.
      need: only the responder has these.
    """

    have: list[str] = attrs.field(factory=list)
    need: list[str] = attrs.field(factory=list)


def open_message(inventory: Inventory) -> bytes:
    """The initiator's first message."""
    writer = _Writer(inventory, MIN_FRAME_BYTES)
    writer.divide(0, len(inventory), _END)
    return writer.message()


def respond(inventory: Inventory, message: bytes, max_bytes: int) -> bytes:
    """The responder's answer, of at most so many bytes (4,096 or more).

    An answer to another version is our version alone.

    Raises:
      InvalidNegentropy: the message is none.
    """
    if message[:1] != bytes([VERSION]):
        if not message or message[0] >> 4 != VERSION >> 4:
            raise InvalidNegentropy("a negentropy message begins with its version")
        return bytes([VERSION])
    return _answer(inventory, message, max_bytes, None)


def advance(
    inventory: Inventory, message: bytes, max_bytes: int
) -> tuple[bytes | None, Difference]:
    """What the initiator learns from an answer, and its next message; None when all is known.

    Where frames are full the same id may be learnt again from a later answer.

    Raises:
      InvalidNegentropy: the message is none, or the responder speaks another version only.
    """
    if message[:1] != bytes([VERSION]):
        raise InvalidNegentropy("the other side speaks another version of negentropy")
    difference = Difference()
    answer = _answer(inventory, message, max_bytes, difference)
    return (answer if len(answer) > 1 else None), difference


def _answer(
    inventory: Inventory, message: bytes, max_bytes: int, difference: Difference | None
) -> bytes:
    reader, writer = _Reader(message), _Writer(inventory, max_bytes)
    start = 0
    while not reader.at_end and not writer.full:
        bound = reader.bound()
        mode, end = reader.number(), inventory.find(bound, start)
        if mode == _SKIP:
            writer.skip(end, bound)
        elif mode == _FINGERPRINT:
            if reader.take(FINGERPRINT_BYTES) == inventory.fingerprint(start, end):
                writer.skip(end, bound)
            else:
                writer.divide(start, end, bound)
        elif mode == _IDS:
            theirs = reader.ids()
            if difference is None:
                writer.list_ids(start, end, bound)
            else:
                _compare(inventory.ids_between(start, end), theirs, difference)
                writer.skip(end, bound)
        else:
            raise InvalidNegentropy("a range of an unknown kind")
        start = end
    return writer.message()


def _compare(ours: bytes, theirs: bytes, difference: Difference) -> None:
    mine, other = dict.fromkeys(_split(ours)), dict.fromkeys(_split(theirs))
    difference.have += [each.hex() for each in mine if each not in other]
    difference.need += [each.hex() for each in other if each not in mine]


def _split(ids: bytes) -> list[bytes]:
    return [ids[n : n + ID_BYTES] for n in range(0, len(ids), ID_BYTES)]


class _Reader:
    """Takes a message apart; every read past its end or against its order is refused."""

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._position = 1
        self._last = Bound(0)

    @property
    def at_end(self) -> bool:
        return self._position >= len(self._message)

    def take(self, count: int) -> bytes:
        taken = self._message[self._position : self._position + count]
        if len(taken) < count:
            raise InvalidNegentropy("the message ends too early")
        self._position += count
        return taken

    def number(self) -> int:
        value = 0
        # 2^64 fits into ten groups of seven bits.
        for _ in range(10):
            (byte,) = self.take(1)
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value
        raise InvalidNegentropy("a number that is too large")

    def bound(self) -> Bound:
        """Times are told as what was added since the last bound, plus one; 0 is the end."""
        delta = self.number()
        created_at = self._last.created_at + delta - 1 if delta else _END.created_at
        bound = Bound(min(created_at, _END.created_at), self._prefix())
        if bound < self._last:
            raise InvalidNegentropy("bounds out of order")
        self._last = bound
        return bound

    def ids(self) -> bytes:
        count = self.number()
        if count > len(self._message) // ID_BYTES:
            raise InvalidNegentropy("the message ends too early")
        return self.take(count * ID_BYTES)

    def _prefix(self) -> bytes:
        length = self.number()
        if length > ID_BYTES:
            raise InvalidNegentropy("a prefix longer than an id")
        return self.take(length)


class _Writer:
    """Makes a message, range after range.

    What does not fit any more becomes one fingerprint of all that is left, so that the other side
    comes back to it.
    """

    def __init__(self, inventory: Inventory, max_bytes: int) -> None:
        self._inventory = inventory
        self._max_bytes = max(max_bytes, MIN_FRAME_BYTES) - SPARE_BYTES
        self._message = bytearray([VERSION])
        self._last = Bound(0)
        self._skipped: Bound | None = None
        self.full = False

    def message(self) -> bytes:
        return bytes(self._message)

    def skip(self, end: int, bound: Bound) -> None:
        """Nothing is left to say about a range."""
        self._skipped = bound

    def divide(self, start: int, end: int, bound: Bound) -> None:
        """Say what we have in a range: its ids, or fingerprints of its parts."""
        count = end - start
        if count < 2 * BUCKETS:
            ids = varint(count) + self._inventory.ids_between(start, end)
            self._add([(bound, _IDS, ids)], start)
            return
        ranges = []
        position = start
        for number in range(BUCKETS):
            after = position + count // BUCKETS + (number < count % BUCKETS)
            upper = bound if after == end else self._inventory.shortest_bound(after)
            ranges.append((upper, _FINGERPRINT, self._inventory.fingerprint(position, after)))
            position = after
        self._add(ranges, start)

    def list_ids(self, start: int, end: int, bound: Bound) -> None:
        """Say all ids that we have in a range, or as many as fit."""
        room = (self._max_bytes - len(self._message)) // ID_BYTES
        fits = min(end, start + max(0, room))
        upper = bound if fits == end else self._inventory.bound_at(fits)
        ids = varint(fits - start) + self._inventory.ids_between(start, fits)
        self._write_skipped()
        self._write(upper, _IDS, ids)
        if fits < end or len(self._message) > self._max_bytes:
            self._fill(fits)

    def _add(self, ranges: list[tuple[Bound, int, bytes]], start: int) -> None:
        self._write_skipped()
        length = len(self._message)
        for bound, mode, payload in ranges:
            self._write(bound, mode, payload)
        if len(self._message) > self._max_bytes:
            del self._message[length:]
            self._fill(start)

    def _fill(self, start: int) -> None:
        rest = self._inventory.fingerprint(start, len(self._inventory))
        self._write(_END, _FINGERPRINT, rest)
        self.full = True

    def _write_skipped(self) -> None:
        if self._skipped is not None:
            self._write(self._skipped, _SKIP, b"")
            self._skipped = None

    def _write(self, bound: Bound, mode: int, payload: bytes) -> None:
        if bound.created_at == _END.created_at:
            time = varint(0)
        else:
            time = varint(bound.created_at - self._last.created_at + 1)
        prefix = varint(len(bound.prefix)) + bound.prefix
        self._message += time + prefix + varint(mode) + payload
        self._last = bound
