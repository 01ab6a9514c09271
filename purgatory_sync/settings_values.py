"""Settings between text and value: what an operator may write, and how a value is shown."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin
from urllib.parse import unquote

import attrs

from .errors import InvalidUrl
from .policy.rules.list_entries import Unacceptable, read_event_id, read_npub, read_repository
from .runtime.net.addresses import networks
from .settings import GIB, KIB, MIB, Network, Proxy
from .urls import GIT_SCHEMES, RELAY_SCHEMES, parse_web_url, split_address

# Beyond this a number is a slip, and SQLite and timers would refuse it later with less to say.
MOST: Final = 2**53

NEVER: Final = "never"

_SIZE = re.compile(r"(\d{1,16}(?:\.\d{1,6})?) ?([a-z]*)", re.IGNORECASE | re.ASCII)
_INTEGER = re.compile(r"\d{1,17}", re.ASCII)
_NUMBER = re.compile(r"\d{1,17}(?:\.\d{1,9})?", re.ASCII)
_BASE_PATH: Final = re.compile(r"/|(?:/[A-Za-z0-9._~-]+)+")
MAX_BASE_CHARS: Final = 200
_PORT = re.compile(r"(.+):(\d{1,5})", re.ASCII)
_UNITS = {
    "": 1,
    "b": 1,
    **{"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12},
    **{"kib": KIB, "mib": MIB, "gib": GIB, "tib": KIB * GIB},
}
_BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}
# Words of other programs' log levels that existing environment files hold.
_SYNONYMS = {"warn": "warning", "trace": "debug"}


@attrs.frozen
class Reader:
    """How one setting's text is read.

    Attributes:
      accepted: what may be written, to follow "expected".
      metavar: one word for it, for `--help`.
      read: raises Unacceptable (or ValueError) for other texts; its words, if any, are shown.
    """

    accepted: str
    metavar: str
    read: Callable[[str], Any]


def reader_for(kind: Any, *, size: bool = False, zero: bool = False) -> Reader:
    """The reader for a field's type.

    Args:
      kind: the field's annotation (resolved); `X | None` is read as X.
      size: a number of bytes, units allowed.
      zero: whether 0 makes sense.
    """
    if get_origin(kind) in (UnionType, Union):
        kind = next(each for each in get_args(kind) if each is not type(None))
    if get_origin(kind) is Literal:
        return _choice(get_args(kind))
    if size:
        what = "a size such as 1GiB, 500MB or a number of bytes" + ("" if zero else " above 0")
        return Reader(what, "SIZE", lambda text: _size(text, zero))
    if kind is bool:
        return Reader("true or false", "BOOL", _boolean)
    if kind is int:
        what = f"a whole number, {'0' if zero else '1'} or more"
        return Reader(what, "N", lambda text: _integer(text, zero))
    if kind is float:
        what = "a number, 0 or more" if zero else "a number above 0"
        return Reader(what, "NUMBER", lambda text: _number(text, zero))
    if kind is Path:
        return Reader("a path", "PATH", _path)
    if kind == tuple[Network, ...]:
        what = "networks such as 10.0.0.0/8 or fd00::/8, separated by commas"
        return Reader(what, "CIDR,…", _networks)
    return TEXT


def _choice(choices: Iterable[str]) -> Reader:
    known = tuple(choices)

    def read(text: str) -> str:
        word = text.lower()
        found = word if word in known else _SYNONYMS.get(word)
        if found not in known:
            raise Unacceptable
        return found

    return Reader(" or ".join((", ".join(known[:-1]), known[-1])), "|".join(known), read)


def _boolean(text: str) -> bool:
    return _BOOLEANS[_known(text.lower(), _BOOLEANS)]


def _integer(text: str, zero: bool) -> int:
    if not _INTEGER.fullmatch(text):
        raise Unacceptable
    return int(_within(int(text), zero))


def _number(text: str, zero: bool) -> float:
    if not _NUMBER.fullmatch(text):
        raise Unacceptable
    return float(_within(float(text), zero))


def _days(text: str) -> float:
    """Days; `never` is infinity."""
    return math.inf if text.lower() == NEVER else _number(text, zero=False)


def _size(text: str, zero: bool) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise Unacceptable
    unit = _UNITS[_known(match[2].lower(), _UNITS)]
    whole, _, fraction = match[1].partition(".")
    exact = int(whole) * unit + int(fraction or 0) * unit // 10 ** len(fraction)
    return int(_within(exact, zero))


def _known(word: str, words: Iterable[str]) -> str:
    if word not in words:
        raise Unacceptable
    return word


def _within(number: float, zero: bool) -> float:
    if number > MOST or (number == 0 and not zero):
        raise Unacceptable
    return number


def _networks(text: str) -> tuple[Network, ...]:
    return networks(*(part.strip() for part in text.split(",") if part.strip()))


def _path(text: str) -> Path:
    if "\0" in text:
        raise Unacceptable
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise Unacceptable("no such user") from error


def _text(text: str) -> str:
    if not text.isprintable():
        raise Unacceptable
    return text


def _header(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise Unacceptable("only printable ASCII")
    return text


def _service(text: str) -> str:
    """A host[:port]; host in lower case, the port as it was written."""
    try:
        url = parse_web_url(f"http://{text}")
    except InvalidUrl as error:
        raise Unacceptable(str(error)) from error
    if url.path or "/" in text:
        raise Unacceptable
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{host}:{url.port}" if _PORT.fullmatch(text) and not text.endswith("]") else host


def _base_path(text: str) -> str:
    """`/`, or slashes before segments of unreserved characters (RFC 3986), none of them dots."""
    dots = any(segment in (".", "..") for segment in text.split("/"))
    if len(text) > MAX_BASE_CHARS or dots or not _BASE_PATH.fullmatch(text):
        raise Unacceptable
    return text


def _service_below(text: str) -> str:
    """A host[:port] with or without a base path behind it."""
    service, slash, path = text.partition("/")
    return _service(service) + (_base_path(f"{slash}{path}") if path else "")


def _origin(text: str) -> str:
    """An http(s) URL of nothing but scheme, host and port."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in GIT_SCHEMES:
        raise Unacceptable
    return f"{scheme.lower()}://{_service(rest)}"


