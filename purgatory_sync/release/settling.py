"""What waits below `/prs/` for its event is claimed by it, or ends (B 12.5)."""

from __future__ import annotations

from collections.abc import Sequence

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
    await _forget(core, claimed)
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
    run = core.repositories.run
    with trio.CancelScope(shield=True):
        for row in rows:
            target = RepositoryId(row.owner, row.identifier)
            commit = None
            if pr is not None and unmet(pr, pr.commit, target, prs.service) is None:
                commit = pr.commit  # the ref may name that by now
            if target in prs:
                await run(drop_refs, prs.path(target), {f"{NOSTR}{row.event_id}": commit})
            await _forget(core, [row])
        for target in {RepositoryId(row.owner, row.identifier): None for row in rows}:
            try:
                await run(prs.compact, target)
                if target in prs:
                    await run(core.repositories.note_left, prs.path(target))
            except (RepositoryError, AttemptFailed, OSError) as error:
                log.warning("not freed", path=str(prs.path(target)), error=str(error))


async def _forget(core: Core, rows: Sequence[Upload]) -> None:
    if rows:
        await core.ledger.apply(Change(forget_uploads=rows))
        for row in rows:
            core.purgatory.uploads.remove(row)
