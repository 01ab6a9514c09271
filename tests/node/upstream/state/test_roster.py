from __future__ import annotations

import pytest

from purgatory_sync.node.upstream.state import roster as roster_module
from purgatory_sync.node.upstream.state.roster import (
    MAX_RELAYS_OF_ANNOUNCEMENT,
    MAX_RELAYS_OF_HOST,
    Roster,
)
from purgatory_sync.nostr.event import Event
from purgatory_sync.testing.events import Author, announcement
from purgatory_sync.urls import WebUrl, parse_web_url

from ..support import NOW, OTHER, OWNER, SERVICE, listed


def test_b_10_2_relays_come_and_go_with_announcements() -> None:
    roster = Roster([SERVICE])
    first = listed(OWNER, "a", "wss://one.example", "wss://two.example")
    assert roster.announced(first)
    assert roster.chosen() == ("wss://one.example", "wss://two.example")
    newer = listed(OWNER, "a", "wss://three.example", created_at=NOW)
    assert roster.announced(newer)
    assert roster.chosen() == ("wss://three.example",)
    assert not roster.announced(first)
    assert not roster.withdrawn([first.id])
    assert roster.chosen() == ("wss://three.example",)
    assert roster.withdrawn([newer.id])
    assert not roster.withdrawn([newer.id])
    assert roster.chosen() == ()


def test_a_relay_stays_while_it_is_named() -> None:
    roster = Roster([SERVICE])
    one, two = (listed(OWNER, name, "wss://one.example") for name in "ab")
    roster.announced(one)
    roster.announced(two)
    roster.withdrawn([one.id])
    assert roster.chosen() == ("wss://one.example",)


@pytest.mark.parametrize(
    "ours",
    [
        "wss://grasp.example",
        "ws://GRASP.example",
        "wss://grasp.example:443/",
        "ws://127.0.0.1:7334",
    ],
)
def test_our_own_address_is_never_followed(ours: str) -> None:
    roster = Roster([SERVICE, "127.0.0.1:7334"])
    roster.follow([ours])
    roster.announced(listed(OWNER, "a", ours))
    assert roster.chosen() == ()


@pytest.mark.parametrize(
    "url", ["https://x.example", "wss://user:pw@x.example", "x.example", "wss://x.example/?a", ""]
)
def test_relays_are_judged_like_any_url(url: str) -> None:
    roster = Roster([SERVICE])
    roster.follow([url])
    roster.announced(listed(OWNER, "a", url))
    assert roster.chosen() == ()


def test_b_10_2_at_most_so_many_those_first_that_most_owners_name() -> None:
    roster = Roster([SERVICE], limit=3)
    roster.follow(["wss://pinned.example"])
    for name in "abc":
        roster.announced(listed(OWNER, name, "wss://spam.example", "wss://spam2.example"))
    for seed in range(10, 12):
        roster.announced(listed(Author.from_seed(seed), "x", "wss://popular.example"))
    assert roster.chosen() == (
        "wss://pinned.example",
        "wss://popular.example",
        "wss://spam.example",
    )


def test_one_announcement_names_so_many_and_no_more() -> None:
    roster = Roster([SERVICE])
    roster.announced(listed(OTHER, "a", *(f"wss://r{n}.example" for n in range(100))))
    assert len(roster.chosen()) == MAX_RELAYS_OF_ANNOUNCEMENT


def test_what_is_no_announcement_names_nothing() -> None:
    roster = Roster([SERVICE])
    assert not roster.announced(announcement(OWNER, "", relays=["wss://x.example"]))
    assert roster.chosen() == ()


def test_one_host_is_connected_to_so_often_and_no_more() -> None:
    roster = Roster([SERVICE])
    roster.follow(["wss://victim.example"])
    paths = [f"wss://victim.example:{port}/{port}" for port in range(1, 11)]
    roster.announced(listed(OTHER, "a", *paths, "wss://other.example"))
    assert roster.chosen() == (
        "wss://victim.example",
        *paths[: MAX_RELAYS_OF_HOST - 1],
        "wss://other.example",
    )


