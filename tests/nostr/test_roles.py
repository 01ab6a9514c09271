from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purgatory_sync.nostr.roles import MAX_NAMES, RoleRecord, Roles

from .authority.authority_cases import event, key, tag
from .support import ANY_TEXT

A, B, C = key("A"), key("B"), key("C")
BIG = str(2**64)


def roles(*tags: str) -> Roles:
    """What an announcement of A says with these tags."""
    return Roles.of(event("A", map(tag, tags)))


@pytest.mark.parametrize(
    "boundaries",
    [
        "",
        "0",
        "100",
        "4102444800",
        "100 200 300",
        "100 defer 300"[:3],
        "200 100 50",
        str(2**64 - 1),
    ],
)
def test_b_1_10_an_odd_number_of_boundaries_or_none_is_active(boundaries: str) -> None:
    record = RoleRecord("m", B, tuple(boundaries.split()))
    assert record.valid
    assert record.active
    assert not record.ended


@pytest.mark.parametrize("boundaries", ["100 200", "0 0", "300 200 100 50"])
def test_b_1_10_an_even_number_is_ended(boundaries: str) -> None:
    record = RoleRecord("m", B, tuple(boundaries.split()))
    assert record.valid
    assert record.ended
    assert not record.active


@pytest.mark.parametrize("boundaries", ["300 defer", "1 2 3 defer"])
def test_b_1_10_defer_at_an_end_is_neither(boundaries: str) -> None:
    record = RoleRecord("m", B, tuple(boundaries.split()))
    assert record.valid
    assert record.deferred
    assert not record.active
    assert not record.ended


@pytest.mark.parametrize(
    "value",
    [
        *("x", "", "defer", "open", "1 defer 3", "1 2 defer", "1 open", "yesterday", "-1", "+1"),
        *("1.0", " 1", "1_0", "0x10", "\u0661", "\u00b2", "1 Defer", BIG, "0" * 21, "1\n"),
    ],
)
def test_b_1_10_a_boundary_that_is_none_makes_the_record_say_nothing(value: str) -> None:
    boundaries = (value,) if value.strip() != value or not value else tuple(value.split(" "))
    record = RoleRecord("m", B, boundaries)
    assert not record.valid
    assert not any((record.active, record.ended, record.deferred))


@pytest.mark.parametrize(
    "subject", ["nothex", "", B[:-1], B + "0", "\u212a" * 64, f" {B}", "npub1"]
)
def test_b_1_10_a_subject_that_is_no_key_grants_nothing_but_is_a_role_tag(subject: str) -> None:
    read = Roles.of(event("A", [("m", subject), ("maintainers", B)]))
    assert read == Roles()


def test_b_1_10_a_role_tag_without_a_subject_takes_the_list_away() -> None:
    for letter in "Mmo":
        assert Roles.of(event("A", [(letter,), ("maintainers", B)])).named == ()
    for other in ("a", "O", "mm", "M "):
        assert Roles.of(event("A", [(other, C), ("maintainers", B)])).named == (B,)


def test_b_1_10_subjects_are_compared_in_lower_case_and_the_list_is_not() -> None:
    upper = "AB" * 32
    assert Roles.of(event("A", [("m", upper)])).named == (upper.lower(),)
    assert Roles.of(event("A", [("maintainers", upper)])).named == ()


def test_b_1_10_several_lists_add_up_and_the_author_is_not_named() -> None:
    read = Roles.of(event("A", [("maintainers", B, A), ("maintainers", C, B, "no key")]))
    assert read.named == (B, C)
    assert (read.leads, read.moderators, read.may) == ((), (), True)


def test_b_1_10_one_active_record_of_several_is_enough() -> None:
    assert roles("m B 0 100", "m B 200").named == (B,)
    assert roles("M B 0 100", "m B 100") == roles("m B")
    assert roles("m B x", "m B").named == (B,)


def test_b_1_10_leads_are_all_whom_an_active_pointer_names() -> None:
    assert roles("M A", "M B", "M B 5", "M C 1 2").leads == (A, B)
    assert roles("M B").named == (B,)
    assert roles("M A").named == ()


def test_b_1_10_a_moderator_is_not_named() -> None:
    read = roles("o B", "o A", "M A")
    assert (read.named, read.moderators, read.moderates) == ((), (B, A), True)
    assert read.acknowledged == {B}
    assert not roles("o A 5 defer", "o A 5", "M A").moderates


@pytest.mark.parametrize(
    ("tags", "may", "left"),
    [
        ((), True, False),
        (("mt B",), True, False),
        (("m B",), True, False),
        (("m A",), True, False),
        (("M A 5",), True, False),
        (("m A 1 2",), False, True),
        (("M A 1 2", "m A 2"), True, False),
        (("m A x",), False, False),
        (("m A defer",), False, False),
        (("m A 1 defer",), False, False),
        (("o A",), False, True),
        (("o A 1 2",), False, True),
        (("o A x",), False, False),
        (("o A", "m A x"), False, False),
        (("o A", "m A 1 2"), False, True),
        (("m A 1 defer", "M A 2"), True, False),
        (("m A 1 defer", "M A 1"), False, False),
        (("m A 1 defer", "M A"), False, False),
        (("m A 1 defer", "o A 2", "M A"), True, False),
        (("m A 1 defer", "m A 9 defer", "M A 5"), False, False),
        (("m A 1 2 3 defer", "M A 2"), False, False),
        (("m A 1 defer", "m A 1 2", "o A"), False, True),
    ],
)
def test_b_1_10_whether_the_author_is_still_there(
    tags: tuple[str, ...], may: bool, left: bool
) -> None:
    read = roles(*tags)
    assert (read.may, read.left) == (may, left)


def test_b_1_10_the_first_64_names_count_in_the_order_of_the_tags() -> None:
    others = [f"{number:064x}" for number in range(1000, 1080)]
    listed = Roles.of(event("A", [("maintainers", A, *others[:10], *others)]))
    assigned = Roles.of(event("A", [*(("m", A),) * 3, *(("m", each) for each in others)]))
    assert listed.named == assigned.named == tuple(others[:MAX_NAMES])
    assert listed.names == frozenset(others[:64])
    moderated = Roles.of(event("A", [("o", each) for each in others]))
    assert moderated.moderators == tuple(others[:64])


SOME_TAGS = st.lists(
    st.lists(st.sampled_from(["M", "m", "o", "maintainers", A, B, "1", "2", "defer"]) | ANY_TEXT)
)


@given(SOME_TAGS)
def test_b_1_10_any_tags_are_read(tags: list[list[str]]) -> None:
    read = Roles.of(event("A", [tuple(each) for each in tags]))
    assert A not in read.named
    assert A not in read.acknowledged
    assert not (read.may and read.left)
    assert set(read.named) <= read.acknowledged | {*read.named}
