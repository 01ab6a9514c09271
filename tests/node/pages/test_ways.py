"""The way of a held event: each moment has its mark, in its place, and its words."""

from __future__ import annotations

import re

import attrs

from purgatory_sync.engine.status.models import AttemptStatus, HeldStatus
from purgatory_sync.errors import ResultClass
from purgatory_sync.node.pages.public import PublicEvent, public_status
from purgatory_sync.node.pages.ways import Point, way_of

from .support import HOSTILE, NOW, event, node, status_html


def attempt(
    after: float, result: ResultClass, url: str = "https://a.example/x.git"
) -> AttemptStatus:
    return AttemptStatus(url, NOW - 95 + after, result)


def tried(*attempts: AttemptStatus, total: int | None = None) -> HeldStatus:
    total = len(attempts) if total is None else total
    return attrs.evolve(event(), attempts=attempts, attempts_total=total)


def public(look: HeldStatus) -> PublicEvent:
    (found,) = public_status(node(look), ()).events
    return found


def words_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_b_10_3_each_moment_is_in_its_place() -> None:
    """From acceptance (95 s ago) to the end (in 1,705 s) are 1,800 s: one hundredth is 18 s."""
    look = tried(attempt(18, ResultClass.UNREACHABLE), attempt(90, ResultClass.PARTIAL))
    way = way_of(public(look), NOW)
    assert way.now == "5.28"
    assert way.marks == (
        Point("start", "0"),
        Point("bad", "1"),
        Point("good", "5"),
        Point("next", "5.94"),
        Point("end", "100"),
    )


def test_b_10_3_the_line_goes_on_beyond_an_end_that_is_over() -> None:
    """A source was not asked yet, say: it is held still."""
    over = attrs.evolve(event(), until=NOW - 47.5, next_attempt=None)
    way = way_of(public(over), NOW)
    assert (way.now, way.marks) == ("100", (Point("start", "0"), Point("end", "50")))
    assert "was to end" in status_html(public_status(node(over), ()))


def test_b_10_3_no_clock_leads_out_of_the_line() -> None:
    """Neither a clock that was set back, nor an event that was accepted at this moment."""
    early = attrs.evolve(tried(attempt(-500, ResultClass.TIMEOUT)), next_attempt=NOW - 9_999)
    marks = way_of(public(early), NOW - 7_200).marks
    assert [mark.x for mark in marks] == ["0", "0", "0", "100"]
    at_once = attrs.evolve(event(), accepted_at=NOW, until=NOW, next_attempt=None)
    assert [mark.x for mark in way_of(public(at_once), NOW).marks] == ["0", "0"]


def test_b_10_3_a_hunt_that_goes_on_has_no_next_try() -> None:
    hunted = attrs.evolve(event(), hunting=True)
    assert "next" not in {mark.shape for mark in way_of(public(hunted), NOW).marks}
    assert "being hunted now" in status_html(public_status(node(hunted), ()))


def test_b_10_3_the_way_is_told_in_words() -> None:
    look = tried(*(attempt(n, ResultClass.TIMEOUT) for n in range(9)), total=12)
    page = status_html(public_status(node(look), ()))
    said = words_of(page)
    assert "accepted 1 min 35 s ago 8 earlier attempts a.example timeout 1 min 30 s ago" in said
    assert "next try in 12 s ends in 28 min , but not before each source was asked once" in said
    assert page.count('<use href="#w-wait"') + page.count('<use href="#w-bad"') == 9 + 4
    assert '<svg class="way" aria-hidden="true">' in page


def test_b_10_3_no_attempt_tells_what_the_gate_refused() -> None:
    look = tried(
        attempt(1, ResultClass.FORBIDDEN, "https://inside.example/x.git"),
        attempt(2, ResultClass.TIMEOUT, "http://192.168.0.7/x.git"),
        attempt(3, ResultClass.TIMEOUT),
        total=5,
    )
    found = public(look)
    assert [each.url for each in found.attempts] == ["https://a.example/x.git"]
    assert found.attempts_total == 3
    page = status_html(public_status(node(look), ()))
    assert "inside" not in page
    assert "192.168" not in page


def test_b_6_4_attempts_are_escaped() -> None:
    look = tried(attempt(1, ResultClass.TIMEOUT, HOSTILE))
    page = status_html(public_status(node(look), ()))
    assert page.count("<script>") == 1
    assert "alert(1)</" not in page
