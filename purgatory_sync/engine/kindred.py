"""Repositories of one origin: they claim the same earliest commit, and have it (B 8.13).

Every key may claim it: it lends what every client may clone here anyway, and rules nothing.
"""

from __future__ import annotations

from typing import Final

from ..git.disk.linking import link_packs
from ..git.disk.repository import list_refs, present_oids
from ..git.ingest.needed_packs import LOOSE, has_more, needed_packs, pack_names
from ..nostr.address import RepositoryId
from ..release.index.repositories import Repositories
from ..release.index.repository_index import RepositoryIndex

READ: Final = 50
MOST: Final = 4
# Objects; what has more is not looked through.
LOOKED_AT: Final = 200_000


async def kindred_of(
    target: RepositoryId, index: RepositoryIndex, repositories: Repositories
) -> list[RepositoryId]:
    """The repositories whose public objects the target may be given, at most four.

    Each is served here and hosted (no private one is), kept out by no list, and holds the commit.
    """
    own = (await index.data(target.identifier)).known.get(target.owner)
    commit = own.announcement.earliest_commit if own is not None else None
    if own is None or own.blocked or commit is None:
        return []
    found = []
    for announced in await index.announced_with(commit, READ):
        known = (await index.data(announced.identifier)).known.get(announced.owner)
        other = RepositoryId(announced.owner, announced.identifier)
        if (
            other != target
            and known is not None
            and known.announcement.event.id == announced.event.id
            and known.has_repository
            and not known.blocked
        ):
            found.append(other)
    paths = {each: repositories.path(each.owner, each.identifier) for each in found}
    asked = {str(path): ((path,), (commit,)) for path in paths.values()}
    here = await repositories.run(repositories.here, asked)
    return [each for each, path in paths.items() if here[str(path)]][:MOST]


def lend_public(source: RepositoryId, target: RepositoryId, repositories: Repositories) -> bool:
    """Link what the refs of the source need, where the packs hold nothing else; whether they did.

    An object that no ref reaches any more must not come to light in another repository, whose
    owner could name it; so a pack with such an object is not lent, nor are loose objects.

    Raises:
      RepositoryError, LocalFailure, NotClosed: it cannot be; what came is whole.
    """
    lender = repositories.path(source.owner, source.identifier)
    path = repositories.path(target.owner, target.identifier)
    tips = frozenset(list_refs(lender).values())
    if not tips or not repositories.is_ours_alone(lender) or present_oids(path, tips) == tips:
        return False
    needed = needed_packs(lender, tips, there=path, most=LOOKED_AT)
    if not needed or LOOSE in needed:
        return False
    if has_more(lender, tips, pack_names(lender) - needed, LOOKED_AT):
        return False
    link_packs(lender, path, needed)
    repositories.changed(path)
    return True
