"""Fetching objects from a git server over HTTP into quarantine: what the engine uses."""

from __future__ import annotations

import re
import ssl
from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import trio

from ...errors import AttemptFailed, Forbidden, InvalidUrl, LocalFailure, ObjectsRefused, TimedOut
from ...runtime.blocking import blocking
from ...runtime.net.gate import Gate
from ...runtime.net.given_transport import GivenTransport
from ...runtime.net.transport import GateTransport
from ...settings import HuntSettings
from ...urls import parse_web_url
from ..disk.haves import Haves
from ..http.http_client import GitHttpClient, Prove
from ..ingest.quarantine import Quarantined
from ..ingest.room import Room
from ..ingest.sink import Ingest
from .conversation import Conversation
from .lifetime import Lifetime
from .observer import FetchObserver, SilentObserver
from .server_cache import KnownServers
from .wish import Keep, Wish

GIT_THREADS: Final = 4

_OID: Final = re.compile(r"[0-9a-f]{40}")


class GitClient(AbstractAsyncContextManager["GitClient"]):
    """Fetches from git servers; one for an engine, with the connections that are kept open.

    How many attempts run at once is the caller's to limit: none waits for another here.

    Args:
      settings: limits of each attempt (B 8.4).
      gate: opens every connection.
      tmp: the folder for quarantine, on the repositories' file system.
      limiter: places for git work in threads (4 when absent).
      tls: the context for https, for those who bring certificates of their own.
      ours: our own host[:port]; redirects to it are not followed (B 8.1).
      prove: makes the header `Authorization` of each request, or refuses it; see GitHttpClient.
      known: what earlier attempts learnt; nothing when absent.
      transport: of an embedder, in place of the gate; closed with the client.
    """

    def __init__(
        self,
        settings: HuntSettings,
        gate: Gate,
        tmp: Path,
        *,
        limiter: trio.CapacityLimiter | None = None,
        tls: ssl.SSLContext | None = None,
        ours: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        known: KnownServers | None = None,
        room: Room | None = None,
        prove: Prove | None = None,
    ) -> None:
        self._settings = settings
        self._ours = ours
        self._limiter = limiter or trio.CapacityLimiter(GIT_THREADS)
        self._ingest = Ingest(settings, tmp, limiter=self._limiter, room=room)
        seconds = {
            "connect_timeout_secs": settings.connect_timeout_secs,
            "idle_timeout_secs": settings.idle_timeout_secs,
        }
        self._http = GitHttpClient(
            GateTransport(gate, tls=tls, **seconds)
            if transport is None
            else GivenTransport(transport, **seconds),
            settings.user_agent,
            prove,
        )
        self._known = known if known is not None else KnownServers()

    async def fetch_oids(
        self,
        repository: Path,
        url: str,
        oids: Collection[str],
        observer: FetchObserver | None = None,
        keep: Keep | None = None,
    ) -> Quarantined:
        """Fetch arbitrary objects with all their history, proven but not yet joined (N5).

        Args:
          repository: the bare repository whose objects need not be sent, and that the result
            joins.
          url: a clone URL, http or https.
          oids: the objects wanted; names that are no SHA-1 are left out.
          observer: told of the steps as they happen.
          keep: takes a proven pack that holds nothing of that, so that the next attempt at the URL
            need not fetch it again; it may join it.

        Returns what came; `obtained` may be a part of `oids`, never none of them.

        Raises:
          AttemptFailed: nothing was obtained; the subclass says why. Nothing else is raised.

        Cancellation ends the transfer at once and leaves nothing behind.
        """
        lifetime = Lifetime(trio.CancelScope(), self._settings)
        try:
            with lifetime.scope:
                lifetime.begin()
                wish = await self._wish(repository, url, oids, keep)
                return await self._converse(wish, observer or SilentObserver(), lifetime)
        except AttemptFailed:
            raise
        except Exception as error:
            raise LocalFailure(f"the attempt failed here: {error!r}") from error
        raise TimedOut(lifetime.why())

    async def _converse(
        self, wish: Wish, observer: FetchObserver, lifetime: Lifetime
    ) -> Quarantined:
        conversation = Conversation(
            self._settings, self._http, self._known, wish, observer, lifetime
        )
        return await conversation.run()

    async def _wish(
        self, repository: Path, url: str, oids: Collection[str], keep: Keep | None
    ) -> Wish:
        try:
            judged = parse_web_url(url)
        except InvalidUrl as error:
            raise Forbidden(str(error)) from error
        wanted = tuple(oid for oid in dict.fromkeys(oids) if _OID.fullmatch(oid))
        if not wanted:
            raise ObjectsRefused("none of the wanted names is that of a SHA-1 object")
        haves = await Haves.of(repository, self._limiter)
        open_sink = partial(self._ingest.open_sink, repository, haves.era)
        run = partial(blocking, self._limiter)
        return Wish(judged, wanted, repository, haves, open_sink, run, self._ours, keep)

    async def aclose(self) -> None:
        """Close the connections that are kept open; end the attempts first."""
        await self._http.aclose()

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()
