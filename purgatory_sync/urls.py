"""The one place that reads URLs: what may ever be contacted, and which service a URL names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

import attrs
import idna

from .errors import InvalidUrl

GIT_SCHEMES = ("http", "https")
RELAY_SCHEMES = ("ws", "wss")
DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
MAX_URL_CHARS = 2048
REPOSITORY_SEGMENTS = 2
"""Of a clone URL below the service: the owner's npub, and the identifier."""

PRS = "prs"
"""The path below the service where pull requests for any repository are taken (GRASP-06)."""

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(
    r"[\x00-\x20\x7f-\xa0\\<>\"^`{|}]|%(?:[01][0-9a-f]|7f|5c|c2%(?:[89][0-9a-f]|a0))", re.IGNORECASE
)
_LABELS = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*", re.ASCII)
_BRACKETED = re.compile(r"\[[0-9a-f:.]+\](?::[0-9]*)?", re.IGNORECASE)
_PATH_ASCII = "/%:@!$&'()*+,;=~[]"
_IPV4_LIKE = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+))*\.?")


@attrs.frozen
class WebUrl:
    """A URL that has been judged: scheme, host and port are known and harmless in form.

    Attributes:
      text: the URL to use, in ASCII and without trailing slash: host in lower case (IDNA), what
        the path has beyond ASCII percent-encoded.
      scheme: lower case.
      host: lower-case A-labels, or an IP address without brackets.
      port: the effective port.
      path: the path as written, without trailing slash.
    """

    text: str
    scheme: str
    host: str
    port: int
    path: str

    @property
    def endpoint(self) -> tuple[str, int]:
        """Host and port: what NaughtyScope.ENDPOINT bans."""
        return self.host, self.port


@lru_cache(maxsize=4_096)
def parse_web_url(text: str, schemes: tuple[str, ...] = GIT_SCHEMES) -> WebUrl:
    """Judge a URL's form (B 8.1, N4); its addresses are judged by the gate.

    Raises:
      InvalidUrl: another scheme, user:password, query or fragment, control characters (raw or
        percent-encoded), a path segment that starts with a dash or is `..` (percent-encoded ones
        too), a host that is none.
    """
    if len(text) > MAX_URL_CHARS:
        raise InvalidUrl(f"longer than {MAX_URL_CHARS} characters")
    if _CONTROL.search(text):
        raise InvalidUrl("control characters or spaces in the URL")
    try:
        parts = urlsplit(text)
        port = parts.port
        username, hostname = parts.username, parts.hostname
    except ValueError as error:
        raise InvalidUrl("not a URL") from error
    scheme = parts.scheme.lower()
    if scheme not in schemes:
        raise InvalidUrl(f"only {' and '.join(schemes)} URLs are used")
    if username is not None or "@" in parts.netloc:
        raise InvalidUrl("credentials in the URL")
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise InvalidUrl("query or fragment in the URL")
    if not hostname or port == 0:
        raise InvalidUrl("no host in the URL")
    bracketed = "[" in parts.netloc
    if bracketed and not _BRACKETED.fullmatch(parts.netloc):
        raise InvalidUrl("not an IPv6 address")
    host = _canonical_host(hostname, bracketed=bracketed)
    path = parts.path.rstrip("/")
    effective = port or DEFAULT_PORTS[scheme]
    shown = f"[{host}]" if ":" in host else host
    netloc = shown if effective == DEFAULT_PORTS[scheme] else f"{shown}:{effective}"
    text = f"{scheme}://{netloc}{_judged_path(path)}"
    if len(text) > MAX_URL_CHARS:
        raise InvalidUrl(f"longer than {MAX_URL_CHARS} characters")
    return WebUrl(text, scheme, host, effective, path)


def _judged_path(path: str) -> str:
    if any(s == ".." or s.startswith("-") for s in map(unquote, path.split("/"))):
        raise InvalidUrl("a path segment that is `..` or starts with a dash")
    try:
        return quote(path, safe=_PATH_ASCII)
    except UnicodeEncodeError as error:
        raise InvalidUrl("text that is not Unicode") from error


