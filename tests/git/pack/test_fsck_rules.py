from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.errors import BadPack
from purgatory_sync.git.pack.format import BLOB, COMMIT, TAG, TREE, GitObject
from purgatory_sync.git.pack.fsck_rules import judge_attributes, judge_modules, judge_object
from purgatory_sync.git.pack.object_links import object_links

from ..packs import name_of, tree
from .objects_git_judges import (
    BYSTANDERS,
    EVIL_MODULES,
    FINE_MODULES,
    LONG_LINES,
    ODD_BUT_FINE,
    ODD_MODULES,
    REFUSED,
    USUAL,
)

KNOWN = {name_of(object): object for object in BYSTANDERS}


def judge(object: GitObject) -> None:
    judged = judge_object(*object)
    for name in judged.modules:
        judge_modules(*KNOWN[name])
    for name in judged.attributes:
        judge_attributes(*KNOWN[name])


@pytest.mark.parametrize("name", [*USUAL, *ODD_BUT_FINE])
def test_sound_objects_are_accepted_with_their_links(name: str) -> None:
    object = (USUAL | ODD_BUT_FINE)[name]
    judge(object)
    assert judge_object(*object).links == object_links(*object)


@pytest.mark.parametrize("name", REFUSED)
def test_bad_objects_are_refused(name: str) -> None:
    with pytest.raises(BadPack):
        judge(REFUSED[name])


def test_modes_of_no_known_type_are_submodules_as_for_git() -> None:
    assert judge_object(*tree((b"10644", b"a", FINE_MODULES))).links == []


@pytest.mark.parametrize("content", [EVIL_MODULES.data, *ODD_MODULES.values()])
def test_modules_that_do_harm(content: bytes) -> None:
    with pytest.raises(BadPack):
        judge_modules(BLOB, content)


def test_only_files_are_read() -> None:
    judge_modules(*FINE_MODULES)
    judge_attributes(BLOB, b"a" * 2047)
    for judge_it in (judge_modules, judge_attributes):
        judge_it(TREE, LONG_LINES.data)
    with pytest.raises(BadPack):
        judge_attributes(*LONG_LINES)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([COMMIT, TREE, TAG]), st.binary(max_size=200))
def test_no_bytes_raise_anything_else(kind: int, data: bytes) -> None:
    with contextlib.suppress(BadPack):
        judge_object(kind, data)
    with contextlib.suppress(BadPack):
        judge_modules(BLOB, b"[submodule " + data)
