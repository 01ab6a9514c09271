"""Who may be asked for what (B 8.1): pure functions of announcements and needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

import attrs

from ...nostr.authority.repository_data import RepositoryData
from ...urls import GIT_SCHEMES, extract_domain, leads_to_service
from .sync_context import Need, Source

# Parsing a URL costs more than all the rest of a choice, and the same few come again and again.
domain_of = lru_cache(maxsize=16_384)(extract_domain)
_leads_to_service = lru_cache(maxsize=16_384)(leads_to_service)


@attrs.define(eq=False)
class _Gathered:
    """One source in the making; `homes` are the repositories that concern all of its events."""

    owner: str | None
    homes: frozenset[str]
    oids: frozenset[str] = frozenset()
    event_ids: frozenset[str] = frozenset()


def find_sources(
    data: RepositoryData,
    needs: Iterable[Need],
    pr_clone_urls: Mapping[str, tuple[str, ...]],
    our_domain: str | None,
) -> tuple[Source, ...]:
    """The URLs that may be asked, each with what it may be asked for, in announcement order.

    For an event: `clone` of the announcements of the owners it concerns and of the members of
    their sets; for a pull request then its own `clone` values, which serve its commit only.
    A URL comes once for all events that one repository here can serve; for events that have none
    in common it comes again, so that nothing lands in the wrong owner's repository (B 8.8).

    Args:
      pr_clone_urls: by event id, a held pull request's own clone values.
      our_domain: our host[:port]; URLs that name it are left out.
    """
    found: dict[str, list[_Gathered]] = {}
    for owners, alike in _by_owners(needs).items():
        homes = frozenset(data.with_repository(owners))
        oids = frozenset().union(*(need.oids for need in alike))
        ids = frozenset(need.event_id for need in alike)
        for clone in data.clone_sources(owners):
            more = _Gathered(clone.owner, homes, oids, ids)
            _gather(found.setdefault(clone.url, []), more)
        for need in alike:
            for url in pr_clone_urls.get(need.event_id, ()):
                more = _Gathered(None, homes, need.oids, frozenset((need.event_id,)))
                _gather(found.setdefault(url, []), more)
    return tuple(
        Source(url, domain, each.owner, each.oids, each.event_ids)
        for url, gathered in found.items()
        if (domain := domain_of(url)) is not None
        and (our_domain is None or not _leads_to_service(url, our_domain, GIT_SCHEMES))
        for each in _with_a_home(gathered)
    )


def _by_owners(needs: Iterable[Need]) -> dict[tuple[str, ...], list[Need]]:
    """Needs that something is missing for, those of the same owners together."""
    alike: dict[tuple[str, ...], list[Need]] = {}
    for need in needs:
        if need.oids:
            alike.setdefault(need.owners, []).append(need)
    return alike


def _gather(gathered: list[_Gathered], more: _Gathered) -> None:
    """Add to what has a repository in common with it, else begin anew."""
    for each in gathered:
        if each.homes & more.homes or each.homes == more.homes:
            each.owner = each.owner or more.owner
            each.homes &= more.homes
            each.oids |= more.oids
            each.event_ids |= more.event_ids
            return
    gathered.append(more)


def _with_a_home(gathered: list[_Gathered]) -> list[_Gathered]:
    """What has no repository here hides nothing that has one: it would pass the URL over."""
    return [each for each in gathered if each.homes] or gathered
