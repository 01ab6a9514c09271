"""The gate: the one place that opens connections to others (mission N4).

Names are resolved once, every answer is judged, and the connection goes to a judged address, so
that a second answer of the resolver changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import structlog
import trio

from ..errors import AttemptFailed, ConnectFailed, Forbidden, ResolverFailed, TimedOut
from ..settings import Network
from .addresses import interleave, may_contact, parse_address
from .names import Resolve, SystemResolver

Connect = Callable[[str, int], Awaitable[trio.abc.HalfCloseableStream]]

_ADDRESSES_TRIED = 8

log = structlog.get_logger()


class Gate:
    """Opens every outgoing TCP connection, to public addresses only.

    Args:
      allow: networks inside the operator's that may be contacted all the same.
      connect_timeout_secs: seconds for the name and the connection together.
      resolve: looks up a name; the system's resolver when absent.
      connect: connects to a literal address and port; a TCP socket when absent (a simulation
        passes streams in memory).
    """

    def __init__(
        self,
        allow: tuple[Network, ...] = (),
        *,
        connect_timeout_secs: float = 10.0,
        resolve: Resolve | None = None,
        connect: Connect | None = None,
    ) -> None:
        self._allow = tuple(allow)
        self._timeout = connect_timeout_secs
        self._resolve = resolve or SystemResolver()
        self._connect = connect or _connect_tcp

    async def open_tcp(
        self, host: str, port: int, on_connect: Callable[[], None] | None = None
    ) -> trio.abc.HalfCloseableStream:
        """Connect to a host (a name in ASCII, or a literal address without brackets).

        Args:
          on_connect: called once, when all is judged and a connection is about to begin.

        Raises:
          Forbidden: one of the host's addresses is not public (B 8.4, mission N4).
          NameUnknown, ResolverFailed: no addresses; nothing was contacted.
          ConnectFailed: every address refused.
          TimedOut: the time was over before one of them answered.

        The message never tells addresses: they are in the exception's cause and, when they are
        forbidden, in the operator's log. Cancellation leaves no socket behind.
        """
        deadline = trio.current_time() + self._timeout
        addresses = await self._judged_addresses(host)
        if on_connect is not None:
            on_connect()
        failures: list[Exception] = []
        for number, address in enumerate(addresses):
            left = deadline - trio.current_time()
            # What is left is shared, so that a dead first address does not use up all of it.
            with trio.move_on_after(max(0.0, left / (len(addresses) - number))) as scope:
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

    async def _judged_addresses(self, host: str) -> Sequence[str]:
        """The addresses to try in turn; all of the host's are judged, whatever their number."""
        if parse_address(host) is not None:
            found: Sequence[str] = [host]
        else:
            found = await self._looked_up(host)
        for text in found:
            address = parse_address(text)
            if address is None or not may_contact(address, self._allow):
                log.info("address refused", host=host, address=text)
                raise Forbidden(
                    "an address of the host is not public "
                    "(NGIT_HUNT_ALLOW_ADDRESSES names exceptions)"
                ) from PermissionError(text if text == host else f"{host} is {text}")
        return interleave(found)[:_ADDRESSES_TRIED]

    async def _looked_up(self, host: str) -> Sequence[str]:
        try:
            with trio.fail_after(self._timeout):
                found = await self._resolve(host)
        except AttemptFailed:
            raise
        except trio.TooSlowError as error:
            raise ResolverFailed(f"the resolver did not answer in {self._timeout:g} s") from error
        except OSError as error:
            raise ResolverFailed("the name could not be looked up") from error
        if not found:
            raise ResolverFailed("the name has no address")
        return found


async def _connect_tcp(address: str, port: int) -> trio.SocketStream:
    family = trio.socket.AF_INET6 if ":" in address else trio.socket.AF_INET
    socket = trio.socket.socket(family, trio.socket.SOCK_STREAM)
    try:
        await socket.connect((address, port))
    except BaseException:
        socket.close()
        raise
    return trio.SocketStream(socket)
