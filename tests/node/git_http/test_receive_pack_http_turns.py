"""A push that waits for its turn is known to be there (B 6.7)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import attrs
import trio
import trio.testing

from purgatory_sync.node.git_http.receive_pack_http import GitPush
from purgatory_sync.node.git_http.upload_pack_http import GitEndpoint
from purgatory_sync.node.http.exchange import Exchange
from purgatory_sync.nostr.keys import encode_npub

from ..support import read_to_end, served
from .push_support import ZERO

NPUB = encode_npub("1" * 64)


@attrs.define
class Pushes:
    """Takes every push, and notes who waits and who is received."""

    waits: list[str] = attrs.field(factory=list)
    received: list[str] = attrs.field(factory=list)

    async def refs(self, npub: str, identifier: str) -> Mapping[str, str]:
        return {}

    @contextmanager
    def waiting(self, npub: str, identifier: str) -> Iterator[None]:
        self.waits.append(identifier)
        yield
        self.waits.remove(identifier)

    async def receive(
        self,
        npub: str,
        identifier: str,
        changes: Mapping[str, str | None],
        read: Callable[[], Awaitable[bytes]],
    ) -> None:
        assert self.waits == [identifier], "until it is judged nothing else holds what it needs"
        while await read():
            pass
        self.received.append(identifier)


async def nothing_here(npub: str, identifier: str) -> Path | None:
    return None


def push(identifier: str) -> bytes:
    command = f"{ZERO} {'1' * 40} refs/heads/main\0report-status".encode()
    body = b"%04x%b0000" % (len(command) + 4, command)
    head = (
        f"POST /{NPUB}/{identifier}.git/git-receive-pack HTTP/1.1\r\nHost: a\r\n"
        "Content-Type: application/x-git-receive-pack-request\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def test_b_6_7_a_push_is_in_hand_before_it_has_its_place(
    autojump_clock: trio.testing.MockClock,
) -> None:
    pushes, places = Pushes(), trio.CapacityLimiter(1)
    http = GitEndpoint(nothing_here, 1, GitPush(pushes, 1 << 20, places))

    async def answer(exchange: Exchange) -> None:
        assert await http.answer(exchange)

    async with served(answer) as place, await place.connect() as client:
        async with places:
            await client.send_all(push("repo"))
            await trio.testing.wait_all_tasks_blocked()
            assert (pushes.waits, pushes.received) == (["repo"], [])
        assert b"unpack ok" in await read_to_end(client)
        assert (pushes.waits, pushes.received) == ([], ["repo"])
