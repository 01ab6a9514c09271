"""Templates to bytes; everything is escaped, and nothing is loaded from elsewhere."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from functools import partial
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote

import attrs
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ...engine.status.repository_status import cut
from ...urls import base_of, extract_domain, scheme_of
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
from .ways import way_of

CONTENT_TYPE: Final = "text/html; charset=utf-8"


@attrs.frozen
class Fitting:
    """Items that found room on a page.

    Attributes:
      text: HTML.
      count: how many they are.
    """

    text: Markup
    count: int


class Renderer:
    """Renders pages of one service.

    Attributes:
      headers: what every page is sent with but the status page; the policy names the style by its
        hash.
      status_headers: for the status page, which has more style, a script and a form.
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
            way=way_of,
            host=host_of,
            cut=cut,
            segment=partial(quote, safe=""),
        )
        style, more_style, script = (
            _without_indentation(loader.get_source(self._templates, name)[0])
            for name in ("style.css", "status.css", "refresh.js")
        )
        self.icon = loader.get_source(self._templates, "icon.svg")[0].encode()
        self._templates.globals.update(
            service=service,
            base=base_of(service),
            scheme=scheme_of(service),
            version=__version__,
            style=Markup(style),  # noqa: S704  # our own files
            status_style=Markup(more_style),  # noqa: S704
            script=Markup(script),  # noqa: S704
        )
        self.headers = self._headers(_policy(style, form="'none'"))
        policy = _policy(style, more_style, script=script, form="'self'")
        self.status_headers = self._headers(policy)

    def _headers(self, policy: bytes) -> Headers:
        return [
            (b"content-type", CONTENT_TYPE.encode()),
            (b"content-security-policy", policy),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cache-control", b"no-store"),
            (b"vary", b"accept"),
        ]

    def render(self, page: str, title: str, **values: Any) -> bytes:
        """The page `<page>.html` of the templates."""
        return self._templates.get_template(f"{page}.html").render(title=title, **values).encode()

    def fitting(self, part: str, items: Iterable[Any], room: int, **values: Any) -> Fitting:
        """As many of the items, in their order, as have room: a large one hides no other.

        Args:
          part: `<part>.html` of the templates writes one, which it knows as `each`.
          room: bytes for all of them.
        """
        template, written, used = self._templates.get_template(f"{part}.html"), [], 0
        for each in items:
            text = template.render(each=each, **values)
            if used + (size := len(text.encode())) <= room:
                used += size
                written.append(text)
        return Fitting(Markup("".join(written)), len(written))  # noqa: S704  # a template wrote it


def host_of(url: str) -> str:
    """The host of a URL, or what there is of it."""
    return extract_domain(url) or url


def _without_indentation(text: str) -> str:
    """Styles and scripts as they are sent: they need none there."""
    return re.sub(r"\s*\n\s*", "\n", text).strip()


def _policy(*styles: str, form: str, script: str | None = None) -> bytes:
    scripts = "'none'" if script is None else _hash(script)
    return (
        "default-src 'none'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
        f"form-action {form}; frame-ancestors 'none'; "
        f"style-src {' '.join(map(_hash, styles))}; script-src {scripts}"
    ).encode()


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
