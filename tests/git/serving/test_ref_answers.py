from __future__ import annotations

import os
import shutil
from pathlib import Path
from random import Random

import pytest

from purgatory_sync.git.disk.refs import update_refs
from purgatory_sync.git.serving import repository_view
from purgatory_sync.git.serving.ref_answers import (
    PREAMBLE,
    V1_LINE,
    advertised,
    capabilities_of,
    list_refs_answer,
)
from purgatory_sync.git.serving.repository_view import current_view
from purgatory_sync.git.serving.served_refs import ServedRefs, read_served_refs, stamp
from purgatory_sync.git.serving.upload_requests import ListRefs, read_request_v2

from ..local_repos import add_pack, history, new_repository
from .served import advertisement, git, random_repository, request_v2, upload_pack

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is what it is compared to")

_PREFIXES = ("HEAD", "refs/heads/", "refs/tags/v", "refs/", "H", "refs/heads/a", "refs/nothing")


def served(path: Path) -> ServedRefs:
    refs = read_served_refs(path)[1]
    assert refs is not None
    return refs


@pytest.mark.parametrize("seed", range(25))
def test_b_6_2_lists_of_refs_are_byte_for_byte_those_of_git(tmp_path: Path, seed: int) -> None:
    path, chance = random_repository(tmp_path / "r.git", seed), Random(seed)
    for _ in range(6):
        words = [word for word in ("peel", "symrefs", "unborn") if chance.random() < 0.6]
        prefixes = chance.sample(_PREFIXES, chance.choice((0, 1, 2, 4)))
        body = request_v2("ls-refs", *words, *(f"ref-prefix {prefix}" for prefix in prefixes))
        request = read_request_v2(body)
        assert isinstance(request, ListRefs)
        assert list_refs_answer(served(path), request) == upload_pack(path, body, 2)


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("seed", range(12))
def test_b_6_2_older_lists_of_refs_are_byte_for_byte_those_of_git(
    tmp_path: Path, seed: int, version: int
) -> None:
    other = random_repository(tmp_path / "other.git", 3)
    git(
        "-C",
        other,
        "symbolic-ref",
        "HEAD",
        git("-C", other, "for-each-ref", "--format=%(refname)", "refs/heads").decode().split()[0],
    )
    words = capabilities_of(advertisement(other, version))
    assert words is not None
    path = random_repository(tmp_path / "r.git", seed)
    answer = advertised(served(path), words, version)
    assert answer == PREAMBLE + advertisement(path, version)
    assert (V1_LINE in answer) == (version == 1)


def test_capabilities_are_learnt_only_from_a_head_that_names_a_ref(tmp_path: Path) -> None:
    path = random_repository(tmp_path / "r.git", 1)
    git("-C", path, "symbolic-ref", "HEAD", "refs/heads/not-there")
    assert capabilities_of(advertisement(path, 0)) is None
    for damaged in (b"", b"0000", b"zzzz", b"0100short", V1_LINE):
        assert capabilities_of(damaged) is None


