from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.runtime.net.addresses import (
    Address,
    interleave,
    may_contact,
    networks,
    parse_address,
)

INSIDE = [
    "0.0.0.0",  # noqa: S104
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.19.0.1",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:20::1",
    "2001:1ff:ffff::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "3fff::1",
    "fc00::1",
    "fd12::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("text", INSIDE)
def test_addresses_inside_are_refused(text: str) -> None:
    assert not may_contact(ip_address(text))


@pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450::1"])
def test_public_addresses_may_be_contacted(text: str) -> None:
    assert may_contact(ip_address(text))


@pytest.mark.parametrize(
    ("below", "first", "last", "above"),
    [
        (None, "0.0.0.0", "0.255.255.255", "1.0.0.0"),  # noqa: S104
        ("9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"),
        ("100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"),
        ("126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"),
        ("169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"),
        ("172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"),
        ("192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"),
        ("198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"),
        ("223.255.255.255", "224.0.0.0", "255.255.255.255", None),
        (None, "::", "1fff:ffff::", "2003::"),
        ("2001:db7:ffff::", "2001:db8::", "2001:db8:ffff::", "2001:db9::"),
        ("2001:200::", "2002::", "2002:ffff::", "2003::"),
        ("3ffe::", "4000::", "ffff::", None),
    ],
)
def test_nothing_at_the_edges_of_what_is_inside_is_left_out(
    below: str | None, first: str, last: str, above: str | None
) -> None:
    for text, public in ((below, True), (first, False), (last, False), (above, True)):
        assert text is None or may_contact(ip_address(text)) is public, text


@given(st.integers(0, 2**32 - 1).map(IPv4Address) | st.integers(0, 2**128 - 1).map(IPv6Address))
@settings(max_examples=100, deadline=None)
def test_what_python_calls_inside_is_refused_in_every_form(address: Address) -> None:
    if not address.is_global or address.is_multicast:
        assert not may_contact(address)
    if isinstance(address, IPv4Address):
        for prefix, shift in (("::ffff:0:0", 0), ("64:ff9b::", 0), ("2002::", 80), ("::", 0)):
            carrying = IPv6Address(int(IPv6Address(prefix)) | int(address) << shift)
            assert not may_contact(carrying)


def test_allowed_networks_may_be_contacted_and_no_others() -> None:
    allow = networks("127.0.0.0/8", "fd00::/8")
    assert may_contact(ip_address("127.3.2.1"), allow)
    assert may_contact(ip_address("fd00::5"), allow)
    assert not may_contact(ip_address("10.0.0.1"), allow)
    assert not may_contact(ip_address("::1"), allow)
    assert not may_contact(ip_address("::ffff:127.0.0.1"), allow)


def test_an_allowed_form_is_judged_by_the_address_inside_it_too() -> None:
    allow = networks("64:ff9b::/96")
    assert may_contact(ip_address("64:ff9b::808:808"), allow)
    assert not may_contact(ip_address("64:ff9b::7f00:1"), allow)


def test_literal_addresses_are_told_from_names() -> None:
    assert parse_address("127.0.0.1") == ip_address("127.0.0.1")
    assert parse_address("fe80::1%eth0") == ip_address("fe80::1")
    assert parse_address("example.org") is None
    assert parse_address("127.1") is None


def test_families_take_turns() -> None:
    assert interleave(["::1", "::2", "::3", "1.1.1.1", "::1", "2.2.2.2"]) == [
        "::1",
        "1.1.1.1",
        "::2",
        "2.2.2.2",
        "::3",
    ]
    assert interleave(["1.1.1.1", "2.2.2.2", "::1"]) == ["1.1.1.1", "::1", "2.2.2.2"]
    assert interleave([]) == []
