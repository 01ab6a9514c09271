"""What the relay says about itself: the NIP-11 document (B 10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import msgspec

from ...policy.rules.limits import MAX_EVENT_TAGS, MAX_SECONDS_AHEAD
from ...settings import CurationSettings, ListenerSettings, PrsSettings, RelaySettings
from ...urls import scheme_of
from ...version import __version__
from ..http.places import DEFAULT_PER_ADDRESS
from .client_messages import MAX_SUBSCRIPTION_ID_CHARS

MEDIA_TYPE = "application/nostr+json"
SOFTWARE = "purgatory-sync"
ACCEPTANCE = (
    "Announce the repository (kind 30617) with this service among its clone and relays URLs; "
    "it is served once a signed state (kind 30618) and its git data have arrived."
)
NAMED_ONLY = " Only repositories that the operator named are taken: ask the operator first."
ARCHIVED = (
    "Repositories that relays announce are copied here, whether they list this service or not."
)
CONTRIBUTED = "Pull requests for any repository are taken below /prs/ (GRASP-06)."
MEMBERS = "Only members of this private service read and write here (GRASP-08)."
NO_PUSHES = "What is only a copy takes no pushes."
ICON_PATH = "/icon.svg"


@attrs.frozen
class RelayInfo:
    """What the document says beyond the limits.

    Attributes:
      service: our host[:port]; names the relay where the operator gave no name.
      pubkey: the service's key, in hex.
      supported_nips, supported_grasps: only what works.
      settings: name, description and limits.
      curation: whose events and which repositories are taken.
      prs: whether pull requests are taken below `/prs/`, and whose.
      listener: how many connections there may be.
      other_icon: the URL of an icon in place of the node's.
    """

    service: str
    pubkey: str
    supported_nips: Sequence[int]
    supported_grasps: Sequence[str]
    settings: RelaySettings
    curation: CurationSettings = attrs.field(factory=CurationSettings)
    prs: PrsSettings = attrs.field(factory=PrsSettings)
    listener: ListenerSettings = attrs.field(factory=ListenerSettings)
    other_icon: str | None = None

    @property
    def name(self) -> str:
        """The relay's name: the operator's, or the service's."""
        return self.settings.name or self.service

    @property
    def icon(self) -> str:
        """Where the icon is, as a URL for clients."""
        return self.other_icon or f"{scheme_of(self.service)}://{self.service}{ICON_PATH}"

    @property
    def acceptance(self) -> str:
        """Which repositories are taken (`repo_acceptance_criteria`)."""
        lists = self.curation
        said = [ACCEPTANCE + (NAMED_ONLY if lists.repository_whitelist else "")]
        said = [] if lists.only_copies else said
        said += [ARCHIVED] if lists.archives else []
        said += [CONTRIBUTED] if self.prs.enabled else []
        said += [MEMBERS] if lists.private_mode else []
        return " ".join([*said, *([NO_PUSHES] if lists.read_only else [])])

    @property
    def curated(self) -> str:
        """What is not taken from every author, without names; empty where all is."""
        return describe_curation(self.curation, self.prs)

    @property
    def description(self) -> str:
        """The operator's description, or what this program is."""
        return self.settings.description or (
            "A GRASP relay: git repositories and the Nostr events that rule them, "
            "served once every object is proven to be here."
        )


def document(info: RelayInfo) -> bytes:
    """The NIP-11 document, as JSON."""
    limits, curation = info.settings, info.curated
    per_minute = limits.events_per_minute
    content: dict[str, Any] = {
        "name": info.name,
        "description": info.description,
        "icon": info.icon,
        "pubkey": info.pubkey,
        "supported_nips": sorted(info.supported_nips),
        "supported_grasps": list(info.supported_grasps),
        "software": SOFTWARE,
        "version": __version__,
        "repo_acceptance_criteria": info.acceptance,
        **({"curation": curation} if curation else {}),
        "limitation": {
            "max_message_length": limits.max_message_bytes,
            "max_subscriptions": limits.max_subscriptions,
            "max_filters": limits.max_filters,
            "max_limit": limits.max_limit,
            "default_limit": limits.max_limit,
            "max_subid_length": MAX_SUBSCRIPTION_ID_CHARS,
            "max_event_bytes": limits.max_event_bytes,
            "max_event_tags": MAX_EVENT_TAGS,
            "created_at_upper_limit": MAX_SECONDS_AHEAD,
            **({"max_events_per_minute": per_minute} if per_minute else {}),
            "max_connections": info.listener.max_connections,
            "max_connections_per_address": info.listener.max_connections_per_address
            or DEFAULT_PER_ADDRESS,
            "auth_required": info.curation.private_mode,
            "payment_required": False,
            "restricted_writes": True,
        },
    }
    return msgspec.json.encode(content)


def describe_curation(lists: CurationSettings, prs: PrsSettings | None = None) -> str:
    """What is curated beyond spam, without names; empty when nothing is (GRASP-01)."""
    said = (
        (lists.private_mode, "announcements are taken from members"),
        (lists.only_copies, f"read-only copy of {_archived(lists)}"),
        (lists.repository_whitelist, "only repositories that the operator named are taken"),
        (lists.repository_blacklist, "some repositories are refused"),
        (
            prs is not None and prs.enabled and prs.whitelist,
            "pull requests below /prs/ are taken from authors whom the operator named",
        ),
        (lists.event_blacklist, "events of some authors are refused"),
        (lists.banned_events, "some events are refused"),
        (
            lists.status_authority == "refuse",
            "a status (kinds 1630-1633) is taken from the author of its root, from maintainers and"
            " moderators",
        ),
    )
    return "; ".join(text for listed, text in said if listed)


def _archived(lists: CurationSettings) -> str:
    """What an archive copies, without names (GRASP-05)."""
    if lists.archive_all:
        return "all repositories that relays announce"
    said = (
        (lists.archive_whitelist, "repositories that the operator named"),
        (lists.archive_grasp_services, "all repositories of some services"),
    )
    return " and ".join(text for listed, text in said if listed)


def wants_document(accept: str) -> bool:
    """Whether an Accept header asks for the NIP-11 document."""
    return any(
        choice.partition(";")[0].strip().lower() == MEDIA_TYPE for choice in accept.split(",")
    )
