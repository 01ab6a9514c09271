"""Which events one side has, in the order and with the sums that reconciling needs (NIP-77)."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable

import attrs

ID_BYTES = 32
FINGERPRINT_BYTES = 16
_MODULUS = 1 << (8 * ID_BYTES)


@attrs.frozen(order=True)
class Bound:
    """A place between events: it is above every event that sorts before it.

    Attributes:
      created_at: Unix seconds.
      prefix: the first bytes of an id, as many as it takes.
    """

    created_at: int
    prefix: bytes = b""


class Inventory:
    """Ids with their times, sorted by both; about 72 bytes each.

    Args:
      events: `created_at` in Unix seconds and id in hex; what comes twice counts once.
    """

    def __init__(self, events: Iterable[tuple[int, str]] = ()) -> None:
        # Of equal times the hex sorts as the bytes do.
        ordered = sorted(set(events))
        self._times = array("Q", [created_at for created_at, _ in ordered])
        self._ids = bytes.fromhex("".join(event_id for _, event_id in ordered))
        if len(self._ids) != ID_BYTES * len(ordered):
            raise ValueError("an id has 64 hex digits")
        self._sums = _running_sums(self._ids)

    def __len__(self) -> int:
        return len(self._times)

    def id_at(self, index: int) -> bytes:
        """The id at a position."""
        return self._ids[ID_BYTES * index : ID_BYTES * (index + 1)]

    def oldest_but(self, ids: Collection[str]) -> int | None:
        """Unix seconds of the oldest event that is none of these; None where all are."""
        for index, created_at in enumerate(self._times):
            if self.id_at(index).hex() not in ids:
                return created_at
        return None

    def ids_between(self, start: int, end: int) -> bytes:
        """The ids at these positions, one after the other."""
        return self._ids[ID_BYTES * start : ID_BYTES * end]

    def bound_at(self, index: int) -> Bound:
        """The bound right below the event at a position."""
        return Bound(self._times[index], self.id_at(index))

    def shortest_bound(self, index: int) -> Bound:
        """The shortest bound that parts the event at a position from the one before it."""
        created_at, this = self._times[index], self.id_at(index)
        if self._times[index - 1] != created_at:
            return Bound(created_at)
        before = self.id_at(index - 1)
        shared = next(n for n in range(ID_BYTES) if this[n] != before[n])
        return Bound(created_at, this[: shared + 1])

    def find(self, bound: Bound, start: int) -> int:
        """The position of the first event from `start` on that is not below a bound."""
        first = bisect_left(self._times, bound.created_at, start)
        end = bisect_left(self._times, bound.created_at + 1, first)
        return bisect_left(_Ids(self), bound.prefix, first, end) if bound.prefix else first

    def fingerprint(self, start: int, end: int) -> bytes:
        """What stands for the ids at these positions."""
        total = (self._sum_below(end) - self._sum_below(start)) % _MODULUS
        counted = total.to_bytes(ID_BYTES, "little") + varint(end - start)
        return hashlib.sha256(counted).digest()[:FINGERPRINT_BYTES]

    def _sum_below(self, index: int) -> int:
        return int.from_bytes(self._sums[ID_BYTES * index : ID_BYTES * (index + 1)], "little")


class _Ids:
    """The ids as a sequence, for bisect."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory

    def __len__(self) -> int:
        return len(self._inventory)

    def __getitem__(self, index: int) -> bytes:
        return self._inventory.id_at(index)


def varint(value: int) -> bytes:
    """A number in groups of seven bits, the highest first; all bytes but the last have bit 8."""
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(0x80 | value & 0x7F)
    return bytes(reversed(groups))


def _running_sums(ids: bytes) -> bytes:
    """The sum of all ids before each position and before the end, as 32 bytes each."""
    total, sums = 0, [bytes(ID_BYTES)]
    for start in range(0, len(ids), ID_BYTES):
        total = (total + int.from_bytes(ids[start : start + ID_BYTES], "little")) % _MODULUS
        sums.append(total.to_bytes(ID_BYTES, "little"))
    return b"".join(sums)
