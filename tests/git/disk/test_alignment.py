from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.errors import RepositoryError
from purgatory_sync.git.disk.alignment import Alignment, align_refs
from purgatory_sync.git.disk.refs import update_refs
from purgatory_sync.git.disk.repository import UNBORN_HEAD, list_refs, read_head
from purgatory_sync.refnames import conflicting

from ..local_repos import (
    MADE_UP,
    Step,
    add_pack,
    git,
    history,
    killed_at,
    new_repository,
    write_loose_ref,
)

MAIN, SIDE, TAG = "refs/heads/main", "refs/heads/side", "refs/tags/v1"
NOSTR = "refs/nostr/" + "a" * 64


@pytest.fixture
def steps() -> list[Step]:
    return history(2)


@pytest.fixture
def path(tmp_path: Path, steps: list[Step]) -> Path:
    path = new_repository(tmp_path)
    add_pack(path, steps[0].objects + steps[1].objects)
    return path


def test_heads_and_tags_become_exactly_the_map(path: Path, steps: list[Step]) -> None:
    one, two = steps[0].oid, steps[1].oid
    update_refs(
        path,
        {
            MAIN: one,
            "refs/heads/old": one,
            "refs/tags/old": one,
            SIDE: one,
            NOSTR: one,
            "refs/notes/x": one,
        },
    )
    done = align_refs(path, {MAIN: two, SIDE: one, TAG: one}, MAIN)
    assert done == Alignment((MAIN, TAG), ("refs/heads/old", "refs/tags/old"), MAIN)
    assert list_refs(path) == {MAIN: two, SIDE: one, TAG: one, NOSTR: one, "refs/notes/x": one}
    assert read_head(path) == MAIN


def test_aligning_again_changes_nothing(path: Path, steps: list[Step]) -> None:
    wanted = {MAIN: steps[1].oid, TAG: steps[0].oid}
    align_refs(path, wanted, MAIN)
    before = _written(path)
    assert align_refs(path, wanted, MAIN) == Alignment((), (), MAIN)
    assert _written(path) == before


def _written(path: Path) -> list[tuple[int, int]]:
    """What a write changes and a look does not (a look may move the time of access)."""
    files = (path / "packed-refs").stat(), (path / "HEAD").stat()
    return [(file.st_ino, file.st_mtime_ns) for file in files]


def test_an_empty_map_deletes_all_and_unsets_head(path: Path, steps: list[Step]) -> None:
    align_refs(path, {MAIN: steps[0].oid}, MAIN)
    assert align_refs(path, {}, None) == Alignment((), (MAIN,), None)
    assert list_refs(path) == {}
    assert read_head(path) == UNBORN_HEAD


def test_without_a_choice_head_stays_while_its_ref_exists(path: Path, steps: list[Step]) -> None:
    one = steps[0].oid
    assert align_refs(path, {MAIN: one}, None).head is None
    assert read_head(path) == UNBORN_HEAD
    (path / "HEAD").write_text(f"ref: {SIDE}\n")
    assert align_refs(path, {MAIN: one, SIDE: one}, None).head == SIDE
    assert align_refs(path, {MAIN: one}, None).head is None
    assert read_head(path) == UNBORN_HEAD


def test_a_detached_head_is_replaced(path: Path, steps: list[Step]) -> None:
    (path / "HEAD").write_text(f"{steps[0].oid}\n")
    assert align_refs(path, {MAIN: steps[0].oid}, None).head is None
    assert read_head(path) == UNBORN_HEAD


def test_broken_and_odd_refs_go_too(path: Path, steps: list[Step]) -> None:
    one = steps[0].oid
    write_loose_ref(path, "refs/heads/broken", "nothing")
    write_loose_ref(path, "refs/heads/bad..name", one)
    write_loose_ref(path, "refs/heads/link", f"ref: {MAIN}")
    (path / "packed-refs").write_bytes(f"{one} refs/heads/".encode() + b"\xff\n")
    done = align_refs(path, {MAIN: one, "refs/heads/broken": one}, MAIN)
    assert done.changed == ("refs/heads/broken", MAIN)
    assert done.deleted == ("refs/heads/bad..name", "refs/heads/link", "refs/heads/\udcff")
    assert list((path / "refs" / "heads").iterdir()) == []
    assert list_refs(path) == {MAIN: one, "refs/heads/broken": one}


