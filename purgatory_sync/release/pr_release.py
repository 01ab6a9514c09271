"""The release of one pull request (B 7.3, 4.1, 4.2)."""

from __future__ import annotations

from functools import partial

from ..policy.authority import rule_pr
from ..purgatory.entries import HeldPr
from .missing import concern_of, identify_missing_oids
from .repository_sync import bring_pull_request, drop_ref
from .serving import Parts, Tally, serve


async def release_pr(parts: Parts, entry: HeldPr, tally: Tally) -> None:
    """Let a pull request go if its commit is here, in every repository that it concerns.

    Raises:
      RepositoryError, StoreError: a step failed; it stays held, doing it again is harmless.
    """
    if entry.pr.unsatisfiable:
        return
    missing = (await identify_missing_oids([entry], parts.knowledge, parts.repositories))[
        entry.event_id
    ]
    concern = missing.concern
    if missing.oids or not concern.repositories:
        return
    tally.repositories += await parts.repositories.run(
        bring_pull_request, parts.repositories, concern.repositories, entry.pr
    )
    promotes: list[str] = []
    for identifier in concern.owners:
        promotes += rule_pr(entry.pr, await parts.knowledge.data(identifier)).promotes
    await serve(parts, tally, promotes, entry)
    if len(entry.identifiers) > 1:  # data came to repositories of the others, too (B 7.1)
        for identifier in entry.identifiers:
            if parts.purgatory.has_pending_events(identifier):
                parts.purgatory.trigger_immediate_sync(identifier)


async def drop_other_pull_request_refs(parts: Parts, entry: HeldPr) -> None:
    """Delete `refs/nostr/<id>` wherever it names another commit than the event's (B 4.2).

    Raises:
      RepositoryError: a ref could not be deleted.
    """
    concern = await concern_of(entry, parts.knowledge, parts.repositories)
    for repository in concern.repositories:
        await parts.repositories.run(
            partial(drop_ref, repository, entry.pr.ref, unless=entry.pr.commit)
        )
