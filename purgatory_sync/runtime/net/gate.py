"""The gate: the one place that opens connections to others (N4).

Names are resolved once, every answer is judged, and the connection goes to a judged address, so
that a second answer of the resolver changes nothing; where the operator names a proxy, the proxy is
asked for that address.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from ...errors import AttemptFailed, Forbidden, ResolverFailed
from ...settings import HuntSettings, Network, Proxy
from ..logger import get_logger
from .addresses import interleave, may_contact, parse_address
from .connectors import Connect, Connector, Straight
from .name_lookups import Resolve, SystemResolver
from .proxy import ThroughProxy

_ADDRESSES_TRIED = 8

log = get_logger(__name__)


class Gate:
    """Opens every outgoing TCP connection, to public addresses only.

    Args:
      allow: networks inside the operator's that may be contacted all the same.
      connect_timeout_secs: seconds for the name and the connection together.
      resolve: looks up a name; the system's resolver when absent.
      connect: connects to a literal address and port; a TCP socket when absent (a simulation
        passes streams in memory).
      proxy: connects instead, to the addresses that were judged. Its own address is the
        operator's and needs no leave.

    Attributes:
      is_proxied: whether what comes over a connection may be the proxy's own.
    """

    def __init__(
        self,
        allow: tuple[Network, ...] = (),
        *,
        connect_timeout_secs: float = 10.0,
        resolve: Resolve | None = None,
        connect: Connect | None = None,
        proxy: Proxy | None = None,
    ) -> None:
        self._allow = tuple(allow)
        self._timeout = connect_timeout_secs
        self._resolve = resolve or SystemResolver()
        self.is_proxied = proxy is not None
        straight = Straight(connect_timeout_secs, connect)
        self._way: Connector = straight
        if proxy is not None:
            self._way = ThroughProxy(proxy, straight, self._looked_up)

    @classmethod
    def for_settings(cls, settings: HuntSettings) -> Gate:
        """The gate that an operator's settings describe."""
        return cls(
            settings.allow_addresses,
            connect_timeout_secs=settings.connect_timeout_secs,
            proxy=settings.proxy,
        )

    async def open_tcp(
        self, host: str, port: int, on_connect: Callable[[], None] | None = None
    ) -> trio.abc.HalfCloseableStream:
        """Connect to a host (a name in ASCII, or a literal address without brackets).

        Args:
          on_connect: called once, when all is judged and a connection is about to begin.

        Raises:
          Forbidden: one of the host's addresses is not public (B 8.4, N4).
          NameUnknown, ResolverFailed: no addresses; nothing was contacted.
          ConnectFailed: every address refused.
          TimedOut: the time was over before one of them answered.
          ProxyFailed: the proxy did not do its part.

        The message never tells addresses: they are in the exception's cause and, when they are
        forbidden, in the operator's log. Cancellation leaves no socket behind.
        """
        deadline = trio.current_time() + self._timeout
        addresses = await self._judged_addresses(host)
        if on_connect is not None:
            on_connect()
        return await self._way.open(addresses, port, deadline)

    async def _judged_addresses(self, host: str) -> Sequence[str]:
        """The addresses to try in turn; all of the host's are judged, many or few."""
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
        if parse_address(host) is not None:
            return [host]
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
