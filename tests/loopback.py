"""Tests reach this machine only: Python itself refuses to look up or to dial anything else."""

from __future__ import annotations

import sys
from contextlib import suppress
from ipaddress import ip_address

wanted: list[str] = []
"""What was refused since the present test began."""


class NotLoopback(OSError):
    """A test wanted to reach another machine."""


def guard() -> None:
    """Refuse from now on, in this process and for good."""
    sys.addaudithook(_look)


def _look(event: str, details: tuple[object, ...]) -> None:
    if event == "socket.getaddrinfo":
        if not _is_address(details[0]):  # of an address no server is asked
            _judge(details[0])
    elif event in ("socket.connect", "socket.sendto"):
        where = details[1]
        if isinstance(where, tuple):  # of a socket in the file system it is a path
            _judge(where[0])


def _is_address(host: object) -> bool:
    try:
        ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    return True


def _judge(host: object) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if not isinstance(name, str) or name in ("", "localhost"):
        return
    with suppress(ValueError):
        address = ip_address(name.partition("%")[0])
        if address.is_loopback or address.is_unspecified:
            return
    wanted.append(name)
    raise NotLoopback(f"tests reach this machine only, not {name}")
