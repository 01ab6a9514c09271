"""Name look-ups with places of their own, so that a slow resolver starves no other work."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence

import trio

from ...errors import NameUnknown, ResolverFailed
from ..bounded import Bounded

Resolve = Callable[[str], Awaitable[Sequence[str]]]

# getaddrinfo cannot be interrupted: a cancelled look-up keeps its place until it ends. Threads are
# cheap while they wait; and names that were answered last time have places that no stranger takes,
# so that no number of names whose servers never answer delays those that work.
LOOKUPS_AT_ONCE = 256
LOOKUPS_OF_KNOWN = 16
MAX_KNOWN = 4096


class SystemResolver:
    """getaddrinfo in threads of its own.

    Args:
      limiter: how many look-ups of names run at once that are new or failed last time (256 when
        absent); there are 16 places more for all others.
    """

    def __init__(self, limiter: trio.CapacityLimiter | None = None) -> None:
        self._limiter = limiter or trio.CapacityLimiter(LOOKUPS_AT_ONCE)
        self._known_limiter = trio.CapacityLimiter(LOOKUPS_OF_KNOWN)
        self._known: Bounded[str, bool] = Bounded(MAX_KNOWN)

    async def __call__(self, host: str) -> list[str]:
        """Every address of a host name, in the system's order.

        Args:
          host: a name in ASCII.

        Raises:
          NameUnknown: the resolver says that there is no such name (EAI_NONAME, B 8.7).
          ResolverFailed: any other failure; it says nothing about the server.

        Cancellation returns at once; the thread ends by itself and its answer is dropped.
        """
        limiter = self._known_limiter if host in self._known else self._limiter
        answered = False
        try:
            found = await trio.to_thread.run_sync(
                _addresses, host, limiter=limiter, abandon_on_cancel=True
            )
            answered = True
        except socket.gaierror as error:
            if error.errno == socket.EAI_NONAME:
                raise NameUnknown("the name does not exist") from error
            raise ResolverFailed("the name could not be looked up") from error
        except (OSError, UnicodeError) as error:
            raise ResolverFailed("the name could not be looked up") from error
        finally:
            self._note(host, answered)
        return found

    def _note(self, host: str, answered: bool) -> None:
        self._known.pop(host)
        if answered:
            self._known.put(host, True)


def _addresses(host: str) -> list[str]:
    # As bytes, or Python's IDNA codec refuses labels that resolvers take.
    found = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
