"""The HTTP side of the management API: who calls, how often, and what is answered (B 10.6)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import attrs
import msgspec
import trio

from ...errors import InvalidEvent, PurgatorySyncError
from ...nostr.event import Event
from ...nostr.http_auth.header import event_of_header
from ...nostr.http_auth.signed_call import check_call
from ...nostr.keys import encode_npub
from ...runtime.clock import WallClock
from ...runtime.logger import get_logger
from ...runtime.sliding_window import SlidingWindow
from ..http.exchange import Exchange
from ..http.server_stream import VARY_ACCEPT, Headers
from .methods import BadCall, Methods
from .replays import Replays

MEDIA_TYPE: Final = "application/nostr+json+rpc"
MAX_BODY_BYTES: Final = 64 * 1024
CALLS, CALLS_SECS = 60, 60.0

_CHALLENGE: Final = (b"www-authenticate", b"Nostr")
_SHOWN_CHARS: Final = 300

log = get_logger(__name__)


@attrs.frozen
class _Call:
    method: str
    params: list[Any] = attrs.field(factory=list)


class Management:
    """Answers calls that a key of the operator signed.

    Args:
      admins: their public keys, in hex.
      service: our host[:port][/base], which each call names in `u`.
    """

    def __init__(
        self, methods: Methods, admins: Collection[str], service: str, clock: WallClock
    ) -> None:
        self._methods = methods
        self._admins = frozenset(admins)
        self._service = service
        self._clock = clock
        self._replays = Replays()
        self._window = SlidingWindow(CALLS, CALLS_SECS)

    @staticmethod
    def is_called(exchange: Exchange) -> bool:
        """Whether a request is a call, signed or not: NIP-86 tells it by its Content-Type."""
        kind = exchange.headers.get("content-type", "").partition(";")[0].strip().lower()
        return exchange.method == "POST" and kind == MEDIA_TYPE

    async def answer(self, exchange: Exchange) -> None:
        """Judge who calls, do it, and answer.

        Raises what reading and writing the exchange raise; a call that was begun is ended.
        """
        try:
            event = event_of_header(exchange.headers.get("authorization", ""))
            if event.pubkey not in self._admins:
                raise InvalidEvent("this key is none of the operator's (NGIT_ADMIN_PUBKEYS)")
            if (body := await _body(exchange)) is None:
                await _respond(exchange, 413, {"error": f"more than {MAX_BODY_BYTES} bytes"})
                return
            check_call(event, self._service, body, self._clock.now())
        except InvalidEvent as error:
            await _respond(exchange, 401, {"error": str(error)}, [_CHALLENGE])
            return
        now = trio.current_time()
        if not self._window.room(now):
            wait = max(1, round(self._window.next_at(now) - now))
            said = {"error": f"more than {CALLS} calls a minute: wait {wait} s"}
            await _respond(exchange, 429, said, [(b"retry-after", b"%d" % wait)])
        elif not self._replays.take(event.id, now):
            said = {"error": "this call was made already: sign each call anew"}
            await _respond(exchange, 401, said, [_CHALLENGE])
        else:
            self._window.count(now)
            await _respond(exchange, *await self._do(event, body))

    async def _do(self, event: Event, body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer to a call of an admin; each is logged with the key."""
        caller = log.bind(admin=encode_npub(event.pubkey))
        try:
            call = msgspec.json.decode(body, type=_Call)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            caller.warning("call not understood", error=str(error)[:_SHOWN_CHARS])
            return 400, {"error": 'the body is no call: {"method": "…", "params": []}'}
        caller = caller.bind(method=ascii(call.method)[:_SHOWN_CHARS])
        shown = ascii(call.params)[:_SHOWN_CHARS]
        try:
            result = await self._methods.call(call.method, call.params)
        except (BadCall, PurgatorySyncError) as error:
            caller.warning("call refused", params=shown, error=str(error))
            return 200, {"error": str(error)}
        except Exception:
            caller.exception("call crashed", params=shown)
            return 200, {"error": "failed inside: the node's log says why"}
        caller.info("called", params=shown)
        return 200, {"result": result}


async def _body(exchange: Exchange) -> bytes | None:
    """The body of a request; None where it is too long."""
    body = bytearray()
    while piece := await exchange.read():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


async def _respond(
    exchange: Exchange, status: int, said: dict[str, Any], more: Headers | None = None
) -> None:
    kept = (b"cache-control", b"no-store")
    headers = [VARY_ACCEPT, kept, *(more or [])]
    await exchange.respond(status, msgspec.json.encode(said), MEDIA_TYPE, headers)
