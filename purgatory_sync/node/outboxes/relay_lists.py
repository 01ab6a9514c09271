"""Which relays a relay list (NIP-65) has us visit: hostile input; no I/O (B 15.3)."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final
from urllib.parse import unquote

import attrs

from ...errors import InvalidUrl
from ...nostr.event import Event
from ...runtime.net.addresses import may_contact, parse_address
from ...settings import Network
from ...urls import MAX_URL_CHARS, RELAY_SCHEMES, WebUrl, parse_web_url

RELAYS_OF_KIND: Final = 4
TAGS_READ: Final = 100
# Names that no public resolver knows; the gate judges addresses only.
_LOCAL: Final = (".onion", ".i2p", ".local", ".localhost", ".internal", ".lan", ".home.arpa")
_KEY: Final = re.compile(r"[0-9a-fA-F]{64}|npub1[02-9ac-hj-np-z]{58}")

Usable = Callable[[str], str | None]


class Rank(enum.IntEnum):
    """How much a participant's relays count."""

    REPLY = 1
    ROOT = 2
    LEADER = 3


@attrs.frozen
class RelayList:
    """Where an author publishes, and where others write to the author; canonical URLs.

    Attributes:
      write: outboxes, the first four that may be visited.
      read: inboxes, the first four.
    """

    write: tuple[str, ...] = ()
    read: tuple[str, ...] = ()

    def visited(self, rank: Rank) -> tuple[str, ...]:
        """The relays that an author of this rank has us visit.

        Of those who only reply four in all: outboxes first.
        """
        both = tuple(dict.fromkeys((*self.write, *self.read)))
        return both[:RELAYS_OF_KIND] if rank is Rank.REPLY else both


def read_relay_list(event: Event, usable: Usable) -> RelayList:
    """The relays that a kind 10002 names with `r`; what may not be visited is skipped.

    Args:
      usable: the canonical URL of a relay that may be visited, else None.
    """
    write: dict[str, None] = {}
    read: dict[str, None] = {}
    for url, use in islice(_named(event), TAGS_READ):
        kinds = [each for name, each in (("write", write), ("read", read)) if use in ("", name)]
        if all(len(each) >= RELAYS_OF_KIND for each in kinds):
            continue
        if (text := usable(url)) is not None:
            for each in kinds:
                if len(each) < RELAYS_OF_KIND:
                    each[text] = None
    return RelayList(tuple(write), tuple(read))


def _named(event: Event) -> Iterator[tuple[str, str]]:
    for tag in event.tags:
        if len(tag) > 1 and tag[0] == "r":
            yield tag[1], tag[2] if len(tag) > 2 else ""


def usable_relay(url: str, allow: Iterable[Network] = ()) -> str | None:
    """The canonical form of a relay's URL that a stranger named; None where it is never dialled.

    Args:
      allow: networks inside the operator's that may be contacted; only addresses in them may be
        named without TLS.
    """
    if len(url.encode(errors="replace")) > MAX_URL_CHARS:
        return None
    try:
        parsed = parse_web_url(url, RELAY_SCHEMES)
    except InvalidUrl:
        return None
    return parsed.text if _is_public(parsed, tuple(allow)) and _is_plain(parsed) else None


def _is_public(url: WebUrl, allow: tuple[Network, ...]) -> bool:
    address = parse_address(url.host)
    if address is None:
        named = "." in url.host and not url.host.endswith(_LOCAL)
        return url.scheme == "wss" and named
    inside = any(address in each for each in allow if each.version == address.version)
    return may_contact(address, allow) and (inside or url.scheme == "wss")


def _is_plain(url: WebUrl) -> bool:
    """Whether the path is no bait: no key, and not the host again (bots make up endless ones)."""
    segments = [unquote(each) for each in url.path.split("/")]
    return not any(_KEY.search(each) or each.lower() == url.host for each in segments)


def neighbourhood(host: str) -> str:
    """What hosts have in common that one person may own: a registrable domain, a /24 or a /48.

    Of a domain the last two labels, or three below short second labels as in `co.uk`.
    """
    if (address := parse_address(host)) is not None:
        bits = 8 if address.version == 4 else 80
        return f"{address.version}:{int(address) >> bits:x}"
    labels = host.split(".")
    short = len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= 3
    return ".".join(labels[-3:] if short else labels[-2:])
