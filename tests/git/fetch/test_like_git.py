"""Our requests beside those of the installed git, at a server that records: header by header.

Each difference is in a table here with its reason. What is in no table fails: another git, another
httpx, one of our changes.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Final

import attrs
import pytest
import trio

from purgatory_sync.git.disk.refs import update_refs
from purgatory_sync.git.fetch.client import GitClient
from purgatory_sync.git.fetch.server_cache import Habit
from purgatory_sync.git.protocol.pktline import Mark, PacketBuffer
from purgatory_sync.node.http.exchange import Exchange
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import HuntSettings
from purgatory_sync.testing import faults
from purgatory_sync.testing.faults import Fault
from purgatory_sync.testing.git_server import GitServer
from purgatory_sync.testing.misbehaving import Delivery
from purgatory_sync.urls import parse_web_url

from ..local_repos import add_pack, history, new_repository

pytestmark = pytest.mark.real

STEPS: Final = history(3)
MAIN: Final = "refs/heads/main"
ORDER: Final = "in order"
AT_ONCE: Final = "at once"

# Header -> why ours differs. `user-agent` begins with git/, which is what servers look at.
HEADERS: Final = {
    "user-agent": "names us, after git/ (NGIT_HUNT_USER_AGENT)",
    "accept-encoding": "identity: packs are deflated already, and refs are bounded as they come",
    "accept-language": "git sends it where a locale is set; what servers say is not translated",
    "content-length": "the bodies differ as CAPABILITIES say",
    "connection": "git's curl and ours both keep connections; neither needs to say so",
}

# Capability or line of a request -> why only one of us sends it.
CAPABILITIES: Final = {
    "no-done": "saves git a round of haves; ours says done in its first request",
    "deepen-since": "for shallow clones, which could not be proven (N5)",
    "deepen-not": "for shallow clones, which could not be proven (N5)",
    "include-tag": "tags are asked for by name",
    "filter": "for partial clones, which could not be proven (N5)",
    "symrefs": "HEAD comes from the signed state",
    "unborn": "HEAD comes from the signed state",
    "ref-prefix HEAD": "HEAD comes from the signed state",
    "ref-prefix refs/nostr/": "pull requests are there (B 7.3)",
}
# What is said to a server that was not asked what it knows (v2 at once).
UNKNOWN_YET: Final = {
    "agent": "said where the server named its own",
    "object-format": "said where the server named its own",
}


@attrs.frozen
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Recorder(GitServer):
    """A git server that writes down whole requests."""

    recorded: list[Request]

    async def __aenter__(self) -> Recorder:
        await super().__aenter__()
        return self

    async def _run_git(
        self, exchange: Exchange, body: bytes, fault: Fault, delivery: Delivery
    ) -> None:
        target = f"{exchange.path}?{exchange.query}"
        self.recorded.append(Request(exchange.method, target, dict(exchange.headers), body))
        await super()._run_git(exchange, body, fault, delivery)


def lines_of(body: bytes) -> tuple[set[str], list[str]]:
    """The capabilities of a request (agents without their names), and its other lines."""
    buffer = PacketBuffer()
    buffer.feed(body)
    capabilities: set[str] = set()
    rest = []
    while (packet := buffer.next_packet()) is not None:
        line = packet.name if isinstance(packet, Mark) else packet.decode().rstrip("\n")
        word, *others = line.split(" ")
        if word == "want" and len(others) > 1:
            capabilities |= {_named(each) for each in others[1:]}
            line = f"want {others[0]}"
        if word in ("want", "have", "done") or line in Mark.__members__:
            rest.append(line)
        else:
            capabilities.add(_named(line))
    return capabilities, rest


def _named(capability: str) -> str:
    return "agent" if capability.startswith("agent=") else capability


def differing_headers(ours: Request, gits: Request) -> set[str]:
    names = ours.headers.keys() | gits.headers.keys()
    return {name for name in names if ours.headers.get(name) != gits.headers.get(name)}


def unexplained(names: set[str], *reasons: Mapping[str, str]) -> set[str]:
    known = {key for table in reasons for key in table}
    return {name for name in names if name not in known and name.partition("=")[0] not in known}


async def asked_by_git(server: Recorder, here: Path) -> list[Request]:
    """What `git clone --bare` asks; it fetches all that is there."""
    server.recorded = []
    environment = {"PATH": os.environ["PATH"], "HOME": str(here.parent), "LC_ALL": "C"}
    environment |= {"GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", "clone", "--quiet", "--bare", server.url("npub/r.git"), str(here / "clone")]
    await trio.run_process(command, env=environment, stderr=subprocess.DEVNULL)
    return server.recorded


async def asked_by_us(server: Recorder, here: Path, way: str) -> list[Request]:
    """What an attempt asks, in git's order or at once."""
    server.recorded = []
    gate = Gate((ip_network("127.0.0.0/8"),), resolve=_loopback)
    settings = HuntSettings(min_free_bytes=0)
    url = server.url("npub/r.git")
    async with GitClient(settings, gate, here / "tmp") as client:
        if way == ORDER:
            client._known.note_habit(parse_web_url(url), Habit.IN_ORDER)
        proven = await client.fetch_oids(new_repository(here, "ours"), url, [STEPS[-1].oid])
        await proven.discard()
    return server.recorded


