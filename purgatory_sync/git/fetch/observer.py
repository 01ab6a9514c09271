"""Who watches an attempt: the limits of a domain follow what a server has seen (B 8.2, 8.5)."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


class FetchObserver(Protocol):
    """Told of an attempt's steps as they happen; no method may block or raise."""

    def contacted(self) -> None:
        """A connection is about to begin, or an open one is used: the start counts. Once."""

    def answered(self) -> None:
        """The head of the answer to the first request is here. Once, if ever."""

    def received(self, pack_bytes: int) -> None:
        """So many more bytes of pack are here (progress messages do not count)."""

    def body_ended(self) -> None:
        """The pack is here whole; what follows is our own work and never hedged."""

    def redirected(self, domain: str) -> bool:
        """The server points to another domain; True when a place was taken there."""
        ...


@runtime_checkable
class PackObserver(FetchObserver, Protocol):
    """An observer that also wants to know how large a pack will be."""

    def pack_begun(self, objects: int) -> None:
        """The pack's head is here: it states so many objects."""


class SilentObserver:
    """Watches nothing and follows every redirect."""

    def contacted(self) -> None:
        """Nothing to do."""

    def answered(self) -> None:
        """Nothing to do."""

    def received(self, pack_bytes: int) -> None:
        """Nothing to do."""

    def body_ended(self) -> None:
        """Nothing to do."""

    def redirected(self, domain: str) -> bool:
        """Always a place."""
        return True
