"""Who may be asked for what (B 8.1): pure functions of announcements and needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

import attrs

from ..nostr.repository_data import CloneSource, RepositoryData
from ..urls import GIT_SCHEMES, extract_domain, names_service
from .context import Need, Source

# Parsing a URL costs more than all the rest of a choice, and the same few come again and again.
domain_of = lru_cache(maxsize=16_384)(extract_domain)
_names_service = lru_cache(maxsize=16_384)(names_service)


@attrs.define(eq=False)
class _Gathered:
    domain: str
    owner: str | None
    oids: frozenset[str] = frozenset()
    event_ids: dict[str, None] = attrs.field(factory=dict)


def find_sources(
    data: RepositoryData,
    needs: Iterable[Need],
    pr_clone_urls: Mapping[str, tuple[str, ...]],
    our_domain: str | None,
) -> tuple[Source, ...]:
    """The URLs that may be asked, each with what it may be asked for, in announcement order.

    For an event: `clone` of the announcements of the owners it concerns and of the members of
    their sets; for a pull request then its own `clone` values, which serve its commit only.

    Args:
      pr_clone_urls: by event id, a held pull request's own clone values.
      our_domain: our host[:port]; URLs that name it are left out.
    """
    found: dict[str, _Gathered] = {}
    announced: dict[tuple[str, ...], tuple[CloneSource, ...]] = {}
    for need in needs:
        if not need.oids:
            continue
        if need.owners not in announced:
            announced[need.owners] = data.clone_sources(need.owners)
        for clone in announced[need.owners]:
            _gather(found, need, clone.url, clone.owner)
        for url in pr_clone_urls.get(need.event_id, ()):
            _gather(found, need, url, None)
    return tuple(
        Source(url, each.domain, each.owner, each.oids, frozenset(each.event_ids))
        for url, each in found.items()
        if our_domain is None or not _names_service(url, our_domain, GIT_SCHEMES)
    )


def _gather(found: dict[str, _Gathered], need: Need, url: str, owner: str | None) -> None:
    each = found.get(url)
    if each is None:
        if (domain := domain_of(url)) is None:
            return
        each = found[url] = _Gathered(domain, owner)
    if each.owner is None:
        each.owner = owner
    each.oids |= need.oids
    each.event_ids[need.event_id] = None


def known_urls(sources: Iterable[Source], event_id: str) -> tuple[str, ...]:
    """The URLs that may serve one held event: what must be tried before it expires (B 8.9)."""
    return tuple(source.url for source in sources if event_id in source.event_ids)
