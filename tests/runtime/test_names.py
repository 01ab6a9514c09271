import socket
from typing import Any

import pytest
import trio

from purgatory_sync.errors import AttemptFailed, NameUnknown, ResolverFailed
from purgatory_sync.runtime.names import SystemResolver


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