def test_a_branch_may_become_a_folder_and_back(path: Path, steps: list[Step]) -> None:
    one, x, y = steps[0].oid, "refs/heads/x", "refs/heads/x/y"
    write_loose_ref(path, x, one)
    assert align_refs(path, {y: one}, y) == Alignment((y,), (x,), y)
    (path / "packed-refs").unlink()
    write_loose_ref(path, y, one)
    assert align_refs(path, {x: one}, x) == Alignment((x,), (y,), x)
    assert list((path / "refs" / "heads").iterdir()) == []


@pytest.mark.parametrize(
    ("wanted", "head", "words"),
    [
        ({NOSTR: "one"}, None, "neither a branch nor a tag"),
        ({"HEAD": "one"}, None, "neither a branch nor a tag"),
        ({MAIN: "one"}, SIDE, "HEAD cannot name"),
        ({TAG: "one"}, TAG, "HEAD cannot name"),
        ({MAIN: "one", SIDE: MADE_UP}, MAIN, "missing"),
        ({"refs/heads/x": "one", "refs/heads/x/y": "one"}, None, "cannot both be refs"),
    ],
)
def test_what_cannot_be_changes_nothing(
    path: Path, steps: list[Step], wanted: dict[str, str], head: str | None, words: str
) -> None:
    align_refs(path, {MAIN: steps[1].oid}, MAIN)
    wanted = {name: steps[0].oid if oid == "one" else oid for name, oid in wanted.items()}
    with pytest.raises(RepositoryError, match=words):
        align_refs(path, wanted, head)
    assert list_refs(path) == {MAIN: steps[1].oid}
    assert read_head(path) == MAIN


def test_killed_anywhere_refs_are_old_or_new_and_head_follows(
    tmp_path: Path, path: Path, steps: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = steps[0].oid, steps[1].oid
    align_refs(path, {MAIN: one, "refs/heads/old": one}, MAIN)
    wanted = {SIDE: two, "refs/heads/old": two}
    old, new = ({MAIN: one, "refs/heads/old": one}, MAIN), (wanted, SIDE)
    for moment in range(100):
        copy = tmp_path / f"{moment}.git"
        shutil.copytree(path, copy)
        died = killed_at(monkeypatch, moment, partial(align_refs, copy, wanted, SIDE))
        assert (list_refs(copy), read_head(copy)) in (old, (wanted, MAIN), new)
        align_refs(copy, wanted, SIDE)
        assert (list_refs(copy), read_head(copy)) == new
        if not died:
            break
    assert 8 < moment < 99


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_any_map_follows_any_other(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    steps = history(2)
    path = new_repository(tmp_path_factory.mktemp("align"))
    add_pack(path, steps[0].objects + steps[1].objects)
    names = st.builds(
        "refs/{}/{}".format,
        st.sampled_from(["heads", "tags"]),
        st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map("/".join),
    )
    maps = st.dictionaries(names, st.sampled_from([s.oid for s in steps]), max_size=5).filter(
        lambda wanted: conflicting(wanted) is None
    )
    before: dict[str, str] = {}
    for wanted in data.draw(st.lists(maps, min_size=1, max_size=4)):
        for name in data.draw(st.lists(st.sampled_from(sorted(before)))) if before else ():
            write_loose_ref(path, name, before[name])
        done = align_refs(path, wanted, None)
        assert list_refs(path) == wanted
        assert set(done.deleted) == before.keys() - wanted.keys()
        assert set(done.changed) == {n for n, oid in wanted.items() if before.get(n) != oid}
        before = wanted


@pytest.mark.real
def test_git_clones_what_was_aligned(tmp_path: Path, path: Path, steps: list[Step]) -> None:
    align_refs(path, {MAIN: steps[1].oid, SIDE: steps[0].oid, TAG: steps[0].oid}, SIDE)
    git(path, "fsck", "--strict")
    git(tmp_path, "clone", "-q", str(path), "copy")
    assert git(tmp_path / "copy", "rev-parse", "HEAD", "origin/main", "v1").split() == [
        steps[0].oid,
        steps[1].oid,
        steps[0].oid,
    ]
    assert git(tmp_path / "copy", "symbolic-ref", "HEAD") == f"{SIDE}\n"