def test_a_crowd_of_urls_does_not_make_choosing_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    roster, looked_at = Roster([SERVICE]), 0
    for number in range(50):
        paths = [f"wss://victim.example/{number}/{path}" for path in range(20)]
        roster.announced(listed(OTHER, str(number), *paths))
    roster.announced(listed(OWNER, "x", "wss://other.example"))

    def judged(text: str, schemes: tuple[str, ...]) -> WebUrl:
        nonlocal looked_at
        looked_at += 1
        return parse_web_url(text, schemes)

    monkeypatch.setattr(roster_module, "parse_web_url", judged)
    assert len(roster.chosen()) == MAX_RELAYS_OF_HOST + 1
    assert looked_at == 0


def test_b_10_2_relays_of_invited_ones_are_not_followed_those_of_members_are() -> None:
    roster = Roster([SERVICE], hosts=lambda each: "wss://ours.example" in each.relays)

    def named(author: Author, *names: Author, at: int = 1, listed: bool = False) -> Event:
        relays = ["wss://ours.example"] if listed else []
        relays.append(f"wss://{author.npub[-8:]}.example")
        return announcement(author, "repo", relays=relays, maintainers=names, created_at=at)

    roster.announced(named(OWNER, OTHER, listed=True))
    ours = ("wss://ours.example", f"wss://{OWNER.npub[-8:]}.example")
    theirs = f"wss://{OTHER.npub[-8:]}.example"
    roster.announced(invited := named(OTHER))
    assert roster.chosen() == ours
    roster.announced(accepts := named(OTHER, OWNER, at=2))
    assert roster.chosen() == (*ours, theirs)
    roster.announced(alone := named(OWNER, at=2, listed=True))
    assert roster.chosen() == ours
    roster.announced(again := named(OWNER, OTHER, at=3, listed=True))
    assert roster.chosen() == (*ours, theirs)
    assert not roster.withdrawn([invited.id, alone.id])
    assert roster.withdrawn([again.id])
    assert roster.chosen() == ()
    assert roster.withdrawn([accepts.id])
    assert roster._named_by == {}
    assert roster._beside._known == {}


def test_what_a_newer_announcement_names_again_keeps_its_place() -> None:
    roster = Roster([SERVICE], limit=2)
    roster.announced(listed(OWNER, "a", "wss://one.example", "wss://two.example"))
    roster.announced(listed(OTHER, "b", "wss://three.example"))
    assert roster.announced(listed(OWNER, "a", "wss://two.example", created_at=NOW))
    assert roster.chosen() == ("wss://two.example", "wss://three.example")


def test_nothing_is_kept_of_what_is_named_no_more() -> None:
    roster = Roster([SERVICE])
    announced = [listed(author, "a", "wss://one.example") for author in (OWNER, OTHER)]
    for event in announced:
        roster.announced(event)
    assert roster.withdrawn([event.id for event in announced])
    assert (roster._ranks, roster._named_by) == ({}, {})


def test_the_announcements_that_name_a_relay_are_told() -> None:
    roster = Roster([SERVICE])
    roster.follow(["wss://both.example"])
    for author in (OWNER, OTHER):
        roster.announced(listed(author, "a", "wss://both.example", "wss://two.example"))
        roster.announced(listed(author, "b", "wss://two.example"))
    assert roster.named("wss://both.example") == (True, 2)
    assert roster.named("wss://two.example") == (False, 2)
    assert roster.named("wss://none.example") == (False, 0)


def test_b_5_5_other_lists_change_whose_relays_are_followed() -> None:
    hosted: set[str] = set()
    roster = Roster([SERVICE], hosts=lambda each: each.owner in hosted)
    first, unknown = listed(OWNER, "a", "wss://one.example"), listed(OTHER, "a")
    roster.announced(first)
    assert roster.chosen() == ()
    hosted.add(OWNER.pubkey)
    assert roster.judged_anew(first)
    assert roster.judged_anew(first)
    assert roster.chosen() == ("wss://one.example",)
    hosted.clear()
    assert roster.judged_anew(first)
    assert roster.chosen() == ()
    assert not roster.judged_anew(unknown)
    roster.withdrawn([first.id])
    assert not roster.judged_anew(first)
