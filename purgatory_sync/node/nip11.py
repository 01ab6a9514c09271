"""What the relay says about itself: the NIP-11 document (B 10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import msgspec

from ..settings import RelaySettings
from ..version import __version__
from .messages import MAX_SUBSCRIPTION_ID_CHARS

MEDIA_TYPE = "application/nostr+json"
SOFTWARE = "purgatory-sync"
ACCEPTANCE = (
    "Announce the repository (kind 30617) with this service among its clone and relays URLs; "
    "it is served once a signed state (kind 30618) and its git data have arrived."
)


@attrs.frozen
class RelayInfo:
    """What the document says beyond the limits.

    Attributes:
      service: our host[:port]; names the relay where the operator gave no name.
      pubkey: the service's key, in hex.
      supported_nips, supported_grasps: only what works.
      settings: name, description and limits.
      acceptance: which repositories are taken (`repo_acceptance_criteria`).
    """

    service: str
    pubkey: str
    supported_nips: Sequence[int]
    supported_grasps: Sequence[str]
    settings: RelaySettings
    acceptance: str = ACCEPTANCE

    @property
    def name(self) -> str:
        """The relay's name: the operator's, or the service's."""
        return self.settings.name or self.service

    @property
    def description(self) -> str:
        """The operator's description, or what this program is."""
        return self.settings.description or (
            "A GRASP relay: git repositories and the Nostr events that rule them, "
            "served once every object is proven to be here."
        )


def document(info: RelayInfo) -> bytes:
    """The NIP-11 document, as JSON."""
    limits = info.settings
    content: dict[str, Any] = {
        "name": info.name,
        "description": info.description,
        "pubkey": info.pubkey,
        "supported_nips": sorted(info.supported_nips),
        "supported_grasps": list(info.supported_grasps),
        "software": SOFTWARE,
        "version": __version__,
        "repo_acceptance_criteria": info.acceptance,
        "limitation": {
            "max_message_length": limits.max_message_bytes,
            "max_subscriptions": limits.max_subscriptions,
            "max_filters": limits.max_filters,
            "max_limit": limits.max_limit,
            "default_limit": limits.max_limit,
            "max_subid_length": MAX_SUBSCRIPTION_ID_CHARS,
            "auth_required": False,
            "payment_required": False,
            "restricted_writes": True,
        },
    }
    return msgspec.json.encode(content)


def wants_document(accept: str) -> bool:
    """Whether an Accept header asks for the NIP-11 document."""
    return any(
        choice.partition(";")[0].strip().lower() == MEDIA_TYPE for choice in accept.split(",")
    )
