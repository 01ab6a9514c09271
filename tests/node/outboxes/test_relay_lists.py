"""What a stranger's relay list lets us do: a few public relays, in one canonical form."""

from __future__ import annotations

import pytest

from purgatory_sync.node.outboxes.relay_lists import (
    Rank,
    RelayList,
    neighbourhood,
    read_relay_list,
    usable_relay,
)
from purgatory_sync.nostr.event import Event
from purgatory_sync.runtime.net.addresses import networks
from purgatory_sync.testing.events import Author

AUTHOR = Author.from_seed(1)


def listing(*tags: tuple[str, ...]) -> Event:
    return AUTHOR.sign(10002, "", tags)


def read(*tags: tuple[str, ...]) -> RelayList:
    return read_relay_list(listing(*tags), usable_relay)


def test_b_15_3_write_read_and_both() -> None:
    found = read(
        ("r", "wss://Both.example/"),
        ("r", "wss://out.example:443", "write"),
        ("r", "wss://in.example", "read"),
        ("r", "wss://odd.example", "sometimes"),
        ("p", "wss://no.example"),
        ("r",),
    )

    assert found.write == ("wss://both.example", "wss://out.example")
    assert found.read == ("wss://both.example", "wss://in.example")


def test_b_15_3_the_first_four_of_each_kind_that_may_be_visited() -> None:
    bad = [("r", f"ws://{n}.example") for n in range(20)]
    good = [("r", f"wss://{n}.example", "write") for n in range(9)]
    found = read(*bad, *good, ("r", "wss://late.example", "read"))

    assert found.write == tuple(f"wss://{n}.example" for n in range(4))
    assert found.read == ("wss://late.example",)


def test_b_15_3_of_a_list_without_end_a_hundred_tags_are_read() -> None:
    tags = [("r", f"wss://x{n}.onion") for n in range(100)]
    assert read(*tags, ("r", "wss://late.example")) == RelayList()


@pytest.mark.parametrize(
    "url",
    [
        "ws://plain.example",
        "https://web.example",
        "wss://127.0.0.1",
        "wss://[::1]:7000",
        "wss://10.1.2.3",
        "wss://169.254.169.254/latest",
        "wss://[::ffff:10.0.0.1]",
        "wss://2130706433",
        "wss://localhost",
        "wss://intranet",
        "wss://relay.local",
        "wss://abc.onion",
        "wss://metadata.google.internal",
        "wss://user:password@relay.example",
        "wss://relay.example/?key=1",
        "wss://relay.example/#x",
        "wss://relay.example/" + "a" * 64,
        "wss://relay.example/x/npub1elta7cneng3w8p9y4dw633qzdjr4kyvaparuyuttyrx6e8xp7xnq32cume",
        "wss://relay.example/relay.example",
        "wss://relay.example/%72elay.example",
        "wss://relay.example/" + "x/" * 1100,
        "wss://relay.example/\x00",
        "wss://",
        "",
    ],
)
def test_b_15_3_what_is_never_dialled(url: str) -> None:
    assert usable_relay(url) is None


def test_b_15_3_what_the_operator_allows_may_be_without_tls() -> None:
    allow = networks("127.0.0.0/8")

    assert usable_relay("ws://127.0.0.1:7000", allow) == "ws://127.0.0.1:7000"
    assert usable_relay("ws://10.0.0.1:7000", allow) is None
    assert usable_relay("ws://93.184.216.34", allow) is None
    assert usable_relay("wss://93.184.216.34", allow) == "wss://93.184.216.34"
    assert usable_relay("ws://relay.example", allow) is None


def test_b_15_2_of_those_who_only_reply_four_relays_in_all() -> None:
    relays = RelayList(("w1", "w2", "both"), ("both", "r1", "r2"))

    assert relays.visited(Rank.REPLY) == ("w1", "w2", "both", "r1")
    assert relays.visited(Rank.ROOT) == ("w1", "w2", "both", "r1", "r2")
    assert relays.visited(Rank.LEADER) == ("w1", "w2", "both", "r1", "r2")


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("a.example.com", "b.example.com", True),
        ("example.com", "deep.down.example.com", True),
        ("a.co.uk", "b.co.uk", False),
        ("x.a.co.uk", "a.co.uk", True),
        ("93.184.216.1", "93.184.216.200", True),
        ("93.184.216.1", "93.184.217.1", False),
        ("2606:2800:220:1::1", "2606:2800:220:2::1", True),
        ("2606:2800:220:1::1", "2606:2800:221:1::1", False),
    ],
)
def test_b_15_4_hosts_near_each_other(one: str, other: str, near: bool) -> None:
    assert (neighbourhood(one) == neighbourhood(other)) == near
