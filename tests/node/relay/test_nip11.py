"""What the relay says about itself."""

from __future__ import annotations

import json

import attrs
import pytest

from purgatory_sync.node.relay.nip11 import RelayInfo, document, wants_document
from purgatory_sync.settings import CurationSettings, RelaySettings
from purgatory_sync.version import __version__


def make_info(settings: RelaySettings | None = None) -> RelayInfo:
    return RelayInfo(
        "git.example:7334", "ab" * 32, [11, 1], ["GRASP-01"], settings or RelaySettings()
    )


def test_b_10_document() -> None:
    settings = RelaySettings(
        max_message_bytes=1,
        max_subscriptions=2,
        max_filters=3,
        max_limit=4,
        max_event_bytes=5000,
        description="d",
        events_per_minute=5,
    )
    said = json.loads(document(make_info(settings)))
    assert said.pop("repo_acceptance_criteria").startswith("Announce the repository")
    assert said == {
        "name": "git.example:7334",
        "description": "d",
        "icon": "https://git.example:7334/icon.svg",
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
            "max_event_bytes": 5000,
            "max_event_tags": 5000,
            "created_at_upper_limit": 900,
            "max_events_per_minute": 5,
            "max_connections": 10000,
            "max_connections_per_address": 100,
            "auth_required": False,
            "payment_required": False,
            "restricted_writes": True,
        },
    }


def test_b_10_1_no_limit_of_events_is_not_announced_as_none_at_all() -> None:
    limitation = json.loads(document(make_info(RelaySettings(events_per_minute=0))))["limitation"]
    assert "max_events_per_minute" not in limitation


def test_b_10_curation_is_said_only_if_curated_and_names_no_key() -> None:
    lists = CurationSettings(("npub1a",), ("spam",), ("npub1b/repo",))
    said = json.loads(document(attrs.evolve(make_info(), curation=lists)))
    assert said["curation"] == (
        "only repositories that the operator named are taken; some repositories are refused; "
        "events of some authors are refused"
    )
    assert said["repo_acceptance_criteria"].endswith("ask the operator first.")
    only_blocked = attrs.evolve(make_info(), curation=CurationSettings(("npub1a",)))
    said = json.loads(document(only_blocked))
    assert said["curation"] == "events of some authors are refused"
    assert said["repo_acceptance_criteria"].startswith("Announce the repository")


@pytest.mark.parametrize(
    ("fields", "curation"),
    [
        ({"archive_all": True}, None),
        (
            {"archive_all": True, "archive_read_only": True},
            "read-only copy of all repositories that relays announce",
        ),
        (
            {"archive_whitelist": ("a",), "archive_read_only": True},
            "read-only copy of repositories that the operator named",
        ),
        (
            {
                "archive_grasp_services": ("a.example",),
                "archive_whitelist": ("a",),
                "archive_read_only": True,
            },
            "read-only copy of repositories that the operator named and all repositories of some"
            " services",
        ),
        ({"archive_all": True, "archive_read_only": False}, None),
    ],
)
def test_b_10_an_archive_says_what_it_copies(
    fields: dict[str, object], curation: str | None
) -> None:
    lists = CurationSettings(**fields)  # type: ignore[arg-type]
    said = json.loads(document(attrs.evolve(make_info(), curation=lists)))
    assert said.get("curation") == curation
    copied = "Repositories that relays announce are copied here"
    assert copied in said["repo_acceptance_criteria"]
    assert said["repo_acceptance_criteria"].startswith(copied) is lists.only_copies
    assert said["repo_acceptance_criteria"].endswith("takes no pushes.") is lists.read_only


@pytest.mark.parametrize(
    "lists",
    [
        CurationSettings(),
        CurationSettings(repository_whitelist=("a",)),
        CurationSettings(archive_all=True),
    ],
)
def test_b_10_the_acceptance_criteria_are_never_empty(lists: CurationSettings) -> None:
    said = json.loads(document(attrs.evolve(make_info(), curation=lists)))
    assert said["repo_acceptance_criteria"]


@pytest.mark.parametrize(
    ("service", "icon"),
    [
        ("git.example", "https://git.example/icon.svg"),
        ("git.example:8443", "https://git.example:8443/icon.svg"),
        ("127.0.0.1:7334", "http://127.0.0.1:7334/icon.svg"),
        ("[::1]:7334", "http://[::1]:7334/icon.svg"),
        ("localhost:7334", "http://localhost:7334/icon.svg"),
    ],
)
def test_b_10_the_icon_is_ours(service: str, icon: str) -> None:
    said = json.loads(document(attrs.evolve(make_info(), service=service)))
    assert said["icon"] == icon


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
