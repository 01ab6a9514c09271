"""`/.well-known/nostr.json`: the service's key by the name `_` (NIP-05, B 13.6)."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

import msgspec

from ...urls import scheme_of
from ..http.exchange import Exchange
from .nip11 import RelayInfo

PATH: Final = "/.well-known/nostr.json"
NAME: Final = "_"
_MAX_FIELDS: Final = 16
_KEPT_SECS: Final = 300


async def answer(exchange: Exchange, info: RelayInfo) -> None:
    """Answer a GET of the path; never a redirect, as NIP-05 wants it."""
    body = document(info, asked_name(exchange.query))
    kept = (b"cache-control", b"max-age=%d" % _KEPT_SECS)
    await exchange.respond(200, body, "application/json", [kept])


def document(info: RelayInfo, name: str) -> bytes:
    """The JSON document for a name; other names than `_` have no key here."""
    if name != NAME:
        return msgspec.json.encode({"names": {}})
    scheme = "wss" if scheme_of(info.service) == "https" else "ws"
    relays = {info.pubkey: [f"{scheme}://{info.service}"]}
    return msgspec.json.encode({"names": {NAME: info.pubkey}, "relays": relays})


def asked_name(query: str) -> str:
    """The parameter `name` of a query; `_` where there is none."""
    try:
        values = parse_qs(query, keep_blank_values=True, max_num_fields=_MAX_FIELDS).get("name")
    except ValueError:
        return ""
    return NAME if values is None else values[0]
