"""Hunting where no git is installed: dulwich judges, and the server has a git of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from dulwich.objects import Blob, Commit, ShaFile, Tree

from purgatory_sync.errors import ObjectsRefused
from purgatory_sync.git.fetch.client import GitClient
from purgatory_sync.git.ingest.connectivity import complete_oids
from purgatory_sync.git.ingest.index_git import find_git
from purgatory_sync.runtime.net.addresses import networks
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import MIB, HuntSettings

from ..local_repos import MADE_UP, add_pack, history, new_repository, oid_of, write_loose_ref

SERVERS_PATH = os.environ.get("PATH_WITH_GIT", os.environ.get("PATH", os.defpath))

pytestmark = [
    pytest.mark.real,
    pytest.mark.gitless,
    pytest.mark.skipif(
        shutil.which("git", path=SERVERS_PATH) is None,
        reason="no git for the server: PATH_WITH_GIT",
    ),
]

STEPS = history(3)
TIP = STEPS[-1].oid


@pytest.fixture(autouse=True)
def no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing on PATH but the shell, which sets the limits of children."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(folder))
    assert find_git() is None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """The folder that a server serves, and its address."""
    root = tmp_path / "upstream"
    root.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "purgatory_sync.testing.git_server", str(root)],
        env={**os.environ, "PATH": SERVERS_PATH},
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        ready, address = process.stdout.readline().decode().split()
        assert ready == "ready"
        yield root, f"http://{address}"
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def client(tmp_path: Path, ingest: str = "auto") -> GitClient:
    settings = HuntSettings(min_free_bytes=0, ingest=ingest)  # type: ignore[arg-type]
    return GitClient(settings, Gate(networks("127.0.0.0/8")), tmp_path / "quarantine")


def large_step() -> list[ShaFile]:
    """A commit whose one file does not fit into memory's small way."""
    content = Blob.from_string(Random(3).randbytes(3 * MIB))
    root = Tree()
    root.add(b"large", 0o100644, content.id)
    tip = Commit()
    tip.tree, tip.parents = root.id, [STEPS[-1].commit.id]
    tip.author = tip.committer = b"A <a@example.com>"
    tip.author_time = tip.commit_time = 1_800_000_000
    tip.author_timezone = tip.commit_timezone = 0
    tip.message = b"large\n"
    return [content, root, tip]


@pytest.mark.parametrize("ingest", ["auto", "dulwich"])
async def test_small_and_large_are_fetched(
    tmp_path: Path, server: tuple[Path, str], ingest: str
) -> None:
    root, address = server
    upstream = new_repository(root)
    add_pack(upstream, [item for step in STEPS for item in step.objects])
    write_loose_ref(upstream, "refs/heads/main", TIP)
    here = new_repository(tmp_path / "here")
    url = f"{address}/npub/r.git"
    async with client(tmp_path, ingest) as git:
        async with await git.fetch_oids(here, url, [TIP, MADE_UP]) as proven:
            assert (proven.obtained, proven.objects) == (frozenset([TIP]), 9)
            await proven.join()
        large = large_step()
        add_pack(upstream, large)
        new_tip = oid_of(large[-1])
        write_loose_ref(upstream, "refs/heads/main", new_tip)
        write_loose_ref(here, "refs/heads/main", TIP)
        async with await git.fetch_oids(here, url, [new_tip]) as proven:
            assert (proven.obtained, proven.objects) == (frozenset([new_tip]), 3)
            await proven.join()
        with pytest.raises(ObjectsRefused):
            await git.fetch_oids(here, url, [MADE_UP])
    assert complete_oids(here, [new_tip]) == {new_tip}
    assert list((tmp_path / "quarantine").iterdir()) == []