async def _loopback(host: str) -> list[str]:
    return [host]


@pytest.mark.parametrize("way", [AT_ONCE, ORDER])
@pytest.mark.parametrize("version", [2, 0])
async def test_b_8_4_our_requests_are_gits_but_for_what_has_a_reason(
    version: int, way: str, tmp_path: Path
) -> None:
    there = new_repository(tmp_path / "root", "r")
    for step in STEPS:
        add_pack(there, step.objects)
    update_refs(there, {MAIN: STEPS[-1].oid})
    async with Recorder(tmp_path / "root", protocol_v2=version == 2) as server:
        gits = await asked_by_git(server, tmp_path)
        ours = await asked_by_us(server, tmp_path, way)
    # v2: info/refs, ls-refs, fetch; v0: info/refs, fetch. Ours names what it wants.
    assert [request.method for request in gits] == ["GET", *["POST"] * (2 if version else 1)]
    expected = ["GET", "POST"]
    if way == AT_ONCE:
        expected = ["POST"] if version else ["POST", "GET", "POST"]
    assert [request.method for request in ours] == expected
    if "GET" in expected:
        mine = next(request for request in ours if request.method == "GET")
        assert mine.target == gits[0].target
        explained = dict(HEADERS)
        if way == AT_ONCE:
            # The refs are wanted as well: a server that knows v1 shows them, as it does in v0.
            explained["git-protocol"] = "version=1"
            assert mine.headers["git-protocol"] == "version=1"
        assert not unexplained(differing_headers(mine, gits[0]), explained)
    assert not unexplained(differing_headers(ours[-1], gits[-1]), HEADERS)
    (my_capabilities, my_lines), (git_capabilities, git_lines) = (
        lines_of(ours[-1].body),
        lines_of(gits[-1].body),
    )
    learnt = "GET" in expected
    reasons = CAPABILITIES if learnt else CAPABILITIES | UNKNOWN_YET
    assert not unexplained(my_capabilities ^ git_capabilities, reasons)
    if learnt:
        assert "agent" in my_capabilities
    assert my_lines == list(dict.fromkeys(git_lines))  # git names one object for each ref


async def test_b_8_4_a_list_of_refs_is_asked_for_as_git_does(tmp_path: Path) -> None:
    there = new_repository(tmp_path / "root", "r")
    for step in STEPS:
        add_pack(there, step.objects)
    update_refs(there, {MAIN: STEPS[-1].oid})
    async with Recorder(tmp_path / "root") as server:
        gits = (await asked_by_git(server, tmp_path))[1]
        server.recorded = []
        gate = Gate((ip_network("127.0.0.0/8"),), resolve=_loopback)
        async with GitClient(HuntSettings(min_free_bytes=0), gate, tmp_path / "tmp") as client:
            url = server.url("npub/r.git")
            client._known.note_habit(parse_web_url(url), Habit.IN_ORDER)
            server.fail("upload-pack", faults.refusing_like("unknown words"))
            wanted = [STEPS[-1].oid, "12" * 20]
            proven = await client.fetch_oids(new_repository(tmp_path, "ours"), url, wanted)
            await proven.discard()
    ours = next(request for request in server.recorded if b"ls-refs" in request.body)
    assert b"ls-refs" in gits.body
    assert not unexplained(differing_headers(ours, gits), HEADERS)
    differing = lines_of(ours.body)[0] ^ lines_of(gits.body)[0]
    assert not unexplained(differing, CAPABILITIES)
