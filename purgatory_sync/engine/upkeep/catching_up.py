"""After a start: what a crash left behind what is served is brought up to it (B 9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
import trio

from ...errors import PurgatorySyncError, RepositoryError, StoreError
from ...git.disk.repository import list_refs
from ...nostr import kinds
from ...nostr.address import RepositoryId
from ...nostr.filters import Filter
from ...nostr.keys import encode_npub
from ...policy.push import NOSTR
from ...release.commit import Core
from ...release.index.repository_index import EVERYTHING
from ...release.lagging import lags, make_hosted
from ...release.releaser import Releaser
from ...release.repository_sync import drop_refs
from ...runtime.logger import get_logger
from ...store.protocol import Store
from .authority_report import GoingBack, refs_that_go_back

READ_AT_ONCE: Final = 200
AGAIN_SECS: Final = 60
NAMED_AT_MOST: Final = 10
log = get_logger(__name__)


async def catch_up(store: Store, core: Core, releaser: Releaser) -> None:
    """Look at every repository that is served once; make and align those that lag (B 6.4, 7.2).

    A crash may have come between an announcement's transaction and the alignment that it brings;
    or the disk is an older one. What fails is logged and stops nothing; a store that fails is asked
    again a minute later. At the end it says which repositories no announcement names any more;
    they are left as they are. Runs beside everything else, one identifier after another; cancelled,
    it begins anew at the next start.
    """
    seen: set[str] = set()
    counts = _Counts()
    while True:
        try:
            await _look_at_all(store, core, releaser, seen, counts)
            if counts.brought_up or counts.failed:
                log.info("looked at all that is served", **attrs.asdict(counts))
            await _report_unknown(core)
            await drop_deleted(store, core, releaser)
            await report_unnamed(store, core)
            return
        except StoreError as error:
            log.warning("could not look what lags behind", error=str(error))
            await trio.sleep(AGAIN_SECS)


async def align_all(store: Store, core: Core, releaser: Releaser) -> None:
    """Look at every repository that is served, and align those that lag: other lists rule (B 5.5).

    Raises:
      StoreError: the store cannot be read; what was aligned is.
    """
    counts = _Counts()
    await _look_at_all(store, core, releaser, set(), counts)
    log.info("looked at all that is served by the new lists", **attrs.asdict(counts))


@attrs.define
class _Counts:
    """How many identifiers were looked at and with what result; `back`: of repositories."""

    checked: int = 0
    brought_up: int = 0
    failed: int = 0
    back: int = 0


async def _look_at_all(
    store: Store, core: Core, releaser: Releaser, seen: set[str], counts: _Counts
) -> None:
    ids = await store.find([Filter(kinds=frozenset((kinds.ANNOUNCEMENT,)))], EVERYTHING)
    for start in range(0, len(ids), READ_AT_ONCE):
        some = frozenset(ids[start : start + READ_AT_ONCE])
        for event in await store.query([Filter(ids=some)], len(some)):
            identifier = event.first("d") or ""
            if identifier not in seen:
                seen.add(identifier)
                await _bring_up(identifier, core, releaser, counts)


async def _report_unknown(core: Core) -> None:
    """Left by a crash in an eviction, kept by a delisting or deletion, or put there by hand."""
    unknown = []
    repositories = core.repositories
    try:
        there = await repositories.run(repositories.all_named)
    except OSError as error:
        log.warning("could not look which repositories are here", error=str(error))
        return
    for owner, identifier in there:
        if owner not in (await core.index.data(identifier)).known:
            unknown.append(repositories.path(owner, identifier))
    if unknown:
        log.info(
            "repositories without an announcement are left as they are",
            count=len(unknown),
            paths=[str(path) for path in unknown[:NAMED_AT_MOST]],
        )


async def drop_deleted(store: Store, core: Core, releaser: Releaser) -> None:
    """Drop refs of pull requests whose deletion was stored, but not carried out (B 5, N1).

    A kill may have come between the two. Only where no other program writes: a ref that was found
    in a folder is not ours to delete.
    """
    repositories = core.repositories
    for repository, ids in await _unnamed(store, core):
        path = repositories.path(repository.owner, repository.identifier)
        if not await repositories.run(repositories.is_ours_alone, path):
            continue
        for start in range(0, len(ids), READ_AT_ONCE):
            _, tombstones = await store.look([], 0, ids[start : start + READ_AT_ONCE])
            if not tombstones:
                continue
            try:
                async with releaser.hold(repository.identifier):
                    targets = [each.target for each in tombstones]
                    unnamed = await _without_event(store, core, repository, targets)
                    refs = {f"{NOSTR}{each}": None for each in unnamed}
                    await repositories.run(drop_refs, path, refs)
            except (RepositoryError, OSError) as error:
                log.warning("refs not deleted", path=str(path), error=str(error))


async def report_unnamed(store: Store, core: Core) -> None:
    """Tell of refs of pull requests that no event and no open placeholder names (B 5)."""
    unnamed = [
        f"{core.repositories.path(repository.owner, repository.identifier)} {NOSTR}{each}"
        for repository, ids in await _unnamed(store, core)
        for each in ids
    ]
    if unnamed:
        log.warning(
            "refs of pull requests that no event names are left as they are; `git update-ref -d`"
            " removes one",
            count=len(unnamed),
            refs=unnamed[:NAMED_AT_MOST],
        )


async def _unnamed(store: Store, core: Core) -> list[tuple[RepositoryId, list[str]]]:
    """By repository, the ids in `refs/nostr/` that no event and no open placeholder has."""
    repositories, found = core.repositories, []
    try:
        there = await repositories.run(repositories.all_named)
    except OSError:
        return []  # told of already
    for owner, identifier in there:
        try:
            refs = await repositories.run(list_refs, repositories.path(owner, identifier))
        except RepositoryError:
            continue  # told of at the start
        ids = [name.removeprefix(NOSTR) for name in refs if name.startswith(NOSTR)]
        repository = RepositoryId(owner, identifier)
        if ids and (unnamed := await _without_event(store, core, repository, ids)):
            found.append((repository, unnamed))
    return found


async def _without_event(
    store: Store, core: Core, repository: RepositoryId, ids: Sequence[str]
) -> list[str]:
    """Those that are neither served nor held now, nor wait for their event in the repository."""
    waiting = {
        placeholder.event_id
        for placeholder in core.purgatory.placeholders
        if RepositoryId(placeholder.owner, placeholder.identifier) == repository
    }
    unnamed: list[str] = []
    for start in range(0, len(ids), READ_AT_ONCE):
        some = [each for each in ids[start : start + READ_AT_ONCE] if each not in waiting]
        served = await store.served_ids(some)
        unnamed += [e for e in some if e not in served and core.purgatory.get(e) is None]
    return unnamed


async def _bring_up(identifier: str, core: Core, releaser: Releaser, counts: _Counts) -> None:
    counts.checked += 1
    try:
        if not await lags(core, identifier):
            return
        async with releaser.hold(identifier):
            back = await refs_that_go_back(core, identifier)
            await make_hosted(core, identifier)
            await releaser.process_locked(identifier, bring_up=True)
        whole = not await lags(core, identifier)
        log.info("brought up", identifier=identifier, whole=whole)
        counts.brought_up += 1
        for each in back:
            counts.back += 1
            _warn(identifier, each)
    except (PurgatorySyncError, OSError) as error:
        counts.failed += 1
        log.warning("could not bring up", identifier=identifier, error=str(error))
    except Exception:
        counts.failed += 1
        log.exception("bringing up crashed", identifier=identifier)


def _warn(identifier: str, back: GoingBack) -> None:
    """An upgrade, or a crash after a member left, takes refs back; nothing is dropped for it."""
    log.warning(
        "refs went back to an older state: who signed the newer one is no maintainer, or has not"
        " accepted to be; its objects stay while that state is served",
        repository=f"{encode_npub(back.owner)}/{identifier}",
        signer=encode_npub(back.signer),
        ruled_by=back.ruling.event.id,
        refs=len(back.moves),
    )
