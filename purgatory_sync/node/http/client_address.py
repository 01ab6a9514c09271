"""Who a client is behind a reverse proxy: the address that a trusted proxy names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from ...settings import Network

MAX_HOPS: Final = 32

_FORWARDED_FOR: Final = b"x-forwarded-for"
_REAL_IP: Final = b"x-real-ip"

RawHeaders = Iterable[tuple[bytes, bytes]]


def is_trusted(peer: str, proxies: Sequence[Network]) -> bool:
    """Whether the TCP peer is one of the proxies that the operator trusts (B 13.2)."""
    if not proxies:
        return False  # as most nodes have it: no address is read for nothing
    address = read_address(peer)
    return address is not None and is_inside(address, proxies)


def client_address(peer: str, headers: RawHeaders, proxies: Sequence[Network]) -> str:
    """The address of the client, by what a trusted proxy says of it (B 13.2).

    `X-Forwarded-For` is read from the right, since its left end is what the client wrote itself:
    the first address outside of the proxies is the client's; where all are inside, the leftmost.
    What is no address ends the walk. Without such a header `X-Real-IP` counts.

    Args:
      peer: the address at the other end of the TCP connection.
      headers: names in lower case.
      proxies: the networks of trusted proxies; no other peer is believed.

    Returns:
      An address as `ipaddress` writes it, or `peer` as it is.
    """
    if not is_trusted(peer, proxies):
        return peer
    headers = list(headers)
    lines = [value for name, value in headers if name == _FORWARDED_FOR]
    if not lines:
        real = [value for name, value in headers if name == _REAL_IP]
        found = read_address(_text(real[0])) if len(real) == 1 else None
        return peer if found is None else str(found)
    client = peer
    hops = b",".join(lines).rsplit(b",", MAX_HOPS)[-MAX_HOPS:]
    for hop in reversed(hops):
        address = read_address(_text(hop))
        if address is None:
            break
        client = str(address)
        if not is_inside(address, proxies):
            break
    return client


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """An address with or without port and brackets; one of IPv4 that IPv6 carries is IPv4's."""
    text = text.strip()
    if text.startswith("["):
        text, closed, _port = text[1:].partition("]")
        if not closed:
            return None
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def counted_as(address: IPv4Address | IPv6Address) -> str:
    """What limits by address count a client as: an IPv6 client has its /64."""
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return str(address)


def is_inside(address: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    """Whether one of the networks has the address."""
    return any(address in network for network in networks if network.version == address.version)


def _text(raw: bytes) -> str:
    return raw.decode("latin-1")
