"""The release of one pull request (B 7.3, 4.1, 4.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from ..errors import AttemptFailed, RepositoryError
from ..nostr.pull_request import PullRequest
from ..policy.authority import rule_pr
from ..purgatory.entries import HeldPr
from ..runtime.logger import get_logger
from .commit import Core, ReleaseReport, serve
from .index.missing_objects import Concern, concern_of, identify_missing_oids
from .repository_sync import bring_contributed, bring_pull_request, drop_refs

log = get_logger(__name__)


async def release_pr(core: Core, entry: HeldPr, report: ReleaseReport) -> None:
    """Let a pull request go if its commit is here, in every repository that it concerns.

    Raises:
      RepositoryError, StoreError: a step failed; it stays held, doing it again is harmless.
    """
    if entry.pr.unsatisfiable:
        return
    missing = (await identify_missing_oids([entry], core.index, core.repositories))[entry.event_id]
    concern = missing.concern
    if missing.oids or not concern.holding:
        return
    if concern.contributed:
        await _bring_contributed(core, concern, entry.pr)
    report.repositories += await core.repositories.run(
        bring_pull_request, core.repositories, concern.repositories, entry.pr
    )
    if len(entry.identifiers) > 1:
        # Packs came as a whole, with what is named under the other identifier only.
        for repository in concern.repositories:
            await core.repositories.run(core.repositories.note_left, repository)
    promotes: list[str] = []
    for identifier in concern.owners:
        promotes += rule_pr(entry.pr, await core.index.data(identifier)).promotes
    await serve(core, report, promotes, entry)
    if concern.below_prs and core.repositories.prs is not None:
        core.repositories.prs.events["served"] += 1
    if len(entry.identifiers) > 1:  # data came to repositories of the others, too (B 7.1)
        for identifier in entry.identifiers:
            if core.purgatory.has_pending_events(identifier):
                core.purgatory.trigger_immediate_sync(identifier)


async def _bring_contributed(core: Core, concern: Concern, pr: PullRequest) -> None:
    """From below `/prs/` into the announced repositories (B 12.6); counted, failed or not."""
    copies = Counter[str]() if core.repositories.prs is None else core.repositories.prs.copies
    try:
        await core.repositories.run(bring_contributed, core.repositories, concern, pr)
    except BaseException:
        copies["failed"] += 1
        raise
    copies["copied"] += len(concern.repositories)


async def drop_deleted_pull_request_refs(core: Core, pr: PullRequest) -> None:
    """Delete `refs/nostr/<id>` of a deleted pull request in every repository on the disk (B 5).

    What cannot be changed is logged and keeps no other from it; a start reports it.
    """
    repositories = core.repositories
    for identifier in pr.identifiers:
        for path in await repositories.run(repositories.of_identifier, identifier):
            try:
                await repositories.run(drop_refs, path, {pr.ref: None})
            except RepositoryError as error:
                log.warning("ref not deleted", path=str(path), ref=pr.ref, error=str(error))
    await drop_contributed(core, pr)


async def drop_contributed(core: Core, pr: PullRequest) -> None:
    """Do so below `/prs/`, and free what only that ref needed (B 12.7); failures are logged."""
    prs, run = core.repositories.prs, core.repositories.run
    for each in prs.named_by(pr) if prs is not None else ():
        if prs is None or each not in prs:
            continue
        try:
            await run(drop_refs, prs.path(each), {pr.ref: None})
            await run(prs.compact, each)
            if each in prs:
                await run(core.repositories.note_left, prs.path(each))
        except (RepositoryError, AttemptFailed, OSError) as error:
            log.warning("ref not deleted", path=str(prs.path(each)), error=str(error))


async def drop_other_pull_request_refs(core: Core, entries: Iterable[HeldPr]) -> None:
    """Delete `refs/nostr/<id>` wherever it names another commit than the event's (B 4.2).

    Each repository is read once, however many of the events concern it; one that cannot be changed
    is logged and keeps no other from it.
    """
    commits: dict[Path, dict[str, str]] = {}
    for entry in entries:
        concern = await concern_of(entry, core.index, core.repositories)
        for repository in concern.repositories:
            commits.setdefault(repository, {})[entry.pr.ref] = entry.pr.commit
    for repository, named in commits.items():
        try:
            await core.repositories.run(drop_refs, repository, named)
        except RepositoryError as error:
            log.warning("refs not deleted", path=str(repository), error=str(error))
