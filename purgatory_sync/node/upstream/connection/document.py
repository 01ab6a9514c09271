"""Reading what a relay says of itself: NIP-11, once a day, through the gate only."""

from __future__ import annotations

import ssl
from typing import Final

import h11
import trio
from websockets.uri import parse_uri

from ....errors import AttemptFailed
from ....runtime.logger import Log
from ....runtime.net.gate import Gate
from ....runtime.net.http11 import HttpConnection, start_tls
from ....urls import WebUrl
from ..state.relay_limits import InvalidDocument, RelayLimits
from ..state.walk_progress import FULL_EVERY_SECS

DOCUMENT_SECS: Final = 5.0
MAX_DOCUMENT_BYTES: Final = 64 * 1024


async def learn_limits(
    limits: RelayLimits, url: WebUrl, gate: Gate, tls: ssl.SSLContext, now: float, log: Log
) -> None:
    """Take the relay's limits from its document, unless that was done within a day.

    Where there is none, its refusals tell. Cancelled, it is asked the next time.
    """
    asked = limits.asked_document_at
    if asked is not None and 0 <= now - asked < FULL_EVERY_SECS:
        return
    try:
        with trio.fail_after(DOCUMENT_SECS):
            document = await fetch_document(url, gate, tls)
        if document is not None:
            limits.told(document)
    except (AttemptFailed, OSError, trio.TooSlowError, trio.BrokenResourceError) as error:
        log.debug("no NIP-11 document", error=str(error))
    except InvalidDocument as error:
        log.info("NIP-11 document not read: the relay's refusals tell its limits", error=str(error))
    limits.asked_document_at = now


async def fetch_document(url: WebUrl, gate: Gate, tls: ssl.SSLContext) -> bytes | None:
    """What a relay says of itself, up to 64 KiB; None where it answers with another status.

    Raises what the gate and the connection raise; InvalidDocument: it is longer.
    """
    stream: trio.abc.Stream = await gate.open_tcp(url.host, url.port)
    try:
        if url.scheme == "wss":
            stream = await start_tls(stream, tls, url.host, DOCUMENT_SECS)
        connection = HttpConnection(stream, DOCUMENT_SECS)
        where = parse_uri(url.text)
        host = where.host if where.port in (80, 443) else f"{where.host}:{where.port}"
        headers = [("Host", host), ("Accept", "application/nostr+json"), ("Connection", "close")]
        headers.append(("User-Agent", "purgatory-sync"))
        head = h11.Request(method="GET", target=where.resource_name, headers=headers)
        answer = await connection.request(head)
        if answer.status_code != 200:
            return None
        body = bytearray()
        while piece := await connection.read():
            body += piece
            if len(body) > MAX_DOCUMENT_BYTES:
                raise InvalidDocument(f"its NIP-11 document is longer than {MAX_DOCUMENT_BYTES} B")
        return bytes(body)
    finally:
        await trio.aclose_forcefully(stream)
