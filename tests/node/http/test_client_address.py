"""Who a client is: what a trusted proxy says of it, and nothing that anyone else says."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purgatory_sync.node.http.client_address import MAX_HOPS, client_address
from purgatory_sync.node.http.places import Places
from purgatory_sync.settings import ListenerSettings

from ..support import read_until, served, talk

PROXIES = tuple(ip_network(each) for each in ("10.0.0.0/24", "fd00::/64"))
PROXY = "10.0.0.1"


def found(forwarded: list[str], peer: str = PROXY, real: list[str] | None = None) -> str:
    headers = [(b"host", b"a"), *((b"x-forwarded-for", each.encode()) for each in forwarded)]
    headers += [(b"x-real-ip", each.encode()) for each in real or []]
    headers += [(b"forwarded", b"for=203.0.113.99")]
    return client_address(peer, headers, PROXIES)


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (["203.0.113.5"], "203.0.113.5"),
        # What the client wrote itself stands to the left.
        (["198.51.100.1, 203.0.113.5"], "203.0.113.5"),
        (["198.51.100.1", "203.0.113.5"], "203.0.113.5"),
        # Proxies behind proxies.
        (["198.51.100.1, 203.0.113.5, 10.0.0.7"], "203.0.113.5"),
        (["203.0.113.5", "10.0.0.7, 10.0.0.8"], "203.0.113.5"),
        # All inside: the leftmost.
        (["10.0.0.9, 10.0.0.7"], "10.0.0.9"),
        # Ports and brackets, and IPv4 inside IPv6.
        (["203.0.113.5:4711"], "203.0.113.5"),
        (["[2001:db8::1]:4711"], "2001:db8::1"),
        (["2001:db8::1"], "2001:db8::1"),
        (["::ffff:203.0.113.5"], "203.0.113.5"),
        (["::ffff:10.0.0.7"], "10.0.0.7"),
        # What is no address ends the walk; the last good one stands.
        (["203.0.113.5, unknown"], PROXY),
        (["203.0.113.5, unknown, 10.0.0.7"], "10.0.0.7"),
        ([""], PROXY),
        (["203.0.113.5, "], PROXY),
        (["_hidden"], PROXY),
        (["[2001:db8::1"], PROXY),
    ],
)
def test_b_13_2_forwarded_for_is_read_from_the_right(forwarded: list[str], client: str) -> None:
    assert found(forwarded) == client


@pytest.mark.parametrize("peer", ["198.51.100.1", "10.0.1.1", "::1", "", "fd00:0:0:1::1"])
def test_b_13_2_anyone_but_a_trusted_proxy_is_not_believed(peer: str) -> None:
    assert found(["203.0.113.5"], peer, ["203.0.113.6"]) == peer
    assert client_address(PROXY, [(b"x-forwarded-for", b"203.0.113.5")], ()) == PROXY


@pytest.mark.parametrize("peer", [PROXY, "::ffff:10.0.0.1", "fd00::7"])
def test_b_13_2_proxies_are_known_in_each_form(peer: str) -> None:
    assert found(["203.0.113.5"], peer) == "203.0.113.5"


@pytest.mark.parametrize(
    ("forwarded", "real", "client"),
    [
        ([], ["203.0.113.6"], "203.0.113.6"),
        (["203.0.113.5"], ["203.0.113.6"], "203.0.113.5"),
        ([], ["203.0.113.6", "203.0.113.7"], PROXY),
        ([], ["203.0.113.6, 203.0.113.7"], PROXY),
        ([], [], PROXY),
        (["unknown"], ["203.0.113.6"], PROXY),
    ],
)
def test_b_13_2_real_ip_counts_where_no_forwarded_for_is(
    forwarded: list[str], real: list[str], client: str
) -> None:
    assert found(forwarded, real=real) == client


@pytest.mark.parametrize(("proxies", "client"), [(31, "203.0.113.5"), (32, "10.0.0.7")])
def test_b_13_2_so_many_entries_are_read_and_no_more(proxies: int, client: str) -> None:
    assert MAX_HOPS == 32
    assert found(["203.0.113.5" + ", 10.0.0.7" * proxies]) == client


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_the_proxys_own_entry_decides_and_not_the_clients(lines: list[bytes]) -> None:
    headers = [(b"x-forwarded-for", each) for each in [*lines, b"203.0.113.5"]]
    assert client_address(PROXY, headers, PROXIES) == "203.0.113.5"


@pytest.mark.parametrize(
    ("peer", "configured", "group", "most"),
    [
        ("127.0.0.1", None, "127.0.0.1", 10_000),
        ("::1", None, "::/64", 10_000),
        ("127.0.0.1", 3, "127.0.0.1", 3),
        ("198.51.100.7", None, "198.51.100.7", 100),
        ("198.51.100.7", 5, "198.51.100.7", 5),
        ("::ffff:198.51.100.7", None, "198.51.100.7", 100),
        ("2001:db8:1:2:3::4", None, "2001:db8:1:2::/64", 100),
        ("fe80::1%eth0", None, "fe80::/64", 100),
        ("", None, "", 10_000),
    ],
)
def test_limit_of_one_address(peer: str, configured: int | None, group: str, most: int) -> None:
    settings = ListenerSettings(max_connections_per_address=configured)
    assert Places(settings)._limit_of(peer) == (group, most)


def test_b_13_2_with_a_trusted_proxy_loopback_has_a_limit_too() -> None:
    assert Places(ListenerSettings(trusted_proxy_cidrs=PROXIES))._limit_of("127.0.0.1")[1] == 100


def test_b_13_2_a_proxys_connections_count_in_all_only() -> None:
    places = Places(
        ListenerSettings(
            trusted_proxy_cidrs=PROXIES, max_connections_per_address=1, max_connections=3
        )
    )
    with (
        places.connection(PROXY) as first,
        places.connection(PROXY) as second,
        places.request(PROXY, "203.0.113.5") as one,
        places.request(PROXY, "203.0.113.5") as same,
        places.request(PROXY, "203.0.113.6") as other,
        places.connection("203.0.113.5") as direct,
        places.connection("198.51.100.1") as third,
        places.connection("198.51.100.2") as fourth,
    ):
        assert (first, second, one, same, other) == (True, True, True, False, True)
        assert (direct, third, fourth) == (False, True, False)
    with places.request(PROXY, "203.0.113.5") as free:
        assert free


@pytest.mark.real
async def test_b_13_2_clients_of_a_proxy_are_limited_each_for_itself() -> None:
    settings = ListenerSettings(
        trusted_proxy_cidrs=(ip_network("127.0.0.0/8"),), max_connections_per_address=1
    )
    head = b"Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    upgrade = b"GET / HTTP/1.1\r\n" + head + key + b"X-Forwarded-For: %b\r\n\r\n"
    get = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: %b\r\n\r\n"
    async with served(settings=settings, real=True) as place, await place.connect() as stream:
        await stream.send_all(upgrade % b"203.0.113.5")
        await read_until(stream, b"101 Switching")
        assert (await talk(place, upgrade % b"203.0.113.5")).startswith(b"HTTP/1.1 503 ")
        assert (await talk(place, get % b"9.9.9.9, 203.0.113.5")).startswith(b"HTTP/1.1 503 ")
        assert b"200" in (await talk(place, get % b"203.0.113.6"))[:20]
