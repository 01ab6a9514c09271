from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from purgatory_sync.errors import InvalidUrl
from purgatory_sync.urls import (
    GIT_SCHEMES,
    MAX_URL_CHARS,
    RELAY_SCHEMES,
    base_of,
    extract_domain,
    leads_to_service,
    names_service,
    parse_web_url,
    split_address,
    usable_urls,
)


@pytest.mark.parametrize(
    ("url", "text", "host", "port"),
    [
        ("https://git.example/a/b.git", "https://git.example/a/b.git", "git.example", 443),
        ("HTTPS://Git.Example:443/A/", "https://git.example/A", "git.example", 443),
        ("http://git.example:8080", "http://git.example:8080", "git.example", 8080),
        ("http://git.example:/x", "http://git.example/x", "git.example", 80),
        ("https://git.example./x", "https://git.example/x", "git.example", 443),
        ("https://fo_o.example/x//y", "https://fo_o.example/x//y", "fo_o.example", 443),
        ("http://127.0.0.1:3000/x", "http://127.0.0.1:3000/x", "127.0.0.1", 3000),
        ("http://[2001:DB8:0::1]:80/x", "http://[2001:db8::1]/x", "2001:db8::1", 80),
        ("http://[::ffff:7f00:1]/", "http://[::ffff:127.0.0.1]", "::ffff:127.0.0.1", 80),
        ("https://bücher.example", "https://xn--bcher-kva.example", "xn--bcher-kva.example", 443),
        ("http://①②⑦.⓪.⓪.①/x", "http://127.0.0.1/x", "127.0.0.1", 80),
        ("http://127。0。0。1/x", "http://127.0.0.1/x", "127.0.0.1", 80),
        ("https://h.example/ü%20🦀", "https://h.example/%C3%BC%20%F0%9F%A6%80", "h.example", 443),
        ("https://h.example/\u202e", "https://h.example/%E2%80%AE", "h.example", 443),
        ("https://h.example/a%2Fb.git", "https://h.example/a%2Fb.git", "h.example", 443),
    ],
)
def test_good_urls(url: str, text: str, host: str, port: int) -> None:
    parsed = parse_web_url(url)
    assert (parsed.text, parsed.host, parsed.port) == (text, host, port)
    assert parsed.endpoint == (host, port)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "git.example/x",
        "//git.example/x",
        "https:git.example/x",
        "https:/git.example/x",
        "https:///x",
        "git://git.example/x",
        "ssh://git@git.example/x",
        "git@git.example:x",
        "file:///etc/passwd",
        "ext::sh -c id",
        "-uhttps://git.example/x",
        "javascript:alert(1)",
        "ws://git.example/x",
        "https://user@git.example/x",
        "https://user:password@git.example/x",
        "https://@git.example/x",
        "https://git.example@evil.example/x",
        "https://git.example\\@evil.example/x",
        "https://git.example/x?service=y",
        "https://git.example/x?",
        "https://git.example/x#y",
        "https://git.example/x#",
        "https://git.example/a b",
        " https://git.example/x",
        "https://git.example/x\n",
        "https://git.example/\r\nHost: evil",
        "https://git.example/\x00",
        "https://git.example/\x85",
        "https://git.example/%00",
        "https://git.example/%0d%0aX: y",
        "https://git.example/%5c",
        "https://git.example/%7F",
        "https://git.example/x%C2%85y",
        "https://git.example/%c2%9b2J",
        "https://git.example/\x9b2J",
        "https://git.example/\ud800",
        "https://git.example/../x",
        "https://git.example/a/..",
        "https://git.example/a/%2e%2E/b",
        "https://git.example/.%2e/b",
        "https://git.example/-option",
        "https://git.example/%2doption",
        "https://git.example:0/x",
        "https://git.example:65536/x",
        "https://git.example:-1/x",
        "https://git.example:+80/x",
        "https://git.example:٣/x",
        "https://ex%61mple.com/x",
        "https://git..example/x",
        "https://.example/x",
        "https://-git.example/x",
        "https://git-.example/x",
        "https://\u00ad/x",
        "https://xn--/x",
        f"https://{'a' * 64}.example/x",
        f"https://{'.'.join(['a' * 60] * 5)}/x",
        "http://0x7f.0.0.1/x",
        "http://0x7f000001/x",
        "http://2130706433/x",
        "http://127.1/x",
        "http://0177.0.0.1/x",
        "http://1.2.3.4.5/x",
        "http://[::1/x",
        "http://::1/x",
        "http://[fe80::1%25eth0]/x",
        "http://[fe80::1%eth0]/x",
        "http://[::1]evil.example/x",
        "http://evil.example[::1]/x",
        "http://[v1.x]/x",
        "http://[127.0.0.1]/x",
        f"https://git.example/{'x' * MAX_URL_CHARS}",
        f"https://git.example/{'🦀' * 1000}",
    ],
)
def test_urls_that_are_never_contacted(url: str) -> None:
    with pytest.raises(InvalidUrl):
        parse_web_url(url)
    assert extract_domain(url) is None
    assert usable_urls([url]) == ()


