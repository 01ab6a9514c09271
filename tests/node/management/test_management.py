"""B 10.6: the operator's keys manage the relay by signed calls (NIP-86, NIP-98)."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine import PurgatorySync, open_engine
from purgatory_sync.node.composition import describe
from purgatory_sync.node.git_http.upload_pack_http import GitEndpoint
from purgatory_sync.node.management.endpoint import CALLS, MAX_BODY_BYTES, MEDIA_TYPE, Management
from purgatory_sync.node.management.methods import Methods
from purgatory_sync.node.management.replays import Replays
from purgatory_sync.node.routes import App
from purgatory_sync.nostr.event import encode_event
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.settings import CurationSettings, RelaySettings, Settings
from purgatory_sync.store.memory import MemoryStore
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.log_capture import capture_logs
from purgatory_sync.testing.mock_context import clock_at

from ..pages.support import make_pages
from ..relay.test_nip11 import make_info
from ..support import served, talk

ADMIN, SPAMMER, OTHER = (Author.from_seed(n) for n in (1, 2, 3))
NOW, SERVICE = 1_800_000_000, "grasp.example.com"
URL = f"https://{SERVICE}"
EVENT = "5" * 64


def header(
    body: bytes, author: Author = ADMIN, *, url: str = URL, at: int = NOW, note: str = ""
) -> str:
    tags = [["u", url], ["method", "POST"], ["payload", sha256(body).hexdigest()]]
    event = author.sign(27235, note, tags, at)
    return "Nostr " + base64.b64encode(encode_event(event)).decode()


@attrs.frozen
class Caller:
    engine: PurgatorySync
    answer: Callable[..., Any]
    numbers: Iterator[int] = attrs.field(factory=count)

    async def post(self, body: bytes, authorization: str) -> tuple[int, bytes, Any]:
        """Status, head in lower case, and the JSON of the body."""
        lines = [
            "POST / HTTP/1.1",
            "host: x",
            "connection: close",
            f"content-type: {MEDIA_TYPE.upper()}; charset=utf-8",
            f"content-length: {len(body)}",
            *([f"authorization: {authorization}"] if authorization else []),
        ]
        async with served(self.answer) as place:
            said = await talk(place, "\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        head, _, content = said.partition(b"\r\n\r\n")
        return int(head.split()[1]), head.lower(), json.loads(content)

    async def call(self, method: str, *params: object) -> Any:
        """What a call of the admin that is signed now answers: its result, or its error."""
        body = json.dumps({"method": method, "params": params}).encode()
        at = NOW + int(trio.current_time())
        note = str(next(self.numbers))
        status, _, said = await self.post(body, header(body, at=at, note=note))
        assert status == 200
        assert len(said) == 1
        return said.get("result", said.get("error"))


@asynccontextmanager
async def managed(
    folder: Path, lists: CurationSettings | None = None, relay: RelaySettings | None = None
) -> AsyncIterator[Caller]:
    settings = Settings(
        domain=SERVICE,
        git_data_path=folder / "git",
        curation=lists or CurationSettings(),
        relay=relay or RelaySettings(),
    )
    clock = clock_at(NOW)
    with blocking_in_place():
        async with open_engine(settings, store=MemoryStore(), clock=clock) as engine:
            keepers = engine.keepers
            methods = Methods(keepers.lists, engine.explainer, keepers.caretaker, settings.relay)
            yield Caller(engine, Management(methods, [ADMIN.pubkey], SERVICE, clock).answer)


BODY = b'{"method":"supportedmethods","params":[]}'


async def test_b_10_6_a_signed_call_is_answered_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with managed(tmp_path) as caller:
        with capture_logs() as log:
            status, head, said = await caller.post(BODY, header(BODY))
        assert (status, len(said["result"])) == (200, 19)
        assert MEDIA_TYPE.encode() in head
        assert b"vary: accept" in head
        (line,) = [each for each in log if each["event"] == "called"]
        assert (line["admin"], line["method"]) == (ADMIN.npub, "'supportedmethods'")
        await trio.sleep(50)
        status, _, said = await caller.post(BODY, header(BODY))
        assert (status, said["error"]) == (401, "this call was made already: sign each call anew")


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic YTpi",
        "Nostr !",
        header(BODY, OTHER),
        header(BODY + b" "),
        header(BODY, url="https://elsewhere.example"),
        header(BODY, at=NOW - 61),
        header(BODY, at=NOW + 62),
    ],
)
async def test_b_10_6_what_no_admin_signed_is_401(
    tmp_path: Path, autojump_clock: MockClock, authorization: str
) -> None:
    async with managed(tmp_path) as caller:
        status, head, said = await caller.post(BODY, authorization)
        assert (status, [*said]) == (401, ["error"])
        assert b"www-authenticate: nostr" in head


async def test_b_10_6_a_body_has_64_kib(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with managed(tmp_path) as caller:
        body = BODY + b" " * (MAX_BODY_BYTES - len(BODY))
        assert (await caller.post(body, header(body)))[0] == 200
        assert (await caller.post(body + b" ", header(body + b" ")))[0] == 413


async def test_b_10_6_sixty_calls_a_minute(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with managed(tmp_path) as caller:
        for number in range(CALLS):
            assert (await caller.post(BODY, header(BODY, note=str(number))))[0] == 200
        status, head, _ = await caller.post(BODY, header(BODY, note="more"))
        assert status == 429
        assert b"retry-after: 60" in head
        await trio.sleep(60)
        assert await caller.call("listbannedpubkeys") == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"method":1}', b"[" * 9999, b"\xff"])
async def test_b_10_6_what_is_no_call_is_400(
    tmp_path: Path, autojump_clock: MockClock, body: bytes
) -> None:
    async with managed(tmp_path) as caller:
        status, _, said = await caller.post(body, header(body))
        assert (status, said["error"][:20]) == (400, "the body is no call:")


async def test_b_10_6_authors_are_banned_by_the_event_blacklist(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with managed(tmp_path, CurationSettings(event_blacklist=(OTHER.npub,))) as caller:
        announced = events.announcement(
            SPAMMER,
            "r",
            clone=[f"https://{SERVICE}/{SPAMMER.npub}/r.git"],
            relays=[f"wss://{SERVICE}"],
            created_at=NOW - 5,
        )
        assert (await caller.engine.offer(announced, "user")).accepted
        assert await caller.call("banpubkey", SPAMMER.pubkey, "sends\nspam") is True
        assert list(caller.engine.purgatory.announcements()) == []
        assert not (await caller.engine.offer(announced, "user")).accepted
        assert await caller.call("listbannedpubkeys") == [
            {"pubkey": OTHER.pubkey, "reason": ""},
            {"pubkey": SPAMMER.pubkey, "reason": "sends spam"},
        ]
        assert "NGIT_EVENT_BLACKLIST names" in await caller.call("unbanpubkey", OTHER.pubkey)
        assert await caller.call("unbanpubkey", SPAMMER.npub) is True
        assert (await caller.engine.offer(announced, "user")).accepted


async def test_b_10_6_who_is_allowed_is_on_the_whitelist(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with managed(tmp_path) as caller:
        assert "every author is taken here" in await caller.call("allowpubkey", OTHER.pubkey)
        assert caller.engine.lists == CurationSettings()
        lists = caller.engine.keepers.lists
        await lists.add("repository-whitelist", [ADMIN.npub])
        assert await caller.call("allowpubkey", OTHER.pubkey, None) is True
        both = {ADMIN.pubkey, OTHER.pubkey}
        assert {e["pubkey"] for e in await caller.call("listallowedpubkeys")} == both
        assert await caller.call("unallowpubkey", ADMIN.pubkey) is True
        last = await caller.call("unallowpubkey", OTHER.pubkey)
        assert last.startswith("it is the last that is allowed")
        await lists.add("repository-whitelist", ["repo", f"{SPAMMER.npub}/repo"])
        assert await caller.call("unallowpubkey", OTHER.pubkey) is True
        assert await caller.call("listallowedpubkeys") == []


async def test_b_10_6_events_and_addresses(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with managed(tmp_path) as caller:
        assert await caller.call("banevent", EVENT, "why") is True
        assert await caller.call("listbannedevents") == [{"id": EVENT, "reason": "why"}]
        assert await caller.call("allowevent", EVENT, "again") is True
        assert await caller.call("listbannedevents") == []
        assert await caller.call("listeventsneedingmoderation") == []
        for address in ("192.0.2.7", "2001:db8::1", "10.0.0.0/8"):
            assert await caller.call("blockip", address, "flood") is True
        found = await caller.call("listblockedips")
        assert {e["ip"] for e in found} == {"192.0.2.7", "2001:db8::1", "10.0.0.0/8"}
        assert await caller.call("unblockip", "192.0.2.7") is True
        assert len(caller.engine.lists.blocked_addresses) == 2


async def test_b_10_6_what_the_relay_is_called(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with managed(tmp_path, relay=RelaySettings(description="ours")) as caller:
        lists = caller.engine.keepers.lists
        assert await caller.call("changerelayname", "One") is True
        assert await caller.call("changerelayname", "Two 🦀") is True
        assert lists.word("relay-name") == "Two 🦀"
        assert "NGIT_RELAY_DESCRIPTION rules it" in await caller.call("changerelaydescription", "x")
        assert await caller.call("changerelayicon", "https://x.example/i.png") is True
        assert "http or https" in await caller.call("changerelayicon", "javascript:x")
        assert await caller.call("changerelayname", "") is True
        rows = (await caller.engine.store.load()).list_entries
        assert [(row.name, row.entry) for row in rows] == [
            ("relay-icon", "https://x.example/i.png")
        ]


async def test_b_10_6_methods_of_our_own(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with managed(tmp_path) as caller:
        assert "nothing is held" in await caller.call("purgatory_hunt", "none")
        assert await caller.call("purgatory_repositories") == []
        announced = events.announcement(
            OTHER,
            "r",
            clone=[f"https://{SERVICE}/{OTHER.npub}/r.git"],
            relays=[f"wss://{SERVICE}"],
            created_at=NOW - 5,
        )
        await caller.engine.offer(announced, "user")
        (listed,) = await caller.call("purgatory_repositories")
        assert (listed["npub"], listed["identifier"]) == (OTHER.npub, "r")
        state = events.state(OTHER, "r", {"refs/heads/main": "1" * 40}, created_at=NOW - 4)
        assert (await caller.engine.offer(state, "user")).accepted
        assert isinstance(await caller.call("purgatory_hunt", "r"), dict)


@pytest.mark.parametrize(
    ("method", "params", "why"),
    [
        ("nothing", [], "no method 'nothing'"),
        ("banpubkey", [], "the first parameter is a public key"),
        ("banpubkey", [7], "the first parameter is a public key"),
        ("banpubkey", ["x"], "is no public key"),
        ("banpubkey", ["npub1x"], "is no public key"),
        ("banpubkey", [SPAMMER.pubkey, 7], "a reason, as text"),
        ("banevent", ["x"], "64 hexadecimal digits"),
        ("blockip", ["x"], "no address"),
        ("changerelayname", ["x" * 2001], "more than 2000"),
        ("purgatory_hunt", [], "an identifier or an event id"),
    ],
)
async def test_b_10_6_a_call_that_cannot_be_done_is_a_sentence(
    tmp_path: Path, autojump_clock: MockClock, method: str, params: list[object], why: str
) -> None:
    async with managed(tmp_path) as caller:
        assert why in await caller.call(method, *params)


async def test_b_10_6_a_crash_is_told_without_its_reason(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(self: Methods, method: str, params: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(Methods, "call", fails)
    async with managed(tmp_path) as caller:
        assert await caller.call("x") == "failed inside: the node's log says why"


def test_b_10_6_a_call_is_remembered_for_two_minutes() -> None:
    replays = Replays()
    assert replays.take("a", 0.0)
    assert not replays.take("a", 120.0)
    assert replays.take("b", 120.0)
    assert replays.take("a", 120.5)
    assert not replays.take("b", 121.0)


def test_b_10_6_nip_86_is_listed_while_a_key_may_call() -> None:
    admins = RelaySettings(admin_pubkeys=(ADMIN.npub,))
    for relay, listed in ((RelaySettings(), False), (admins, True)):
        nips = describe(Settings(domain=SERVICE, relay=relay), ADMIN.pubkey).supported_nips
        assert (86 in nips) is listed


@pytest.mark.parametrize(("base", "status"), [("", 200), ("/base", 200), ("/other", 404)])
async def test_b_10_6_calls_are_made_at_the_relays_url_below_the_base(
    tmp_path: Path, autojump_clock: MockClock, base: str, status: int
) -> None:
    ours = "" if base == "/other" else base
    info = attrs.evolve(make_info(), service=f"{SERVICE}{ours}")
    async with managed(tmp_path) as caller:
        keepers = caller.engine.keepers
        methods = Methods(
            keepers.lists, caller.engine.explainer, keepers.caretaker, RelaySettings()
        )
        calls = Management(methods, [ADMIN.pubkey], info.service, clock_at(NOW))
        app = App(lambda: info, GitEndpoint(nothing_hosted, 1), make_pages(), None, calls)
        url = f"wss://{info.service}"
        request = (
            f"POST {base}/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
            f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(BODY)}\r\n"
            f"authorization: {header(BODY, url=url)}\r\n\r\n"
        )
        async with served(app.answer) as place:
            said = await talk(place, request.encode() + BODY)
    assert int(said.split()[1]) == status


async def nothing_hosted(npub: str, identifier: str) -> None:
    return None
