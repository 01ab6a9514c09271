"""Which settings make a private service, and whose announcements it takes (B 16.1, 16.7)."""

from __future__ import annotations

from pathlib import Path

import pytest

from purgatory_sync.errors import ConfigurationError
from purgatory_sync.nostr.announcement import Announcement
from purgatory_sync.nostr.event import Event
from purgatory_sync.policy.curation import MEMBERS_ONLY, judge_event
from purgatory_sync.policy.rules.hosting import hosts
from purgatory_sync.settings import CurationSettings
from purgatory_sync.settings_loader import load_settings
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

ALICE, EVE = Author.from_seed(1), Author.from_seed(2)
MODE = {"NGIT_PRIVATE_MODE": "true", "NGIT_PRIVATE_MEMBERS": ALICE.npub}
NO_FILE = Path("/nonexistent/.env")
LISTS = CurationSettings(private_mode=True, private_members=(ALICE.npub,))


def test_b_16_1_off_by_default_and_on_with_a_member() -> None:
    assert not load_settings({}, {}, NO_FILE).settings.curation.private_mode
    assert not load_settings({}, MODE, NO_FILE).settings.follows_participants
    peers = f"https://Other.example/git/ {EVE.npub},http://127.0.0.1:1 {ALICE.npub}"
    more = {"NGIT_PRIVATE_PEERS": peers, "NGIT_PRIVATE_PUBLIC_ORIGIN": "https://git.example:444"}
    settings = load_settings({}, {**MODE, **more}, NO_FILE).settings
    assert settings.curation.private_members == (ALICE.npub,)
    assert settings.private.public_origin == "https://git.example:444"
    first = f"https://other.example/git {EVE.npub}"
    assert settings.private.peers == (first, f"http://127.0.0.1:1 {ALICE.npub}")


@pytest.mark.parametrize(
    "values",
    [
        {"NGIT_PRIVATE_MODE": "true"},
        {"NGIT_PRIVATE_MEMBERS": ALICE.npub},
        {"NGIT_PRIVATE_PUBLIC_ORIGIN": "https://git.example"},
        {"NGIT_PRIVATE_PEERS": f"https://a.example {ALICE.npub}"},
        {**MODE, "NGIT_PRIVATE_MEMBERS": "alice"},
        {**MODE, "NGIT_PRIVATE_PUBLIC_ORIGIN": "https://git.example/path"},
        {**MODE, "NGIT_PRIVATE_PUBLIC_ORIGIN": "git.example"},
        {**MODE, "NGIT_PRIVATE_PEERS": "https://a.example"},
        {**MODE, "NGIT_PRIVATE_PEERS": f"wss://a.example {ALICE.npub}"},
        {**MODE, "NGIT_GRASP06_ENABLE": "true"},
        {**MODE, "NGIT_PUBLISH_IDENTITY": "true"},
        {**MODE, "NGIT_SYNC_BOOTSTRAP_RELAY_URL": "relay.example"},
        {**MODE, "NGIT_ARCHIVE_GRASP_SERVICES": "git.example"},
        {**MODE, "NGIT_HTTP_MAX_HEAD_BYTES": "8KiB"},
    ],
    ids=str,
)
def test_b_16_1_what_makes_no_sense_beside_it_is_an_error(values: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        load_settings({}, values, NO_FILE)


def announcement(author: Author, *, private: bool = False) -> Event:
    tags = [["private", "true"]] if private else []
    made = events.announcement(
        author, "r", clone=[f"https://a/{author.npub}/r.git"], relays=["wss://a"], created_at=1
    )
    return author.sign(made.kind, made.content, [*map(list, made.tags), *tags], 1)


def test_b_16_7_announcements_are_taken_from_members_only() -> None:
    assert judge_event(announcement(ALICE), LISTS) is None
    refused = judge_event(announcement(EVE), LISTS)
    assert refused is not None
    assert refused.message == MEMBERS_ONLY
    assert judge_event(announcement(EVE), CurationSettings()) is None
    assert judge_event(EVE.sign(30618, "", [["d", "r"]], 1), LISTS) is None


def test_b_16_1_a_private_service_hosts_what_is_called_private() -> None:
    called = Announcement.parse(announcement(ALICE, private=True))
    assert hosts(called, "a", LISTS)
    assert not hosts(called, "a", CurationSettings())
