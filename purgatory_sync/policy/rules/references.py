"""What an event refers to, and what anchors it here (B 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import msgspec

from ...nostr import kinds
from ...nostr.address import Address, is_hex_key
from ...nostr.announcement import Announcement
from ...nostr.authority.repository_data import RepositoryData, Standing
from ...nostr.event import Event
from ...nostr.filters import Filter
from ...settings import CurationSettings
from .hosting import NO_LISTS, hosts
from .verdict import address_text

UNREFERENCED = "invalid: must reference an accepted repository or event"
WAITS = (
    "invalid: its repository waits for git data: send it again when it is served: "
    "push the data, or wait until it was fetched"
)
ALWAYS_ACCEPTED = frozenset({kinds.USER_GRASP_LIST, kinds.DELETION, kinds.VANISH})
NEVER_ANCHORS = ALWAYS_ACCEPTED | kinds.USER_KINDS
REPOSTS = frozenset({6, 16})
COORDINATE_TAGS = ("a", "A", "q")
ID_TAGS = ("e", "E", "q")

Anchor: TypeAlias = Announcement | Event
"""What is served: announcements parsed (a malformed one anchors nothing), all else as it is."""


def references_of(event: Event) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The ids and the coordinates that an event refers to, each once, in its order (B 5).

    Returns (ids, coordinates); a coordinate is `kind:pubkey:identifier`.
    """
    ids = (v for name in ID_TAGS for v in event.values(name) if is_hex_key(v))
    coordinates = (
        v for name in COORDINATE_TAGS for v in event.values(name) if Address.parse(v) is not None
    )
    return tuple(dict.fromkeys(ids)), tuple(dict.fromkeys(coordinates))


def carries_protected(event: Event) -> bool:
    """Whether a repost (kinds 6, 16) carries a protected event whole (NIP-18, NIP-70)."""
    if event.kind not in REPOSTS or not event.content:
        return False
    try:
        return _carried(event.content).is_protected
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False


class _Carried(msgspec.Struct):
    """What a repost carries: only its tags matter here."""

    tags: list[list[str]]

    @property
    def is_protected(self) -> bool:
        """Whether it is its author's alone to publish."""
        return any(tag[:1] == ["-"] for tag in self.tags)


_carried = msgspec.json.Decoder(_Carried).decode


def anchor_filters(event: Event) -> tuple[Filter, ...]:
    """Filters that find what is served and what the event refers to, by id and coordinate.

    What they find still has to pass `anchors`.
    """
    ids, coordinates = references_of(event)
    found = [Filter(ids=frozenset(ids))] if ids else []
    by_kind: dict[tuple[int, str], set[str]] = {}
    for kind, pubkey, identifier in filter(None, map(Address.parse, coordinates)):
        if kind not in NEVER_ANCHORS:
            by_kind.setdefault((kind, pubkey), set()).add(identifier)
    for (kind, pubkey), identifiers in by_kind.items():
        tags = {"d": frozenset(identifiers)} if kinds.is_addressable(kind) else {}
        found.append(Filter(kinds=frozenset({kind}), authors=frozenset({pubkey}), tags=tags))
    return tuple(found)


def referrer_filters(event: Event) -> tuple[Filter, ...]:
    """Filters that find what is served and refers to the event; it has to pass `anchors`, too."""
    found = [Filter(tags={letter: frozenset({event.id})}) for letter in ID_TAGS]
    if (address := address_text(event)) is not None:
        found += [Filter(tags={letter: frozenset({address})}) for letter in COORDINATE_TAGS]
    return tuple(found)


def anchors(
    served: Anchor,
    service: str,
    data: Mapping[str, RepositoryData],
    lists: CurationSettings = NO_LISTS,
) -> bool:
    """Whether a served event lets others stay that refer to it or that it refers to (B 2.2, 5).

    Args:
      served: an event that is served, parsed if it is an announcement.
      service: our host[:port].
      data: announcements by identifier; needed for `served` that are announcements only.
      lists: which repositories an archive copies.
    """
    if not isinstance(served, Announcement):
        return served.kind not in NEVER_ANCHORS and served.kind != kinds.ANNOUNCEMENT
    if hosts(served, service, lists):
        return True
    known = data.get(served.identifier)
    return known is not None and any(
        owner != served.owner and known.known[owner].standing is Standing.SERVED
        for owner in known.owners_authorising(served.owner)
    )


def is_anchored(
    event: Event,
    found: Iterable[Anchor],
    service: str,
    data: Mapping[str, RepositoryData],
    lists: CurationSettings = NO_LISTS,
) -> bool:
    """Whether any of the served events found by `anchor_filters` anchors the event."""
    return any(_id_of(each) != event.id and anchors(each, service, data, lists) for each in found)


def _id_of(found: Anchor) -> str:
    return found.event.id if isinstance(found, Announcement) else found.id
