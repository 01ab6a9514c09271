"""Templates to bytes; everything is escaped, and nothing is loaded from elsewhere."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ...version import __version__
from ..http.server_stream import Headers

CONTENT_TYPE: Final = "text/html; charset=utf-8"
# Results and counters in words; all others read well with spaces for what joins them.
_WORDS: Final = {
    "success": "had all of it",
    "partial": "had a part of it",
    "nothing": "had nothing of it",
    "forbidden": "not contacted",
    "not_git": "does not speak git",
    "bad_data": "sent bad data",
    "rate_limited": "asked to be left alone",
    "local": "failed here",
    "closed": "hung up",
    "no_relay": "is no relay",
    "misbehaved": "was left for what it did",
}
_OBSTACLES: Final = {
    "unsatisfiable": "names what can be no object here: nothing can release it",
    "unauthorised": "its author is neither owner nor maintainer of a repository announced here",
    "invited": "its author is invited by a maintainer and has not accepted",
    "path": "its author points at a lead, and nobody rules there",
    "unannounced": "no repository that it names is announced here",
    "no_repository": "the repository that it is for is not on this disk",
    "no_refs": "names no refs: it waits until its repository has data",
}
_GOOD, _WAIT = ("success", "partial"), ("rate_limited", "cancelled", "local", "nothing")


class Renderer:
    """Renders pages of one service.

    Attributes:
      headers: what every page is sent with; the policy names its style and script by their hash.
      icon: the picture of NIP-11 and of the browser's tab.
    """

    def __init__(self, service: str) -> None:
        loader = PackageLoader("purgatory_sync.node.pages")
        self._templates = Environment(
            loader=loader,
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            auto_reload=False,
        )
        self._templates.filters.update(
            utc=utc,
            from_now=from_now,
            ago=ago,
            ends=ends,
            lasting=lasting,
            words=words,
            tone=tone,
            counter=counter,
            held_back=held_back,
        )
        style, script = (
            loader.get_source(self._templates, name)[0] for name in ("style.css", "refresh.js")
        )
        self.icon = loader.get_source(self._templates, "icon.svg")[0].encode()
        self._templates.globals.update(
            service=service,
            version=__version__,
            style=Markup(style),  # noqa: S704  # our own files
            script=Markup(script),  # noqa: S704
        )
        self.headers: Headers = [
            (b"content-type", CONTENT_TYPE.encode()),
            (b"content-security-policy", _policy(style, script)),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cache-control", b"no-store"),
            (b"vary", b"accept"),
        ]

    def render(self, page: str, title: str, **values: Any) -> bytes:
        """The page `<page>.html` of the templates."""
        return self._templates.get_template(f"{page}.html").render(title=title, **values).encode()


def _policy(style: str, script: str) -> bytes:
    return (
        "default-src 'none'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; "
        f"style-src {_hash(style)}; script-src {_hash(script)}"
    ).encode()


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def utc(at: float) -> str:
    """Unix seconds as people and machines read them."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_now(at: float, now: float) -> str:
    """How far away a moment is: `3 min ago`, `in 12 s`, `now`; all times in Unix seconds."""
    secs = round(at - now)
    if secs == 0:
        return "now"
    return f"in {span(secs)}" if secs > 0 else f"{span(-secs)} ago"


def ago(at: float, now: float) -> str:
    """How long ago something was, both in Unix seconds; `now` may be older than what is told."""
    return from_now(min(at, now), now)


def ends(at: float, now: float) -> str:
    """The verb for the end of a time that may be over, both in Unix seconds."""
    return "ends" if at >= now else "was to end"


def lasting(one: float, other: float) -> str:
    """How long it is from one moment to another, in any order: `3 min`."""
    return span(round(abs(one - other)))


def span(secs: int) -> str:
    """A time in its two largest units."""
    if secs < 60:
        return f"{secs} s"
    if secs < 3600:
        return f"{secs // 60} min" + (f" {secs % 60} s" if secs < 600 and secs % 60 else "")
    if secs < 86400:
        return f"{secs // 3600} h" + (f" {secs % 3600 // 60} min" if secs % 3600 >= 60 else "")
    return f"{secs // 86400} d" + (f" {secs % 86400 // 3600} h" if secs % 86400 >= 3600 else "")


def words(result: str) -> str:
    """A class of results in words."""
    return _WORDS.get(result, result.replace("_", " "))


def held_back(obstacle: str) -> str:
    """Why no object would release an event, in words."""
    return _OBSTACLES[obstacle]


def tone(result: str) -> str:
    """The style of a class of results."""
    return "good" if result in _GOOD else "wait" if result in _WAIT else "bad"


def counter(name: str) -> str:
    """A counter's name in words."""
    return name.replace(".", ": ", 1).replace("_", " ")
