"""Each limit that NIP-11 announces is what a client meets: at it all is well, beyond not."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.trio.client import ClientConnection, connect

from purgatory_sync.nostr.event import Event
from purgatory_sync.settings import MIB, ListenerSettings, RelaySettings
from purgatory_sync.testing.events import Author

from ..test_node import running, settings_in
from .relay_support import plain

pytestmark = pytest.mark.real

SMALL = RelaySettings(
    max_message_bytes=MIB,
    max_subscriptions=3,
    max_filters=4,
    max_limit=5,
    events_per_minute=20,
)
FEW = ListenerSettings(max_connections=8, max_connections_per_address=5)
FREE_KIND = 10317


@attrs.frozen
class Relay:
    """A running node and what it says of its limits."""

    address: str
    limits: dict[str, Any]

    @asynccontextmanager
    async def client(self) -> AsyncIterator[ClientConnection]:
        url = f"ws://{self.address}"
        async with connect(url, proxy=None, max_size=None, compression=None) as connection:
            yield connection


async def say(client: ClientConnection, *message: Any) -> Any:
    """Send one message; the first answer."""
    await client.send(json.dumps(message))
    with trio.fail_after(10):
        return json.loads(await client.recv())


async def publish(client: ClientConnection, event: Event) -> tuple[bool, str]:
    name, event_id, accepted, why = await say(client, "EVENT", plain(event))
    assert (name, event_id) == ("OK", event.id)
    return accepted, why


def free(seed: int, *tags: list[str], ahead: int = 0) -> Event:
    """An event that needs no repository."""
    return Author.from_seed(seed).sign(FREE_KIND, "", tags, int(time.time()) + ahead)


async def stored(client: ClientConnection, wanted: dict[str, Any]) -> int:
    heard = await say(client, "REQ", "s", wanted)
    count = 0
    while heard[0] == "EVENT":
        count += 1
        heard = json.loads(await client.recv())
    return count


async def message_length(relay: Relay, limit: int) -> None:
    async with relay.client() as client:
        await client.send('["' + "x" * (limit - 4) + '"]')
        assert json.loads(await client.recv())[0] == "NOTICE"
        with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012 - either may notice
            await client.send('["' + "x" * (limit - 3) + '"]')
            await client.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


async def subscriptions(relay: Relay, limit: int) -> None:
    async with relay.client() as client:
        nothing = {"ids": ["0" * 64]}
        for number in range(limit):
            assert await say(client, "REQ", str(number), nothing) == ["EOSE", str(number)]
        assert (await say(client, "REQ", "more", nothing))[:2] == ["CLOSED", "more"]
        assert await say(client, "REQ", "0", nothing) == ["EOSE", "0"]


async def filters(relay: Relay, limit: int) -> None:
    async with relay.client() as client:
        nothing = {"ids": ["0" * 64]}
        assert await say(client, "REQ", "s", *[nothing] * limit) == ["EOSE", "s"]
        assert (await say(client, "REQ", "s", *[nothing] * (limit + 1)))[:2] == ["CLOSED", "s"]


async def limit_of_a_filter(relay: Relay, limit: int) -> None:
    async with relay.client() as client:
        for seed in range(1, limit + 2):
            assert (await publish(client, free(seed)))[0]
        assert await stored(client, {"kinds": [FREE_KIND], "limit": limit}) == limit
        assert await stored(client, {"kinds": [FREE_KIND], "limit": limit + 1}) == limit


async def no_limit_in_a_filter(relay: Relay, limit: int) -> None:
    async with relay.client() as client:
        for seed in range(1, limit + 2):
            await publish(client, free(seed))
        assert await stored(client, {"kinds": [FREE_KIND]}) == limit


async def length_of_subscription_ids(relay: Relay, limit: int) -> None:
    async with relay.client() as client:
        nothing = {"ids": ["0" * 64]}
        assert await say(client, "REQ", "s" * limit, nothing) == ["EOSE", "s" * limit]
        longer = "s" * (limit + 1)
        assert (await say(client, "REQ", longer, nothing))[:2] == ["CLOSED", longer]


async def bytes_of_an_event(relay: Relay, limit: int) -> None:
    frame = len(json.dumps(plain(free(57, ["t", ""])), separators=(",", ":")))
    async with relay.client() as client:
        assert (await publish(client, free(57, ["t", "x" * (limit - frame)])))[0]
        accepted, why = await publish(client, free(58, ["t", "x" * (limit - frame + 1)]))
        assert not accepted
        assert why.startswith("invalid: larger than")


async def tags_of_an_event(relay: Relay, limit: int) -> None:
    async with relay.client() as client:
        assert (await publish(client, free(51, *[["t"]] * limit)))[0]
        accepted, why = await publish(client, free(52, *[["t"]] * (limit + 1)))
        assert not accepted
        assert why.startswith("invalid: more than")


async def time_ahead(relay: Relay, limit: int) -> None:
    async with relay.client() as client:
        assert (await publish(client, free(53, ahead=limit - 5)))[0]
        accepted, why = await publish(client, free(54, ahead=limit + 60))
        assert not accepted
        assert why.startswith("invalid: created_at")


async def events_a_minute(relay: Relay, limit: int) -> None:
    async with relay.client() as client:
        for _ in range(limit):
            assert (await publish(client, free(55)))[0]
        accepted, why = await publish(client, free(55))
        assert not accepted
        assert why.startswith("rate-limited: ")


async def connections(relay: Relay, limit: int) -> None:
    async with AsyncExitStack() as stack:
        for number in range(limit):
            await stack.enter_async_context(connect_from(f"127.0.0.{2 + number}", relay.address))
        with pytest.raises(InvalidStatus, match="503"):
            await stack.enter_async_context(connect_from("127.0.0.99", relay.address))


async def connections_of_an_address(relay: Relay, limit: int) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(limit):
            await stack.enter_async_context(connect_from("127.0.0.9", relay.address))
        with pytest.raises(InvalidStatus, match="503"):
            await stack.enter_async_context(connect_from("127.0.0.9", relay.address))


def connect_from(source: str, address: str) -> AbstractAsyncContextManager[ClientConnection]:
    return connect(f"ws://{address}", proxy=None, local_address=source)


async def no_auth(relay: Relay, required: bool) -> None:
    assert required is False
    async with relay.client() as client:
        assert (await publish(client, free(56)))[0]
        assert await say(client, "REQ", "s", {"ids": ["0" * 64]}) == ["EOSE", "s"]


async def no_payment(relay: Relay, required: bool) -> None:
    assert required is False


async def not_everything_is_taken(relay: Relay, restricted: bool) -> None:
    assert restricted is True
    async with relay.client() as client:
        assert not (await publish(client, Author.from_seed(1).sign(1, "", [], 1)))[0]


CHECKS: dict[str, Callable[[Relay, Any], Awaitable[None]]] = {
    "max_message_length": message_length,
    "max_subscriptions": subscriptions,
    "max_filters": filters,
    "max_limit": limit_of_a_filter,
    "default_limit": no_limit_in_a_filter,
    "max_subid_length": length_of_subscription_ids,
    "max_event_bytes": bytes_of_an_event,
    "max_event_tags": tags_of_an_event,
    "created_at_upper_limit": time_ahead,
    "max_events_per_minute": events_a_minute,
    "max_connections": connections,
    "max_connections_per_address": connections_of_an_address,
    "auth_required": no_auth,
    "payment_required": no_payment,
    "restricted_writes": not_everything_is_taken,
}


async def test_b_10_1_what_is_announced_is_what_is_enforced(tmp_path: Path) -> None:
    settings = attrs.evolve(settings_in(tmp_path), relay=SMALL, listener=FEW)
    async with running(settings) as address:
        async with httpx.AsyncClient(trust_env=False) as http:
            accept = {"accept": "application/nostr+json"}
            document = (await http.get(f"http://{address}", headers=accept)).json()
        limits = document["limitation"]
        assert set(limits) == set(CHECKS)
        relay = Relay(address, limits)
        for name, check in CHECKS.items():
            await check(relay, limits[name])
