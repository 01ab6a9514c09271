import socket
import threading
from typing import Any

import pytest
import trio
import trio.testing

from purgatory_sync.errors import AttemptFailed, NameUnknown, ResolverFailed
from purgatory_sync.runtime.net import name_lookups
from purgatory_sync.runtime.net.name_lookups import SystemResolver


def fail_with(error: Exception) -> Any:
    def getaddrinfo(*args: Any, **kwargs: Any) -> Any:
        raise error

    return getaddrinfo


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (socket.gaierror(socket.EAI_NONAME, "no"), NameUnknown),
        (socket.gaierror(socket.EAI_AGAIN, "later"), ResolverFailed),
        (socket.gaierror(socket.EAI_FAIL, "broken"), ResolverFailed),
        (OSError("no sockets"), ResolverFailed),
    ],
)
async def test_only_a_name_that_does_not_exist_is_unknown(
    monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type[AttemptFailed]
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", fail_with(error))
    with pytest.raises(expected):
        await SystemResolver()("git.example")


async def test_a_name_that_cannot_be_asked_for_is_no_crash() -> None:
    with pytest.raises(ResolverFailed):
        await SystemResolver()("gît.example")


async def test_every_address_comes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def getaddrinfo(host: Any, port: Any, **kwargs: Any) -> list[Any]:
        asked.append(host)
        return [(0, 0, 0, "", (address, 0)) for address in ("8.8.8.8", "::2", "8.8.8.8")]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert await SystemResolver()("git.example") == ["8.8.8.8", "::2"]
    assert asked == [b"git.example"]


@pytest.mark.real
async def test_the_system_knows_localhost() -> None:
    assert "127.0.0.1" in await SystemResolver(trio.CapacityLimiter(1))("localhost")


async def test_names_that_hang_delay_neither_known_names_nor_new_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer_all = threading.Event()

    def getaddrinfo(host: bytes, *args: Any, **kwargs: Any) -> list[Any]:
        if host.startswith(b"hung"):
            answer_all.wait(10)
        return [(0, 0, 0, "", ("8.8.8.8", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    resolver = SystemResolver()
    few = SystemResolver(trio.CapacityLimiter(20))
    await few("known.example")
    try:
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(resolver, f"hung{number}.example")
            for number in range(20):
                nursery.start_soon(few, f"hung{number}.example")
            await trio.testing.wait_all_tasks_blocked()
            with trio.fail_after(1):
                await resolver("new.example")
                await few("known.example")
            with trio.move_on_after(0.05) as scope:
                await few("new.example")
            assert scope.cancelled_caught
            nursery.cancel_scope.cancel()
    finally:
        answer_all.set()


async def test_a_name_that_stops_answering_loses_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(name_lookups, "LOOKUPS_OF_KNOWN", 1)
    hung, answer_all = threading.Event(), threading.Event()

    def getaddrinfo(host: bytes, *args: Any, **kwargs: Any) -> list[Any]:
        if hung.is_set() and host == b"a.example":
            answer_all.wait(10)
        return [(0, 0, 0, "", ("8.8.8.8", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    resolver = SystemResolver()
    for host in ("a.example", "b.example"):
        await resolver(host)
    hung.set()
    try:
        with trio.move_on_after(0.05):
            await resolver("a.example")
        with trio.move_on_after(0.05):  # it waits among the strangers now
            await resolver("a.example")
        assert resolver._limiter.borrowed_tokens == 1
        assert resolver._known_limiter.borrowed_tokens == 1
    finally:
        answer_all.set()
