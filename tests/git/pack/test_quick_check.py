from __future__ import annotations

import pytest

from purgatory_sync.git.pack.format import GitObject
from purgatory_sync.git.pack.object_links import object_links
from purgatory_sync.git.pack.quick_check import check_attributes, check_object
from purgatory_sync.git.pack.reader import Unsure

from ..packs import name_of
from .objects_git_judges import FILE, LONG_LINES, ODD_BUT_FINE, REFUSED, USUAL

IN_ATTRIBUTES = {"long attributes", "long attributes, other case"}


@pytest.mark.parametrize("object", USUAL.values(), ids=USUAL)
def test_usual_objects_are_known(object: GitObject) -> None:
    assert check_object(*object).all == object_links(*object)


@pytest.mark.parametrize("name", ODD_BUT_FINE)
def test_odd_objects_are_for_git_to_judge(name: str) -> None:
    with pytest.raises(Unsure):
        check_object(*ODD_BUT_FINE[name])


@pytest.mark.parametrize("name", sorted(set(REFUSED) - IN_ATTRIBUTES))
def test_bad_objects_are_never_judged_clean(name: str) -> None:
    with pytest.raises(Unsure):
        check_object(*REFUSED[name])


def test_attributes_are_named_and_judged() -> None:
    assert check_object(*USUAL["tree"]).attributes == [name_of(FILE)]
    for name in IN_ATTRIBUTES:
        assert check_object(*REFUSED[name]).attributes == [name_of(LONG_LINES)]
    check_attributes(FILE.data)
    check_attributes(b"a" * 2000)
    for content in (LONG_LINES.data, b"x\n" * (1 << 19) + b"x"):
        with pytest.raises(Unsure):
            check_attributes(content)
