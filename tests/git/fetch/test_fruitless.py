"""What brought much and nothing that was wanted is not fetched again (B 8.3)."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.errors import AttemptFailed, BadPack, ObjectsRefused
from purgatory_sync.git.disk.refs import update_refs
from purgatory_sync.git.fetch.client import GitClient
from purgatory_sync.git.fetch.fruitless import MEMORY_SECS, Fruitless, FruitlessAttempts
from purgatory_sync.git.ingest.quarantine import Quarantined
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import HuntSettings
from purgatory_sync.testing.git_server import GitServer
from purgatory_sync.testing.packs import encode_pack

from ..local_repos import Step, add_pack, history, new_repository
from ..packs import blob, commit, oid_of, tree
from ..scripted import Reply, Seen, World, refs_v2, v2_pack, world
from .attempts import POST, URL

NOWHERE, NOWHERE_TOO = "12" * 20, "34" * 20
STEPS = history(4)
MAIN = "refs/heads/main"
LOOPBACK = HuntSettings(min_free_bytes=0)


@attrs.frozen
class Place:
    """A server with two commits, a client, and what the client keeps."""

    server: GitServer
    client: GitClient
    there: Path
    here: Path

    async def fetch(self, *oids: str) -> frozenset[str]:
        async with await self.client.fetch_oids(
            self.here, self.server.url("npub/r.git"), oids, keep=self.keep
        ) as proven:
            await proven.join()
            return proven.obtained

    async def fails(self, *oids: str) -> AttemptFailed:
        with pytest.raises(AttemptFailed) as caught:
            await self.fetch(*oids)
        return caught.value

    async def keep(self, proven: Quarantined) -> None:
        await proven.join()

    def push(self, step: Step) -> None:
        add_pack(self.there, step.objects)
        update_refs(self.there, {MAIN: step.oid})


async def loopback(host: str) -> list[str]:
    return [host]


@pytest.fixture(params=[2, 0], ids=["v2", "v0"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    there, here = new_repository(tmp_path / "root", "r"), new_repository(tmp_path / "here", "r")
    for step in STEPS[:2]:
        add_pack(there, step.objects)
    update_refs(there, {MAIN: STEPS[1].oid})
    gate = Gate((ip_network("127.0.0.0/8"),), resolve=loopback)
    client = GitClient(LOOPBACK, gate, tmp_path / "tmp")
    async with GitServer(tmp_path / "root", protocol_v2=request.param == 2) as server, client:
        yield Place(server, client, there, here)


def packs_in(repository: Path) -> int:
    return len(list((repository / "objects/pack").glob("*.pack")))


@pytest.mark.real
async def test_b_8_3_what_is_nowhere_costs_one_history(place: Place) -> None:
    """Two objects: git names the first only, so that the other may be behind what is shown."""
    first = await place.fails(NOWHERE, NOWHERE_TOO)
    assert isinstance(first, ObjectsRefused)
    assert packs_in(place.here) == 1  # whole and proven: kept
    before = len(place.server.requests)
    for _ in range(16):
        again = await place.fails(NOWHERE, NOWHERE_TOO)
        assert isinstance(again, ObjectsRefused)
        assert "it was not repeated" in str(again)
    assert len(place.server.requests) - before == 16
    assert packs_in(place.here) == 1


@pytest.mark.real
async def test_b_8_3_git_v2_says_that_it_is_not_there_and_no_more_is_asked(place: Place) -> None:
    if not place.server._protocol_v2:
        pytest.skip("v0 says the same of what it does not show")
    assert isinstance(await place.fails(NOWHERE), ObjectsRefused)
    assert len(place.server.requests) == 1
    assert packs_in(place.here) == 0


@pytest.mark.real
async def test_b_8_3_when_the_refs_move_what_is_new_comes_by_itself(place: Place) -> None:
    wanted = STEPS[2].oid
    await place.fails(wanted, NOWHERE)
    await place.fails(wanted, NOWHERE)
    place.push(STEPS[2])
    assert await place.fetch(wanted, NOWHERE) == {wanted}
    # Three objects came, not the history that was kept.
    newest = max((place.here / "objects/pack").glob("*.idx"), key=os.path.getmtime)
    assert newest.stat().st_size < 1072 + 3 * 40
    assert isinstance(await place.fails(NOWHERE), ObjectsRefused)


@pytest.mark.real
async def test_b_8_3_other_objects_are_asked_for(place: Place) -> None:
    await place.fails(NOWHERE, NOWHERE_TOO)
    assert await place.fetch(STEPS[0].oid, NOWHERE) >= {STEPS[0].oid}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return new_repository(tmp_path / "scripted", "s")


async def test_b_8_3_a_refused_pack_is_not_fetched_again_while_the_refs_are_the_same(
    repository: Path, tmp: Path, autojump_clock: MockClock
) -> None:
    large = blob(os.urandom(200_000))
    root = tree((b"100644", b"..", large))
    tip = commit(root)
    refs = {MAIN: oid_of(tip)}

    def answer(seen: Seen) -> Reply:
        if b"command=ls-refs" in seen.body:
            return refs_v2(refs)
        return v2_pack(encode_pack([large, root, tip]))

    async with world(tmp) as there:
        there.answer = answer
        assert isinstance(await refused(there, repository, oid_of(tip)), BadPack)
        assert there.asked == [POST, POST]
        for turn in range(3):
            again = await refused(there, repository, oid_of(tip))
            assert isinstance(again, BadPack)
            assert "leads elsewhere" in str(again) or "hasDot" in str(again)
            assert there.asked == [POST] * (3 + turn)
        refs["refs/heads/new"] = oid_of(tip)
        await refused(there, repository, oid_of(tip))
        assert there.asked == [POST] * 7  # the list, and the pack
        await trio.sleep(MEMORY_SECS)
        await refused(there, repository, oid_of(tip))
        assert there.asked == [POST] * 9


async def refused(there: World, repository: Path, oid: str) -> AttemptFailed:
    with pytest.raises(AttemptFailed) as caught:
        await there.client.fetch_oids(repository, URL, [oid])
    return caught.value


async def test_a_refused_pack_says_nothing_of_a_part_of_it(autojump_clock: MockClock) -> None:
    memory = FruitlessAttempts()
    memory.note("u", Fruitless.of(BadPack("odd"), ["good", "bad"], b"", ()))
    assert memory.find("u", ["good"]) is None
    assert memory.find("u", ["good", "bad", "more"]) is not None
    memory.note("u", Fruitless.of(ObjectsRefused("no"), ["one", "two"], b"", ()))
    assert memory.find("u", ["one"]) is not None
    assert memory.find("u", ["one", "three"]) is None


async def test_the_memory_is_bounded(autojump_clock: MockClock) -> None:
    memory = FruitlessAttempts(max_urls=3, max_oids=10)

    def attempt(count: int) -> Fruitless:
        wanted = [str(number) for number in range(count)]
        return Fruitless.of(ObjectsRefused("no"), wanted, b"", ())

    for number in range(5):
        memory.note(f"u{number}", attempt(2))
    assert len(memory) == 3
    assert memory.find("u1", ["0"]) is None
    assert memory.find("u4", ["0"]) is not None
    assert memory.find("u4", ["0", "2"]) is None  # that was not asked for
    memory.note("u4", attempt(7))
    assert len(memory) == 2
    memory.note("large", attempt(11))
    assert memory.find("large", ["0"]) is None
    memory.note("u0", attempt(1))
    await trio.sleep(MEMORY_SECS)
    assert memory.find("u0", ["0"]) is None
