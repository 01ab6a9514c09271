"""Which refs a git server shows: what `git ls-remote` asks for."""

from __future__ import annotations

from typing import Final

import trio

from ...errors import (
    NotGit,
    ObjectsRefused,
    RedirectRefused,
    TimedOut,
    TooLarge,
)
from ...runtime.net.gate import Gate
from ...runtime.net.transport import GateTransport
from ...settings import HuntSettings
from ...urls import parse_web_url
from ..http.http_client import Body, GitHttpClient, Steps
from .advertisement import Advertisement, ShownRefs

_EMPTY: Final = "the repository is empty"


def _ignore() -> None:
    """No step of a request is counted."""


class _ByName(ShownRefs):
    """Keeps all refs that a server shows."""

    def __init__(self) -> None:
        super().__init__(())
        self.oids: dict[str, str] = {}

    def add(self, oid: str, name: bytes, peeled: str | None = None) -> None:
        """Take note of a ref."""
        super().add(oid, name, peeled)
        self.oids[name.decode(errors="surrogateescape")] = oid


class RefLister:
    """Asks git servers for their refs, through the gate only.

    Args:
      settings: limits of each question (B 8.4).
      gate: opens every connection.
    """

    def __init__(self, settings: HuntSettings, gate: Gate) -> None:
        self._settings = settings
        transport = GateTransport(
            gate,
            connect_timeout_secs=settings.connect_timeout_secs,
            idle_timeout_secs=settings.idle_timeout_secs,
        )
        self._http = GitHttpClient(transport, settings.user_agent)

    async def refs(self, url: str) -> dict[str, str]:
        """Ref → OID of all that a repository shows, `HEAD` too; empty where it has none.

        Args:
          url: a clone URL; redirects are not followed.

        Raises:
          AttemptFailed: the server does not show them; the subclass says why.
        """
        with trio.move_on_after(self._settings.total_timeout_secs):
            try:
                return await self._ask(url)
            except ObjectsRefused as error:
                if str(error) == _EMPTY:
                    return {}
                raise
        raise TimedOut(f"no list of refs within {self._settings.total_timeout_secs:g} s")

    async def _ask(self, url: str) -> dict[str, str]:
        refs, size = _ByName(), 0
        advertisement = Advertisement(refs)
        where, steps = parse_web_url(url), Steps(_ignore, _ignore)
        async with self._http.advertisement(where, 1, steps) as reply:
            if not isinstance(reply, Body):
                raise RedirectRefused("a redirect instead of a list of refs")
            async for piece in reply.pieces():
                size += len(piece)
                if size > self._settings.max_refs_bytes:
                    raise TooLarge(f"more than {self._settings.max_refs_bytes} bytes of refs")
                advertisement.feed(piece)
                if advertisement.ended:
                    break
            advertisement.finish()
        if not advertisement.lists_refs:
            raise NotGit("a server that lists no refs in protocol v1")
        return refs.oids

    async def aclose(self) -> None:
        """Close the connections that are kept."""
        await self._http.aclose()
