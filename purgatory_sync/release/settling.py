"""What waits below `/prs/` for its event is claimed by it, or ends (B 12.5)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import attrs
import trio

from ..errors import AttemptFailed, RepositoryError
from ..nostr.address import RepositoryId
from ..nostr.pull_request import PullRequest
from ..policy.contributions import unmet
from ..policy.push import NOSTR
from ..records import Upload
from ..runtime.logger import get_logger
from ..store.protocol import Change
from .commit import Core
from .index.prs_folder import PrsFolder
from .repository_sync import drop_refs

log = get_logger(__name__)


async def settle_uploads(
    core: Core, event_id: str, pr: PullRequest | None, rows: Sequence[Upload]
) -> None:
    """Let refs that waited for an event be its own, where it says so; others end.

    The caller holds the locks of the rows' identifiers.

    Args:
      pr: the event, served or held; None for one of another kind.

    Raises:
      StoreError: nothing was changed.
    """
    if (prs := core.repositories.prs) is None:
        return
    claimed, others = list[Upload](), list[Upload]()
    for row in rows:
        target = RepositoryId(row.owner, row.identifier)
        met = pr is not None and unmet(pr, row.oid, target, prs.service) is None
        (claimed if met else others).append(row)
    for row in claimed:
        await _forget(core, row, _heir(core, row, claimed, of_push=True))
    for row in others:
        log.info("not what its event says", event_id=event_id, identifier=row.identifier)
    await _end(core, prs, others, pr)


async def end_uploads(core: Core, rows: Sequence[Upload]) -> None:
    """Delete refs whose events did not come in time, and what only they needed.

    The caller holds the locks of their identifiers.

    Raises:
      RepositoryError, StoreError: what is left waits still.
    """
    if (prs := core.repositories.prs) is not None:
        await _end(core, prs, rows, None)


async def _end(core: Core, prs: PrsFolder, rows: Sequence[Upload], pr: PullRequest | None) -> None:
    """The refs, then the rows: what a crash leaves is a row without a ref, which ends."""
    run, heirs = core.repositories.run, dict[RepositoryId, Upload]()
    with trio.CancelScope(shield=True):
        for row in rows:
            target = RepositoryId(row.owner, row.identifier)
            commit = None
            if pr is not None and unmet(pr, pr.commit, target, prs.service) is None:
                commit = pr.commit  # the ref may name that by now
            if target in prs:
                await run(drop_refs, prs.path(target), {f"{NOSTR}{row.event_id}": commit})
            if (heir := await _forget(core, row, _heir(core, row, rows))) is not None:
                heirs[target] = heir
        for target in {RepositoryId(row.owner, row.identifier): None for row in rows}:
            before = prs.size(target)
            try:
                await run(prs.compact, target)
                if target in prs:
                    await run(core.repositories.note_left, prs.path(target))
            except (RepositoryError, AttemptFailed, OSError) as error:
                log.warning("not freed", path=str(prs.path(target)), error=str(error))
            if (heir := heirs.get(target)) is not None:
                await _give_back(core, heir, before - prs.size(target))


def _heir(
    core: Core, row: Upload, leaving: Collection[Upload], *, of_push: bool = False
) -> Upload | None:
    """A ref that waits on below the path: bytes that no event names are its own then (B 12.8).

    Args:
      leaving: which do not wait on.
      of_push: only one that came with the same push.
    """
    keys = {each.key for each in leaving}
    waiting = [
        each
        for each in core.purgatory.uploads.of_repository(RepositoryId(row.owner, row.identifier))
        if each.key not in keys and (not of_push or _push_of(each) == _push_of(row))
    ]

    def nearness(each: Upload) -> tuple[bool, bool]:
        return _push_of(each) == _push_of(row), each.address == row.address

    return max(waiting, key=nearness, default=None)


def _push_of(row: Upload) -> tuple[float, str]:
    return row.at, row.address


async def _forget(core: Core, row: Upload, heir: Upload | None) -> Upload | None:
    """Forget one, and let another have its bytes in the same transaction; the other as it is then.

    Otherwise they would count for the key of the path, which had no part in it.
    """
    uploads, kept = core.purgatory.uploads, None
    if heir is not None and row.size:
        kept = attrs.evolve(heir, size=heir.size + row.size)
    changed = [] if kept is None else [kept]
    await core.ledger.apply(Change(forget_uploads=[row], uploads=changed))
    uploads.remove(row)
    for each in changed:
        uploads.add(each)
    return kept


async def _give_back(core: Core, heir: Upload, freed: int) -> None:
    """So many bytes that it was given are gone."""
    if freed > 0:
        less = attrs.evolve(heir, size=max(heir.size - freed, 0))
        await core.ledger.apply(Change(uploads=[less]))
        core.purgatory.uploads.add(less)
