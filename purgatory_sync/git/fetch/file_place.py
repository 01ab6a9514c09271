"""What a fetch of files needs of an attempt: the server's files, what is here, a place to write."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import TypeVar

import attrs

from ...errors import RedirectRefused
from ...urls import WebUrl
from ..disk.object_lookup import existing
from ..http.http_client import Body, GitHttpClient, Steps
from ..ingest.sink import PackSink
from .wish import Wish

T = TypeVar("T")


@attrs.frozen
class FilePlace:
    """A `dumb_fetch.FileSource` for one attempt.

    Attributes:
      received: told of the bytes of pack that came.
    """

    http: GitHttpClient
    base: WebUrl
    steps: Steps
    wish: Wish
    sink: PackSink
    received: Callable[[int], None]

    @asynccontextmanager
    async def file(self, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """One file of the repository."""
        async with self.http.file(self.base, path, self.steps) as reply:
            if not isinstance(reply, Body):
                raise RedirectRefused("the server redirects requests for files")
            yield reply.pieces()

    async def here(self, oids: Collection[str]) -> frozenset[str]:
        """Those of the objects that are here already."""
        found: frozenset[str] = await self.wish.run(existing, self.wish.repository, oids)
        return found

    async def write(self, pack: bytes) -> None:
        """Hand the next bytes of the pack on to its proof."""
        self.received(len(pack))
        await self.sink.write(pack)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Do some work beside the event loop."""
        made: T = await self.wish.run(work)
        return made