def test_without_a_ref_nothing_is_advertised_in_process(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    assert advertised(served(path), b"a symref=HEAD:refs/heads/main b", 0) is None
    assert list_refs_answer(served(path), ListRefs(True, True, ())) == b"0000"


def test_a_change_by_our_writer_is_seen_at_once(tmp_path: Path) -> None:
    path, steps = new_repository(tmp_path), history(3)
    for step in steps:
        add_pack(path, step.objects)
    update_refs(path, {"refs/heads/main": steps[0].oid})
    view = current_view(path, None)
    assert current_view(path, view) is view
    for step in (steps[1], steps[2], steps[1]):
        update_refs(path, {"refs/heads/main": step.oid})
        view = current_view(path, view)
        assert view.refs is not None
        assert view.refs.tips == {step.oid.encode()}


@pytest.mark.parametrize(
    "change",
    [
        ("update-ref", "refs/heads/more", "main"),
        ("update-ref", "refs/heads/deep/er", "main"),
        ("pack-refs", "--all"),
        ("symbolic-ref", "HEAD", "refs/heads/other"),
        ("update-ref", "-d", "refs/tags/v1"),
    ],
)
def test_a_change_by_another_program_is_seen_at_once(
    tmp_path: Path, change: tuple[str, ...]
) -> None:
    path = plain(tmp_path)
    git("-C", path, "tag", "v1", "main")
    view = current_view(path, None)
    git("-C", path, *change)
    assert stamp(path) != view.stamp
    body = request_v2("ls-refs", "peel", "symrefs")
    request = read_request_v2(body)
    assert isinstance(request, ListRefs)
    assert current_view(path, view).list_refs(request) == upload_pack(path, body, 2)


def plain(folder: Path) -> Path:
    """A repository of stock git with one branch."""
    path = folder / "plain.git"
    git("init", "-q", "--bare", "-b", "main", path)
    tree = git("-C", path, "mktree").decode().strip()
    commit = git("-C", path, "commit-tree", "-m", "a", tree).decode().strip()
    git("-C", path, "update-ref", "refs/heads/main", commit)
    return path


def odd_settings(path: Path) -> None:
    git("-C", path, "config", "transfer.hideRefs", "refs/heads")


def included_settings(path: Path) -> None:
    git("-C", path, "config", "include.path", "other")


def advertised_more(path: Path) -> None:
    git("-C", path, "config", "uploadpack.allowRefInWant", "true")


def settings_of_one(path: Path) -> None:
    git("-C", path, "config", "uploadpack.x.allowFilter", "true")


def worktree(path: Path) -> None:
    git("-C", path, "config", "core.worktree", "/nonexistent")


def damaged_settings(path: Path) -> None:
    (path / "config").write_text("[core\n")


def large_settings(path: Path) -> None:
    with open(path / "config", "ab") as file:
        file.write(b"# more\n" * 10_000)


def detached(path: Path) -> None:
    (path / "HEAD").write_bytes(git("-C", path, "rev-parse", "main"))


def broken_ref(path: Path) -> None:
    (path / "refs/heads/broken").write_text("nothing")


def symbolic_ref(path: Path) -> None:
    git("-C", path, "symbolic-ref", "refs/heads/other", "refs/heads/main")


def linked_ref(path: Path) -> None:
    os.symlink("main", path / "refs/heads/link")


def missing_object(path: Path) -> None:
    (path / "refs/heads/missing").write_text("12" * 20 + "\n")


def bad_name(path: Path) -> None:
    shutil.copy(path / "refs/heads/main", path / "refs/heads/a..b")


def shallow(path: Path) -> None:
    (path / "shallow").write_bytes(git("-C", path, "rev-parse", "main"))


def grafts(path: Path) -> None:
    (path / "info").mkdir(exist_ok=True)
    (path / "info/grafts").write_bytes(git("-C", path, "rev-parse", "main"))


def alternates(path: Path) -> None:
    (path / "objects/info").mkdir(exist_ok=True)
    (path / "objects/info/alternates").write_text("/nonexistent\n")


def damaged_refs(path: Path) -> None:
    (path / "packed-refs").write_text("what is this\n")


def no_settings(path: Path) -> None:
    (path / "config").unlink()


ODD = [
    odd_settings, included_settings, advertised_more, settings_of_one, worktree, damaged_settings,
    large_settings, detached, broken_ref, symbolic_ref, linked_ref, missing_object, bad_name,
    shallow, grafts, alternates, damaged_refs, no_settings,
]  # fmt: skip


@pytest.mark.parametrize("change", ODD)
def test_what_is_not_plain_is_left_to_git(tmp_path: Path, change: object) -> None:
    path = plain(tmp_path)
    view = current_view(path, None)
    assert view.refs is not None
    assert callable(change)
    change(path)
    view = current_view(path, view)
    assert view.refs is None
    assert view.list_refs(ListRefs(True, True, ())) is None
    assert view.advertise(b"a symref=HEAD:refs/heads/main", 0) is None


def test_settings_of_clients_and_of_git_itself_are_plain(tmp_path: Path) -> None:
    path = plain(tmp_path)
    for name in ("gc.auto", "remote.origin.url", "user.name", "uploadpack.allowFilter"):
        git("-C", path, "config", name, "1")
    assert current_view(path, None).refs is not None


def test_a_repository_that_is_not_there_is_left_to_git(tmp_path: Path) -> None:
    assert current_view(tmp_path / "nothing", None).refs is None


def test_a_list_by_very_many_prefixes_is_left_to_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = current_view(plain(tmp_path), None)
    prefixes = tuple(b"refs/%d" % number for number in range(10))
    monkeypatch.setattr(repository_view, "_MOST_COMPARISONS", 10)
    assert view.list_refs(ListRefs(True, True, prefixes)) is not None
    assert view.list_refs(ListRefs(True, True, (*prefixes, b"HEAD"))) is None


def test_few_answers_are_kept_and_none_of_long_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = current_view(plain(tmp_path), None)
    monkeypatch.setattr(repository_view, "_KEPT_ANSWERS_OF_REFS", 1)
    for number in range(10):
        request = ListRefs(True, True, (b"refs/heads/", b"%d" % number))
        assert view.list_refs(request) is view.list_refs(request)
    long = ListRefs(True, True, (b"refs/heads/", b"x" * 2000))
    assert view.list_refs(long) is not view.list_refs(long)
    assert len(view._answers) == 4
