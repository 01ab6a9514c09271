"""Announcements whose data is here already, and repositories that lag behind (B 2.3, 2.6, 2.8)."""

from __future__ import annotations

from ..nostr.authority.repository_data import RepositoryData
from ..policy.authority import newest_for
from ..purgatory.entries import HeldAnnouncement
from .commit import Parts, Tally, serve
from .repository_sync import bring_state


async def promote_filled(parts: Parts, held: HeldAnnouncement, tally: Tally) -> None:
    """Fill, align and promote an announcement whose set has a served state with its objects here.

    Raises:
      RepositoryError, StoreError: a step failed; the announcement stays held.
    """
    if held.soft_expired_at is not None:
        return
    data = await parts.knowledge.data(held.announcement.identifier)
    owner = held.announcement.owner
    # One that points at others, who name it not, gets no copy of theirs.
    if owner in data.maintainer_set(owner) and await _bring_up(parts, data, owner, tally):
        await serve(parts, tally, [held.event_id])


async def realign(parts: Parts, owner: str, identifier: str, tally: Tally) -> None:
    """Bring the owner's repository up to the newest served state of its set.

    Raises:
      RepositoryError: it could not be aligned; its refs are as they were.
    """
    await _bring_up(parts, await parts.knowledge.data(identifier), owner, tally)


async def _bring_up(parts: Parts, data: RepositoryData, owner: str, tally: Tally) -> bool:
    """Whether the owner's repository now holds the served state that rules it, with real refs."""
    state = newest_for(owner, data, await parts.knowledge.served_states(data.identifier))
    if state is None or state.unsatisfiable or not data.with_repository([owner]):
        return False
    concerned = data.with_repository(data.owners_authorising(state.author))
    repositories = parts.repositories
    sources = [repositories.path(each, data.identifier) for each in concerned]
    here = await repositories.run(repositories.here, {"": (sources, state.oids)})
    if here[""] != state.oids:
        return False
    target = repositories.path(owner, data.identifier)
    tally.repositories += await repositories.run(
        bring_state, repositories, sources, [target], state
    )
    return not state.empty
