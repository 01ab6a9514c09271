"""What a path may name, and every trick that must not reach the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.node.git_http.repository_paths import GitPath, parse_git_path, parse_prs_path
from purgatory_sync.nostr.address import RepositoryId, is_valid_identifier
from purgatory_sync.nostr.keys import decode_npub, encode_npub
from purgatory_sync.release.index.prs_folder import PrsFolder

NPUB = encode_npub("3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d")


@pytest.mark.parametrize(
    ("name", "identifiers"),
    [
        ("repo", ("repo",)),
        ("repo.git", ("repo", "repo.git")),
        ("repo.git.git", ("repo.git", "repo.git.git")),
        (".git", (".git",)),
        ("my%20repo.git", ("my repo", "my repo.git")),
        ("%F0%9F%90%A7", ("🐧",)),
        ("a%2eb", ("a.b",)),
        ("%252F", ("%2F",)),
        ("...git", ("...git",)),  # stripped it is `..`, which nothing is named
        ("a" * 251 + ".git", ("a" * 251,)),
        ("..a", ("..a",)),
    ],
)
def test_b_6_1_names(name: str, identifiers: tuple[str, ...]) -> None:
    for service in ("info/refs", "git-upload-pack", "git-receive-pack"):
        path = parse_git_path(f"/{NPUB}/{name}/{service}")
        assert path == GitPath(NPUB, identifiers, service)


@pytest.mark.parametrize(
    "name",
    [
        "..", "%2e%2e", ".", "%2E", "a%2Fb", "a%2fb", "%2e%2e%2fetc", "a%5Cb", "a\\b", "a%00",
        "a%0A", "a%7f", "%C2%80", "%ff", "%ED%A0%80", "%zz", "a%", "a%2", "", "a" * 252,
        "%F0%9F%90%A7" * 63,
        "a/b", "../a", "./a",
    ],
)  # fmt: skip
def test_b_6_1_names_that_are_none(name: str) -> None:
    assert parse_git_path(f"/{NPUB}/{name}/info/refs") is None


@pytest.mark.parametrize(
    "path",
    [
        "/", "//", "/metrics", f"/{NPUB}", f"/{NPUB}/repo", f"/{NPUB}/repo.git",
        f"/{NPUB}/repo/HEAD",
        f"/{NPUB}/repo/info/refs/", f"//{NPUB}/repo/info/refs", f"/{NPUB}//repo/info/refs",
        f"/{NPUB}/repo/info%2Frefs", f"/{NPUB}/repo/objects/info/packs", f"{NPUB}/repo/info/refs",
        f"/{NPUB[:-1]}/repo/info/refs", f"/{NPUB[:-1]}q/repo/info/refs",
        f"/{NPUB.upper()}/r/info/refs",
        f"/x/{NPUB}/repo/info/refs", "/npub1/repo/info/refs", f"/{NPUB}/repo/git-upload-archive",
    ],
)  # fmt: skip
def test_b_6_1_paths_that_are_none_of_git(path: str) -> None:
    assert parse_git_path(path) is None


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("%25ef0./\\aAgit\n\x00ü")))
def test_b_6_1_each_of_these_names_is_an_identifier(name: str) -> None:
    path = parse_git_path(f"/{NPUB}/{name}/info/refs")
    if path is not None:
        assert path.identifiers
        assert all(is_valid_identifier(identifier) for identifier in path.identifiers)


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("repo.git", "repo"),
        ("x.git.git", "x.git"),
        ("my%20repo.git", "my repo"),
        ("r%65po%2egit", "repo"),
        ("%F0%9F%90%A7.git", "🐧"),
        ("...git.git", "...git"),
    ],
)
def test_b_12_1_names_below_prs(name: str, identifier: str) -> None:
    for service in ("info/refs", "git-upload-pack", "git-receive-pack"):
        path = parse_prs_path(f"/prs/{NPUB}/{name}/{service}")
        assert path == GitPath(NPUB, (identifier,), service)
    assert parse_git_path(f"/prs/{NPUB}/{name}/info/refs") is None


@pytest.mark.parametrize(
    "path",
    [
        f"/prs/{NPUB}/repo/info/refs",
        f"/prs/{NPUB}/.git/info/refs",
        f"/prs/{NPUB}/...git/info/refs",
        f"/prs/{NPUB}/a%2Fb.git/info/refs",
        f"/prs/{NPUB}/%2e%2e%2fetc.git/info/refs",
        f"/prs/{NPUB}/%2e%2e/repo.git/info/refs",
        f"/prs/{NPUB}/a%5Cb.git/info/refs",
        f"/prs/{NPUB}/a%00.git/info/refs",
        f"/prs/{NPUB}/%ff.git/info/refs",
        f"/prs/{NPUB}/%zz.git/info/refs",
        f"/prs/{NPUB}/a%.git/info/refs",
        f"/prs//{NPUB}/repo.git/info/refs",
        f"//prs/{NPUB}/repo.git/info/refs",
        f"/prs/{NPUB}//repo.git/info/refs",
        f"/prs/{NPUB}/repo.git//info/refs",
        f"/prs/{NPUB}/repo.git/info/refs/",
        f"/prs/{NPUB}/repo.git/HEAD",
        f"/prs/{NPUB}/repo.git",
        f"/prs/{NPUB.upper()}/repo.git/info/refs",
        f"/prs/{'3bf0' * 16}/repo.git/info/refs",
        f"/prs/{NPUB[:-1]}q/repo.git/info/refs",
        f"/PRS/{NPUB}/repo.git/info/refs",
        f"/%70rs/{NPUB}/repo.git/info/refs",
        f"/prs/{NPUB}/" + "a" * 252 + ".git/info/refs",
        f"/{NPUB}/repo.git/info/refs",
        "/prs",
        "/prs/",
    ],
)
def test_b_12_1_what_names_nothing_below_prs(path: str) -> None:
    assert parse_prs_path(path) is None


@given(st.one_of(st.binary(max_size=40), st.text("%2eEfF./a\\", max_size=20)))
@settings(deadline=None)
def test_b_12_1_every_path_is_refused_or_leads_to_its_pair_on_the_disk(
    raw: bytes | str,
) -> None:
    name = raw if isinstance(raw, str) else raw.decode("latin-1")
    path = parse_prs_path(f"/prs/{NPUB}/{name}.git/info/refs")
    if path is None:
        return
    folder = Path("/srv/git")
    target = RepositoryId(decode_npub(NPUB), path.identifiers[0])
    there = PrsFolder(folder, folder / ".tmp", "grasp.example").path(target)
    wanted = os.fsencode(f"/srv/git/prs/{target.owner}/") + f"{target.identifier}.git".encode()
    assert os.fsencode(os.path.normpath(there)) == wanted
