"""Who says how much may be received for a repository; what is received counts until it joined."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Room(Protocol):
    """Limits of disk space that no single pack can know."""

    def require(self, receiver: object, repository: Path, size: int) -> None:
        """Let a receiver have so many bytes in all for a repository; raises OverQuota."""

    def hand_over(self, receiver: object, other: object) -> None:
        """What a receiver has is another's from now on; never refused."""

    def give_back(self, receiver: object) -> None:
        """It receives no more; nothing to do the second time."""

    def joined(self, repository: Path) -> None:
        """Objects joined a repository; called in a thread."""
