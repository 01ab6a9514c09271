"""Through the operator's proxy (NGIT_HUNT_PROXY): CONNECT of HTTP, and SOCKS5 (RFC 1928, 1929).

The proxy is asked for an address, never for a name: what was judged is what is contacted. What it
says is bounded by the time for connecting and by the size of a head, and nothing that it does wrong
is held against the server.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import h11
import trio

from ...errors import AttemptFailed, ConnectFailed, NotReachedByProxy, ProxyFailed
from ...settings import Proxy
from .addresses import Address, parse_address
from .connectors import Straight, Stream, shares
from .http11 import HttpConnection

LookUp = Callable[[str], Awaitable[Sequence[str]]]

_IPV4, _DOMAIN, _IPV6 = 1, 3, 4
_BOUND_BYTES: Final = {_IPV4: 4, _IPV6: 16}
_NO_CREDENTIALS, _CREDENTIALS = 0, 2
# Of RFC 1928's replies those that speak of the proxy; the others speak of the way to the server.
_REPLIES_OF_PROXY: Final = {2: "does not allow it", 7: "knows no CONNECT"}
_REPLIES: Final = {
    3: "the network is unreachable",
    4: "the host is unreachable",
    5: "the connection was refused",
    6: "the host is too far away",
    8: "it knows no such addresses",
}


class ThroughProxy:
    """A Connector through a proxy.

    Args:
      straight: connects to the proxy.
      look_up: the addresses of its name.
    """

    def __init__(self, proxy: Proxy, straight: Straight, look_up: LookUp) -> None:
        self._proxy = proxy
        self._straight = straight
        self._look_up = look_up
        self._ask = _ask_http if proxy.scheme == "http" else _ask_socks5

    async def open(self, addresses: Sequence[str], port: int, deadline: float) -> Stream:
        """See Connector.

        Raises:
          NotReachedByProxy: it was asked for an address and gave no connection.
          ProxyFailed: it cannot be reached, refuses, or speaks something else; it has not tried.
        """
        failure: NotReachedByProxy | None = None
        for text, until in shares(addresses, deadline):
            address = parse_address(text)
            if address is None:
                continue
            try:
                return await self._tunnel(await self._reach(deadline), address, port, until)
            except NotReachedByProxy as error:
                failure = error
            except ProxyFailed as error:
                if failure is None:
                    raise
                # The start for an earlier address counts, however it ended.
                raise failure from error
        raise failure or ProxyFailed("no address")

    async def _reach(self, deadline: float) -> Stream:
        try:
            with trio.move_on_at(deadline):
                found = await self._look_up(self._proxy.host)
                return await self._straight.open(found, self._proxy.port, deadline)
        except AttemptFailed as error:
            raise ProxyFailed(f"no connection to the proxy: {error}") from error
        raise ProxyFailed("no connection to the proxy in time")

    async def _tunnel(self, stream: Stream, address: Address, port: int, until: float) -> Stream:
        try:
            with trio.fail_at(until):
                await self._ask(stream, self._proxy.credentials, address, port)
        except BaseException as error:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)
            if isinstance(error, trio.TooSlowError):
                raise NotReachedByProxy("the proxy gave no connection in time") from error
            if isinstance(error, trio.BrokenResourceError):
                raise ProxyFailed("the proxy closed the connection") from error
            raise
        return stream


Credentials = tuple[str, str] | None


async def _ask_http(stream: Stream, credentials: Credentials, address: Address, port: int) -> None:
    host = f"[{address}]" if address.version == 6 else str(address)
    target = f"{host}:{port}".encode()
    # Written as most do: some proxies look for names letter by letter.
    headers = [(b"Host", target)]
    if credentials is not None:
        basic = b64encode(":".join(credentials).encode())
        headers.append((b"Proxy-Authorization", b"Basic " + basic))
    # The time is the caller's.
    connection = HttpConnection(stream, idle_timeout_secs=math.inf)
    try:
        request = h11.Request(method=b"CONNECT", target=target, headers=headers)
        answer = await connection.request(request)
    except ConnectFailed as error:  # some say so when they could not connect
        raise NotReachedByProxy(f"the proxy gave no connection: {error}") from error
    except AttemptFailed as error:
        raise ProxyFailed(f"no way through the proxy: {error}") from error
    status = answer.status_code
    if status == 407:
        raise ProxyFailed("the proxy does not take our user and password (HTTP 407)")
    if status >= 500:
        raise NotReachedByProxy(f"the proxy did not reach the server (HTTP {status})")
    if status >= 300:
        raise ProxyFailed(f"the proxy refuses to connect (HTTP {status})")
    if not connection.is_tunnel():
        raise ProxyFailed("the proxy sends more than its answer")


async def _ask_socks5(
    stream: Stream, credentials: Credentials, address: Address, port: int
) -> None:
    methods = [_NO_CREDENTIALS] if credentials is None else [_NO_CREDENTIALS, _CREDENTIALS]
    await stream.send_all(bytes([5, len(methods), *methods]))
    version, method = await _exactly(stream, 2)
    if version != 5:
        raise ProxyFailed("the proxy speaks no SOCKS5")
    if method == _CREDENTIALS and credentials is not None:
        user, password = (each.encode() for each in credentials)
        await stream.send_all(bytes([1, len(user)]) + user + bytes([len(password)]) + password)
        if (await _exactly(stream, 2))[1] != 0:
            raise ProxyFailed("the proxy does not take our user and password")
    elif method != _NO_CREDENTIALS:
        raise ProxyFailed("the proxy wants other credentials than NGIT_HUNT_PROXY has")
    kind = _IPV4 if address.version == 4 else _IPV6
    await stream.send_all(bytes([5, 1, 0, kind]) + address.packed + port.to_bytes(2, "big"))
    version, reply, _, kind = await _exactly(stream, 4, NotReachedByProxy)
    if version != 5:
        raise ProxyFailed("the proxy speaks no SOCKS5")
    if reply in _REPLIES_OF_PROXY:
        raise ProxyFailed(f"the proxy {_REPLIES_OF_PROXY[reply]} (SOCKS5 reply {reply})")
    if reply != 0:
        why = _REPLIES.get(reply, "it says no more")
        raise NotReachedByProxy(f"the proxy did not reach the server: {why} (SOCKS5 reply {reply})")
    if kind == _DOMAIN:
        (length,) = await _exactly(stream, 1, NotReachedByProxy)
        await _exactly(stream, length + 2, NotReachedByProxy)
    elif kind in _BOUND_BYTES:
        await _exactly(stream, _BOUND_BYTES[kind] + 2, NotReachedByProxy)
    else:
        raise ProxyFailed("the proxy speaks no SOCKS5")


async def _exactly(stream: Stream, count: int, closed: type[ProxyFailed] = ProxyFailed) -> bytes:
    """So many bytes and no more: what follows is the server's.

    Args:
      closed: what an end before that means: NotReachedByProxy once an address was asked for.
    """
    data = b""
    while len(data) < count:
        try:
            piece = bytes(await stream.receive_some(count - len(data)))
        except trio.BrokenResourceError as error:
            raise closed("the proxy closed the connection") from error
        if not piece:
            raise closed("the proxy closed the connection")
        data += piece
    return data
