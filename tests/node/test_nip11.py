"""What the relay says about itself."""

from __future__ import annotations

import json

import pytest

from purgatory_sync.node.nip11 import RelayInfo, document, wants_document
from purgatory_sync.settings import RelaySettings
from purgatory_sync.version import __version__


def make_info(settings: RelaySettings | None = None) -> RelayInfo:
    return RelayInfo(
        "git.example:7334", "ab" * 32, [11, 1], ["GRASP-01"], settings or RelaySettings()
    )


def test_document() -> None:
    settings = RelaySettings(
        max_message_bytes=1, max_subscriptions=2, max_filters=3, max_limit=4, description="d"
    )
    said = json.loads(document(make_info(settings)))
    assert said.pop("repo_acceptance_criteria").startswith("Announce the repository")
    assert said == {
        "name": "git.example:7334",
        "description": "d",
        "pubkey": "ab" * 32,
        "supported_nips": [1, 11],
        "supported_grasps": ["GRASP-01"],
        "software": "purgatory-sync",
        "version": __version__,
        "limitation": {
            "max_message_length": 1,
            "max_subscriptions": 2,
            "max_filters": 3,
            "max_limit": 4,
            "default_limit": 4,
            "max_subid_length": 64,
            "auth_required": False,
            "payment_required": False,
            "restricted_writes": True,
        },
    }


@pytest.mark.parametrize(
    ("accept", "wants"),
    [
        ("application/nostr+json", True),
        ("text/html, Application/Nostr+JSON;q=0.9", True),
        ("text/html", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_accept(accept: str, wants: bool) -> None:
    assert wants_document(accept) is wants
