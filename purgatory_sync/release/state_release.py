"""The release of one state (B 7.2, 3.4, 3.5)."""

from __future__ import annotations

from ..policy.authority import Ruled, rule_state
from ..purgatory.entries import HeldState
from .commit import Core, ReleaseReport, drop, serve
from .index.missing_objects import identify_missing_oids
from .repository_sync import bring_state


async def release_state(core: Core, entry: HeldState, report: ReleaseReport) -> None:
    """Let a state go if all its objects are here and some owner's set holds its author.

    The steps are those of B 7.2 in its order; if anything is missing, the state stays held.

    Raises:
      RepositoryError, StoreError: a step failed; the state stays held, doing it again is harmless.
    """
    state, identifier = entry.state, entry.identifier
    data = await core.index.data(identifier)
    ruling = rule_state(state, data, await core.index.served_states(identifier))
    if ruling.outcome is Ruled.SUPERSEDED:
        await drop(core, entry)
        return
    if ruling.outcome in (Ruled.UNAUTHORISED, Ruled.WAITS):
        return
    missing = await identify_missing_oids([entry], core.index, core.repositories)
    lack = missing[entry.event_id]
    if lack.oids:
        return
    targets = [core.repositories.path(owner, identifier) for owner in ruling.owners]
    report.repositories += await core.repositories.run(
        bring_state, core.repositories, lack.concern.repositories, targets, state
    )
    # What the author replaced is not worth a hunt (B 1.6).
    superseded = [
        held
        for held in core.purgatory.find_state(identifier)
        if held.state.author == state.author and held.event.order < entry.event.order
    ]
    await serve(core, report, ruling.promotes, entry, superseded)
