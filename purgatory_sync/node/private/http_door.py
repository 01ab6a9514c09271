"""The door of HTTP: who has not proven to be a member gets one answer, before any look-up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from ...errors import InvalidEvent, InvalidUrl
from ...nostr.http_auth.header import BASIC, SCHEME, event_of_basic, event_of_header
from ...nostr.http_auth.signed_access import METHOD, check_access
from ...settings import Settings
from ...urls import GIT_SCHEMES, base_of, parse_web_url, scheme_of
from ..git_http.repository_paths import parse_git_path
from ..http.exchange import Exchange
from ..http.server_stream import Headers
from ..relay.nip05 import PATH as NAMES
from ..relay.nip11 import ICON_PATH
from .members import Members

OPEN: Final = frozenset({"/", ICON_PATH, NAMES})
"""What tells of the service only; `/` knows nothing of its repositories then."""
STATUS: Final = frozenset({"/purgatory", "/purgatory.json", "/metrics"})
NOTHING: Final = b"nothing is served at this path\n"

_OWNER: Final = "npub1"
_REPOSITORY_SLASHES: Final = 2
_EXPOSED: Final = (b"access-control-expose-headers", b"WWW-Authenticate")
_NOT_KEPT: Final = (b"cache-control", b"no-store")


@attrs.frozen
class _Repository:
    """What a path or a URL names: an owner's npub and a name without `.git`."""

    owner: str
    identifier: str


class HttpDoor:
    """Judges each request by its head alone (B 16.3 to 16.5).

    Args:
      members: who may come in.
      service: our host[:port][/base].
      origin: the scheme and host[:port] that members sign.
      basic: whether an event as a password is taken, too.
      now: Unix seconds.
    """

    def __init__(
        self,
        members: Members,
        service: str,
        origin: str,
        now: Callable[[], float],
        *,
        basic: bool = True,
    ) -> None:
        self._members = members
        self._base = base_of(service)
        self._origin = parse_web_url(f"{origin}{self._base}", GIT_SCHEMES)
        self._now = now
        self._basic = basic
        realm = f'realm="{service}"'
        refused = (b"www-authenticate", f'{SCHEME} {realm}, method="{METHOD}"'.encode())
        self._refusal: Headers = [refused, _EXPOSED, _NOT_KEPT]
        self._helped: Headers = [
            *([refused, (b"www-authenticate", b'Basic realm="git"')] if basic else [refused]),
            *(_EXPOSED, _NOT_KEPT),
        ]

    async def lets_in(self, exchange: Exchange) -> bool:
        """Whether a request goes on; one that does not is answered here: 401, or 404.

        Nothing is looked up, and no body is read.
        """
        path = exchange.path
        if path in OPEN:
            return True
        if path in STATUS:
            if self._is_proven(exchange, lambda url: self._path_of(url) == path):
                return True
        elif path.startswith(f"/{_OWNER}") and path.count("/") > 1:
            asked = _repository(path)
            if self._is_proven(exchange, lambda url: self._names(url, asked)):
                return True
            await self._refuse(exchange)
            return False
        await exchange.respond(404, NOTHING)
        return False

    async def _refuse(self, exchange: Exchange) -> None:
        scheme = exchange.headers.get("authorization", "").strip().partition(" ")[0].lower()
        # Who speaks Nostr knows how to go on; only of others do credential helpers know.
        headers = self._refusal if scheme == SCHEME.lower() else self._helped
        await exchange.respond(401, more=headers)

    def _is_proven(self, exchange: Exchange, names: Callable[[str], bool]) -> bool:
        header = exchange.headers.get("authorization", "")
        try:
            if self._basic and header.strip()[: len(BASIC)].lower() == BASIC.lower():
                event = event_of_basic(header)
            else:
                event = event_of_header(header)
            check_access(event, names, self._members.has, self._now())
        except InvalidEvent:
            return False
        return True

    def _path_of(self, url: str) -> str | None:
        """The path below our base that a signed URL names; None for what is elsewhere."""
        try:
            there = parse_web_url(url, GIT_SCHEMES)
        except InvalidUrl:
            return None
        ours = self._origin
        same = (there.scheme, there.endpoint) == (ours.scheme, ours.endpoint)
        below = there.path.startswith(f"{self._base}/")
        return there.path[len(self._base) :] if same and below else None

    def _names(self, url: str, asked: _Repository | None) -> bool:
        """Whether a signed URL is that of a repository, in any spelling."""
        path = self._path_of(url.partition("?")[0].partition("#")[0])
        if asked is None or path is None or path.count("/") != _REPOSITORY_SLASHES:
            return False
        return _repository(path) == asked


def _repository(path: str) -> _Repository | None:
    """The repository that a path lies in, or is of; None where it can be none (B 6.1)."""
    _, owner, name, *_ = path.split("/", 3)
    found = parse_git_path(f"/{owner}/{name}/info/refs")
    return None if found is None else _Repository(found.npub, found.identifiers[0])


def origin_of(settings: Settings) -> str:
    """The scheme and host[:port] that members sign: the operator's, or as our name has it."""
    if settings.private.public_origin is not None:
        return settings.private.public_origin
    name = settings.service.partition("/")[0]
    return f"{scheme_of(name)}://{name}"
