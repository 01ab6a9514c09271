"""Name look-ups with places of their own, so that a slow resolver starves nobody else."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence

import trio

from ..errors import NameUnknown, ResolverFailed

Resolve = Callable[[str], Awaitable[Sequence[str]]]

# getaddrinfo cannot be interrupted: a cancelled look-up keeps its place until it ends, and at most
# five attempts are in flight per domain, so this many cannot be taken by a handful of bad names.
LOOKUPS_AT_ONCE = 64


class SystemResolver:
    """getaddrinfo in threads of its own.

    Args:
      limiter: how many look-ups run at once (64 when absent).
    """

    def __init__(self, limiter: trio.CapacityLimiter | None = None) -> None:
        self._limiter = limiter or trio.CapacityLimiter(LOOKUPS_AT_ONCE)

    async def __call__(self, host: str) -> list[str]:
        """Every address of a host name, in the system's order.

        Args:
          host: a name in ASCII.

        Raises:
          NameUnknown: the resolver says that there is no such name (EAI_NONAME, B 8.7).
          ResolverFailed: any other failure; it says nothing about the server.

        Cancellation returns at once; the thread ends by itself and its answer is dropped.
        """
        try:
            found = await trio.to_thread.run_sync(
                _addresses, host, limiter=self._limiter, abandon_on_cancel=True
            )
        except socket.gaierror as error:
            if error.errno == socket.EAI_NONAME:
                raise NameUnknown("the name does not exist") from error
            raise ResolverFailed("the name could not be looked up") from error
        except (OSError, UnicodeError) as error:
            raise ResolverFailed("the name could not be looked up") from error
        return found


def _addresses(host: str) -> list[str]:
    # As bytes, or Python's IDNA codec refuses labels that resolvers take.
    found = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
