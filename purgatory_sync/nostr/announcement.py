"""Repository announcements, kind 30617 (NIP-34; B 1.1, 1.2, 1.10)."""

from __future__ import annotations

import re
from urllib.parse import unquote

import attrs

from ..errors import InvalidEvent, InvalidKey
from ..urls import (
    GIT_SCHEMES,
    RELAY_SCHEMES,
    base_of,
    names_service,
    parse_web_url,
    usable_urls,
)
from . import kinds
from .address import check_identifier
from .event import Event
from .keys import decode_npub
from .roles import Roles

EUC = "euc"
_OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@attrs.frozen
class Announcement:
    """What an announcement says, judged: what B 1.2 skips is not in here.

    Attributes:
      clone: usable clone URLs in the event's order, http(s) only, each once.
      relays: usable relay URLs (ws, wss) in the event's order, each once.
      roles: what it says of its author and of others.
    """

    event: Event
    identifier: str
    clone: tuple[str, ...]
    relays: tuple[str, ...]
    roles: Roles

    @property
    def owner(self) -> str:
        """The author of the announcement, in hex."""
        return self.event.pubkey

    @property
    def identifiers(self) -> tuple[str, ...]:
        """The same, for code that treats all events alike."""
        return (self.identifier,)

    @property
    def is_private(self) -> bool:
        """Whether its owner calls the repository private (GRASP-08); in doubt it is."""
        return any(
            tag and tag[0] == "private" and [v.strip().lower() for v in tag[1:2]] != ["false"]
            for tag in self.event.tags
        )

    @property
    def earliest_commit(self) -> str | None:
        """The earliest unique commit that its author claims (`r` … `euc`); proves nothing."""
        claims = (tag[1] for tag in self.event.tags if tag[:1] == ("r",) and tag[2:3] == (EUC,))
        return next((each for each in claims if _OID.fullmatch(each)), None)

    @property
    def fork_of(self) -> str:
        """What its author says that it is a fork of (`u`), as written; empty where it says none."""
        return self.event.first("u") or ""

    @classmethod
    def parse(cls, event: Event) -> Announcement:
        """Read an announcement.

        Raises:
          InvalidEvent: another kind, or an identifier that B 1.1 rejects.
        """
        if event.kind != kinds.ANNOUNCEMENT:
            raise InvalidEvent("not a repository announcement (kind 30617)")
        return cls(
            event,
            check_identifier(event.first("d")),
            usable_urls(event.all_values("clone"), GIT_SCHEMES),
            usable_urls(event.all_values("relays"), RELAY_SCHEMES),
            Roles.of(event),
        )

    def lists(self, service: str) -> bool:
        """Whether some clone URL and some relay URL name the service host[:port] (B 2.1).

        A clone URL there must be one that the service can answer.
        """
        return any(
            names_service(u, service, GIT_SCHEMES) and _names_repository(u, service)
            for u in self.clone
        ) and any(names_service(u, service, RELAY_SCHEMES) for u in self.relays)


def _names_repository(url: str, service: str) -> bool:
    """Whether a URL's path, which begins with the base, ends in `/<npub>/<identifier>.git`."""
    path = unquote(parse_web_url(url, GIT_SCHEMES).path).removeprefix(base_of(service))
    owner, _, name = path.strip("/").partition("/")
    if not name.endswith(".git") or "/" in name or len(name) <= len(".git"):
        return False
    try:
        decode_npub(owner)
    except InvalidKey:
        return False
    return True
