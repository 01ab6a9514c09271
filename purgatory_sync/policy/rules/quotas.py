"""How much of the disk repositories, authors and all together may use (B 13.11)."""

from __future__ import annotations

import attrs

from ...settings import QuotaSettings


@attrs.frozen
class Use:
    """Bytes on the disk: packs, indexes and loose objects; what has hard links counts each time.

    Attributes:
      repository, author, total: of one repository, all of its owner, and all.
      repositories: how many its owner has.
    """

    repository: int = 0
    author: int = 0
    total: int = 0
    repositories: int = 0


def over_bytes(use: Use, more: int, settings: QuotaSettings) -> str | None:
    """Which limit so many bytes more would exceed, for who reads it at a terminal; else None."""
    for limit, used, who in (
        (settings.repository_max_bytes, use.repository, "this repository has"),
        (settings.max_bytes_per_author, use.author, "the repositories of its owner have"),
        (settings.max_bytes, use.total, "all repositories have"),
    ):
        if limit is not None and used + more > limit:
            return f"{who} {used} bytes here, {more} more came, {limit} are the most"
    return None


def over_new(use: Use, settings: QuotaSettings) -> str | None:
    """Why the owner may have no repository more here; else None.

    Args:
      use: `repository` is that of a new one, 0.
    """
    most = settings.repositories_max_per_author
    if most is not None and use.repositories >= most:
        return f"its author has {use.repositories} repositories here, {most} are the most"
    if over_bytes(use, 1, settings) is None:
        return None
    return "the repositories here use all the disk space that is for them"
