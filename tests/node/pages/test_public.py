"""What is public, and what only the operator may."""

from __future__ import annotations

import attrs
import msgspec
import pytest

from purgatory_sync.engine.status.models import DomainStatus, SourceStatus
from purgatory_sync.errors import NameUnknown, NaughtyScope, ResultClass
from purgatory_sync.hunt.limits.domain_statistics import DomainStatistics
from purgatory_sync.node.pages.public import (
    IDENTIFIERS_SHOWN,
    MISSING_SHOWN,
    TRIED_SHOWN,
    PublicStatus,
    public_status,
)
from purgatory_sync.records import NaughtyRecord
from purgatory_sync.runtime.net.addresses import networks

from .support import ALICE, NOW, domain, event, node, source


def shown(look: PublicStatus) -> str:
    return msgspec.json.encode(look).decode()


def test_b_10_3_results_are_told_by_class_and_never_with_a_reason() -> None:
    look = event(
        *(source(f"https://{each}.example/x.git", each) for each in ResultClass),
        error="a secret error",
    )
    public = public_status(node(look, domains=[domain("a.example")]), ())
    assert "secret" not in shown(public)
    (held,) = public.events
    assert held.release_failed
    seen = [each for each in ResultClass if each is not ResultClass.FORBIDDEN]
    assert held.tried_total == len(seen)
    assert [(tried.url, tried.at, tried.result) for tried in held.tried] == [
        (f"https://{each}.example/x.git", NOW - 30, each.value) for each in seen[:TRIED_SHOWN]
    ]


def test_b_10_3_what_strangers_write_is_shown_in_part() -> None:
    look = event(
        *(source(f"https://d{n}.example/x.git") for n in range(99)),
        missing=[f"{n:040}" for n in range(99)],
    )
    look = attrs.evolve(look, identifiers=tuple(f"r{n}" for n in range(99)))
    (held,) = public_status(node(look), ()).events
    assert (len(held.identifiers), held.identifiers_total) == (IDENTIFIERS_SHOWN, 99)
    assert (len(held.missing), held.missing_total) == (MISSING_SHOWN, 99)
    assert (len(held.tried), held.tried_total) == (TRIED_SHOWN, 99)


def test_b_10_3_what_the_gate_refuses_is_not_told_at_all() -> None:
    look = event(
        source("https://inside.example/x.git", ResultClass.FORBIDDEN),
        source("http://192.168.0.7/x.git", ResultClass.UNREACHABLE),
        source("http://[::1]/x.git", ResultClass.UNREACHABLE),
    )
    unseen = DomainStatus("inside.example", DomainStatistics(0, 30, 0, None, 0), ())
    domains = [unseen, domain("127.0.0.1"), domain("::1"), domain("169.254.169.254")]
    public = public_status(node(look, domains=domains), ())
    assert public.events[0].tried == []
    assert public.domains == []
    for secret in ("inside", "192.168", "127.0", "::1", "169.254", "forbidden"):
        assert secret not in shown(public)


def test_b_10_3_names_that_do_not_exist_are_told_no_more_than_names_inside() -> None:
    assert NameUnknown.result is ResultClass.FORBIDDEN
    unknown = NaughtyRecord(
        NaughtyScope.HOST, "unknown.example", NOW + 7200, "the name does not exist"
    )
    url = domain("was.example").naughty
    domains = [
        DomainStatus("unknown.example", None, (unknown,)),
        DomainStatus("was.example", DomainStatistics(0, 30, 0, None, 3), (unknown,)),
        DomainStatus("is.example", None, (unknown, *url)),
    ]
    public = public_status(node(domains=domains), ())
    assert [(each.domain, each.naughty_until) for each in public.domains] == [
        ("was.example", None),
        ("is.example", NOW + 7200),
    ]


def test_b_10_3_addresses_that_the_operator_allows_are_told() -> None:
    look = event(source("http://10.1.2.3/x.git"), source("http://10.2.2.3/x.git"))
    public = public_status(
        node(look, domains=[domain("10.1.2.3"), domain("10.2.2.3")]), networks("10.1.0.0/16")
    )
    assert [tried.url for tried in public.events[0].tried] == ["http://10.1.2.3/x.git"]
    assert [each.domain for each in public.domains] == ["10.1.2.3"]


def test_b_10_3_sources_that_were_not_asked_are_not_told() -> None:
    public = public_status(node(event(SourceStatus("https://a.example/x.git"))), ())
    assert public.events[0].tried == []


def test_b_10_3_domains() -> None:
    gone = DomainStatus("gone.example", None, domain("gone.example").naughty)
    public = public_status(node(domains=[domain("a.example", in_flight=2), gone]), ())
    assert [msgspec.to_builtins(each) for each in public.domains] == [
        {
            "domain": "a.example",
            "in_flight": 2,
            "tokens": 23,
            "queued": 4,
            "resting_until": NOW + 60,
            "naughty_until": NOW + 7200,
        },
        {
            "domain": "gone.example",
            "in_flight": 0,
            "tokens": None,
            "queued": 0,
            "resting_until": None,
            "naughty_until": NOW + 7200,
        },
    ]


def test_b_10_3_the_shape_of_the_json() -> None:
    public = public_status(node(event(source("https://a.example/x.git"))), ())
    document = msgspec.json.decode(shown(public))
    assert msgspec.to_builtins(msgspec.convert(document, PublicStatus)) == document
    (held,) = document.pop("events")
    (tried,) = held.pop("tried")
    assert document == {
        "at": NOW,
        "started_at": NOW - 90_000,
        "held": {"announcement": 2, "soft-expired": 0, "state": 1, "pr": 0},
        "queued": 3,
        "hunting": 1,
        "events_total": 1,
        "domains": [],
        "relays": [],
        "relays_total": 0,
        "last_hour": {"since": NOW - 3600, "counts": {"attempts.timeout": 2}},
        "hours": [],
    }
    assert held == {
        "event_id": "e" * 64,
        "kind": "state",
        "identifiers": ["repo"],
        "identifiers_total": 1,
        "author": ALICE.npub,
        "held_since": NOW - 95,
        "until": NOW + 1705,
        "at_the_latest": NOW + 86305,
        "next_try": NOW + 12,
        "hunting": False,
        "missing": ["1" * 40],
        "missing_total": 1,
        "obstacle": None,
        "remedy": None,
        "release_failed": False,
        "tried_total": 1,
        "via": None,
        "attempts": [],
        "attempts_total": 0,
    }
    assert tried == {"url": "https://a.example/x.git", "at": NOW - 30, "result": "unreachable"}


@pytest.mark.parametrize("result", list(ResultClass))
def test_b_10_3_every_class_has_a_place(result: ResultClass) -> None:
    public = public_status(node(event(source("https://a.example/x.git", result))), ())
    assert len(public.events[0].tried) == (result is not ResultClass.FORBIDDEN)
