"""Words of the pages, and the policy that lets only our own style and script in."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from typing import get_args

import attrs
import pytest

from purgatory_sync.engine.status.models import HeldStatus, Obstacle
from purgatory_sync.errors import ResultClass
from purgatory_sync.node.operator.wording import counter, from_now, held_back, tone, utc, words
from purgatory_sync.node.pages.public import public_status
from purgatory_sync.node.pages.rendering import Renderer

from .support import HOSTILE, NOW, domain, event, node, source, status_html


def status(**values: object) -> str:
    look = public_status(node(event(source("https://a.example/x.git")), **values), ())  # type: ignore[arg-type]
    return status_html(look, "git.example")


def status_of(look: HeldStatus) -> str:
    return status_html(public_status(node(look), ()))


@pytest.mark.parametrize(
    ("secs", "said"),
    [
        (0, "now"),
        (0.4, "now"),
        (12, "in 12 s"),
        (-59, "59 s ago"),
        (60, "in 1 min"),
        (-95, "1 min 35 s ago"),
        (1705, "in 28 min"),
        (3600, "in 1 h"),
        (7260, "in 2 h 1 min"),
        (-86400, "1 d ago"),
        (90_000, "in 1 d 1 h"),
    ],
)
def test_moments(secs: float, said: str) -> None:
    assert from_now(NOW + secs, NOW) == said


def test_small_words() -> None:
    assert utc(NOW) == "2027-01-15T08:00:00Z"
    assert counter("attempts.bad_data") == "attempts: bad data"
    assert {tone(result.value) for result in ResultClass} == {"good", "wait", "bad"}
    assert words("timeout") == "timeout"
    assert "_" not in "".join(words(result.value) for result in ResultClass)


def test_b_10_3_status_says_why() -> None:
    text = " ".join(re.sub(r"<[^>]+>", " ", status(domains=[domain("b.example")])).split())
    for said in (
        "accepted 1 min 35 s ago next try in 12 s ends in 28 min",
        "at the latest in 23 h 58 min",
        "1 missing object",
        "1" * 40,
        "1 source asked",
        "https://a.example/x.git : unreachable 30 s ago",
        "b.example 0 23 4 in 1 min in 2 h",
        "attempts: timeout 2",
        "Counted in the last 1 h",
        "started 1 d 1 h ago",
    ):
        assert said in text


@pytest.mark.parametrize("obstacle", get_args(Obstacle))
def test_what_no_object_would_release_says_why(obstacle: Obstacle) -> None:
    """Not that a release is due: an empty state lacks nothing and waits all the same (B 3.5)."""
    look = attrs.evolve(event(missing=()), obstacle=obstacle)
    page = status_html(public_status(node(look), ()))
    assert f'<p class="wait">{held_back(obstacle)}</p>' in page
    assert "its release is due" not in page
    assert "its release is due" in status_of(event(missing=()))
    assert "its release is due" not in status_of(event(missing=(), error="the disk is full"))


def test_the_end_is_told_as_it_is() -> None:
    """B 2.7, 8.9: nothing ends on time that is still wanted."""
    over = attrs.evolve(event(), until=NOW - 300)
    assert "was to end <time" in status_of(over)
    assert "not while a state or pull request of it is held" not in status_of(over)
    announced = attrs.evolve(event(kind="announcement", missing=()), at_the_latest=None)
    assert ", but not while a state or pull request of it is held" in status_of(announced)


@pytest.mark.parametrize("kind", ["state", "pr", "announcement", "soft-expired"])
@pytest.mark.parametrize("missing", [(), ("a", "b")])
def test_every_kind_of_event_can_be_shown(kind: str, missing: tuple[str, ...]) -> None:
    look = public_status(node(event(kind=kind, missing=missing)), ())
    assert kind in status_html(look)


def test_what_is_not_shown_is_counted() -> None:
    look = event(
        *(source(f"https://d{n}.example/x.git") for n in range(30)),
        missing=[f"{n:040}" for n in range(30)],
    )
    look = attrs.evolve(look, identifiers=tuple(f"r{n}" for n in range(30)))
    page = status_html(public_status(node(look), ()))
    assert "<bdi>r4</bdi></a> and 25 more" in page
    assert "<li>and 10 more</li>" in page
    assert "30 sources asked" in page
    assert "<li>and 20 more</li>" in page


def test_nothing_held() -> None:
    page = status_html(public_status(node(), ()))
    assert "Nothing is held." in page
    assert "None was asked lately." in page


def test_b_6_4_what_people_write_is_escaped() -> None:
    look = public_status(
        node(
            event(source(HOSTILE), identifier=HOSTILE, missing=[HOSTILE]), domains=[domain(HOSTILE)]
        ),
        (),
    )
    page = status_html(look, HOSTILE)
    assert page.count("<script>") == 1
    assert "alert(1)</" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;&#39;&#34;&amp;{{7*7}}") == 5
    assert "49" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL).partition("<h2>")[0]


def test_the_policy_names_exactly_what_the_page_has() -> None:
    headers = dict(Renderer("git.example").status_headers)
    policy = headers[b"content-security-policy"].decode()
    assert policy.startswith("default-src 'none'; connect-src 'self'; ")
    assert "unsafe" not in policy
    page = status()
    for kind, count in (("style", 2), ("script", 1)):
        inline = re.findall(rf"<{kind}>(.*?)</{kind}>", page, flags=re.DOTALL)
        digests = [b64encode(sha256(each.encode()).digest()).decode() for each in inline]
        assert len(digests) == count
        sources = " ".join(f"'sha256-{each}'" for each in digests)
        assert f"{kind}-src {sources}" in policy.split("; ")
    assert not re.search(r"\s(?:on\w+|style|src)=", page)