def _peer(text: str) -> str:
    """The URL of a service and its key: `https://host[:port][/base] npub1…`."""
    url, _, npub = text.partition(" ")
    try:
        service = parse_web_url(url, GIT_SCHEMES).text
    except InvalidUrl as error:
        raise Unacceptable(f"{url!a}: {error}") from error
    return f"{service} {read_npub(npub.strip())}"


def _address(text: str) -> str:
    service = _service(text)
    if not _PORT.fullmatch(service) or service.endswith("]"):
        raise Unacceptable
    return service


def _relay(text: str) -> str:
    try:
        return parse_web_url(text if "://" in text else f"wss://{text}", RELAY_SCHEMES).text
    except InvalidUrl as error:
        raise Unacceptable(str(error)) from error


def _proxy(text: str) -> Proxy:
    """The one URL that may carry credentials; no error repeats any of it."""
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in ("http", "socks5"):
        raise Unacceptable("only http and socks5 proxies can be used")
    userinfo, at, place = rest.rpartition("@")
    host, port = split_address(_address(place.removesuffix("/")))
    credentials = _credentials(userinfo) if at else None
    return Proxy("http" if scheme == "http" else "socks5", host, port, credentials)


def _credentials(userinfo: str) -> tuple[str, str]:
    user, colon, password = userinfo.partition(":")
    try:
        found = unquote(user, errors="strict"), unquote(password, errors="strict")
    except UnicodeDecodeError:
        raise Unacceptable("user and password must be UTF-8") from None
    # The lengths are those of SOCKS5; the colon is what HTTP puts between the two.
    if not colon or not found[0] or ":" in found[0]:
        raise Unacceptable("what is in front of the @ is not user:password")
    if any(len(each.encode()) > 255 or not each.isprintable() for each in found):
        raise Unacceptable("user and password are at most 255 bytes of printable text each")
    return found


def _listed(text: str, read: Callable[[str], str]) -> tuple[str, ...]:
    """What commas separate, each once; a list without anything in it is a slip."""
    found = dict.fromkeys(read(part) for each in text.split(",") if (part := each.strip()))
    if not found:
        raise Unacceptable
    return tuple(found)


DAYS: Final = Reader("a number of days above 0, or never", "DAYS", _days)
HEADER: Final = Reader("a name such as git/2.53.0", "NAME", _header)
TEXT: Final = Reader("text in one line", "TEXT", _text)
SERVICE: Final = Reader(
    "a host or host:port without scheme and path, such as git.example.org", "HOST[:PORT]", _service
)
SERVICES: Final = Reader(
    "services as host, host:port or host:port/base without scheme, separated by commas",
    "SERVICE,…",
    lambda text: _listed(text, _service_below),
)
BASE_PATH: Final = Reader(
    "/ or a path such as /services/grasp: letters, digits, - . _ ~ and slashes, none at the end,"
    f" at most {MAX_BASE_CHARS} characters",
    "/PATH",
    _base_path,
)
ORIGIN: Final = Reader(
    "http:// or https:// and a host or host:port, without path, query and fragment",
    "ORIGIN",
    _origin,
)
PEERS: Final = Reader(
    "services as https://host[:port][/base] with a space and their npub1…, separated by commas",
    "PEER,…",
    lambda text: _listed(text, _peer),
)
ADDRESS: Final = Reader(
    "address:port with a port from 1 to 65535, such as 0.0.0.0:7334 or [::]:7334",
    "ADDRESS:PORT",
    _address,
)
RELAY: Final = Reader(
    "a relay URL such as wss://relay.example.org (without a scheme wss:// is meant)", "URL", _relay
)
RELAYS: Final = Reader(
    "relay URLs such as wss://relay.example.org, separated by commas, or nothing for none",
    "URL,…",
    lambda text: _listed(text, _relay),
)
PROXY: Final = Reader(
    "http://host:port or socks5://host:port, with user:password@ in front of the host if it asks "
    "for them (percent-encoded)",
    "URL",
    _proxy,
)
AUTHORS: Final = Reader(
    "authors as npub1…, separated by commas", "NPUB,…", lambda text: _listed(text, read_npub)
)
EVENT_IDS: Final = Reader(
    "ids of events, 64 hexadecimal digits each, separated by commas",
    "ID,…",
    lambda text: _listed(text, read_event_id),
)
REPOSITORIES: Final = Reader(
    "repositories as npub1…, npub1…/identifier or identifier, separated by commas",
    "REPOSITORY,…",
    lambda text: _listed(text, read_repository),
)


def shown(value: Any, *, size: bool = False) -> str:
    """A value as an operator would write it; empty for None and for no networks."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if value == math.inf:
        return NEVER
    if size:
        for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
            if value and value % unit == 0:
                return f"{value // unit}{name}"
    return f"{value:.15g}" if isinstance(value, float) else str(value)
