"""Ways to judged addresses: straight, or (`proxy`) through the operator's proxy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol

import trio

from ...errors import ConnectFailed, TimedOut

Stream = trio.abc.HalfCloseableStream
Connect = Callable[[str, int], Awaitable[Stream]]


class Connector(Protocol):
    """How connections come about."""

    async def open(self, addresses: Sequence[str], port: int, deadline: float) -> Stream:
        """Connect to the first of the addresses that answers.

        Args:
          addresses: literal ones, judged; at least one.
          deadline: of Trio's clock, for all of them together.

        Raises AttemptFailed's subclasses; no message tells an address. Cancellation leaves no
        socket behind.
        """
        ...


class Straight:
    """Connects by itself.

    Args:
      timeout_secs: what the deadlines of `open` come from, for words.
      connect: connects to a literal address and port; a TCP socket when absent (a simulation
        passes streams in memory).
    """

    def __init__(self, timeout_secs: float, connect: Connect | None = None) -> None:
        self._timeout = timeout_secs
        self._connect = connect or _connect_tcp

    async def open(self, addresses: Sequence[str], port: int, deadline: float) -> Stream:
        """See Connector.

        Raises:
          ConnectFailed: every address refused.
          TimedOut: the time was over before one of them answered.
        """
        failures: list[Exception] = []
        for address, until in shares(addresses, deadline):
            with trio.move_on_at(until) as scope:
                try:
                    return await self._connect(address, port)
                except OSError as error:
                    failures.append(error)
            if scope.cancelled_caught:
                failures.append(TimeoutError(f"{address}: no answer"))
        if any(isinstance(failure, TimeoutError) for failure in failures):
            raise TimedOut(f"no connection within {self._timeout:g} s") from failures[-1]
        raise ConnectFailed("the connection was refused or the host is unreachable") from (
            failures[-1]
        )


def shares(addresses: Sequence[str], deadline: float) -> Iterator[tuple[str, float]]:
    """Each address with its deadline: what is left is shared, so that none uses up all of it."""
    for number, address in enumerate(addresses):
        now = trio.current_time()
        yield address, now + max(0.0, deadline - now) / (len(addresses) - number)


async def _connect_tcp(address: str, port: int) -> trio.SocketStream:
    family = trio.socket.AF_INET6 if ":" in address else trio.socket.AF_INET
    socket = trio.socket.socket(family, trio.socket.SOCK_STREAM)
    try:
        await socket.connect((address, port))
    except BaseException:
        socket.close()
        raise
    return trio.SocketStream(socket)
