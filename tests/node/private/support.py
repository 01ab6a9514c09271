"""Signed access to a private service, and an app behind its door."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from purgatory_sync.node.git_http.upload_pack_http import GitEndpoint
from purgatory_sync.node.operator.metrics import Metrics, MetricsSnapshot
from purgatory_sync.node.private.http_door import HttpDoor
from purgatory_sync.node.private.members import Members
from purgatory_sync.node.routes import App
from purgatory_sync.nostr.event import Event, encode_event
from purgatory_sync.settings import CurationSettings
from purgatory_sync.testing.events import Author

from ..pages.support import make_pages
from ..relay.test_nip11 import make_info
from ..support import served, talk

ALICE, BOB, EVE = (Author.from_seed(n) for n in (1, 2, 3))
NOW = 1_800_000_000
SERVICE = "git.example"
ORIGIN = f"https://{SERVICE}"
OWNER = EVE.npub


@attrs.define
class Lists:
    """What the operator says at this moment."""

    members: tuple[str, ...] = (ALICE.npub,)

    def __call__(self) -> CurationSettings:
        return CurationSettings(private_mode=True, private_members=self.members)


def signed(
    url: str = f"{ORIGIN}/{OWNER}/r.git",
    author: Author = ALICE,
    *,
    at: int = NOW,
    method: str = "GET",
    kind: int = 27235,
    more: Sequence[Sequence[str]] = (),
) -> Event:
    return author.sign(kind, "", [["u", url], ["method", method], *map(list, more)], at)


def header(event: Event, *, scheme: str = "Nostr", url_safe: bool = False) -> str:
    encode = urlsafe_b64encode if url_safe else b64encode
    return f"{scheme} {encode(encode_event(event)).decode()}"


def basic(event: Event, user: str = "git") -> str:
    password = b64encode(encode_event(event)).decode()
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


@attrs.define
class Behind:
    """An app behind a door, and who was asked for what."""

    lists: Lists = attrs.field(factory=Lists)
    takes_basic: bool = True
    base: str = ""
    origin: str = ORIGIN
    hosted: frozenset[str] = frozenset()
    looked_up: list[str] = attrs.field(factory=list)

    def app(self, *, door: bool = True) -> App:
        async def resolve(npub: str, identifier: str) -> Path | None:
            self.looked_up.append(identifier)
            return Path("/nonexistent") if identifier in self.hosted else None

        service = f"{SERVICE}{self.base}"
        info = attrs.evolve(make_info(), service=service)
        closed = HttpDoor(
            Members(self.lists), service, self.origin, lambda: NOW, basic=self.takes_basic
        )
        return App(
            lambda: info,
            GitEndpoint(resolve, 1),
            make_pages(),
            Metrics(MetricsSnapshot),
            door=closed if door else None,
        )

    async def ask(
        self,
        path: str,
        proof: str | None = None,
        *,
        method: str = "GET",
        more: str = "",
        door: bool = True,
        around: Callable[[App], App] = lambda app: app,
    ) -> tuple[int, bytes, bytes]:
        """Status, head and body of the answer."""
        lines = f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}"
        if proof is not None:
            lines += f"Authorization: {proof}\r\n"
        async with served(around(self.app(door=door)).answer) as place:
            answer = await talk(place, f"{lines}\r\n".encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), head.lower(), body
