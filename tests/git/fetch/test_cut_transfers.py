"""What is cut when much of it came is not begun from zero again (B 8.4), at a real git server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path
from random import Random

import attrs
import pytest
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tree

from purgatory_sync.errors import AttemptFailed
from purgatory_sync.git.disk.refs import update_refs
from purgatory_sync.git.fetch.client import GitClient
from purgatory_sync.git.ingest.quarantine import Quarantined
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import HuntSettings
from purgatory_sync.testing import faults
from purgatory_sync.testing.git_server import GitServer

from ..local_repos import add_pack, git, new_repository

pytestmark = pytest.mark.real

COUNT = 40
FILE_BYTES = 100_000
CUT_AT = 1_500_000
URL = "npub/r.git"


def long_history() -> tuple[list[ShaFile], str]:
    """Forty commits of 100 KB each, and the last one's name."""
    objects: list[ShaFile] = []
    parents: list[ObjectID] = []
    entropy = Random(11)
    for number in range(COUNT):
        blob = Blob.from_string(entropy.randbytes(FILE_BYTES))
        tree = Tree()
        tree.add(b"file", 0o100644, blob.id)
        commit = Commit()
        commit.tree, commit.parents = tree.id, parents
        commit.author = commit.committer = b"A <a@example.com>"
        commit.author_time = commit.commit_time = 1_700_000_000 + number
        commit.author_timezone = commit.commit_timezone = 0
        commit.message = b"x\n"
        objects += [blob, tree, commit]
        parents = [commit.id]
    return objects, parents[0].decode()


@attrs.frozen
class Scene:
    server: GitServer
    client: GitClient
    here: Path
    tip: str

    async def fetch(self, *, keeping: bool = True) -> frozenset[str]:
        keep = self.keep if keeping else None
        async with await self.client.fetch_oids(
            self.here, self.server.url(URL), [self.tip], keep=keep
        ) as proven:
            await proven.join()
            return proven.obtained

    async def keep(self, proven: Quarantined) -> None:
        await proven.join()

    @property
    def requests(self) -> int:
        return len(self.server.requests)


async def loopback(host: str) -> list[str]:
    return [host]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    there, here = new_repository(tmp_path / "root", "r"), new_repository(tmp_path / "here", "h")
    objects, tip = long_history()
    add_pack(there, objects)
    update_refs(there, {"refs/heads/main": tip})
    gate = Gate((ip_network("127.0.0.0/8"),), resolve=loopback)
    settings = HuntSettings(min_free_bytes=0, idle_timeout_secs=2)
    async with (
        GitServer(tmp_path / "root") as server,
        GitClient(settings, gate, tmp_path / "tmp") as client,
    ):
        yield Scene(server, client, here, tip)


@pytest.mark.parametrize("fault", [faults.cut(CUT_AT), faults.stall(CUT_AT)], ids=["cut", "stall"])
async def test_b_8_4_a_history_that_is_always_cut_arrives_in_steps(
    fault: faults.Fault, scene: Scene
) -> None:
    scene.server.fail("git-upload-pack", fault)
    assert await scene.fetch() == {scene.tip}
    assert git(scene.here, "rev-list", "--count", scene.tip).strip() == str(COUNT)
    git(scene.here, "fsck", "--full", "--strict")


async def test_b_8_4_one_cut_costs_no_second_whole_transfer(scene: Scene) -> None:
    scene.server.fail("git-upload-pack", faults.cut(2_500_000), times=1)
    assert await scene.fetch() == {scene.tip}
    assert scene.requests == 3  # cut, the older half, the rest
    sizes = [path.stat().st_size for path in (scene.here / "objects/pack").glob("*.pack")]
    assert len(sizes) == 2
    assert max(sizes) < 0.6 * COUNT * FILE_BYTES


async def test_b_8_4_the_next_attempt_goes_on_where_the_last_one_ended(scene: Scene) -> None:
    scene.server.fail("git-upload-pack", faults.cut(1_200_000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("purgatory_sync.git.fetch.conversation._STEPS", 1)
        with pytest.raises(AttemptFailed):
            await scene.fetch()
    scene.server.heal()
    before = scene.requests
    assert await scene.fetch() == {scene.tip}
    assert scene.requests == before + 1
    newest = max(
        (scene.here / "objects/pack").glob("*.pack"), key=lambda path: path.stat().st_mtime
    )
    assert newest.stat().st_size < 0.9 * COUNT * FILE_BYTES


async def test_b_8_4_nothing_is_fetched_in_steps_that_cannot_be_kept(scene: Scene) -> None:
    scene.server.fail("git-upload-pack", faults.cut(CUT_AT))
    with pytest.raises(AttemptFailed):
        await scene.fetch(keeping=False)
    assert scene.requests == 1


async def test_b_8_4_what_is_cut_early_is_not_fetched_in_steps(scene: Scene) -> None:
    scene.server.fail("git-upload-pack", faults.cut(500_000))
    with pytest.raises(AttemptFailed):
        await scene.fetch()
    assert scene.requests == 1
