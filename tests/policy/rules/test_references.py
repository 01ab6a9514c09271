from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.nostr.address import Address
from purgatory_sync.nostr.announcement import Announcement
from purgatory_sync.nostr.authority.repository_data import Standing
from purgatory_sync.nostr.event import Event
from purgatory_sync.policy.rules.references import (
    anchor_filters,
    anchors,
    is_anchored,
    references_of,
    referrer_filters,
)
from purgatory_sync.policy.rules.verdict import Action, Verdict
from purgatory_sync.settings import PurgatorySettings

from ..support import (
    ALICE,
    BOB,
    CAROL,
    MALLORY,
    SERVICE,
    announcement,
    coordinate,
    data,
    judge_offer,
    known,
    make,
    pull_request,
    state,
)

ID = "1" * 64


def found_by(event: Event, served: Event) -> bool:
    filters = (*anchor_filters(event), *referrer_filters(event))
    return any(each.matches(served) for each in filters)


@pytest.mark.parametrize("kind", [1, 1111, 1617, 1621, 1630, 7, 0])
def test_b_5_everything_else_needs_a_reference(kind: int) -> None:
    event = make(MALLORY, kind)
    verdict = judge_offer(event, "user", known(), PurgatorySettings())
    assert verdict == Verdict(
        Action.REFUSE,
        "invalid: must reference an accepted repository or event",
        lacks=verdict.lacks,
    )
    verdict = judge_offer(event, "user", known(referenced=True), PurgatorySettings())
    assert verdict == Verdict(Action.SERVE)


@pytest.mark.parametrize("kind", [10317, 5])
def test_b_5_grasp_lists_and_deletions_are_always_accepted(kind: int) -> None:
    verdict = judge_offer(make(MALLORY, kind), "user", known(), PurgatorySettings())
    assert verdict == Verdict(Action.SERVE)


@pytest.mark.parametrize("name", ["a", "A", "q"])
def test_b_5_refers_by_coordinate(name: str) -> None:
    event = make(CAROL, 1621, [[name, coordinate(ALICE)]])
    assert references_of(event) == ((), (coordinate(ALICE),))
    assert found_by(event, announcement(ALICE))
    assert not found_by(event, announcement(BOB))
    assert not found_by(event, announcement(ALICE, "other"))


@pytest.mark.parametrize("name", ["e", "E", "q"])
def test_b_5_refers_by_id(name: str) -> None:
    served = pull_request()
    event = make(CAROL, 1111, [[name, served.id, "wss://hint.example"]])
    assert references_of(event) == ((served.id,), ())
    assert found_by(event, served)
    assert not found_by(event, pull_request(MALLORY))


@pytest.mark.parametrize("name", ["e", "E", "q"])
def test_b_5_is_referred_to_by_id(name: str) -> None:
    event = make(CAROL, 1621)
    assert found_by(event, make(BOB, 1111, [[name, event.id]]))
    assert not found_by(event, make(BOB, 1111, [["p", event.id]]))


@pytest.mark.parametrize("name", ["a", "A", "q"])
def test_b_5_is_referred_to_by_coordinate(name: str) -> None:
    event = make(CAROL, 30023, [["d", "paper"]])
    assert found_by(event, make(BOB, 1111, [[name, f"30023:{CAROL}:paper"]]))


def test_b_5_other_tags_and_malformed_values_refer_to_nothing() -> None:
    tags = [["p", ALICE], ["e", "short"], ["e"], ["a", "nonsense"], ["a", "1:x:y"], ["q", "note1x"]]
    assert references_of(make(CAROL, 1, tags)) == ((), ())


@pytest.mark.parametrize("kind", [10317, 5])
def test_b_5_grasp_lists_and_deletions_do_not_anchor(kind: int) -> None:
    event = make(CAROL, 1621)
    other = make(BOB, kind, [["e", event.id]])
    assert not is_anchored(event, [other], SERVICE, {})
    assert is_anchored(event, [other, make(BOB, 1111, [["e", event.id]])], SERVICE, {})
    by_coordinate = make(CAROL, 1, [["a", f"10317:{BOB}:"]])
    assert not found_by(by_coordinate, make(BOB, 10317))


def test_b_5_an_event_does_not_anchor_itself() -> None:
    event = make(CAROL, 30023, [["d", "x"], ["a", f"30023:{CAROL}:x"]])
    assert not is_anchored(event, [event], SERVICE, {})


def test_b_2_2_b_a_co_maintainer_anchors_only_while_an_owner_is_served() -> None:
    bob = announcement(BOB, listed=False, maintainers=[ALICE])
    alice = announcement(ALICE, maintainers=[BOB])
    mine = (bob, Standing.SERVED, False)
    served = data((alice, Standing.SERVED), mine)
    held = data((alice, Standing.HELD), mine)
    of_bob = Announcement.parse(bob)
    assert anchors(of_bob, SERVICE, {"repo": served})
    assert not anchors(of_bob, SERVICE, {"repo": held})
    assert not anchors(of_bob, SERVICE, {})
    assert anchors(Announcement.parse(announcement(BOB)), SERVICE, {})
    assert not anchors(bob, SERVICE, {"repo": served})  # malformed by today's rules
    invited = announcement(BOB, listed=False)
    named = data((alice, Standing.SERVED), (invited, Standing.SERVED, False))
    of_invited = Announcement.parse(invited)
    assert not anchors(of_invited, SERVICE, {"repo": named}), "named, but no member"
    assert anchors(state(BOB), SERVICE, {})


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (coordinate(ALICE, "a:b"), (30617, ALICE, "a:b")),
        (f"10317:{ALICE}:", (10317, ALICE, "")),
        (f"10317:{ALICE}:x", None),
        (f"10317:{ALICE}", None),
        (f"1:{ALICE}:x", None),
        (f"030617:{ALICE}:x", None),
        (f"30617:{ALICE.upper()}:x", None),
        (f"²:{ALICE}:x", None),
        ("", None),
    ],
)
def test_coordinates_are_read_strictly(text: str, parts: tuple[int, str, str] | None) -> None:
    assert Address.parse(text) == parts


@given(st.lists(st.lists(st.sampled_from(["a", "A", "q", "e", "d", "", ID, ":", "30617::"]))))
@settings(max_examples=100, deadline=None)
def test_no_tags_make_reading_references_fail(tags: list[list[str]]) -> None:
    event = make(CAROL, 30617, tags)
    ids, coordinates = references_of(event)
    assert set(ids) <= {ID}
    assert coordinates == ()
    anchor_filters(event)
    assert referrer_filters(event)
    anchors(event, SERVICE, {})
