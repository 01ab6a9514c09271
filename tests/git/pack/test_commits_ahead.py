from __future__ import annotations

import shutil
import subprocess
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.git.pack import commits_ahead
from purgatory_sync.git.pack.commits_ahead import CommitsAhead
from purgatory_sync.git.pack.format import COMMIT
from purgatory_sync.testing.packs import encode_pack

from ..local_repos import add_pack, git, history, new_repository
from ..packs import PackBuilder, blob, commit, oid_of, tree

ROOT = tree((b"100644", b"file", blob(b"x")))
COMMITS = [commit(ROOT, message=b"%d" % number) for number in range(5)]
PACK = encode_pack([*COMMITS, ROOT, blob(b"x"), commit(ROOT, message=b"late")])


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_commits_at_the_beginning_are_read_whatever_the_pieces(size: int) -> None:
    ahead = CommitsAhead()
    for at in range(0, len(PACK), size):
        ahead.feed(PACK[at : at + size])
    assert ahead.oids == [oid_of(each) for each in COMMITS]


def test_what_is_cut_has_told_what_was_whole() -> None:
    ahead = CommitsAhead()
    ahead.feed(PACK[:200])
    assert ahead.oids == [oid_of(each) for each in COMMITS[: len(ahead.oids)]]
    assert 0 < len(ahead.oids) < 5


def test_they_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits_ahead, "MAX_COMMITS", 3)
    ahead = CommitsAhead()
    ahead.feed(PACK)
    assert len(ahead.oids) == 3


@pytest.mark.skipif(shutil.which("git") is None, reason="git makes the pack")
def test_a_pack_of_git_begins_with_its_commits(tmp_path: Path) -> None:
    there = new_repository(tmp_path)
    steps = history(200)
    add_pack(there, [item for step in steps for item in step.objects])
    tip = steps[-1].oid
    command = ["git", "-C", str(there), "pack-objects", "--revs", "--stdout", "-q"]
    pack = subprocess.run(command, input=f"{tip}\n".encode(), capture_output=True, check=True)
    ahead = CommitsAhead()
    ahead.feed(pack.stdout)
    assert set(ahead.oids) <= set(git(there, "rev-list", tip).split())
    assert len(ahead.oids) > 50  # some may be deltas


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 100))
def test_nonsense_is_left_alone(data: bytes, cut: int) -> None:
    ahead = CommitsAhead()
    ahead.feed(PACK[:cut])
    ahead.feed(data)
    ahead.feed(data)


def test_b_8_4_what_inflates_to_more_than_it_says_is_not_inflated() -> None:
    """64 KiB that stand for 64 MiB would hold up the loop each time that some bytes come."""
    builder = PackBuilder()
    builder.raw(COMMIT, 60_000, b"", b"\0" * (32 << 20))
    pack = builder.build()
    assert len(pack) < 60_000
    ahead = CommitsAhead()
    tracemalloc.start()
    ahead.feed(pack)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ahead.oids == []
    assert peak < 1 << 20
