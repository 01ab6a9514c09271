"""What a hosted repository's announcement says of it, for its page (B 6.4)."""

from __future__ import annotations

import attrs

from ...nostr.authority.repository_data import KnownAnnouncement, Standing
from ...urls import GIT_SCHEMES, names_service, parse_web_url, scheme_of

NAME_SHOWN = 200
DESCRIPTION_SHOWN = 2_000


@attrs.frozen
class RepositoryStatus:
    """A hosted repository.

    Attributes:
      owner: hex key.
      name, description: the announcement's, cut where they are long, empty where it says none.
      is_served: its announcement is served; else it waits for data.
      scheme: `https` or `http`, as the announcement says of this service; an archived one that
        does not list it: by the service's name.
      relay: what may stand in a nostr:// URL to find it: a relay URL without `wss://`.
    """

    owner: str
    identifier: str
    name: str
    description: str
    is_served: bool
    scheme: str
    relay: str


def repository_status(known: KnownAnnouncement, service: str) -> RepositoryStatus:
    """Read an announcement for the page of its repository; `service` is our host[:port]."""
    announcement = known.announcement
    schemes = [
        parse_web_url(url).scheme
        for url in announcement.clone
        if names_service(url, service, GIT_SCHEMES)
    ]
    scheme = schemes[0] if schemes else scheme_of(service)
    return RepositoryStatus(
        owner=announcement.owner,
        identifier=announcement.identifier,
        name=_cut(announcement.event.first("name") or "", NAME_SHOWN),
        description=_cut(announcement.event.first("description") or "", DESCRIPTION_SHOWN),
        is_served=known.standing is Standing.SERVED,
        scheme=scheme,
        relay=service if scheme == "https" else f"ws://{service}",
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
