"""Charts: each figure has its bar, its words, and nothing that strangers write stays unescaped."""

from __future__ import annotations

import re

import msgspec

from purgatory_sync.engine.status.hourly import HOUR, Hour
from purgatory_sync.node.pages.charts import HEIGHT, Chart, charts_of, slow_domains
from purgatory_sync.node.pages.public import public_status
from purgatory_sync.runtime.net.addresses import networks

from .support import HOSTILE, NOW, hours, node, status_html

THIS = int(NOW // HOUR) * HOUR


def chart(*given: Hour) -> Chart:
    return charts_of(given, NOW)[-1]


def test_bars_stand_upon_each_other_in_their_hour() -> None:
    seen = chart(
        Hour(THIS - HOUR, {}, {"attempts.timeout": 1}),
        Hour(THIS, {}, {"attempts.timeout": 1, "attempts.success": 3}),
    )
    assert (seen.title, seen.top) == ("Attempts by result, by hour", 4)
    assert [(each.name, each.total, each.path) for each in seen.series] == [
        ("had all of it", 3, "M230 60V15h8V60z"),
        ("timeout", 2, f"M220 60V{HEIGHT * 3 // 4}h8V60zM230 15V0h8V15z"),
    ]
    assert seen.says == (
        "Attempts by result, by hour; in the last 24 hours: had all of it 3, timeout 2; "
        "at most 4 in one hour"
    )


def test_what_is_held_is_told_as_it_is_now() -> None:
    first = charts_of([Hour(THIS - HOUR, {"state": 9}), Hour(THIS, {"state": 2})], NOW)[0]
    assert (first.top, first.series[0].total) == (9, 2)
    assert "now: state 2" in first.says


def test_rare_results_are_told_together() -> None:
    counts = {f"attempts.r{n}": n for n in range(1, 9)}
    names = [(each.name, each.total) for each in chart(Hour(THIS, {}, counts)).series]
    assert names == [("r8", 8), ("r7", 7), ("r6", 6), ("r5", 5), ("other", 10)]


def test_nothing_counted_is_no_chart() -> None:
    assert charts_of([], NOW) == ()
    assert charts_of([Hour(THIS - 30 * HOUR, {"state": 3})], NOW) == ()
    assert slow_domains([]) == ()


def test_slow_domains() -> None:
    seen = slow_domains([Hour(THIS, {}, {}, {"a": (1, 10.0), "b": (10, 5.0)})])
    assert [(each.domain, each.secs, each.share) for each in seen] == [
        ("a", 10, 100),
        ("b", 0.5, 5),
    ]


def test_b_10_3_hours_tell_nothing_of_what_the_gate_refused() -> None:
    public = public_status(node(hours=hours()), networks("10.1.0.0/16"))
    text = msgspec.json.encode(public).decode()
    assert "slow.example" in text
    assert "forbidden" not in text
    assert "10.0.0.1" not in text


def test_they_are_escaped_and_named_on_the_page() -> None:
    look = public_status(node(hours=hours(domain=HOSTILE)), ())
    page = status_html(look)
    assert "<script>alert" not in page
    images = re.findall(r'<svg role="img" aria-label="([^"]+)"', page)
    assert len(images) == 3
    assert page.count("style=") == 0
