"""Memory budget shared by all clients; ends the largest ones when it is exceeded."""

from __future__ import annotations

from typing import Final, Protocol

MAX_ALL_BYTES: Final = 256 << 20
# So much of it is free again after room was made: making it means to look at every client.
_FREE_AFTERWARDS: Final = 8
REASON: Final = "the relay is short of memory and you take most of it: reconnect, ask for less"


class Member(Protocol):
    """One client."""

    def end(self, reason: str) -> None:
        """Keep nothing more of what was kept for it, and leave."""


class MemoryBudget:
    """Adds up what is kept for every client; beyond a bound those with the most are ended.

    Args:
      most_bytes: of all clients together.
    """

    def __init__(self, most_bytes: int = MAX_ALL_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: dict[Member, int] = {}
        self._total = 0

    @property
    def kept_bytes(self) -> int:
        """What is kept for all clients."""
        return self._total

    def keep(self, client: Member, count: int) -> None:
        """Note that so many bytes are kept for a client; it may be ended for that."""
        self._kept[client] = self._kept.get(client, 0) + count
        self._total += count
        if self._total > self._most_bytes:
            self._make_room()

    def free(self, client: Member, count: int) -> None:
        """Note that so many bytes are kept no more; of a client that has left, nothing was."""
        if client in self._kept:
            self._kept[client] -= count
            self._total -= count

    def leave(self, client: Member) -> None:
        """Nothing is kept for a client any more."""
        self._total -= self._kept.pop(client, 0)

    def _make_room(self) -> None:
        enough = self._most_bytes - self._most_bytes // _FREE_AFTERWARDS
        for client in sorted(self._kept, key=self._kept.__getitem__, reverse=True):
            if self._total <= enough:
                break
            self.leave(client)
            client.end(REASON)