def _canonical_host(hostname: str, *, bracketed: bool) -> str:
    host = hostname.lower()
    if bracketed:
        try:
            address = IPv6Address(host)
        except AddressValueError as error:
            raise InvalidUrl("not an IPv6 address") from error
        # Pythons differ in how they write a mapped address.
        mapped = address.ipv4_mapped
        return f"::ffff:{mapped}" if mapped is not None else address.compressed
    host = host.removesuffix(".")
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise InvalidUrl("not a host name") from error
    if _IPV4_LIKE.fullmatch(host):
        try:
            return IPv4Address(host).compressed
        except AddressValueError as error:
            raise InvalidUrl("not a plain IPv4 address") from error
    if len(host) > 253 or not _LABELS.fullmatch(host):
        raise InvalidUrl("not a host name")
    return host


def extract_domain(url: str) -> str | None:
    """The domain whose limits a URL counts against: its host, without port (B 8.1).

    Returns None for a URL that is never contacted.
    """
    try:
        return parse_web_url(url).host
    except InvalidUrl:
        return None


def names_service(url: str, service: str, schemes: tuple[str, ...]) -> bool:
    """Whether a URL names our service: parsed, never compared as text (B 2.1).

    With a base path a clone URL is the base and two segments, a relay URL the base.

    Args:
      url: a clone or relay URL of an announcement.
      service: our host[:port][/base]; without a port it stands for the default port of either
        scheme.
      schemes: the schemes that count.
    """
    below = _below_service(url, service, schemes)
    if below is None or not base_of(service):
        return below is not None
    return len(below) == (0 if schemes == RELAY_SCHEMES else REPOSITORY_SEGMENTS)


def leads_to_service(url: str, service: str, schemes: tuple[str, ...]) -> bool:
    """Whether a URL leads to our host, port and base, wherever below: it is never dialled (B 8.1).

    The arguments are those of `names_service`.
    """
    return _below_service(url, service, schemes) is not None


def below_prs(url: str, service: str) -> tuple[str, str] | None:
    """The two segments that a clone URL has below our `/prs/`, as written; None for others.

    The arguments are those of `names_service`.
    """
    below = _below_service(url, service, GIT_SCHEMES)
    if below is None or len(below) != 1 + REPOSITORY_SEGMENTS:
        return None
    prs, owner, name = parse_web_url(url).path.split("/")[-1 - REPOSITORY_SEGMENTS :]
    return (owner, name) if prs == PRS else None


def decode_segment(segment: str) -> str | None:
    """A path's segment, decoded once; None for one that has no single reading.

    That is one with a `%` without two hex digits, or whose bytes are no UTF-8.
    """
    if _BAD_ESCAPE.search(segment):
        return None
    try:
        return unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        return None


def base_of(service: str) -> str:
    """The base path of host[:port][/base], with its slash in front; empty for the root."""
    _, slash, path = service.partition("/")
    return f"{slash}{path}"


def _below_service(url: str, service: str, schemes: tuple[str, ...]) -> list[str] | None:
    """The segments of a URL's path below our base; None for what leads elsewhere."""
    try:
        there = parse_web_url(url, schemes)
        ours = parse_web_url(f"{there.scheme}://{service}", schemes)
    except InvalidUrl:
        return None
    path, base = _segments(there.path), _segments(ours.path)
    same = there.endpoint == ours.endpoint and path[: len(base)] == base
    return path[len(base) :] if same else None


def _segments(path: str) -> list[str]:
    """A path's segments, decoded: an escape of what needs none changes nothing (RFC 3986)."""
    return [unquote(each) for each in path.split("/")[1:]]


def scheme_of(service: str) -> str:
    """`https`, or `http` for a service named by an address: there are no certificates for those.

    Args:
      service: a host[:port] as NGIT_DOMAIN has it.
    """
    try:
        host = parse_web_url(f"http://{service}").host
    except InvalidUrl:
        return "https"
    return "http" if host == "localhost" or ":" in host or _IPV4_LIKE.fullmatch(host) else "https"


def split_address(address: str) -> tuple[str, int]:
    """Host (without brackets) and port of a bind address that was judged (NGIT_BIND_ADDRESS)."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def usable_urls(values: Iterable[str], schemes: tuple[str, ...] = GIT_SCHEMES) -> tuple[str, ...]:
    """The URLs that may be contacted, in their order, each once; others are skipped (B 1.2)."""
    found: dict[str, None] = {}
    for value in values:
        try:
            found[parse_web_url(value, schemes).text] = None
        except InvalidUrl:
            continue
    return tuple(found)
