"""The release of one state (B 7.2, 3.4, 3.5)."""

from __future__ import annotations

from ..policy.authority import Ruled, rule_state
from ..purgatory.entries import HeldState
from .commit import Parts, Tally, drop, serve
from .index.missing_objects import identify_missing_oids
from .repository_sync import bring_state


async def release_state(parts: Parts, entry: HeldState, tally: Tally) -> None:
    """Let a state go if all its objects are here and some owner's set holds its author.

    The steps are those of B 7.2 in its order; whatever is missing leaves the state held.

    Raises:
      RepositoryError, StoreError: a step failed; the state stays held, doing it again is harmless.
    """
    state, identifier = entry.state, entry.identifier
    data = await parts.knowledge.data(identifier)
    ruling = rule_state(state, data, await parts.knowledge.served_states(identifier))
    if ruling.outcome is Ruled.SUPERSEDED:
        await drop(parts, entry)
        return
    if ruling.outcome in (Ruled.UNAUTHORISED, Ruled.WAITS):
        return
    missing = await identify_missing_oids([entry], parts.knowledge, parts.repositories)
    lack = missing[entry.event_id]
    if lack.oids:
        return
    targets = [parts.repositories.path(owner, identifier) for owner in ruling.owners]
    tally.repositories += await parts.repositories.run(
        bring_state, parts.repositories, lack.concern.repositories, targets, state
    )
    # What the author replaced is not worth a hunt (B 1.6).
    superseded = [
        held
        for held in parts.purgatory.find_state(identifier)
        if held.state.author == state.author and held.event.order < entry.event.order
    ]
    await serve(parts, tally, ruling.promotes, entry, superseded)
