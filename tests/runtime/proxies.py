"""A small proxy on a loopback address, CONNECT of HTTP or SOCKS5, that notes what it is asked."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address

import attrs
import trio

from purgatory_sync.settings import Proxy

from ..passing_on import pass_on


@attrs.define(eq=False)
class ProxyServer:
    """What the proxy wants, where it leads, and what it saw.

    Attributes:
      credentials: what it demands.
      leads_to: connects there for every request; None: where it is asked to.
      asked: the targets, in their order.
      heads: of CONNECT requests, as they came.
    """

    credentials: tuple[str, str] | None = None
    leads_to: tuple[str, int] | None = None
    port: int = 0
    asked: list[str] = attrs.field(factory=list)
    heads: list[bytes] = attrs.field(factory=list)

    def setting(self, scheme: str = "http", credentials: tuple[str, str] | None = None) -> Proxy:
        return Proxy("http" if scheme == "http" else "socks5", "127.0.0.1", self.port, credentials)

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            first = await _exactly(stream, 1)
            if first == b"\x05":
                await self._socks5(stream)
            elif first:
                await self._connect(stream, first)

    async def _connect(self, stream: trio.SocketStream, head: bytes) -> None:
        while not head.endswith(b"\r\n\r\n"):
            head += await _exactly(stream, 1)
        self.heads.append(head)
        method, target, _ = head.split(b"\r\n")[0].split(b" ")
        assert method == b"CONNECT"
        if self.credentials is not None:
            basic = b64encode(":".join(self.credentials).encode())
            if b"\r\nproxy-authorization: basic " + basic.lower() not in head.lower():
                await stream.send_all(b"HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n")
                return
        host, _, port = target.decode().rpartition(":")
        await self._lead(
            stream,
            (host.strip("[]"), int(port)),
            b"HTTP/1.1 200 Connection established\r\n\r\n",
            b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
        )

    async def _socks5(self, stream: trio.SocketStream) -> None:
        methods = await _exactly(stream, (await _exactly(stream, 1))[0])
        wanted = 0 if self.credentials is None else 2
        if wanted not in methods:
            await stream.send_all(b"\x05\xff")
            return
        await stream.send_all(bytes([5, wanted]))
        if self.credentials is not None:
            await _exactly(stream, 1)
            given = [await _exactly(stream, (await _exactly(stream, 1))[0]) for _ in range(2)]
            good = [each.encode() for each in self.credentials] == given
            await stream.send_all(b"\x01\x00" if good else b"\x01\x01")
            if not good:
                return
        kind = (await _exactly(stream, 4))[3]
        host = str(ip_address(await _exactly(stream, 4 if kind == 1 else 16)))
        port = int.from_bytes(await _exactly(stream, 2), "big")
        bound = b"\x00\x01" + bytes(6)
        await self._lead(stream, (host, port), b"\x05\x00" + bound, b"\x05\x05" + bound)

    async def _lead(
        self, stream: trio.SocketStream, target: tuple[str, int], good: bytes, bad: bytes
    ) -> None:
        self.asked.append(f"{target[0]}:{target[1]}")
        try:
            behind = await trio.open_tcp_stream(*(self.leads_to or target))
        except OSError:
            await stream.send_all(bad)
            return
        await stream.send_all(good)
        await pass_on(stream, behind)


async def _exactly(stream: trio.SocketStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = await stream.receive_some(count - len(data))
        if not piece:
            return b""
        data += piece
    return data


@asynccontextmanager
async def proxy_server(
    credentials: tuple[str, str] | None = None, leads_to: tuple[str, int] | None = None
) -> AsyncIterator[ProxyServer]:
    server = ProxyServer(credentials, leads_to)
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        server.port = listener.socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, server.serve, [listener])
        yield server
        nursery.cancel_scope.cancel()
