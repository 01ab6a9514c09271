"""The release of one pull request (B 7.3, 4.1, 4.2)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..errors import RepositoryError
from ..nostr.pull_request import PullRequest
from ..policy.authority import rule_pr
from ..purgatory.entries import HeldPr
from ..runtime.logger import get_logger
from .commit import Core, ReleaseReport, serve
from .index.missing_objects import concern_of, identify_missing_oids
from .repository_sync import bring_pull_request, drop_refs

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
    if missing.oids or not concern.repositories:
        return
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
    if len(entry.identifiers) > 1:  # data came to repositories of the others, too (B 7.1)
        for identifier in entry.identifiers:
            if core.purgatory.has_pending_events(identifier):
                core.purgatory.trigger_immediate_sync(identifier)


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