PIECES = (
    st.sampled_from(["https://", "http://", "HTTP:", "//", "/", ":", "@", "[", "]", "::1", "443"])
    | st.sampled_from(["%", "%2e", "..", "-", "?", "#", "\x00", "\ud800", "\u200d", "。", "ß"])
    | st.sampled_from(["git.example", "127.0.0.1", "0x7f", "xn--"])
)


@given(st.text() | st.lists(PIECES | st.text(max_size=3), max_size=12).map("".join))
@example("https://\u0300a/")
@settings(max_examples=100, deadline=None)
def test_only_its_own_error(text: str) -> None:
    try:
        parsed = parse_web_url(text)
    except InvalidUrl:
        return
    assert parsed.text.isascii()
    again = parse_web_url(parsed.text)
    assert (again.text, again.endpoint) == (parsed.text, parsed.endpoint)


def test_the_domain_is_the_host_without_port() -> None:
    """B 8.1."""
    assert extract_domain("https://Git.Example:8443/x.git") == "git.example"
    assert extract_domain("https://git.example/x.git") == "git.example"
    assert extract_domain("no url") is None


@pytest.mark.parametrize(
    ("url", "service", "named"),
    [
        ("https://grasp.example/npub1x/a.git", "grasp.example", True),
        ("http://grasp.example/npub1x/a.git", "grasp.example", True),
        ("https://GRASP.example:443/x", "grasp.example", True),
        ("https://grasp.example/x", "Grasp.Example:443", True),
        ("http://grasp.example/x", "grasp.example:443", False),
        ("http://grasp.example:7334/x", "grasp.example:7334", True),
        ("http://grasp.example:7334/x", "grasp.example", False),
        ("https://grasp.example.evil.example/x", "grasp.example", False),
        ("https://evil.example/grasp.example", "grasp.example", False),
        ("https://notgrasp.example/x", "grasp.example", False),
        ("https://grasp.example@evil.example/x", "grasp.example", False),
        ("http://[::1]:7334/x", "[0::1]:7334", True),
        ("https://grasp.example/x", "not a host", False),
    ],
)
def test_b_2_1_hosts_are_parsed_never_compared_as_text(url: str, service: str, named: bool) -> None:
    assert names_service(url, service, ("http", "https")) is named


def test_b_2_1_relays_have_their_own_default_ports() -> None:
    assert names_service("wss://grasp.example", "grasp.example:443", RELAY_SCHEMES)
    assert names_service("ws://grasp.example", "grasp.example:80", RELAY_SCHEMES)
    assert not names_service("https://grasp.example", "grasp.example", RELAY_SCHEMES)


def test_b_1_2_usable_urls_keep_their_order_and_come_once() -> None:
    urls = ["https://b.example/x/", "ftp://c.example", "https://A.example", "https://b.example/x"]
    assert usable_urls(urls) == ("https://b.example/x", "https://a.example")


def test_split_address() -> None:
    assert split_address("127.0.0.1:7334") == ("127.0.0.1", 7334)
    assert split_address("[::1]:80") == ("::1", 80)


BELOW = "grasp.example/services/grasp"


@pytest.mark.parametrize(
    ("url", "named", "leads"),
    [
        ("https://grasp.example/services/grasp/npub1x/repo.git", True, True),
        ("http://grasp.example:80/services/grasp/npub1x/a%20b.git/", True, True),
        ("https://grasp.example/services/%67rasp/npub1x/repo.git", True, True),
        ("https://grasp.example/services/grasp/npub1x/a%2Fb", True, True),
        ("https://grasp.example/services/grasp", False, True),
        ("https://grasp.example/services/grasp/prs/npub1x/repo.git", False, True),
        ("https://grasp.example/services/grasp2/npub1x/repo.git", False, False),
        ("https://grasp.example/services/npub1x/repo.git", False, False),
        ("https://grasp.example/npub1x/repo.git", False, False),
        ("https://grasp.example/Services/grasp/npub1x/repo.git", False, False),
        ("https://grasp.example/services%2Fgrasp/npub1x/repo.git", False, False),
        ("https://grasp.example:8443/services/grasp/npub1x/repo.git", False, False),
        ("https://other.example/services/grasp/npub1x/repo.git", False, False),
    ],
)
def test_b_13_9_a_clone_url_is_the_base_and_two_segments(
    url: str, named: bool, leads: bool
) -> None:
    assert names_service(url, BELOW, GIT_SCHEMES) is named
    assert leads_to_service(url, BELOW, GIT_SCHEMES) is leads


@pytest.mark.parametrize(
    ("url", "named", "leads"),
    [
        ("wss://grasp.example/services/grasp", True, True),
        ("wss://grasp.example/services/grasp/", True, True),
        ("wss://grasp.example", False, False),
        ("wss://grasp.example/services", False, False),
        ("wss://grasp.example/services/grasp/relay", False, True),
        ("wss://grasp.example/services/grasp2", False, False),
    ],
)
def test_b_13_9_a_relay_url_is_the_base(url: str, named: bool, leads: bool) -> None:
    assert names_service(url, BELOW, RELAY_SCHEMES) is named
    assert leads_to_service(url, BELOW, RELAY_SCHEMES) is leads


def test_b_13_9_the_base_of_a_service() -> None:
    assert base_of("grasp.example:7334") == ""
    assert base_of(BELOW) == "/services/grasp"
    assert base_of("[::1]:80/x") == "/x"
