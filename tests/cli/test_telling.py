"""What the terminal shows: every reason, and nothing that steers it."""

from __future__ import annotations

import attrs

from purgatory_sync.cli.output.telling import plain, tell_fate, tell_status, tell_why
from purgatory_sync.engine.status.models import DomainStatus, Fate, SourceStatus
from purgatory_sync.errors import ResultClass
from purgatory_sync.hunt.limits.domain_statistics import DomainStatistics

from ..node.pages.support import NOW, domain, event, node, relay, source


def test_why() -> None:
    looks = [
        event(
            source("https://a.example/x.git", detail="no connection within 10 s"),
            SourceStatus("https://b.example/x.git"),
            error="the disk is full",
        ),
        attrs.evolve(
            event(kind="announcement", missing=()),
            missing_total=None,
            at_the_latest=None,
            next_attempt=None,
        ),
        attrs.evolve(event(missing=[f"{n}" * 40 for n in range(5)]), hunting=True),
    ]
    assert tell_why(looks, NOW).plain.split("\n") == [
        f"repo  state  {'e' * 64}",
        "  accepted 1 min 35 s ago, ends in 28 min, not before each source was asked once; "
        "at the latest in 23 h 58 min",
        f"  1 object missing: {'1' * 40}",
        "  next try in 12 s",
        "  could not be released: the disk is full",
        "  https://a.example/x.git  unreachable 30 s ago: no connection within 10 s; "
        "left alone for 1 min: a secret ban",
        "  https://b.example/x.git  not asked yet",
        "",
        f"repo  announcement  {'e' * 64}",
        "  accepted 1 min 35 s ago, ends in 28 min, "
        "not while a state or pull request of it is held",
        "  waits for a state or pull request with its data",
        "",
        f"repo  state  {'e' * 64}",
        "  accepted 1 min 35 s ago, ends in 28 min, not before each source was asked once; "
        "at the latest in 23 h 58 min",
        f"  5 objects missing: {'0' * 40}, {'1' * 40}, {'2' * 40}, …",
        "  being hunted now",
        "  no clone URL is known to ask: a push can bring it, or a new announcement",
    ]


def test_what_no_object_would_release_says_why() -> None:
    look = attrs.evolve(event(missing=()), obstacle="no_refs", until=NOW - 60)
    assert tell_why([look], NOW).plain.split("\n")[1:4] == [
        "  accepted 1 min 35 s ago, was to end 1 min ago, not before each source was asked once; "
        "at the latest in 23 h 58 min",
        "  names no refs: it waits until its repository has data",
        "  nothing is missing",
    ]


def test_fate() -> None:
    at, until = NOW - 180, NOW + 604_620
    assert tell_fate(Fate("e" * 64, "served", at), NOW).plain == (
        "served since 2027-01-15T07:57:00Z (3 min ago)"
    )
    assert tell_fate(Fate("e" * 64, "served", None), NOW).plain == (
        "served, since before the last start"
    )
    assert tell_fate(Fate("e" * 64, "expired", at, until), NOW).plain == (
        "expired at 2027-01-15T07:57:00Z (3 min ago) without data; "
        "until 2027-01-22T07:57:00Z it is taken from users only"
    )
    assert tell_fate(Fate("e" * 64, "expired", at, next_at=NOW), NOW).plain == (
        "expired at 2027-01-15T07:57:00Z (3 min ago) without data, "
        "asked again every hour, next at 2027-01-15T08:00:00Z"
    )


def test_status() -> None:
    quiet = DomainStatus("b.example", DomainStatistics(1, 29, 0, None, 1), ())
    look = attrs.evolve(
        node(
            event(missing=()),
            domains=[domain("a.example"), quiet],
            relays=[
                relay("wss://a.example", found="operator"),
                relay("wss://b.example", connected=False, owners=1, history=None),
                relay(
                    "wss://c.example",
                    connected_since=None,
                    last_event_at=None,
                    history="req",
                    not_followed=("events by id: refused",),
                ),
            ],
        ),
        events_total=900,
    )
    assert tell_status(look).plain.split("\n") == [
        "held: 2 announcement, 0 soft-expired, 1 state, 0 pr",
        "repositories: 3 queued, 1 being hunted",
        "",
        f"repo  state  {'e' * 64}",
        "  accepted 1 min 35 s ago, ends in 28 min, not before each source was asked once; "
        "at the latest in 23 h 58 min",
        "  nothing is missing: its release is due",
        "  next try in 12 s",
        "",
        "the newest 1 of 900",
        "",
        "git servers",
        "  a.example  0 in flight, 23 tokens, 4 queued; resting for 1 min",
        "    url https://a.example/x.git left alone for 2 h: a secret ban",
        "  b.example  1 in flight, 29 tokens, 0 queued",
        "",
        "relays",
        "  wss://a.example  connected for 1 h",
        "    named by the operator, announced by 2 owners, history by negentropy",
        "    40 events came, the last 5 s ago; 7 new taken, 30 refused",
        "  wss://b.example  lost, tried again in 1 min; 3 in a row did not last",
        "    announced by 1 owner",
        "    40 events came, the last 5 s ago; 7 new taken, 30 refused",
        "    unreachable 10 s ago: a secret reason",
        "  wss://c.example  being connected",
        "    announced by 2 owners, history by REQ",
        "    not followed: events by id: refused",
        "",
        "counted in the last 1 h",
        "  attempts: forbidden 9, attempts: timeout 2",
    ]


def test_what_happened_after_the_look_did_not_happen_in_the_future() -> None:
    """A look is shown for a while, and the relays beside it are those of this moment (B 10.3)."""
    late = relay("wss://b.example", connected=False, last_event_at=NOW + 3, trouble_at=NOW + 5)
    told = tell_status(node(relays=[late])).plain
    assert "40 events came, the last now; " in told
    assert "    unreachable now: a secret reason" in told


def test_nothing_steers_the_terminal() -> None:
    evil = "\x1b[2Jclear\x07\u202etxt\n[red]x"
    assert plain(evil) == "\ufffd[2Jclear\ufffd\ufffdtxt\ufffd[red]x"
    told = tell_why(
        [event(source(evil, ResultClass.NOTHING, evil), identifier=evil, error=evil)], NOW
    )
    assert not set("\x1b\x07\u202e") & set(told.plain)
    assert told.plain.count("[red]x") == 4
