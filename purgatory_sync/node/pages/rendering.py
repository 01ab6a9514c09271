"""Templates to bytes; everything is escaped, and nothing is loaded from elsewhere."""

from __future__ import annotations

import re
from base64 import b64encode
from functools import partial
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ...urls import base_of, scheme_of
from ...version import __version__
from ..http.server_stream import Headers
from ..operator.wording import (
    ago,
    counter,
    ends,
    from_now,
    held_back,
    lasting,
    size,
    tone,
    utc,
    words,
)
from .charts import charts_of, slow_domains

CONTENT_TYPE: Final = "text/html; charset=utf-8"


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
            size=size,
            words=words,
            tone=tone,
            counter=counter,
            held_back=held_back,
            charts=charts_of,
            slow=slow_domains,
            segment=partial(quote, safe=""),
        )
        style, script = (
            loader.get_source(self._templates, name)[0] for name in ("style.css", "refresh.js")
        )
        # Every page has all of the style: its lines need no indentation there.
        style = re.sub(r"\s*\n\s*", "\n", style).strip()
        self.icon = loader.get_source(self._templates, "icon.svg")[0].encode()
        self._templates.globals.update(
            service=service,
            base=base_of(service),
            scheme=scheme_of(service),
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
