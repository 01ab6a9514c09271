from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.refnames import (
    MAX_COMPONENT_BYTES,
    MAX_REFNAME_BYTES,
    conflicting,
    is_valid_refname,
)

VALID = [
    "refs/heads/main",
    "refs/heads/feature/x-1",
    "refs/heads/@",
    "refs/heads/-dash",
    "refs/heads/a.b",
    "refs/heads/a./b",
    "refs/heads/lock",
    "refs/heads/x.lockx",
    "refs/heads/x@y}",
    "refs/heads/größe-🚀",
    "refs/nostr/" + "0" * 64,
    "a/b",
    "@/x",
]
INVALID = [
    "",
    "main",
    "@",
    "/refs/heads/x",
    "refs/heads/x/",
    "refs/heads//x",
    "refs/heads/.x",
    "refs/heads/x.",
    "refs/heads/x.lock",
    "refs/heads/x.lock/y",
    "refs/heads/a..b",
    "refs/heads/../../x",
    "refs/heads/x@{1}",
    "refs/heads/x^{}",
    "refs/heads/x~1",
    "refs/heads/a:b",
    "refs/heads/a?b",
    "refs/heads/a*b",
    "refs/heads/a[b",
    "refs/heads/a\\b",
    "refs/heads/a b",
    "refs/heads/a\tb",
    "refs/heads/a\nb",
    "refs/heads/a\0b",
    "refs/heads/a\x7fb",
    "refs/heads/\udcff",
]


@pytest.mark.parametrize("name", VALID)
def test_names_that_git_accepts(name: str) -> None:
    assert is_valid_refname(name)


@pytest.mark.parametrize("name", INVALID)
def test_names_that_git_refuses(name: str) -> None:
    assert not is_valid_refname(name)


def test_components_fit_into_file_names() -> None:
    assert is_valid_refname("refs/heads/" + "x" * MAX_COMPONENT_BYTES)
    assert not is_valid_refname("refs/heads/" + "x" * (MAX_COMPONENT_BYTES + 1))
    assert not is_valid_refname("refs/heads/" + "ü" * (MAX_COMPONENT_BYTES // 2 + 1))


def test_names_are_bounded_in_all() -> None:
    name = "refs/heads/" + "x/" * MAX_REFNAME_BYTES
    assert is_valid_refname(name[: MAX_REFNAME_BYTES - 1] + "x")
    assert not is_valid_refname(name[:MAX_REFNAME_BYTES] + "x")


def test_conflicting_names_are_found() -> None:
    assert conflicting([]) is None
    assert conflicting(["refs/heads/x", "refs/heads/x-y", "refs/heads/xy/z"]) is None
    assert conflicting(["refs/heads/x/y", "refs/heads/x"]) == ("refs/heads/x", "refs/heads/x/y")
    assert conflicting(["refs/heads/a/b/c", "refs/heads/a", "refs/heads/a-b"]) == (
        "refs/heads/a",
        "refs/heads/a/b/c",
    )


@pytest.mark.real
@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "a",
                "refs",
                "/",
                ".",
                "..",
                ".lock",
                "@",
                "{",
                "@{",
                "~",
                "^",
                ":",
                "?",
                "*",
                "[",
                "\\",
                " ",
                "\x01",
                "\x7f",
                "ü",
                "-",
                "/a",
            ]
        ),
        max_size=8,
    )
)
def test_git_judges_the_same(pieces: list[str]) -> None:
    name = "a" + "".join(pieces)
    assert is_valid_refname(name) is _git_accepts(name)


@pytest.mark.real
@pytest.mark.parametrize(
    "name", [n for n in VALID + INVALID if "\0" not in n and "\udcff" not in n]
)
def test_git_judges_the_examples_the_same(name: str) -> None:
    assert is_valid_refname(name) is _git_accepts(name)


def _git_accepts(name: str) -> bool:
    return subprocess.run(["git", "check-ref-format", name], check=False).returncode == 0
