"""Which objects of an identifier are still needed, and which repositories have unreachable ones."""

from __future__ import annotations

from collections.abc import Collection

from ..purgatory.entries import HuntedEvent
from .commit import Core
from .index.missing_objects import needed_oids


async def named_oids(core: Core, identifier: str) -> frozenset[str]:
    """What events and placeholders of the identifier name, in every repository.

    Served states count that rule nothing now: one may rule again (B 3.4).
    """
    index, purgatory = core.index, core.purgatory
    return frozenset[str]().union(
        *(state.oids for state in await index.served_states(identifier)),
        (pr.commit for pr in await index.served_pull_requests(identifier)),
        *(held.state.oids for held in purgatory.find_state(identifier)),
        (held.pr.commit for held in purgatory.find_prs_for_identifier(identifier)),
        (each.oid for each in purgatory.placeholders if each.identifier == identifier),
    )


async def note_what_leaves(
    core: Core, identifier: str, oids: Collection[str], *owners: str
) -> None:
    """Let the repositories be looked at where objects stay that an event named which leaves.

    Args:
      owners: the owners of the repositories to look at, announced or not.
    """
    repositories, data = core.repositories, await core.index.data(identifier)
    paths = [
        repositories.path(owner, identifier)
        for owner in dict.fromkeys((*data.known, *owners))
        if repositories.exists(owner, identifier)
    ]
    await repositories.run(repositories.note_unnamed, paths, oids)


async def note_what_ends(core: Core, ending: HuntedEvent) -> None:
    """Do so for all that an event needs which is held, or served, no longer."""
    for identifier in ending.identifiers:
        await note_what_leaves(core, identifier, needed_oids(ending))
