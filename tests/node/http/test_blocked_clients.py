"""Clients whose addresses are blocked: no connection, and an end to those that are open (B 5.5)."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
import trio

from purgatory_sync.node.http.blocked_clients import BlockedClients
from purgatory_sync.node.http.exchange import Exchange
from purgatory_sync.settings import ListenerSettings

from ..support import read_to_end, read_until, served

pytestmark = pytest.mark.real

LOCAL, CLIENT = ip_network("127.0.0.0/8"), ip_network("192.0.2.0/24")
BEHIND = ListenerSettings(trusted_proxy_cidrs=(LOCAL,))
UPGRADE = (
    b"connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


def get(client: str = "", more: bytes = b"") -> bytes:
    forwarded = f"x-forwarded-for: {client}\r\n".encode() if client else b""
    return b"GET / HTTP/1.1\r\nhost: x\r\n" + forwarded + more + b"\r\n"


async def stalls(exchange: Exchange) -> None:
    await exchange.start(200, [(b"content-length", b"5")])
    await exchange.write(b"so")
    await trio.sleep_forever()


def test_b_5_5_addresses_are_read_not_compared_as_text() -> None:
    blocked = BlockedClients([CLIENT, ip_network("2001:db8::/32")])
    for client in ("192.0.2.9", "::ffff:192.0.2.9", "2001:DB8::1", "[2001:db8::1]:80"):
        assert blocked.has(client)
    for client in ("192.0.3.9", "2001:db9::1", "", "unix", "1"):
        assert not blocked.has(client)
    assert not BlockedClients().has("192.0.2.9")


async def test_b_5_5_a_blocked_address_gets_no_connection() -> None:
    blocked = BlockedClients([LOCAL])
    async with served(real=True, blocked=blocked) as place:
        async with await place.connect() as stream:
            assert (await read_to_end(stream)).startswith(b"HTTP/1.1 403 Forbidden")
        blocked.block([])
        async with await place.connect() as stream:
            await stream.send_all(get())
            assert (await read_until(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("request_", [b"", get(), get(more=UPGRADE)], ids=["idle", "http", "ws"])
async def test_b_5_5_connections_of_a_blocked_address_end_at_once(request_: bytes) -> None:
    blocked = BlockedClients()
    async with served(stalls, real=True, blocked=blocked) as place:
        async with await place.connect() as stream:
            await stream.send_all(request_)
            if request_:
                await read_until(stream, b"\r\n\r\n")
            else:
                await trio.sleep(0.1)
            blocked.block([CLIENT, LOCAL])
            with trio.fail_after(5):
                await read_to_end(stream)
        blocked.block([CLIENT])


async def test_b_5_5_behind_a_proxy_the_client_is_blocked_and_not_the_proxy() -> None:
    blocked = BlockedClients([LOCAL, CLIENT])
    async with served(settings=BEHIND, real=True, blocked=blocked) as place:
        async with await place.connect() as stream:
            for client in ("198.51.100.1", "198.51.100.2"):
                await stream.send_all(get(client))
                assert b"HTTP/1.1 200" in await read_until(stream, b"\r\n\r\n")
            await stream.send_all(get("192.0.2.9"))
            assert b"HTTP/1.1 403" in await read_to_end(stream)
        async with await place.connect() as stream:
            await stream.send_all(get("192.0.2.9", UPGRADE))
            assert (await read_to_end(stream)).startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize("upgrade", [b"", UPGRADE], ids=["http", "ws"])
async def test_b_5_5_behind_a_proxy_only_the_blocked_clients_connections_end(
    upgrade: bytes,
) -> None:
    blocked = BlockedClients()
    async with (
        served(stalls, settings=BEHIND, real=True, blocked=blocked) as place,
        await place.connect() as theirs,
        await place.connect() as other,
    ):
        for stream, client in ((theirs, "192.0.2.9"), (other, "198.51.100.1")):
            await stream.send_all(get(client, upgrade))
            await read_until(stream, b"\r\n\r\n")
        blocked.block([CLIENT])
        with trio.fail_after(5):
            await read_to_end(theirs)
        with trio.move_on_after(0.3) as still:
            await other.receive_some(10)
            await other.receive_some(10)
        assert still.cancelled_caught
