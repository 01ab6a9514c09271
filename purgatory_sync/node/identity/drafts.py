"""What the service's profile (kind 0) and relay list (kind 10002) say; no I/O."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from ...nostr import kinds
from ...nostr.event import Event
from ...urls import base_of, scheme_of
from ..relay.nip11 import RelayInfo


@attrs.frozen
class Draft:
    """An event before it is signed."""

    kind: int
    content: str
    tags: tuple[tuple[str, ...], ...]

    def is_said_by(self, event: Event) -> bool:
        """Whether an event says this and nothing else, whenever it was signed."""
        return (event.kind, event.content, event.tags) == (self.kind, self.content, self.tags)


def drafts_of(info: RelayInfo) -> tuple[Draft, Draft]:
    """The profile (NIP-01, NIP-24) and the relay list (NIP-65)."""
    service, base = info.service, base_of(info.service)
    profile: dict[str, Any] = {"name": service, "bot": True}
    if not base:
        profile["nip05"] = f"_@{service}"
    if info.settings.description:
        profile["about"] = info.settings.description
    profile["picture"] = info.icon
    scheme = "wss" if scheme_of(service) == "https" else "ws"
    return (
        Draft(kinds.METADATA, msgspec.json.encode(profile).decode(), ()),
        Draft(kinds.RELAY_LIST, "", (("r", f"{scheme}://{service}"),)),
    )
