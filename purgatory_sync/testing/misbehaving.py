"""How a fault comes over an answer: the one place that writes bodies for the git server."""

from __future__ import annotations

from typing import Final, Protocol

import trio

from ..node.http.exchange import Exchange
from ..node.http.server_stream import Gone, Headers
from .faults import Fault

_ADVERTISEMENT: Final = b"application/x-git-upload-pack-advertisement"
_RESULT: Final = b"application/x-git-upload-pack-result"


class Answered(Protocol):
    """A request as far as its answer is known."""

    status: int


class Delivery:
    """One answer on its way, as far as its fault lets it; one that waits is ended from outside.

    Args:
      answered: where the status is noted.
    """

    def __init__(self, exchange: Exchange, fault: Fault, answered: Answered) -> None:
        self._answered = answered
        self._exchange = exchange
        self._fault = fault
        self._sent = 0

    async def replace(self, oid: str = "") -> None:
        """Give the fault's own answer.

        Args:
          oid: what a refusal names.
        """
        fault = self._fault
        if fault.raw is not None:
            await self._send_raw(fault.raw)
        headers = [(name.encode(), value.encode("latin-1")) for name, value in fault.headers]
        if fault.status == 200 and b"content-type" not in dict(headers):
            headers.append((b"content-type", self._content_type))
        if fault.moved_to is not None:
            headers.append((b"location", f"{fault.moved_to}{self._file}".encode("latin-1")))
        await self.start(fault.status or 200, headers)
        await self.write(fault.body.replace(b"{oid}", oid.encode()))
        while fault.repeat:
            await self.write(fault.repeat)
        await self.end()

    async def _send_raw(self, data: bytes) -> None:
        """Nothing of HTTP's: the stream below it."""
        try:
            await self._exchange._wire.stream.send_all(data)
        except trio.BrokenResourceError as error:
            raise Gone("the client left") from error
        await trio.sleep_forever()

    async def start(self, status: int, headers: Headers) -> None:
        """Send the head."""
        self._answered.status = status
        if self._fault.content_type is not None:
            headers = [(name, value) for name, value in headers if name.lower() != b"content-type"]
            headers.append((b"content-type", self._fault.content_type.encode("latin-1")))
        await self._exchange.start(status, headers)

    async def write(self, data: bytes) -> None:
        """Send a piece of the body."""
        size = self._fault.drip_bytes or len(data)
        for start in range(0, len(data), size or 1):
            await self._write(data[start : start + size])
            if self._fault.drip_bytes:
                await trio.sleep(self._fault.drip_secs)

    async def end(self) -> None:
        """All is said."""
        if self._fault.keeps_open:
            await trio.sleep_forever()

    async def _write(self, data: bytes) -> None:
        ends = [end for end in (self._fault.cut_at, self._fault.stall_at) if end is not None]
        if not ends or self._sent + len(data) < min(ends):
            self._sent += len(data)
            await self._exchange.write(data)
            return
        await self._exchange.write(data[: min(ends) - self._sent])
        if self._fault.cut_at == min(ends):
            raise Gone("cut as it should")
        await trio.sleep_forever()

    @property
    def _file(self) -> str:
        """What was asked for of the repository."""
        path, query = self._exchange.path, self._exchange.query
        for name in ("/info/refs", "/git-upload-pack"):
            if path.endswith(name):
                return f"{name}?{query}" if query else name
        return path

    @property
    def _content_type(self) -> bytes:
        return _ADVERTISEMENT if self._exchange.method == "GET" else _RESULT
