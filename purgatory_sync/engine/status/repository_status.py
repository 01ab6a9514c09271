"""What a hosted repository's announcement says of it, and who rules it, for its page (B 6.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from ...nostr.authority.repository_data import KnownAnnouncement, RepositoryData, Standing
from ...nostr.authority.who_rules import who_rules
from ...nostr.keys import encode_npub
from ...policy.rules.position_words import why_no_authority
from ...urls import GIT_SCHEMES, names_service, parse_web_url, scheme_of
from .repository_contents import RepositoryContents

KEYS_SHOWN = 100
NAME_SHOWN = 200
DESCRIPTION_SHOWN = 2_000


@attrs.frozen
class Rulers:
    """Who rules a repository; of each some, all keys as npub.

    Attributes:
      lead: the key that the others point at, if any.
      invited: who was named and has not accepted, with who named it.
      left: who has ended the own role.
      forwarded_to: whose group rules, where the owner is no member of it.
      no_authority: why no key rules and what to publish against it, or None.
    """

    lead: str | None
    maintainers: tuple[str, ...]
    moderators: tuple[str, ...]
    invited: Mapping[str, str]
    left: tuple[str, ...]
    forwarded_to: str | None
    no_authority: str | None


@attrs.frozen
class RepositoryStatus:
    """A hosted repository.

    Attributes:
      owner: hex key.
      name, description: the announcement's, cut where they are long, empty where it says none.
      is_served: its announcement is served; else it waits for data.
      scheme: `https` or `http`, as the announcement says of this service; an archived one that
        does not list it: by the service's name.
      rulers: who rules it.
      contents: what is in it; None where it cannot be read.
      earliest_commit: what its announcement claims to be the first commit of its own, or None.
      fork_of: what it claims to be a fork of, cut where it is long.
      relay: what may stand in a nostr:// URL to find it: a relay URL without `wss://`.
    """

    owner: str
    identifier: str
    name: str
    description: str
    is_served: bool
    scheme: str
    relay: str
    rulers: Rulers
    contents: RepositoryContents | None = None
    earliest_commit: str | None = None
    fork_of: str = ""


def repository_status(
    known: KnownAnnouncement, data: RepositoryData, service: str
) -> RepositoryStatus:
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
        name=cut(announcement.event.first("name") or "", NAME_SHOWN),
        description=cut(announcement.event.first("description") or "", DESCRIPTION_SHOWN),
        is_served=known.standing is Standing.SERVED,
        scheme=scheme,
        relay=service if scheme == "https" else f"ws://{service}",
        rulers=_rulers(announcement.owner, data),
        earliest_commit=announcement.earliest_commit,
        fork_of=cut(announcement.fork_of, NAME_SHOWN),
    )


def _rulers(owner: str, data: RepositoryData) -> Rulers:
    rules = who_rules(owner, data)
    invited = tuple(rules.invited.items())[:KEYS_SHOWN]
    return Rulers(
        lead=rules.lead and encode_npub(rules.lead),
        maintainers=_npubs(rules.maintainers),
        moderators=_npubs(rules.moderators),
        invited={encode_npub(key): encode_npub(by) for key, by in invited},
        left=_npubs(rules.left),
        forwarded_to=rules.forwarded_to and encode_npub(rules.forwarded_to),
        no_authority=why_no_authority(owner, data),
    )


def _npubs(keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(encode_npub, tuple(keys)[:KEYS_SHOWN]))


def cut(text: str, most: int) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= most else text[: most - 1] + "…"
