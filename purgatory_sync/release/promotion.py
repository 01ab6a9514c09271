"""Announcements whose data is here already, and repositories that lag behind (B 2.3, 2.6, 2.8)."""

from __future__ import annotations

from ..nostr.authority.repository_data import RepositoryData
from ..policy.authority import newest_for
from ..purgatory.entries import HeldAnnouncement
from .commit import Core, ReleaseReport, serve
from .repository_sync import bring_state


async def promote_filled(core: Core, held: HeldAnnouncement, report: ReleaseReport) -> None:
    """Fill, align and promote an announcement whose set has a served state with its objects here.

    Raises:
      RepositoryError, StoreError: a step failed; the announcement stays held.
    """
    if held.soft_expired_at is not None:
        return
    data = await core.index.data(held.announcement.identifier)
    # One that points at others, who name it not, has no set, and gets no copy of theirs.
    if await _bring_up(core, data, held.announcement.owner, report):
        await serve(core, report, [held.event_id])


async def realign(core: Core, owner: str, identifier: str, report: ReleaseReport) -> None:
    """Bring the owner's repository up to the newest served state of its set.

    Raises:
      RepositoryError: it could not be aligned; its refs are as they were.
    """
    await _bring_up(core, await core.index.data(identifier), owner, report)


async def _bring_up(core: Core, data: RepositoryData, owner: str, report: ReleaseReport) -> bool:
    """Whether the owner's repository now holds the served state that rules it, with real refs."""
    state = newest_for(owner, data, await core.index.served_states(data.identifier))
    if state is None or state.unsatisfiable or not data.with_repository([owner]):
        return False
    repositories, identifier = core.repositories, data.identifier
    # A member who lists us no more left his repository here: its objects are as good as others.
    sources = [
        repositories.path(each, identifier)
        for each in data.owners_authorising(state.author)
        if repositories.exists(each, identifier)
    ]
    here = await repositories.run(repositories.here, {"": (sources, state.oids)})
    if here[""] != state.oids:
        return False
    target = repositories.path(owner, data.identifier)
    report.repositories += await repositories.run(
        bring_state, repositories, sources, [target], state
    )
    return not state.empty
