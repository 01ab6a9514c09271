from __future__ import annotations

import pytest
from hypothesis import given, settings

from purgatory_sync.errors import InvalidEvent
from purgatory_sync.nostr.announcement import Announcement
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.roles import Roles
from purgatory_sync.testing.events import Author, announcement, note

from .support import TAGS, event

ALICE, BOB, CAROL = (Author.from_seed(i) for i in (1, 2, 3))


def test_an_announcement_is_read() -> None:
    source = announcement(
        ALICE,
        "x",
        clone=["https://git.example/x.git"],
        relays=["wss://relay.example"],
        maintainers=[BOB],
    )
    assert Announcement.parse(source) == Announcement(
        source,
        "x",
        ("https://git.example/x.git",),
        ("wss://relay.example",),
        Roles(named=(BOB.pubkey,), acknowledged=frozenset({BOB.pubkey})),
    )
    assert Announcement.parse(source).owner == ALICE.pubkey


def test_b_1_1_the_first_d_names_it() -> None:
    assert Announcement.parse(event(30617, (("d", "one"), ("d", "two")))).identifier == "one"
    for tags in ((), (("d",), ("d", "x")), (("d", ""),), (("d", "a/b"),), (("d", ".."),)):
        with pytest.raises(InvalidEvent):
            Announcement.parse(event(30617, tags))


def test_b_1_2_a_second_tag_adds_its_values() -> None:
    source = note(
        ALICE,
        kind=30617,
        tags=[
            ("d", "x"),
            ("clone", "https://a.example/x", "https://b.example/x"),
            ("relays", "wss://a.example"),
            ("maintainers", BOB.pubkey),
            ("clone", "https://c.example/x", "https://a.example/x"),
            ("relays", "wss://b.example", "ws://c.example"),
            ("maintainers", CAROL.pubkey, BOB.pubkey),
        ],
    )
    parsed = Announcement.parse(source)
    assert parsed.clone == ("https://a.example/x", "https://b.example/x", "https://c.example/x")
    assert parsed.relays == ("wss://a.example", "wss://b.example", "ws://c.example")
    assert parsed.roles.named == (BOB.pubkey, CAROL.pubkey)


def test_b_1_2_what_is_no_key_and_no_http_url_is_skipped() -> None:
    parsed = Announcement.parse(
        announcement(
            ALICE,
            "x",
            clone=[
                "git://a.example/x",
                "ssh://git@b.example/x",
                "https://c.example/x",
                "",
                "nonsense",
            ],
            relays=["https://a.example", "wss://b.example", "relay"],
            maintainers=["", "npub1x", BOB.pubkey.upper(), BOB.pubkey[:-1], CAROL, ALICE],
        )
    )
    assert parsed.clone == ("https://c.example/x",)
    assert parsed.relays == ("wss://b.example",)
    assert parsed.roles.named == (CAROL.pubkey,)


def test_another_kind_is_no_announcement() -> None:
    with pytest.raises(InvalidEvent, match="30617"):
        Announcement.parse(note(ALICE, tags=[("d", "x")]))


@pytest.mark.parametrize(
    ("clone", "relay", "listed"),
    [
        (f"https://grasp.example/{ALICE.npub}/x.git", "wss://grasp.example", True),
        (f"http://GRASP.example/{ALICE.npub}/x.git", "ws://grasp.example/", True),
        (f"https://grasp.example/{ALICE.npub}/x.git", "wss://other.example", False),
        (f"https://other.example/{ALICE.npub}/x.git", "wss://grasp.example", False),
        ("https://grasp.example.evil.example/x", "wss://grasp.example", False),
        ("https://evil.example/grasp.example", "wss://evil.example/grasp.example", False),
        ("https://grasp.example:8443/x", "wss://grasp.example", False),
    ],
)
def test_b_2_1_listed_means_a_clone_url_and_a_relay(clone: str, relay: str, listed: bool) -> None:
    parsed = Announcement.parse(announcement(ALICE, "x", clone=[clone], relays=[relay]))
    assert parsed.lists("grasp.example") is listed


@pytest.mark.parametrize(
    ("clone", "relay", "listed"),
    [
        (f"https://grasp.example/a/b/{ALICE.npub}/x.git", "wss://grasp.example/a/b", True),
        (f"https://grasp.example/a/b/{ALICE.npub}/x%20y.git", "wss://grasp.example/a/b/", True),
        (f"https://grasp.example/a/{ALICE.npub}/x.git", "wss://grasp.example/a/b", False),
        (f"https://grasp.example/{ALICE.npub}/x.git", "wss://grasp.example/a/b", False),
        (f"https://grasp.example/a/b/{ALICE.npub}/x.git", "wss://grasp.example", False),
        ("https://grasp.example/a/b/x/y.git", "wss://grasp.example/a/b", False),
    ],
)
def test_b_13_9_listed_below_a_base_path(clone: str, relay: str, listed: bool) -> None:
    parsed = Announcement.parse(announcement(ALICE, "x", clone=[clone], relays=[relay]))
    assert parsed.lists("grasp.example/a/b") is listed


@given(TAGS)
@settings(max_examples=50, deadline=None)
def test_parsing_raises_only_its_own_error(tags: tuple[tuple[str, ...], ...]) -> None:
    source: Event = event(30617, tags)
    try:
        parsed = Announcement.parse(source)
    except InvalidEvent:
        return
    assert parsed.identifier == source.first("d")
