"""What stands in front of a server in tests and hands everything on."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

CERTIFICATE = Path(__file__).parent / "git" / "git.example.pem"


async def pass_on(stream: trio.abc.Stream, behind: trio.abc.Stream) -> None:
    """Hand on in both directions until either side ends; both are closed then."""
    async with stream, behind, trio.open_nursery() as nursery:
        nursery.start_soon(_one_way, stream, behind)
        nursery.start_soon(_one_way, behind, stream)


async def _one_way(source: trio.abc.Stream, target: trio.abc.Stream) -> None:
    try:
        async for data in source:
            await target.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    finally:
        await trio.aclose_forcefully(target)


@asynccontextmanager
async def tls_in_front_of(port: int, named: list[str | None] | None = None) -> AsyncIterator[int]:
    """TLS with a certificate for git.example, handed on to a port of this machine.

    Args:
      named: the names that clients ask for are noted here.
    """

    async def accept(stream: trio.SSLStream[trio.SocketStream]) -> None:
        await pass_on(stream, await trio.open_tcp_stream("127.0.0.1", port))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    if named is not None:
        context.sni_callback = lambda stream, name, context: named.append(name)
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_ssl_over_tcp, accept, 0, context, host="127.0.0.1")
        listeners = await nursery.start(serve)
        yield listeners[0].transport_listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()
