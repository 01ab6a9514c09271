"""Kinds and classes of kinds (NIP-01, 09, 34, 59, 62, 65, 98)."""

from __future__ import annotations

METADATA = 0
DELETION = 5
VANISH = 62
GIFT_WRAP = 1059
PATCH = 1617
PULL_REQUEST = 1618
PULL_REQUEST_UPDATE = 1619
ISSUE = 1621
RELAY_LIST = 10002
USER_GRASP_LIST = 10317
CLIENT_AUTH = 22242
HTTP_AUTH = 27235
ANNOUNCEMENT = 30617
STATE = 30618

USER_KINDS = frozenset({METADATA, RELAY_LIST})
PR_KINDS = frozenset({PULL_REQUEST, PULL_REQUEST_UPDATE})
STATUS_KINDS = frozenset({1630, 1631, 1632, 1633})
"""Open, applied or resolved, closed, draft (NIP-34)."""

THREAD_ROOTS = frozenset({PATCH, PULL_REQUEST, ISSUE})
"""What a conversation about a repository begins with (NIP-34)."""

THREAD_REPLIES = STATUS_KINDS | {PULL_REQUEST_UPDATE, 1111, 1624, 1985, 7321}
"""What goes on with it; reactions cost nothing and do not count."""

TAKING_PART = THREAD_ROOTS | THREAD_REPLIES | {ANNOUNCEMENT, STATE}
"""Whose authors take part in what is here (GRASP-03)."""


def is_replaceable(kind: int) -> bool:
    """One event per author and kind (NIP-01)."""
    return kind in (0, 3) or 10_000 <= kind < 20_000


def is_ephemeral(kind: int) -> bool:
    """Passed on, never kept (NIP-01)."""
    return 20_000 <= kind < 30_000


def is_addressable(kind: int) -> bool:
    """One event per author, kind and `d` (NIP-01)."""
    return 30_000 <= kind < 40_000
