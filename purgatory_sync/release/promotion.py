"""Announcements whose data is here already, and repositories that lag behind (B 2.3, 2.6, 2.8)."""

from __future__ import annotations

from ..nostr.repository_data import RepositoryData
from ..policy.authority import newest_for
from ..purgatory.entries import HeldAnnouncement
from .repository_sync import align_repository_with_state, sync_to_owner_repos
from .serving import Parts, Tally, serve


async def promote_filled(parts: Parts, held: HeldAnnouncement, tally: Tally) -> None:
    """Fill, align and promote an announcement whose set has a served state with its objects here.

    Raises:
      RepositoryError, StoreError: a step failed; the announcement stays held.
    """
    if held.soft_expired_at is not None:
        return
    data = await parts.knowledge.data(held.announcement.identifier)
    if await _bring_up(parts, data, held.announcement.owner, tally):
        await serve(parts, tally, [held.event_id])


async def realign(parts: Parts, identifier: str, tally: Tally) -> None:
    """Bring every repository of the identifier up to the newest served state of its owner's set.

    Raises:
      RepositoryError: a repository could not be aligned; its refs are as they were.
    """
    data = await parts.knowledge.data(identifier)
    for owner in data.known:
        await _bring_up(parts, data, owner, tally)


async def _bring_up(parts: Parts, data: RepositoryData, owner: str, tally: Tally) -> bool:
    """Whether the owner's repository now holds the served state that rules it, with real refs."""
    state = newest_for(owner, data, await parts.knowledge.served_states(data.identifier))
    if state is None or state.unsatisfiable or state.empty or not data.with_repository([owner]):
        return False
    concerned = data.with_repository(data.owners_authorising(state.author))
    sources = [parts.repositories.path(each, data.identifier) for each in concerned]
    if (await parts.repositories.here({"": (sources, state.oids)}))[""] != state.oids:
        return False
    target = parts.repositories.path(owner, data.identifier)
    await sync_to_owner_repos(parts.repositories, sources, [target], state.oids)
    tally.repositories += await align_repository_with_state(parts.repositories, target, state)
    return True
