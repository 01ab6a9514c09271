"""What an answer's head means: statuses, Retry-After, content types, redirects (B 8.4 to 8.7)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urljoin

from ...errors import (
    AttemptFailed,
    BadStatus,
    InvalidUrl,
    NotGit,
    ProtocolBroken,
    RateLimited,
    RedirectRefused,
    RepositoryUnavailable,
)
from ...runtime.net.inflating import CODINGS
from ...urls import GIT_SCHEMES, MAX_URL_CHARS, WebUrl, leads_to_service, parse_web_url

ADVERTISEMENT: Final = "application/x-git-upload-pack-advertisement"
REQUEST: Final = "application/x-git-upload-pack-request"
RESULT: Final = "application/x-git-upload-pack-result"
INFO_REFS: Final = "/info/refs"
SERVICE_QUERY: Final = "?service=git-upload-pack"
UPLOAD_PACK: Final = "/git-upload-pack"

DEFAULT_REST_SECS: Final = 60.0
MAX_REST_SECS: Final = 3600.0

_UNAVAILABLE: Final = frozenset({401, 403, 404, 410})
_RATE_LIMITED: Final = frozenset({429, 503})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_SECONDS: Final = re.compile(r"[0-9]{1,9}")


def is_redirect(status: int) -> bool:
    """Whether a status is one that names another place."""
    return status in _REDIRECTS


def status_failure(status: int, headers: Mapping[str, str], now: float) -> AttemptFailed | None:
    """The error that a status stands for; None for 200.

    Args:
      headers: of the answer, looked up without regard to case.
      now: Unix seconds, for a Retry-After that is a date.
    """
    if status == 200:
        return None
    if status in _RATE_LIMITED:
        rest = rest_secs(headers.get("retry-after"), now)
        return RateLimited(f"HTTP {status}: the server wants {rest:g} s of rest", rest)
    if status in _UNAVAILABLE:
        return RepositoryUnavailable(f"HTTP {status}: the repository is not for us", status)
    return BadStatus(f"HTTP {status}", status)


def rest_secs(retry_after: str | None, now: float) -> float:
    """Seconds that a domain rests: Retry-After, at most an hour; a minute without it (B 8.6).

    Args:
      retry_after: the header: seconds or an HTTP date; anything else counts as none.
      now: Unix seconds.
    """
    if retry_after is None:
        return DEFAULT_REST_SECS
    text = retry_after.strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), MAX_REST_SECS)
    try:
        date = parsedate_to_datetime(text)
        secs = date.timestamp() - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return DEFAULT_REST_SECS
    return min(max(secs, 0.0), MAX_REST_SECS)


def judge_content(headers: Mapping[str, str], content_type: str) -> None:
    """Refuse a body that is not git's: a page.

    Raises:
      NotGit: another content type.
    """
    if not is_of(headers, content_type):
        raise NotGit("a page instead of git")


def is_of(headers: Mapping[str, str], content_type: str) -> bool:
    """Whether a body says that it is of a type."""
    return headers.get("content-type", "").partition(";")[0].strip() == content_type


def coding_of(headers: Mapping[str, str]) -> str | None:
    """How a body is compressed, though that was not asked for; None when it is not.

    Raises:
      ProtocolBroken: in a way that is not known here.
    """
    coding = headers.get("content-encoding", "").strip().lower()
    if coding in ("identity", ""):
        return None
    if coding not in CODINGS:
        raise ProtocolBroken("a content encoding that was not asked for")
    return coding


def redirect_target(base: WebUrl, location: str | None, ours: str | None = None) -> WebUrl:
    """The repository that an answer to GET info/refs points to.

    Args:
      base: the repository that was asked.
      location: the header as it came.
      ours: our own host[:port], where a redirect leads to nothing that we lack (B 8.1).

    As with git the target ends in what was asked for, query included; the rest is the repository.

    Raises:
      RedirectRefused: to something else than info/refs, from https to http, to ourselves, or to a
        URL that is never contacted.
    """
    if not location or len(location) > MAX_URL_CHARS:
        raise RedirectRefused("a redirect without a place")
    try:
        text = urljoin(f"{base.text}{INFO_REFS}{SERVICE_QUERY}", location)
    except ValueError as error:
        raise RedirectRefused("a redirect to what is no URL") from error
    asked = f"{INFO_REFS}{SERVICE_QUERY}"
    if not text.endswith(asked):
        raise RedirectRefused("a redirect to a page instead of git")
    try:
        target = parse_web_url(text.removesuffix(asked))
    except InvalidUrl as error:
        raise RedirectRefused(f"a redirect to a URL that is never used: {error}") from error
    if base.scheme == "https" and target.scheme != "https":
        raise RedirectRefused("a redirect from https to http")
    if ours is not None and leads_to_service(target.text, ours, GIT_SCHEMES):
        raise RedirectRefused("a redirect to ourselves")
    return target
