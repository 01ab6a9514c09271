"""Announcements whose data is here already, and repositories that lag behind (B 2.3, 2.6, 2.8)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import PurgatorySyncError
from ..nostr.authority.repository_data import RepositoryData
from ..nostr.state import State
from ..purgatory.entries import HeldAnnouncement
from ..runtime.logger import get_logger
from .commit import Core, ReleaseReport, serve
from .repository_sync import bring_state

log = get_logger(__name__)


async def promote_filled(core: Core, held: HeldAnnouncement, report: ReleaseReport) -> None:
    """Fill, align and promote an announcement whose set has a served state with its objects here.

    Raises:
      RepositoryError, StoreError: a step failed; the announcement stays held.
    """
    if held.soft_expired_at is not None:
        return
    data = await core.index.data(held.announcement.identifier)
    owner = held.announcement.owner
    # One that points at others, who name it not, has no set, and gets no copy of theirs.
    state = (await core.index.ruling_states(data.identifier)).get(owner)
    if state is None or state.unsatisfiable or not data.with_repository([owner]):
        return
    if (sources := await _holding(core, state, data)) is None:
        return
    target = core.repositories.path(owner, data.identifier)
    report.repositories += await core.repositories.run(
        bring_state, core.repositories, sources, [target], state
    )
    if not state.empty:
        await serve(core, report, [held.event_id])


async def realign(core: Core, identifier: str, report: ReleaseReport) -> None:
    """Bring every repository of the identifier up to the newest served state of its owner's set.

    One that cannot be aligned keeps its refs, is logged, and keeps no other from it.
    """
    data = await core.index.data(identifier)
    ruled: dict[str, tuple[State, list[str]]] = {}
    states = await core.index.ruling_states(identifier)
    for owner in data.with_repository(data.known):
        if (state := states.get(owner)) is not None and not state.unsatisfiable:
            ruled.setdefault(state.event.id, (state, []))[1].append(owner)
    for state, owners in ruled.values():
        try:
            sources = await _holding(core, state, data)
        except (PurgatorySyncError, OSError) as error:
            log.warning("could not align", identifier=identifier, error=str(error))
            continue
        except Exception:
            log.exception("aligning crashed", identifier=identifier)
            continue
        for owner in owners if sources is not None else ():
            await _align(core, owner, state, sources or (), report)


async def _align(
    core: Core, owner: str, state: State, sources: Sequence[Path], report: ReleaseReport
) -> None:
    identifier = state.identifier
    target = core.repositories.path(owner, identifier)
    try:
        report.repositories += await core.repositories.run(
            bring_state, core.repositories, sources, [target], state
        )
    except (PurgatorySyncError, OSError) as error:
        log.warning("could not align", identifier=identifier, owner=owner, error=str(error))
    except Exception:
        log.exception("aligning crashed", identifier=identifier, owner=owner)


async def _holding(core: Core, state: State, data: RepositoryData) -> Sequence[Path] | None:
    """The repositories that have all objects of a state together, or None."""
    repositories = core.repositories
    # A member who lists us no more left his repository here: its objects are as good as others.
    sources = [
        repositories.path(each, data.identifier)
        for each in data.owners_authorising(state.author)
        if repositories.exists(each, data.identifier)
    ]
    here = await repositories.run(repositories.here, {"": (sources, state.oids)})
    return sources if here[""] == state.oids else None
