"""Announcements that are served beside repositories leave with the held one that named them.

Else each held announcement would leave 64 served ones behind, which no limit counts (B 2.7).
"""

from __future__ import annotations

from ..nostr.authority.repository_data import RepositoryData, Standing
from ..store.protocol import Change
from .commit import Core


async def end_beside(core: Core, before: RepositoryData) -> None:
    """Serve no longer what was taken only because a held announcement named it, which ended.

    The caller holds the identifier's lock.

    Args:
      before: the identifier's announcements while it was held.

    Raises:
      StoreError: nothing was changed.
    """
    after = await core.index.data(before.identifier)
    ended = [
        owner
        for owner, known in before.known.items()
        if known.standing is not Standing.SERVED and owner not in after.known
    ]
    if not ended:
        return
    hosted = (owner for owner, known in after.known.items() if known.is_hosted)
    beside = await core.index.owners_beside(before.identifier)
    leaving = beside & before.sets.seen_by_any(ended) - after.sets.seen_by_any(hosted)
    ids = [after.known[owner].announcement.event.id for owner in sorted(leaving)]
    if ids:
        await core.ledger.apply(Change(delete=ids))
