"""One HTTP request and the answer to it, as the routes see them."""

from __future__ import annotations

import re

import h11
import trio

from .server_stream import CORS, Gone, Headers, Wire

_ABSOLUTE = re.compile(r"\Ahttps?://[^/?#]*", re.IGNORECASE)
_UNREAD_PIECES = 16


class Exchange:
    """One request and its response.

    Attributes:
      method: as sent.
      path: as sent (percent-encoded), without query; below the base once it was entered.
      query: as sent, without `?`.
      headers: names in lower case; values of repeated headers joined by a comma.
      peer: the client's address.
    """

    def __init__(self, wire: Wire, request: h11.Request, peer: str) -> None:
        self._wire = wire
        self.request = request
        self.peer = peer
        self.method = request.method.decode("ascii")
        target = _ABSOLUTE.sub("", request.target.decode("ascii"))
        path, _, self.query = target.partition("?")
        self.path = path or "/"
        self.headers: dict[str, str] = {}
        for raw_name, raw_value in request.headers:
            name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
            known = self.headers.get(name)
            self.headers[name] = value if known is None else f"{known}, {value}"

    def enter(self, base: str) -> bool:
        """Take the base path off the path; False for a path outside of it (B 13.9)."""
        if self.path != base and not self.path.startswith(f"{base}/"):
            return False
        self.path = self.path[len(base) :] or "/"
        return True

    @property
    def answered(self) -> bool:
        """Whether the status is already sent, so that an error can only cut the answer."""
        return self._wire.h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE)

    def wants_websocket(self) -> bool:
        """Whether the request asks for a WebSocket (browsers send `keep-alive, Upgrade`)."""
        tokens = {token.strip().lower() for token in self.headers.get("connection", "").split(",")}
        return "upgrade" in tokens and self.headers.get("upgrade", "").lower() == "websocket"

    async def read(self) -> bytes:
        """The next piece of the request's body; empty at its end.

        Raises:
          Gone: the peer left or took longer than body_timeout_secs for this piece.
          h11.RemoteProtocolError: the body is cut or malformed.
        """
        if self._wire.h11.their_state is not h11.SEND_BODY:
            return b""
        with trio.move_on_after(self._wire.settings.body_timeout_secs):
            event = await self._wire.receive()
            return bytes(event.data) if isinstance(event, h11.Data) else b""
        raise Gone("stalled inside its body")

    async def wait_gone(self) -> None:
        """Return when the peer has left; only after the body was read to its end."""
        await self._wire.wait_gone()

    async def start(self, status: int, headers: Headers) -> None:
        """Send status and headers; those of B 6.3 are added to every answer."""
        await self._wire.send(self._head(status, headers))

    def _head(self, status: int, headers: Headers) -> h11.Response:
        if self._wire.h11.they_are_waiting_for_100_continue:
            # The body that we never asked for may come or not: what follows cannot be told apart.
            headers = [*headers, (b"connection", b"close")]
        return h11.Response(status_code=status, headers=[*CORS, *headers])

    async def write(self, data: bytes) -> None:
        """Send a piece of the response's body; to HEAD nothing is sent."""
        if self.method != "HEAD" and data:
            await self._wire.send(h11.Data(data=data))

    async def respond(
        self,
        status: int,
        body: bytes = b"",
        content_type: str = "text/plain; charset=utf-8",
        more: Headers | None = None,
    ) -> None:
        """Send a whole answer, with `more` headers beside those that every answer has."""
        headers = [*(more or [])]
        if status != 204:
            headers.append((b"content-length", b"%d" % len(body)))
        if body:
            headers.append((b"content-type", content_type.encode("ascii")))
        sent = [h11.Data(data=body)] if body and self.method != "HEAD" else []
        await self._wire.send(self._head(status, headers), *sent)

    async def refuse_method(self, allowed: str, sentence: str, more: Headers | None = None) -> None:
        """Answer 405; `allowed` names the methods of this path."""
        allow = (b"allow", allowed.encode("ascii"))
        await self.respond(405, f"{sentence}\n".encode(), more=[allow, *(more or [])])

    async def is_read(self) -> bool:
        """Whether it is GET or HEAD; any other method is answered with 405."""
        if self.method in ("GET", "HEAD"):
            return True
        await self.refuse_method("GET, HEAD, OPTIONS", "this is read with GET")
        return False

    async def finish(self) -> bool:
        """End the response; says whether the connection can serve another request."""
        h = self._wire.h11
        if h.our_state is h11.SEND_RESPONSE:
            await self._wire.refuse(500)
        await self._wire.send(h11.EndOfMessage())
        if h.our_state is h11.MUST_CLOSE:
            return False
        # A little that the route left unread is taken; more ends the connection.
        for _ in range(_UNREAD_PIECES):
            if not await self.read():
                break
        if h.our_state is h11.DONE and h.their_state is h11.DONE:
            h.start_next_cycle()
            return True
        return False
