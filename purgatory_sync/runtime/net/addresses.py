"""Which IP addresses may be contacted: public ones, and what the operator names (N4)."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from ...settings import Network

Address = IPv4Address | IPv6Address

# Named here and not left to `is_global`, whose tables differ between Python's patch releases.
_IPV4_INSIDE: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)
# Global unicast is all that is ever public in IPv6; these parts of it are not.
_IPV6_GLOBAL: Final = IPv6Network("2000::/3")
_IPV6_INSIDE: Final = tuple(
    IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
# Forms that carry an IPv4 address: prefix, and how far its 32 bits are from the right.
_EMBEDDED: Final = (
    (IPv6Network("::ffff:0:0/96"), 0),
    (IPv6Network("::/96"), 0),
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("2002::/16"), 80),
)


def parse_address(text: str) -> Address | None:
    """The address that a text is literally, its zone (`%eth0`) left out; None for a name."""
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None


def may_contact(address: Address, allow: Iterable[Network] = ()) -> bool:
    """Whether a connection to the address may be opened.

    Loopback, private, link-local, carrier-grade NAT, multicast, documentation and unspecified
    addresses may not, nor forms that carry an IPv4 address or a tunnel (IPv4-mapped, NAT64,
    6to4, Teredo), unless `allow` names them. An allowed form is judged by the IPv4 address
    inside it as well, so that allowing NAT64 does not open the loopback behind it.
    """
    allow = tuple(allow)
    inner = _embedded(address)
    if inner is not None:
        return _allowed(address, allow) and may_contact(inner, allow)
    return _is_public(address) or _allowed(address, allow)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _IPV4_INSIDE)
    return address in _IPV6_GLOBAL and not any(address in network for network in _IPV6_INSIDE)


def _allowed(address: Address, allow: tuple[Network, ...]) -> bool:
    return any(address in network for network in allow if network.version == address.version)


def _embedded(address: Address) -> IPv4Address | None:
    if isinstance(address, IPv4Address) or int(address) <= 1:
        return None
    for network, shift in _EMBEDDED:
        if address in network:
            return IPv4Address(int(address) >> shift & 0xFFFFFFFF)
    return None


def interleave(addresses: Iterable[str]) -> list[str]:
    """The same addresses with the families taking turns, beginning with the first one's."""
    found = list(dict.fromkeys(addresses))
    if not found:
        return []
    first = [address for address in found if (":" in address) == (":" in found[0])]
    other = [address for address in found if (":" in address) != (":" in found[0])]
    both = min(len(first), len(other))
    turns = zip(first[:both], other[:both], strict=True)
    return [address for pair in turns for address in pair] + first[both:] + other[both:]


def networks(*texts: str) -> tuple[Network, ...]:
    """The networks (CIDR, or single addresses) that the texts name.

    Raises:
      ValueError: a text is none.
    """
    return tuple(ip_network(text) for text in texts)
